"""A reset before a ticket: when it is tried, what it is judged by, and that it is never unsafe."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alerts.incidents import Incident, Key, Phase
from alerts.selfrepair import Circumstances, Trial, Verdict, judge, objection
from pilewatch.faultcodes import FAULTS
from pilewatch.model import SubjectKind
from pilewatch.policy import BadPolicy, Policy, SelfRepair, load_policy
from pilewatch.workflow.reports import file_report
from tests.alerts.conftest import Watched
from tests.workflow.conftest import NOW


def _commands(w: Watched) -> list[tuple[str, str]]:
    rows = w.db.execute("SELECT name, state FROM command ORDER BY id")
    return [(r["name"], r["state"]) for r in rows]


def _outcomes(w: Watched) -> list[tuple[str | None, str | None]]:
    rows = w.db.execute("SELECT outcome, reason FROM self_repair ORDER BY incident_id")
    return [(r["outcome"], r["reason"]) for r in rows]


def _becomes(w: Watched, seconds: float, state: str) -> None:
    """The latest command, as ingester and charger would have it."""
    over = state in ("done", "rejected", "failed", "expired")
    w.db.execute(
        "UPDATE command SET state = %s, sent_at = coalesce(sent_at, %s), ended_at = %s "
        "WHERE id = (SELECT max(id) FROM command)",
        (state, w.at(seconds), w.at(seconds) if over else None),
    )


def _resets(w: Watched, ticket: int = 1) -> list[dict[str, Any]]:
    """What the ticket's timeline tells of resets."""
    rows = w.db.execute(
        "SELECT data FROM ticket_entry WHERE ticket_id = %s AND action = 'reset-tried' ORDER BY id",
        (ticket,),
    )
    return [row["data"] for row in rows]


def test_a_reset_that_cures_spares_the_ticket_and_is_evidence(watched: Watched) -> None:
    w = watched
    w.says(0, 0, 1, "faulted", "internal-error")
    w.look(10)
    assert (_commands(w), w.tickets()) == ([("reset", "queued")], [])
    _becomes(w, 12, "accepted")
    w.says(20, 0, 1, "available")
    _becomes(w, 25, "done")
    w.lives(600, *range(5))
    w.look(600)
    assert w.incidents() == [("connector", "internal-error", "clearing")], "it is watched"
    w.lives(620, *range(5))
    w.look(620)
    assert w.incidents() == [("connector", "internal-error", "cleared")]
    assert (w.tickets(), _outcomes(w)) == ([], [("cured", None)])
    row = w.db.execute("SELECT evidence, ended_at FROM incident").fetchone()
    assert row is not None and row["ended_at"] == w.at(20)
    assert row["evidence"]["reset"]["command"] == 1
    topics = [r["topic"] for r in w.db.execute("SELECT topic FROM outbox ORDER BY id")]
    assert topics == ["incident.reset", "incident.cured"]


def test_a_fault_that_a_reset_does_not_cure_gets_its_ticket_with_the_history(
    watched: Watched,
) -> None:
    w = watched
    w.says(0, 0, 1, "faulted", "internal-error")
    w.look(10)
    _becomes(w, 12, "done")
    w.look(150)
    assert w.tickets() == []
    w.look(192)
    assert w.tickets() == [("connector", "internal-error", "open")]
    (told,) = _resets(w)
    assert (told["command"], told["state"], told["why"]) == (1, "done", "still-there")
    row = w.db.execute("SELECT ticket_id FROM command").fetchone()
    assert row == {"ticket_id": 1}
    assert _outcomes(w) == [("ticket", "still-there")]


@pytest.mark.parametrize("state", ["rejected", "failed", "expired"])
def test_a_reset_that_is_not_done_asks_people_at_once(watched: Watched, state: str) -> None:
    w = watched
    w.says(0, 0, 1, "faulted", "internal-error")
    w.look(10)
    _becomes(w, 12, state)
    w.look(13)
    assert w.tickets() == [("connector", "internal-error", "open")]
    assert [told["why"] for told in _resets(w)] == [state]


