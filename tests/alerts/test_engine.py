"""From events and silence to incidents and tickets, in a real database."""

from datetime import timedelta

import pytest

from alerts.maintenance import roll_up
from pilewatch.model import SubjectKind
from pilewatch.store.pool import Db, connect
from pilewatch.workflow.desk import Actor, act
from pilewatch.workflow.tickets import Accept, Claim
from tests.alerts.conftest import Watched
from tests.workflow.conftest import NOW


def _phases(w: Watched) -> list[str]:
    return [phase for _, _, phase in w.incidents()]


def test_a_reported_fault_is_one_ticket_after_its_debounce(watched: Watched) -> None:
    w = watched
    w.says(0, 0, 1, "faulted", "relay-open")
    w.look(9)
    assert _phases(w) == ["pending"] and w.tickets() == []
    w.says(9.5, 0, 1, "faulted", "relay-open")
    w.look(10)
    w.look(11)
    assert w.incidents() == [("connector", "relay-open", "open")]
    assert w.tickets() == [("connector", "relay-open", "open")]
    topics = [r["topic"] for r in w.db.execute("SELECT topic FROM outbox ORDER BY id")]
    assert topics == ["ticket.opened", "incident.opened"]


def test_what_is_gone_before_its_debounce_is_no_incident(watched: Watched) -> None:
    w = watched
    w.says(0, 0, 1, "faulted")
    w.says(5, 0, 1, "available")
    w.look(100)
    assert w.incidents() == [("connector", "internal-error", "dismissed")]
    assert w.tickets() == []


def test_late_processing_decides_as_timely_processing(watched: Watched) -> None:
    w = watched
    w.says(0, 0, 1, "faulted", "relay-open")
    w.says(40, 0, 1, "available")  # longer than the debounce: it was an incident
    w.says(70, 0, 1, "faulted", "relay-open")  # within the hysteresis: the same one
    w.says(80, 0, 1, "available")
    w.look(10_000)
    assert w.incidents() == [("connector", "relay-open", "cleared")]
    row = w.db.execute("SELECT opened_at, ended_at FROM incident").fetchone()
    assert row == {"opened_at": w.at(10), "ended_at": w.at(80)}
    assert len(w.tickets()) == 1


def test_a_recurrence_joins_the_open_ticket_and_returns_a_claim(watched: Watched) -> None:
    w = watched
    w.says(0, 0, 1, "faulted", "relay-open")
    w.look(10)
    person = Actor("person")
    with w.db.transaction():
        act(w.db, w.policy, w.at(20), 1, Accept(), person)
        act(w.db, w.policy, w.at(20), 1, Claim("stuck", "replaced"), person)
    w.says(21, 0, 1, "available")
    w.look(100)
    w.says(200, 0, 1, "faulted", "relay-open")
    w.look(300)
    assert _phases(w) == ["cleared", "open"]
    assert w.tickets() == [("connector", "relay-open", "repairing")]
    assert w.timeline(1)[-2:] == ["joined", "claim-returned"]


def test_a_worse_code_raises_the_ticket(watched: Watched) -> None:
    w = watched
    w.says(0, 0, 1, "faulted", "relay-open")
    w.look(10)
    w.says(20, 0, 1, "faulted", "relay-welded")
    w.look(21)
    assert w.incidents() == [("connector", "relay-welded", "open")]
    row = w.db.execute("SELECT severity, deadline_at FROM ticket").fetchall()
    assert row == [{"severity": 1, "deadline_at": w.at(21) + timedelta(hours=4)}]


def test_a_cabinet_fault_seen_at_every_port_is_one(watched: Watched) -> None:
    w = watched
    w.says(0, 0, 1, "faulted", "emergency-stop")
    w.says(0.1, 0, 2, "faulted", "emergency-stop")
    w.look(1)
    w.says(5, 0, 1, "available")
    w.look(100)
    assert w.incidents() == [("charger", "emergency-stop", "open")]
    w.says(105, 0, 2, "available")
    w.look(200)
    assert _phases(w) == ["cleared"]
    assert w.tickets() == [("charger", "emergency-stop", "open")], "people were in danger"


