"""Telemetry, residents and grid workers: whose word counts how much."""

from datetime import timedelta
from uuid import uuid4

import pytest

from pilewatch.workflow.inspections import record_inspection
from pilewatch.workflow.reports import Filed, file_report
from pilewatch.workflow.witnesses import Telemetry, Witnesses, weigh
from tests.workflow.conftest import NOW, Community


def _say(c: Community, port: int = 0, minutes: float = 0, code: str = "no-output") -> Filed:
    with c.db.transaction():
        return file_report(
            c.db,
            c.policy,
            NOW + timedelta(minutes=minutes),
            source="page",
            site_id=c.site,
            charger_id=c.chargers[port // 2],
            connector_id=c.connectors[port],
            code=code,
            note=None,
        )


def _ticket(c: Community, ticket: int) -> tuple[int, str]:
    row = c.db.execute(
        "SELECT t.severity, e.data FROM ticket t JOIN ticket_entry e ON e.ticket_id = t.id "
        "WHERE t.id = %s AND e.data ? 'ask' ORDER BY e.id DESC LIMIT 1",
        (ticket,),
    ).fetchone()
    assert row is not None
    return row["severity"], row["data"]["ask"]


def test_one_resident_alone_on_a_healthy_pile_asks_for_a_check(community: Community) -> None:
    filed = _say(community)
    assert _ticket(community, filed.ticket_id) == (3, "check")


def test_two_residents_outweigh_a_pile_that_says_available(community: Community) -> None:
    _say(community)
    filed = _say(community, minutes=5)
    assert filed.joined
    assert _ticket(community, filed.ticket_id) == (2, "repair")


def test_one_resident_at_a_faulty_pile_asks_for_a_repair(community: Community) -> None:
    community.db.execute("UPDATE connector_state SET status = 'faulted'")
    assert _ticket(community, _say(community).ticket_id) == (2, "repair")


def test_a_word_about_danger_is_believed_at_once(community: Community) -> None:
    assert _ticket(community, _say(community, code="smoke-fire").ticket_id) == (1, "repair")


def test_a_passed_check_settles_what_was_said_before_it(community: Community) -> None:
    c = community
    _say(c)
    _say(c, minutes=1)
    with c.db.transaction():
        record_inspection(
            c.db, c.policy, NOW + timedelta(minutes=2), id=uuid4(), charger_id=c.chargers[0],
            connector_id=None, person_id=c.worker, inspected_at=NOW + timedelta(minutes=2),
            passed=True, test_charge=True, answers=[], note=None,
        )  # fmt: skip
    c.heard(NOW + timedelta(minutes=3))
    filed = _say(c, minutes=3)
    row = c.db.execute(
        "SELECT data FROM ticket_entry WHERE ticket_id = %s AND data ? 'ask' ORDER BY id DESC",
        (filed.ticket_id,),
    ).fetchone()
    assert row is not None
    assert row["data"]["ask"] == "check"
    assert row["data"]["witnesses"] == {
        "telemetry": "healthy", "reports": 1, "inspection": "passed"
    }  # fmt: skip


@pytest.mark.parametrize("telemetry", list(Telemetry))
def test_more_reports_never_weigh_less(telemetry: Telemetry) -> None:
    points = [weigh("no-output", Witnesses(telemetry, n)).points for n in range(1, 8)]
    assert points == sorted(points)


def test_a_pile_that_delivers_meanwhile_needs_three_residents() -> None:
    asks = [weigh("no-output", Witnesses(Telemetry.DELIVERING, n)).ask for n in (1, 2, 3)]
    assert asks == ["check", "check", "repair"]