def test_a_reset_that_no_ingester_sends_expires_and_people_are_asked(watched: Watched) -> None:
    w = watched
    w.says(0, 0, 1, "faulted", "internal-error")
    w.look(10)
    w.look(129)
    assert (_commands(w), w.tickets()) == ([("reset", "queued")], [])
    w.look(130)
    assert _commands(w) == [("reset", "expired")]
    assert w.tickets() == [("connector", "internal-error", "open")]


def test_a_fault_that_has_gone_needs_nobody_though_the_charger_never_answered(
    watched: Watched,
) -> None:
    w = watched
    w.says(0, 0, 1, "faulted", "internal-error")
    w.look(10)
    _becomes(w, 12, "sent")
    w.says(30, 0, 1, "available")
    w.look(200)
    assert _commands(w) == [("reset", "expired")]
    w.look(700)
    assert (w.tickets(), _outcomes(w)) == ([], [("cleared", None)])


def test_what_comes_back_within_the_watch_or_the_day_is_not_reset_again(watched: Watched) -> None:
    w = watched
    w.says(0, 0, 1, "faulted", "internal-error")
    w.look(10)
    _becomes(w, 12, "done")
    w.says(20, 0, 1, "available")
    w.look(400)
    w.says(500, 0, 1, "faulted", "internal-error")
    w.look(501)
    assert w.tickets() == [("connector", "internal-error", "open")]
    assert _outcomes(w) == [("ticket", "came-back")]
    # Another pile: cured, and back the same day.
    w.lives(1000, *range(5))
    w.says(1000, 1, 2, "faulted", "internal-error")
    w.look(1010)
    assert len(_commands(w)) == 2
    _becomes(w, 1012, "done")
    w.says(1020, 1, 2, "available")
    w.look(2000)
    assert (len(w.tickets()), _outcomes(w)[1]) == (1, ("cured", None))
    w.lives(20_000, *range(5))
    w.says(20_000, 1, 2, "faulted", "internal-error")
    w.look(20_010)
    assert (len(w.tickets()), len(_commands(w))) == (2, 2)
    assert [told["outcome"] for told in _resets(w, 2)] == ["cured"]


def test_after_the_days_resets_the_next_fault_gets_its_ticket(watched: Watched) -> None:
    w = watched
    for number, code in enumerate(("internal-error", "reader-failure", "display-failure")):
        start = 1000.0 * number
        w.lives(start, *range(5))
        w.says(start, 0, 1, "faulted", code)
        w.look(start + 10)
        if number < 2:
            _becomes(w, start + 12, "done")
        w.says(start + 20, 0, 1, "available")
        w.look(start + 700)
    assert len(_commands(w)) == w.policy.self_repair.per_day == 2
    assert [code for _, code, _ in w.tickets()] == ["display-failure"]
    day = 86_400 + 100.0
    w.lives(day, *range(5))
    w.says(day, 0, 1, "faulted", "payment-terminal")
    w.look(day + 10)
    assert len(_commands(w)) == 3, "another day"


def test_two_ports_of_one_pile_share_one_reset(watched: Watched) -> None:
    w = watched
    w.says(0, 0, 1, "faulted", "internal-error")
    w.says(1, 0, 2, "faulted", "ev-comms")
    w.look(11)
    assert _commands(w) == [("reset", "queued")]
    _becomes(w, 12, "done")
    w.says(20, 0, 1, "available")
    w.look(400)
    assert w.tickets() == [("connector", "ev-comms", "open")]
    w.look(700)
    assert sorted(_outcomes(w), key=str) == [("cured", None), ("ticket", "still-there")]