def test_a_recovered_fault_closes_after_healthy_time_with_evidence(watched: Watched) -> None:
    w = watched
    w.says(0, 0, 1, "faulted", "connector-lock")
    w.says(20, 0, 1, "available")
    w.look(100)
    assert w.tickets() == [("connector", "connector-lock", "open")]
    w.lives(700, 0, 1, 2, 3, 4)
    w.look(700)
    assert w.tickets() == [("connector", "connector-lock", "closed")]
    row = w.db.execute("SELECT evidence FROM ticket").fetchone()
    assert row is not None and row["evidence"]["kind"] == "idle"


def test_the_last_will_is_an_incident_and_the_return_its_end(watched: Watched) -> None:
    w = watched
    w.dies(1, 2)
    w.look(30)
    assert w.tickets() == []
    w.look(31)
    assert w.incidents() == [("charger", "offline-charger", "open")]
    w.returns(40, 2)
    w.look(101)
    assert _phases(w) == ["cleared"]
    w.lives(700, 0, 1, 2, 3, 4)
    w.look(700)
    assert w.tickets() == [("charger", "offline-charger", "closed")]


def test_three_missed_heartbeats_count_only_while_someone_listens(watched: Watched) -> None:
    w = watched
    w.lives(200, 0, 1, 2, 3)
    w.look(200)
    assert w.incidents() == [], "no ingester is alive: silence proves nothing"
    w.listens(210, since=100)
    w.look(210)
    assert w.incidents() == [], "listening for too short a time"
    w.lives(290, 0, 1, 2, 3)
    w.listens(290, since=100)
    w.look(290)
    assert w.incidents() == [("charger", "offline-charger", "pending")]
    w.lives(320, 0, 1, 2, 3)
    w.look(321)
    assert w.tickets() == [("charger", "offline-charger", "open")]


def test_a_silent_port_behind_a_live_cabinet(watched: Watched) -> None:
    w = watched
    w.listens(300)
    w.db.execute("UPDATE charger_state SET last_seen_at = %s", (w.at(300),))
    w.db.execute("UPDATE charger_state SET confirmed_at = NULL WHERE charger_id = %s",
                 (w.chargers[0],))  # fmt: skip
    w.db.execute("UPDATE charger_state SET confirmed_at = %s WHERE charger_id <> %s",
                 (w.at(300), w.chargers[0]))  # fmt: skip
    w.db.execute("UPDATE connector_state SET confirmed_at = %s WHERE connector_id = %s",
                 (w.at(299), w.connectors[0]))  # fmt: skip
    w.look(300)
    assert w.incidents() == [("connector", "silent-port", "pending")]
    w.db.execute("UPDATE connector_state SET confirmed_at = %s WHERE connector_id = %s",
                 (w.at(310), w.connectors[1]))  # fmt: skip
    w.look(311)
    assert _phases(w) == ["dismissed"]


def test_a_dead_gateway_is_one_incident_with_members(watched: Watched) -> None:
    w = watched
    for charger in range(5):
        w.dies(1 + charger, charger)
    w.look(36)
    assert w.tickets() == [("gateway", "offline-gateway", "open")]
    assert sorted(w.incidents()) == [("charger", "offline-charger", "member")] * 5 + [
        ("gateway", "offline-gateway", "open")
    ]


def test_children_still_silent_after_the_parent_become_their_own(watched: Watched) -> None:
    w = watched
    for charger in range(5):
        w.dies(1, charger)
    w.look(31)
    for charger in range(4):
        w.returns(100, charger)
    w.look(101)
    w.look(162)
    assert ("gateway", "offline-gateway", "cleared") in w.incidents()
    assert _phases(w).count("pending") == 1
    w.look(200)
    assert w.tickets()[1:] == [("charger", "offline-charger", "open")]
    assert _phases(w).count("cleared") == 5


def test_one_of_five_is_not_the_gateway(watched: Watched) -> None:
    w = watched
    w.dies(1, 0)
    w.dies(2, 1)
    w.look(60)
    assert w.tickets() == [("charger", "offline-charger", "open")] * 2


