"""Statuses that tell a part become whole, in order, from what was before."""

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from pilewatch.model import Kind, Status
from pilewatch.store.partial import Known, Partial, complete

OPEN = Partial(None, None)


def row(place: int, status: str | None, errors: list[dict[str, str]] | None) -> tuple[Any, ...]:
    said = None if errors is None else json.dumps(errors)
    return (place, 1, 1, 7, int(Kind.STATUS), 0, 0, -1, True, 0, status, said)


def whole(rows: list[tuple[Any, ...]]) -> list[tuple[str, str, list[str]]]:
    return [(Kind(r[4]).name, r[10], [error["code"] for error in json.loads(r[11])]) for r in rows]


def test_status_and_errors_of_different_messages_come_together() -> None:
    rows = [row(0, "charging", None), row(1, None, [{"code": "no-earth"}]), row(2, "faulted", None)]
    found = complete(rows, dict.fromkeys(range(3), OPEN), {7: Known("available", [])})
    assert whole(found) == [
        ("STATUS", "charging", []),
        ("STATUS", "charging", ["no-earth"]),
        ("STATUS", "faulted", ["no-earth"]),
    ]


def test_each_source_takes_back_only_its_own_errors() -> None:
    err, cus = (
        {"code": c, "source": s} for c, s in (("no-earth", "err"), ("connector-lock", "cus"))
    )
    rows = [row(0, None, [cus]), row(1, None, [])]
    partial = {0: Partial("cus", None), 1: Partial("err", None)}
    found = complete(rows, partial, {7: Known("faulted", [err])})
    assert whole(found) == [
        ("STATUS", "faulted", ["connector-lock", "no-earth"]),
        ("STATUS", "faulted", ["connector-lock"]),
    ]


def test_a_status_may_count_only_from_others() -> None:
    only = Partial(None, frozenset({Status.CHARGING}))
    rows = [row(0, "suspended", None), row(1, "charging", None), row(2, "suspended", None)]
    found = complete(rows, {0: only, 1: OPEN, 2: only}, {7: Known("available", [])})
    assert whole(found) == [
        ("CONFIRM", "available", []),
        ("STATUS", "charging", []),
        ("STATUS", "suspended", []),
    ]


def test_what_says_nothing_new_only_confirms() -> None:
    known = {7: Known("faulted", [{"code": "no-earth", "source": "err"}])}
    rows = [row(0, "faulted", None), row(1, None, [{"source": "err", "code": "no-earth"}])]
    found = complete(rows, {0: OPEN, 1: Partial("err", None)}, known)
    assert [name for name, _, _ in whole(found)] == ["CONFIRM", "CONFIRM"]


_ERRORS = st.lists(st.sampled_from(["no-earth", "over-current"]), unique=True, max_size=2)
_STEP = st.tuples(
    st.none() | st.sampled_from([s.value for s in Status]),
    st.none() | _ERRORS,
    st.none() | st.sampled_from(["a", "b"]),
)


@settings(deadline=None)
@given(st.lists(_STEP, max_size=12), st.integers(0, 12))
def test_batches_may_be_cut_anywhere(steps: list[tuple[Any, Any, Any]], cut: int) -> None:
    rows, partial = [], {}
    for place, (status, codes, source) in enumerate(steps):
        tagged = {} if source is None else {"source": source}
        errors = None if codes is None else [{"code": code, **tagged} for code in codes]
        rows.append(row(place, status, errors))
        partial[place] = Partial(source, None)
    start = Known("unknown", [])
    at_once = complete(rows, partial, {7: start})
    first = complete(rows[:cut], partial, {7: start})
    last = Known(first[-1][10], json.loads(first[-1][11])) if first else start
    assert whole(first + complete(rows[cut:], partial, {7: last})) == whole(at_once)