def test_a_charger_in_use_is_waited_for_but_not_for_ever(watched: Watched) -> None:
    w = watched
    w.says(0, 0, 2, "charging")
    w.says(0, 1, 2, "charging")
    for charger in (0, 1):
        w.says(0, charger, 1, "faulted", "internal-error")
    w.look(10)
    assert (_commands(w), w.tickets()) == ([], [])
    w.says(100, 0, 2, "available")
    w.lives(100, *range(5))
    w.look(101)
    assert _commands(w) == [("reset", "queued")]
    _becomes(w, 102, "done")
    w.says(103, 0, 1, "available")
    w.lives(1811, *range(5))
    w.look(1811)
    assert w.tickets() == [("connector", "internal-error", "open")]
    assert ("ticket", "in-use") in _outcomes(w)


def test_what_goes_by_itself_while_it_waits_is_not_reset(watched: Watched) -> None:
    w = watched
    w.says(0, 0, 2, "charging")
    w.says(0, 0, 1, "faulted", "internal-error")
    w.look(10)
    w.says(30, 0, 1, "available")
    w.says(31, 0, 2, "available")
    w.look(700)
    assert (_commands(w), w.tickets(), _outcomes(w)) == ([], [], [("cleared", None)])


def test_an_absent_charger_or_another_ticket_leaves_nothing_to_try(watched: Watched) -> None:
    w = watched
    w.says(0, 0, 1, "faulted", "internal-error")
    w.dies(1, 0)
    w.look(10)
    assert (_commands(w), w.tickets()) == ([], [("connector", "internal-error", "open")])


@pytest.mark.parametrize("when", ["before", "during"])
def test_where_people_may_be_in_danger_nothing_is_reset(watched: Watched, when: str) -> None:
    w = watched

    def report(seconds: float) -> None:
        with w.db.transaction():
            file_report(
                w.db, w.policy, w.at(seconds), source="page", site_id=w.site,
                charger_id=w.chargers[0], connector_id=w.connectors[1],
                code="over-temperature", note=None,
            )  # fmt: skip

    if when == "before":
        report(-100)
    w.says(0, 0, 1, "faulted", "internal-error")
    w.look(10)
    if when == "during":
        assert _commands(w) == [("reset", "queued")]
        report(11)
        w.look(12)
    else:
        assert _commands(w) == []
    assert ("connector", "internal-error", "open") in w.tickets()


def test_a_fault_that_grows_dangerous_on_trial_gets_its_ticket_at_once(watched: Watched) -> None:
    w = watched
    w.engine.policy = w.policy = Policy(
        debounce=w.policy.debounce, self_repair=SelfRepair(codes=frozenset({"thermal-drift"}))
    )
    w.says(0, 0, 1, "available", "thermal-drift")
    w.look(10)
    assert _commands(w) == [("reset", "queued")]
    w.says(12, 0, 1, "faulted", "over-temperature")
    w.look(12)
    row = w.db.execute("SELECT code, severity FROM ticket").fetchone()
    assert row == {"code": "over-temperature", "severity": 1}


def test_without_codes_it_is_off(watched: Watched) -> None:
    w = watched
    w.engine.policy = Policy(debounce=w.policy.debounce, self_repair=SelfRepair(codes=frozenset()))
    w.says(0, 0, 1, "faulted", "internal-error")
    w.look(10)
    assert (_commands(w), w.tickets()) == ([], [("connector", "internal-error", "open")])


@pytest.mark.parametrize(
    ("code", "told"), [("smoke-fire", "is danger to people"), ("hiccup", "is no fault code")]
)
def test_a_policy_that_would_reset_danger_is_refused(tmp_path: Any, code: str, told: str) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(f'[self_repair]\ncodes = ["internal-error", "{code}"]\n')
    with pytest.raises(BadPolicy, match=f"self_repair.codes: '{code}' {told}"):
        load_policy(path)


# --- the rules, over everything that can be

