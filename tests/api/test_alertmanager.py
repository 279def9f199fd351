"""Alerts of Prometheus become incidents; notifications are listed for operators."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from alerts.engine import Engine
from pilewatch.policy import Debounce, Policy
from tests.api.conftest import World

NEVER = "0001-01-01T00:00:00Z"


def group(*alerts: dict[str, Any]) -> dict[str, Any]:
    """The document that Alertmanager 0.27 sends."""
    return {
        "receiver": "pilewatch",
        "status": alerts[0]["status"] if alerts else "firing",
        "alerts": list(alerts),
        "groupLabels": {},
        "commonLabels": {},
        "commonAnnotations": {},
        "externalURL": "http://alertmanager:9093",
        "version": "4",
        "groupKey": "{}:{}",
        "truncatedAlerts": 0,
    }


def alert(status: str = "firing", **labels: str) -> dict[str, Any]:
    """One alert with these labels."""
    ended = "2026-05-01T09:00:00Z" if status == "resolved" else NEVER
    return {
        "status": status,
        "labels": labels,
        "annotations": {"summary": "91 °C"},
        "startsAt": "2026-05-01T08:00:00.123Z",
        "endsAt": ended,
        "generatorURL": "http://prometheus:9090/graph",
        "fingerprint": "c1a2b3d4e5f60718",
    }


def look(world: World, after_s: float) -> None:
    """The engine decides, so many seconds from now."""
    policy = Policy(debounce=Debounce(people_s=0, reported_s=0, silence_s=0, clear_s=10))
    engine = Engine(world.db, policy)
    while engine.turn(datetime.now(UTC) + timedelta(seconds=after_s)):
        pass


def incidents(world: World) -> list[tuple[str, str, str, str]]:
    """(subject, code, phase, detector) of each."""
    rows = world.db.execute("SELECT * FROM incident WHERE detector = 'alertmanager' ORDER BY id")
    return [(r["subject_kind"], r["code"], r["phase"], r["detector"]) for r in rows]


def test_alerts_become_incidents_and_tickets_and_end(world: World) -> None:
    said = group(
        alert(alertname="OverTemperature", charger="C0", connector="1"),
        alert(alertname="x", code="display-failure", charger="C1", site="s"),
        alert(code="over-voltage", site="s"),
    )
    answer = world.ask("operator", "POST", "/alertmanager", json=said)
    assert (answer.status_code, answer.json()) == (202, {"taken": 3})
    look(world, 1)
    look(world, 2)
    assert incidents(world) == [
        ("connector", "over-temperature", "open", "alertmanager"),
        ("charger", "display-failure", "open", "alertmanager"),
        ("site", "over-voltage", "open", "alertmanager"),
    ]
    assert world.ask("operator", "POST", "/alertmanager", json=said).status_code == 202
    look(world, 3)
    assert len(incidents(world)) == 3, "Alertmanager repeats itself"
    row = world.db.execute("SELECT count(*) AS n FROM ticket").fetchone()
    assert row is not None and row["n"] == 3
    ended = group(*({**one, **alert("resolved", **one["labels"])} for one in said["alerts"]))
    assert world.ask("operator", "POST", "/alertmanager", json=ended).status_code == 202
    look(world, 4)
    look(world, 100)
    assert [phase for _, _, phase, _ in incidents(world)] == ["cleared"] * 3


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ({"code": "relay-open", "charger": "nobody"}, "no such place: charger nobody"),
        ({"code": "relay-open", "charger": "C0", "connector": "9"}, "connector 9"),
        ({"code": "relay-open", "charger": "C0", "connector": "left"}, "1 to 999"),
        ({"code": "relay-open", "charger": "C0", "site": "t"}, "site t"),
        ({"code": "relay-open"}, "`charger` or `site`"),
        ({"alertname": "InstanceDown", "charger": "C0"}, "'InstanceDown' is no fault code"),
        ({"charger": "C0"}, "`code` or `alertname`"),
    ],
)
def test_what_cannot_be_placed_is_refused_with_its_alert(
    world: World, labels: dict[str, str], said: str
) -> None:
    good = alert(code="relay-open", charger="C0")
    answer = world.ask("operator", "POST", "/alertmanager", json=group(good, alert(**labels)))
    assert answer.status_code == 422
    (wrong,) = answer.json()["errors"]
    assert wrong["pointer"] == "/body/alerts/1/labels" and said in wrong["detail"]
    assert world.db.execute("SELECT FROM event").fetchall() == [], "all or none"


def test_only_operators_bring_alerts_and_see_deliveries(world: World) -> None:
    for role, status in ((None, 401), ("repairer", 403), ("grid_worker", 403), ("operator", 202)):
        assert world.ask(role, "POST", "/alertmanager", json=group()).status_code == status
    for role, status in ((None, 401), ("repairer", 403), ("operator", 200), ("admin", 200)):
        assert world.ask(role, "GET", "/deliveries").status_code == status


def test_dead_letters_are_listed(world: World) -> None:
    world.ticket()
    world.db.execute(
        "INSERT INTO delivery (outbox_id, receiver, key, created_at, due_at, attempts, dead_at, "
        "last_error) SELECT id, 'li', key, now(), now(), 12, now(), 'answered 500' FROM outbox"
    )
    world.db.execute(
        "INSERT INTO delivery (outbox_id, receiver, key, created_at, due_at, sent_at) "
        "SELECT id, 'wang', key, now(), now(), now() FROM outbox"
    )
    dead = world.ask("operator", "GET", "/deliveries", params={"dead": 1}).json()["items"]
    assert [(d["receiver"], d["topic"], d["last_error"]) for d in dead] == [
        ("li", "ticket.opened", "answered 500")
    ]
    others = world.ask("operator", "GET", "/deliveries", params={"dead": 0}).json()["items"]
    assert [d["receiver"] for d in others] == ["wang"]
    assert len(world.ask("operator", "GET", "/deliveries").json()["items"]) == 2
