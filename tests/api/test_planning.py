"""Plans, silences and pauses through the API, with their rights and their record."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.api.conftest import World


def _at(hours: float) -> str:
    return (datetime.now(UTC) + timedelta(hours=hours)).isoformat()


def _plan(**more: Any) -> dict[str, Any]:
    said = {"scope": "site", "code": "s", "kind": "power-cut", "from_at": _at(-1), "to_at": _at(2)}
    return {**said, "reason": "transformer", "reference": "2026-118", **more}


def test_a_downtime_is_planned_changed_and_cancelled_on_record(world: World) -> None:
    made = world.ask("operator", "POST", "/downtimes", json=_plan())
    assert made.status_code == 201, made.text
    id = made.json()["id"]
    assert (made.json()["code"], made.json()["entered_by"]) == ("s", "operator")
    moved = world.ask("operator", "PATCH", f"/downtimes/{id}", json={"to_at": _at(5)}).json()
    assert moved["to_at"] > made.json()["to_at"] and moved["reason"] == "transformer"
    past = world.ask("operator", "PATCH", f"/downtimes/{id}", json={"to_at": _at(-5)})
    assert (past.status_code, past.json()["detail"]) == (
        422, "to_at: must be later than from_at",
    )  # fmt: skip
    current = world.ask("repairer", "GET", "/downtimes?current=true").json()["items"]
    assert [row["id"] for row in current] == [id]
    gone = world.ask("operator", "DELETE", f"/downtimes/{id}").json()
    assert gone["cancelled_at"] is not None
    assert world.ask("operator", "PATCH", f"/downtimes/{id}", json={}).status_code == 422
    assert world.ask("operator", "GET", "/downtimes?current=true").json()["items"] == []
    assert world.ask("operator", "GET", f"/downtimes/{id}").status_code == 200
    rows = world.db.execute("SELECT action, object FROM audit ORDER BY id").fetchall()
    assert [row["action"] for row in rows] == [
        "downtime.enter", "downtime.change", "downtime.cancel",
    ]  # fmt: skip
    assert {row["object"] for row in rows} == {f"downtime/{id}"}


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"to_at": "2020-01-01T00:00:00Z"}, "to_at: must be later than from_at"),
        ({"code": "nowhere"}, "there is no such site"),
        ({"scope": "connector", "code": "C1"}, "connector: its number is needed"),
        ({"scope": "connector", "code": "C1", "connector": 9}, "there is no such connector"),
        ({"connector": 1}, "connector: its number is needed"),
    ],
)
def test_an_impossible_plan_is_refused_with_the_reason(
    world: World, more: dict[str, Any], told: str
) -> None:
    answer = world.ask("operator", "POST", "/downtimes", json=_plan(**more))
    assert answer.status_code == 422 and told in answer.json()["detail"]


@pytest.mark.parametrize(
    "scope", ["area a", "grid g", "site s", "gateway gw", "charger C1", "connector C1 2"]
)
def test_every_scope_is_found_and_shown_by_its_code(world: World, scope: str) -> None:
    kind, code, *port = scope.split()
    number = int(port[0]) if port else None
    said = _plan(scope=kind, code=code, connector=number)
    made = world.ask("admin", "POST", "/downtimes", json=said).json()
    assert (made["scope"], made["code"], made["connector"]) == (kind, code, number)


def test_a_companys_operator_plans_only_for_its_own_sites(world: World) -> None:
    world.db.execute(
        "UPDATE person SET company_id = (SELECT id FROM company) WHERE role = 'operator'"
    )
    for scope, code in (("site", "s"), ("charger", "C0"), ("area", "a")):
        said = _plan(scope=scope, code=code)
        assert world.ask("operator", "POST", "/downtimes", json=said).status_code == 201
    quiet = {"to_at": _at(2), "reason": "known"}
    mine = world.ask("operator", "POST", "/silences", json={"charger": "C0", **quiet})
    assert mine.status_code == 201
    everyones = world.ask("operator", "POST", "/silences", json={"severity": 3, **quiet})
    assert everyones.status_code == 403
    world.db.execute("UPDATE site SET company_id = NULL")
    for path in ("/downtimes/1", "/downtimes/3", f"/silences/{mine.json()['id']}"):
        assert world.ask("operator", "DELETE", path).status_code == 403
        assert world.ask("admin", "DELETE", path).status_code == 200


def test_a_silence_is_entered_seen_and_ended(world: World) -> None:
    said = {"charger": "C0", "code": "relay-open", "to_at": _at(3), "reason": "part ordered"}
    made = world.ask("operator", "POST", "/silences", json=said).json()
    assert (made["active"], made["held"], made["charger"]) == (True, 0, "C0")
    world.ticket()
    path = f"/silences/{made['id']}"
    assert world.ask("operator", "GET", path).json()["held"] == 1
    longer = world.ask("operator", "PATCH", path, json={"to_at": _at(9)}).json()
    assert longer["to_at"] > made["to_at"]
    assert world.ask("operator", "DELETE", path).json()["active"] is False
    assert world.ask("operator", "PATCH", path, json={"to_at": _at(9)}).status_code == 422
    row = world.db.execute("SELECT due_at <= now() AS due FROM outbox").fetchone()
    assert row == {"due": True}
    nothing = world.ask("operator", "POST", "/silences", json={"to_at": _at(1), "reason": "x"})
    assert "name a site" in nothing.json()["detail"]
    past = {"severity": 3, "to_at": _at(-1), "reason": "x"}
    assert world.ask("operator", "POST", "/silences", json=past).status_code == 422


def test_a_pause_stops_the_promises_and_is_told(world: World) -> None:
    id = world.ticket()
    opened = world.ask("operator", "GET", f"/tickets/{id}").json()
    assert opened["accept_by_at"] < opened["arrive_by_at"] < opened["deadline_at"]
    assert (opened["escalation_level"], opened["paused_at"]) == (0, None)
    assert world.ask("repairer", "POST", f"/tickets/{id}/pause",
                     json={"reason": "part"}).status_code == 409  # fmt: skip
    world.ask("repairer", "POST", f"/tickets/{id}/accept")
    said = {"reason": "part", "note": "three days"}
    paused = world.ask("repairer", "POST", f"/tickets/{id}/pause", json=said).json()
    assert paused["pause_reason"] == "part" and paused["paused_at"] is not None
    assert "resume" in paused["actions"] and "pause" not in paused["actions"]
    again = world.ask("repairer", "POST", f"/tickets/{id}/pause", json=said)
    assert again.status_code == 409 and "resume" in again.json()["allowed"]
    resumed = world.ask("repairer", "POST", f"/tickets/{id}/resume").json()
    assert resumed["paused_at"] is None and resumed["paused_s"] > 0
    line = resumed["timeline"][-1]
    assert line["action"] == "resumed"
    old, new = line["data"]["moved"]["repair"]
    assert datetime.fromisoformat(old) < datetime.fromisoformat(new)
    assert datetime.fromisoformat(new) == datetime.fromisoformat(resumed["deadline_at"])
    why = world.ask("repairer", "POST", f"/tickets/{id}/pause", json={"reason": "tea"})
    assert why.status_code == 422


def test_an_incident_tells_what_plans_and_what_silences_it(world: World) -> None:
    c = world.community
    world.db.execute(
        "INSERT INTO incident (subject_kind, subject_id, site_id, charger_id, connector_id, code, "
        "family, severity, effect, detector, phase, started_at, opened_at) VALUES ('connector', "
        "%s, %s, %s, %s, 'relay-open', 'relay', 2, 'out-of-order', 'reported', 'open', now(), "
        "now())",
        (c.connectors[0], c.site, c.chargers[0], c.connectors[0]),
    )
    world.ask("operator", "POST", "/silences", json={"site": "s", "to_at": _at(1), "reason": "x"})
    window = world.ask("operator", "POST", "/downtimes", json=_plan()).json()
    assert window["incidents"] == 1
    told = world.ask("operator", "GET", "/incidents/1").json()
    assert told["planned_by"] == window["id"] and told["silenced_by"] == 1
    assert told["planned_until"] > window["to_at"]


@pytest.mark.parametrize("kind", ["downtimes", "silences"])
def test_a_plan_that_somebody_else_has_changed_is_not_changed_unseen(
    world: World, kind: str
) -> None:
    said = _plan() if kind == "downtimes" else {"site": "s", "to_at": _at(5), "reason": "x"}
    path = f"/{kind}/{world.ask('admin', 'POST', f'/{kind}', json=said).json()['id']}"
    seen = {"If-Match": world.ask("operator", "GET", path).headers["etag"]}
    longer = {"to_at": _at(30)}
    first = world.ask("operator", "PATCH", path, json=longer, headers=dict(seen))
    assert first.status_code == 200, first.text
    for method, body in (("PATCH", {"to_at": _at(40)}), ("DELETE", None)):
        late = world.ask("admin", method, path, json=body, headers=dict(seen))
        assert late.status_code == 412
    again = {"If-Match": world.ask("admin", "GET", path).headers["etag"]}
    assert world.ask("admin", "DELETE", path, headers=again).status_code == 200
