"""Planned downtime explains incidents, silences hold notifications back: stories in a database."""

from datetime import timedelta

import pytest

from pilewatch.model import SubjectKind
from pilewatch.workflow.desk import Actor, Subject, act
from pilewatch.workflow.downtime import (
    REASON,
    Interval,
    ScopeKind,
    Window,
    cancel_downtime,
    change_downtime,
    enter_downtime,
    excluded_intervals,
)
from pilewatch.workflow.silences import Matcher, change_silence, end_silence, enter_silence
from pilewatch.workflow.tickets import Accept
from tests.alerts.conftest import Watched

GRACE = 900


def _plan(
    w: Watched, entered: float, start: float, end: float, *,
    scope: ScopeKind = "site", id: int | None = None,
) -> int:  # fmt: skip
    window = Window(scope, id or w.site, "power-cut", w.at(start), w.at(end), "transformer")
    with w.db.transaction():
        return enter_downtime(w.db, w.policy, w.at(entered), window, w.worker)


def _topics(w: Watched) -> list[str]:
    return [r["topic"] for r in w.db.execute("SELECT topic FROM outbox ORDER BY id")]


def test_what_fails_in_the_window_and_returns_is_no_ticket_and_no_notification(
    watched: Watched,
) -> None:
    w = watched
    window = _plan(w, -100, 0, 1000)
    for charger in range(5):
        w.dies(10 + charger, charger)
    w.look(60)
    assert ("gateway", "offline-gateway", "open") in w.incidents()
    row = w.db.execute("SELECT planned_by, planned_until FROM incident WHERE phase = 'open'")
    assert row.fetchall() == [{"planned_by": window, "planned_until": w.at(1000 + GRACE)}]
    for charger in range(5):
        w.returns(1005, charger)
    w.look(1010)
    w.look(1100)
    w.look(5000)
    assert {phase for _, _, phase in w.incidents()} <= {"cleared", "dismissed"}
    assert w.tickets() == [] and _topics(w) == []


def test_what_is_still_there_after_the_grace_is_an_ordinary_incident(watched: Watched) -> None:
    w = watched
    _plan(w, -100, 0, 1000, scope="charger", id=w.chargers[0])
    w.says(5, 0, 1, "faulted", "relay-open")
    w.says(5, 1, 1, "faulted", "relay-open")
    w.look(20)
    assert len(w.tickets()) == 1, "another charger is not planned"
    w.look(1000 + GRACE - 1)
    assert len(w.tickets()) == 1
    w.look(1000 + GRACE)
    w.look(1000 + GRACE + 5)
    assert w.tickets() == [("connector", "relay-open", "open")] * 2
    assert _topics(w) == ["ticket.opened", "incident.opened"] * 2
    row = w.db.execute("SELECT count(*) AS n FROM incident WHERE planned_until IS NOT NULL")
    assert row.fetchone() == {"n": 0}


def test_danger_to_people_is_never_planned_even_when_it_grows(watched: Watched) -> None:
    w = watched
    _plan(w, -100, 0, 1000)
    w.says(5, 0, 1, "faulted", "smoke-fire")
    w.says(5, 1, 1, "faulted", "relay-open")
    w.look(20)
    assert [code for _, code, _ in w.tickets()] == ["smoke-fire"]
    w.says(30, 1, 1, "faulted", "relay-welded")
    w.look(31)
    assert [code for _, code, _ in w.tickets()] == ["smoke-fire", "relay-welded"]


def test_a_window_entered_afterwards_rejects_only_untouched_tickets(watched: Watched) -> None:
    w = watched
    w.says(0, 0, 1, "faulted", "relay-open")
    w.says(0, 1, 1, "faulted", "relay-open")
    w.says(0, 2, 1, "faulted", "no-earth")
    w.look(20)
    with w.db.transaction():
        act(w.db, w.policy, w.at(30), 3, Accept(), Actor("person"))
    touched = w.db.execute("SELECT code FROM ticket WHERE state = 'accepted'").fetchone()
    assert touched is not None and touched["code"] == "relay-open"
    _plan(w, 40, -10, 1000)
    assert sorted(w.tickets()) == [
        ("connector", "no-earth", "open"),
        ("connector", "relay-open", "accepted"),
        ("connector", "relay-open", "rejected"),
    ]
    note = w.db.execute("SELECT note FROM ticket_entry WHERE action = 'rejected'").fetchone()
    assert note == {"note": REASON}
    w.look(1000 + GRACE)
    assert w.tickets()[3:] == [("connector", "relay-open", "open")], "it persists: a new ticket"
    w.look(1000 + GRACE + 60)
    assert len(w.tickets()) == 4


def test_a_cancelled_window_explains_nothing_any_more(watched: Watched) -> None:
    w = watched
    window = _plan(w, -100, 0, 1000)
    w.says(5, 0, 1, "faulted", "relay-open")
    w.look(20)
    assert w.tickets() == []
    with w.db.transaction():
        cancel_downtime(w.db, w.at(30), window)
    w.look(31)
    assert w.tickets() == [("connector", "relay-open", "open")]


