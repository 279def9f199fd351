"""The figures agree with a slow, independent count of every second, whatever comes and when."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from pilewatch.store.pool import Db, connect
from tests.uptime.conftest import Recorded, seconds, whole
from tests.uptime.slow import TICK, Out, Story, Trouble, Word

LENGTH = 3 * 3600
"""Seconds of a story: three hours, and the month changes in the middle of them (16:00 UTC)."""
OFFSET = 14_400 - LENGTH // 2
"""So that local midnight is its middle."""
times = st.integers(OFFSET // TICK, (OFFSET + LENGTH) // TICK - 1).map(lambda n: n * TICK)
statuses = st.sampled_from(["available", "charging", "faulted", "unavailable", "unknown"])
words = st.one_of(
    st.builds(
        Word, times, st.integers(1, 2), statuses,
        st.sampled_from([(), (), ("ground-fault",), ("meter-failure",)]), st.integers(-1, 2),
    ),
    st.builds(Word, times, st.just(0), st.sampled_from(["heartbeat", "heartbeat", "offline"])),
    st.builds(Word, times, st.integers(1, 2), st.just("meter")),
    st.builds(
        Word, times, st.just(0), st.just("online"),
        heartbeat_s=st.sampled_from([None, 20, 120, 400]),
    ),
)  # fmt: skip


@st.composite
def spans(draw: Any) -> tuple[int, int]:
    """From before to."""
    begins = draw(times)
    return begins, begins + TICK * draw(st.integers(1, LENGTH // TICK))


troubles = st.builds(
    lambda port, code, span, on: Trouble(port, code, span[0], None if on else span[1]),
    st.integers(0, 2), st.sampled_from(["ground-fault", "relay-open", "derated", "silent-port"]),
    spans(), st.booleans(),
)  # fmt: skip
outs = st.builds(
    lambda port, reason, span: Out(port, reason, *span),
    st.integers(0, 2), st.sampled_from(["utility", "maintenance", "access", "vehicle"]), spans(),
)  # fmt: skip


def one_of_a_time(words: list[Word]) -> list[Word]:
    """The first of those that the database would take for one."""
    found: dict[tuple[int, int, str, int], Word] = {}
    for word in words:
        kind = word.says if word.says in ("heartbeat", "online", "offline", "meter") else "status"
        found.setdefault((word.at, word.port, kind, word.seq), word)
    return list(found.values())


@settings(
    max_examples=15,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
@given(
    st.lists(words, min_size=1, max_size=40).map(one_of_a_time),
    st.lists(troubles, max_size=4, unique_by=lambda t: (t.port, t.code)),
    st.lists(outs, max_size=4),
    st.data(),
)
def test_every_second_is_counted_as_the_slow_reference_counts_it(
    recording: Callable[[], Recorded],
    said: list[Word],
    bad: list[Trouble],
    left: list[Out],
    data: st.DataObject,
) -> None:
    story = Story(60, said, bad, left)
    r = recording()
    r.promise(story)
    late = [word for word in said if data.draw(st.booleans())]
    r.hear(word for word in said if word not in late)
    r.build(OFFSET + LENGTH + 3600)
    for word in late:
        r.come_late([word])
    for trouble in bad:
        r.trouble(trouble)
    for out in left:
        r.leave_out(out)
    r.build(OFFSET + LENGTH + 3600)
    middle = OFFSET + LENGTH // 2
    halves = {
        whole("2026-05-01", "2026-06-01"): (OFFSET, middle),
        whole("2026-06-01", "2026-06-02"): (middle, OFFSET + LENGTH + 1800),
    }
    for period, (begins, ends) in halves.items():
        found = r.tallies(period)
        for port in (1, 2):
            expected = story.count(port, begins, ends)
            got = seconds(found[port]) if port in found else dict.fromkeys(expected, 0)
            assert got == expected, (str(period), port, story, late)


@pytest.fixture
def recording(plain_database_url: str) -> Callable[[], Recorded]:
    """A new story each time, in the same database."""
    with connect(plain_database_url, application="test") as db:
        yield lambda: _emptied(db)  # type: ignore[misc]


def _emptied(db: Db) -> Recorded:
    # The audit refuses to be emptied, and hangs on companies.
    db.execute("SET session_replication_role = replica")
    db.execute(
        "TRUNCATE area, grid, company, site, gateway, charger, connector, person, observation, "
        "incident, exclusion, interval_progress, uptime_due, uptime_period CASCADE"
    )
    db.execute("RESET session_replication_role")
    return Recorded(db)