def test_a_site_without_gateways_that_goes_dark_lost_its_power(watched: Watched) -> None:
    w = watched
    w.db.execute("UPDATE charger SET gateway_id = NULL")
    for charger in range(5):
        w.dies(1 + charger, charger)
    w.look(40)
    assert w.tickets() == [("site", "power-loss", "open")]


def test_two_chargers_with_bad_mains_are_one_fault_of_the_site(watched: Watched) -> None:
    w = watched
    for charger in range(3):
        w.says(charger, charger, 1, "faulted", "over-voltage")
    w.look(15)
    assert w.tickets() == [("site", "over-voltage", "open")]
    w.says(20, 3, 1, "faulted", "over-voltage")
    w.look(40)
    assert len(w.tickets()) == 1, "a later one is explained too"
    for charger in range(4):
        w.says(50 + charger, charger, 1, "available")
    w.look(60)
    w.look(121)
    assert {phase for _, _, phase in w.incidents()} == {"cleared"}
    assert len(w.tickets()) == 1


def test_an_event_that_cannot_be_digested_is_buried_beside_the_good(watched: Watched) -> None:
    w = watched
    w.says(0, 0, 1, "faulted", "no-earth")
    w.event(0, "connector.status", 1, 1, status="faulted", errors="no list")
    w.says(0, 2, 1, "faulted", "no-earth")
    w.look(5)
    assert w.tickets() == [("connector", "no-earth", "open")] * 2
    assert w.engine.buried == 1
    assert w.db.execute("SELECT kind FROM dead_event").fetchall() == [{"kind": "connector.status"}]


@pytest.mark.parametrize("kind", list(SubjectKind))
def test_every_kind_of_subject_has_its_query(kind: SubjectKind) -> None:
    from pilewatch.workflow.desk import _SQL

    assert f"subject_of_{kind}" in _SQL


def test_finished_hours_roll_up_and_late_rows_roll_them_up_again(db: Db) -> None:
    def meter(minute: int, wh: float, watts: float) -> None:
        db.execute(
            "INSERT INTO observation (observed_at, received_at, charger_id, connector, kind, seq, "
            "connector_id, session_id, energy_wh, power_w) VALUES (%s, %s, 1, 1, 2, -1, 7, 's', "
            "%s, %s)",
            (NOW + timedelta(minutes=minute), NOW, wh, watts),
        )

    def hour() -> dict[str, object]:
        row = db.execute("SELECT * FROM observation_hour").fetchone()
        assert row is not None
        return {k: row[k] for k in ("samples", "energy_wh", "power_avg_w", "power_max_w")}

    db.execute("SELECT ensure_observation_day(%s)", (NOW.date(),))
    for minute, wh in ((0, 100), (10, 160), (20, 150), (30, 200)):
        meter(minute, wh, 300 + minute)
    db.execute("INSERT INTO rollup_due VALUES (%s), (%s)", (NOW, NOW))
    assert roll_up(db, NOW + timedelta(minutes=59)) == 0
    assert roll_up(db, NOW + timedelta(minutes=63)) == 1
    assert hour() == {"samples": 4, "energy_wh": 110, "power_avg_w": 315, "power_max_w": 330}
    meter(40, 260, 400)
    db.execute("INSERT INTO rollup_due VALUES (%s)", (NOW,))
    assert roll_up(db, NOW + timedelta(hours=5)) == 1
    assert hour() == {"samples": 5, "energy_wh": 170, "power_avg_w": 332, "power_max_w": 400}


def test_what_only_time_changes_is_announced_to_live_pages(
    watched: Watched, plain_database_url: str
) -> None:
    with connect(plain_database_url, application="test") as ears:
        ears.execute("LISTEN pilewatch_state")

        def heard() -> list[str]:
            ears.execute("SELECT 1")
            return [notice.payload for notice in ears.notifies(timeout=0)]

        watched.listens(200)
        watched.lives(200, 0, 1, 2, 3)
        watched.look(200)
        assert heard() == [",".join(map(str, watched.connectors[8:10]))]
        watched.look(201)
        assert heard() == []
        watched.listens(202)
        watched.lives(202, 4)
        watched.look(202)
        assert heard() == [",".join(map(str, watched.connectors[8:10]))]