_MOMENTS = st.floats(0, 200_000).map(lambda s: NOW + timedelta(seconds=s))
_RULES = st.builds(
    SelfRepair,
    codes=st.frozensets(st.sampled_from(sorted(FAULTS)), max_size=len(FAULTS)),
    per_day=st.integers(0, 3),
)
_SEEN = st.builds(
    Circumstances,
    online=st.booleans(),
    in_use=st.booleans(),
    danger=st.booleans(),
    ticketed=st.booleans(),
    resets_today=st.integers(0, 4),
    last_tried_at=st.none() | _MOMENTS,
    shared=st.none() | st.just(7),
)
_TRIALS = st.builds(
    Trial,
    began_at=_MOMENTS,
    reset_state=st.sampled_from(["queued", "sent", "accepted", "done", "rejected", "failed"]),
    ordered_at=_MOMENTS,
    reset_at=st.none() | _MOMENTS,
    gone_at=st.none() | _MOMENTS,
)


@st.composite
def _incidents(draw: st.DrawFn) -> Incident:
    code = draw(st.sampled_from(sorted(FAULTS)))
    kind = draw(st.sampled_from(list(SubjectKind)))
    quiet = draw(st.none() | _MOMENTS)
    return Incident(
        key=Key(kind, 1, FAULTS[code].family),
        detector="t",
        code=code,
        severity=draw(st.integers(1, FAULTS[code].severity)),
        phase=draw(st.sampled_from([Phase.OPEN, Phase.CLEARING, Phase.MEMBER])),
        started_at=NOW,
        quiet_since=quiet,
    )


@settings(max_examples=200, deadline=None)
@given(_incidents(), _TRIALS, _SEEN, _RULES, _MOMENTS)
def test_never_for_danger_in_use_unheard_or_beyond_the_days_number(
    incident: Incident, trial: Trial, seen: Circumstances, rule: SelfRepair, now: datetime
) -> None:
    verdict, why = judge(incident, trial, seen, rule, now)
    assert (why is None) == (verdict in (Verdict.WAIT, Verdict.RESET))
    if verdict == Verdict.RESET:
        assert incident.severity > 1 and FAULTS[incident.code].severity > 1 and not seen.danger
        assert incident.code in rule.codes and not incident.quiet and not seen.ticketed
        assert trial.reset_at is None, "one reset for each incident"
        assert seen.shared is not None or (
            seen.online and not seen.in_use and seen.resets_today < rule.per_day
        )
        assert objection(incident, seen, rule, now) is None


_WRITTEN = ("self_repair", "command", "incident", "ticket_entry", "ticket", "outbox", "event")
_DAYS = st.lists(
    st.tuples(
        st.floats(1, 9_000),
        st.sampled_from(["internal-error", "display-failure", "ev-comms", "ground-fault", ""]),
        st.sampled_from(["done", "rejected", "expired", "accepted"]),
    ),
    max_size=10,
)


def test_any_day_of_faults_has_no_more_resets_than_the_policy_allows(watched: Watched) -> None:
    w = watched

    @settings(max_examples=8, deadline=None)
    @given(_DAYS, st.integers(0, 2))
    def live(day: list[tuple[float, str, str]], per_day: int) -> None:
        w.db.execute(f"TRUNCATE {', '.join(_WRITTEN)} CASCADE")
        rule = SelfRepair(per_day=per_day)
        w.engine.policy = w.policy = Policy(debounce=w.policy.debounce, self_repair=rule)
        at = 0.0
        for pause, code, answer in day:
            at += pause
            w.lives(at, *range(5))
            w.says(at, 0, 1, "faulted" if code else "available", *([code] if code else []))
            w.look(at + 11)
            _becomes(w, at + 12, answer)
            w.look(at + 13)
        row = w.db.execute(
            "SELECT max(n) AS n FROM (SELECT count(*) OVER (ORDER BY issued_at RANGE BETWEEN "
            "interval '23:59:59' PRECEDING AND CURRENT ROW) AS n FROM command) c"
        ).fetchone()
        assert row is not None and (row["n"] or 0) <= per_day
        for_danger = (
            "SELECT FROM command k JOIN incident i ON i.id = k.incident_id "
            "WHERE i.code = 'ground-fault'"
        )
        assert w.db.execute(for_danger).fetchone() is None

    live()