def test_a_moved_end_moves_what_it_explains(watched: Watched) -> None:
    w = watched
    window = _plan(w, -100, 0, 1000)
    w.says(5, 0, 1, "faulted", "relay-open")
    w.look(20)

    def end(now: float, to: float) -> None:
        with w.db.transaction():
            change_downtime(
                w.db, w.policy, w.at(now), window, to_at=w.at(to), reason="r", reference=None,
                person_id=w.worker,
            )  # fmt: skip

    end(30, 3000)
    w.look(2500)
    assert w.tickets() == []
    end(2600, 2000)
    w.look(2900)
    assert len(w.tickets()) == 1
    with pytest.raises(ValueError, match="later than from_at"):
        end(2700, -5)


def test_one_window_after_another_explains_on(watched: Watched) -> None:
    w = watched
    _plan(w, -100, 0, 1000)
    second = _plan(w, -100, 1500, 9000, scope="gateway", id=w.gateway)
    w.says(5, 0, 1, "faulted", "relay-open")
    w.look(20)
    w.look(1000 + GRACE)
    row = w.db.execute("SELECT planned_by FROM incident").fetchone()
    assert row == {"planned_by": second} and w.tickets() == []
    w.look(9000 + GRACE)
    assert len(w.tickets()) == 1


def test_excluded_time_is_melted_and_cut_to_the_range(watched: Watched) -> None:
    w = watched
    port = Subject(SubjectKind.CONNECTOR, w.connectors[0])
    _plan(w, 0, 0, 100)
    _plan(w, 0, 50, 200, scope="connector", id=w.connectors[0])
    _plan(w, 0, 300, 400, scope="connector", id=w.connectors[1])
    gone = _plan(w, 0, 500, 900)
    with w.db.transaction():
        cancel_downtime(w.db, w.at(600), gone)
    never = _plan(w, 0, 700, 900)
    with w.db.transaction():
        cancel_downtime(w.db, w.at(650), never)
    assert excluded_intervals(w.db, port, w.at(20), w.at(5000)) == [
        Interval(w.at(20), w.at(200)),
        Interval(w.at(500), w.at(600)),
    ]
    site = Subject(SubjectKind.SITE, w.site)
    assert excluded_intervals(w.db, site, w.at(-50), w.at(60)) == [Interval(w.at(0), w.at(60))]


def test_a_silence_holds_notifications_but_not_tickets(watched: Watched) -> None:
    w = watched
    with w.db.transaction():
        quiet = enter_silence(
            w.db, w.at(0), Matcher(charger_id=w.chargers[0]), to_at=w.at(500), reason="known",
            person_id=w.worker,
        )  # fmt: skip
    w.says(1, 0, 1, "faulted", "relay-open")
    w.says(1, 1, 1, "faulted", "relay-open")
    w.says(1, 0, 2, "faulted", "no-earth")
    w.look(15)
    assert len(w.tickets()) == 3
    rows = w.db.execute("SELECT payload, due_at, silence_id FROM outbox ORDER BY id").fetchall()
    held = {
        (r["payload"]["subject_id"], r["payload"]["code"]) for r in rows if r["silence_id"] == quiet
    }
    assert held == {(w.connectors[0], "relay-open")}, "danger to people is not silenced by the way"
    assert all(r["due_at"] == w.at(500) for r in rows if r["silence_id"])
    with w.db.transaction():
        change_silence(w.db, w.at(20), quiet, to_at=w.at(900), reason="longer")
    assert _due(w, 600) == 4
    with w.db.transaction():
        end_silence(w.db, w.at(610), quiet)
        end_silence(w.db, w.at(620), quiet)
    assert _due(w, 610) == 6
    w.says(700, 0, 1, "available")
    w.look(800)
    row = w.db.execute("SELECT due_at FROM outbox WHERE topic = 'incident.cleared'").fetchone()
    assert row is not None and row["due_at"] < w.at(801), "the silence is over"
    with pytest.raises(ValueError, match="it is over"), w.db.transaction():
        change_silence(w.db, w.at(800), quiet, to_at=w.at(900), reason="x")


def _due(w: Watched, seconds: float) -> int:
    row = w.db.execute("SELECT count(*) AS n FROM outbox WHERE due_at <= %s", (w.at(seconds),))
    found = row.fetchone()
    assert found is not None
    return int(found["n"])


@pytest.mark.parametrize(
    ("matcher", "held"),
    [
        (Matcher(code="relay-open"), {"relay-open"}),
        (Matcher(severity=1), {"no-earth"}),
        (Matcher(code="no-earth", severity=1), {"no-earth"}),
        (Matcher(code="no-earth"), set()),
        (Matcher(site_id=1), {"relay-open", "display-failure"}),
        (Matcher(site_id=1, severity=3), {"display-failure"}),
    ],
)
def test_a_silence_holds_what_fits_all_that_it_names(
    watched: Watched, matcher: Matcher, held: set[str]
) -> None:
    w = watched
    with w.db.transaction():
        enter_silence(
            w.db, w.at(0), matcher, to_at=w.at(0) + timedelta(days=1), reason="known",
            person_id=w.worker,
        )  # fmt: skip
    for charger, code in enumerate(("relay-open", "no-earth", "display-failure")):
        w.says(1, charger, 1, "faulted", code)
    w.look(15)
    rows = w.db.execute("SELECT payload FROM outbox WHERE silence_id IS NOT NULL").fetchall()
    assert {row["payload"]["code"] for row in rows} == held
