"""The API over a real database: rights, transitions, lists, errors."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from api.people import ROLES
from api.rights import RIGHTS
from pilewatch.workflow.commands import NAMES
from tests.api.conftest import World


def test_anyone_sees_what_works_and_how_old_that_is(world: World) -> None:
    site = world.ask(None, "GET", "/sites").json()["items"][0]
    assert (site["connectors"], site["available"], site["unknown"]) == (6, 0, 6)
    world.community.heard(datetime.now(UTC))
    assert world.ask(None, "GET", "/sites/s").json()["available"] == 6
    port = world.ask(None, "GET", "/chargers/C0/connectors/2").json()
    assert (port["status"], port["online"]) == ("available", True)
    assert port["age_s"] < 5
    listed = world.ask(None, "GET", "/connectors?site=s")
    assert len(listed.json()["items"]) == 6
    same = world.ask(
        None, "GET", "/connectors?site=s", headers={"If-None-Match": listed.headers["etag"]}
    )
    assert same.status_code == 304
    assert world.ask(None, "GET", "/chargers/C1").json()["gateway"] == "gw"


def test_pages_follow_their_cursor(world: World) -> None:
    seen, cursor = [], ""
    while True:
        page = world.ask(None, "GET", f"/connectors?limit=4{cursor}").json()
        seen += [(c["charger"], c["connector"]) for c in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert len(seen) == len(set(seen)) == 6
    assert world.ask(None, "GET", "/connectors?cursor=zzz").status_code == 422


def test_unknown_chargers_are_told_in_pages_the_newest_first(world: World) -> None:
    world.db.execute(
        "INSERT INTO unknown_charger (code, first_seen_at, last_seen_at, messages) "
        "SELECT 'N' || n, now(), now(), n FROM generate_series(1, 5) n"
    )
    seen, cursor = [], ""
    while True:
        answer = world.ask("operator", "GET", f"/unknown-chargers?limit=2{cursor}").json()
        seen += [item["code"] for item in answer["items"]]
        if answer["next_cursor"] is None:
            break
        cursor = f"&cursor={answer['next_cursor']}"
    assert seen == ["N5", "N4", "N3", "N2", "N1"]


def test_a_repair_by_people_proved_by_an_inspection(world: World) -> None:
    id = world.ticket("plug-broken")
    assigned = world.ask("operator", "POST", f"/tickets/{id}/assign", json={"company": "c"})
    assert assigned.json()["state"] == "assigned"
    for step in ("accept", "start"):
        assert world.ask("repairer", "POST", f"/tickets/{id}/{step}").status_code == 200
    claim = {"cause": "plug worn", "remedy": "plug replaced", "part": "plug"}
    claimed = world.ask("repairer", "POST", f"/tickets/{id}/claim", json=claim).json()
    assert (claimed["state"], claimed["verify_by_at"] is not None) == ("repaired", True)
    check = {"id": str(uuid4()), "charger": "C0", "connector": 1, "passed": True}
    done = world.ask("grid_worker", "POST", "/inspections", json={**check, "test_charge": True})
    assert done.json() == {"created": True, "verified_tickets": [id], "opened_tickets": []}
    again = world.ask("grid_worker", "POST", "/inspections", json={**check, "test_charge": True})
    assert again.json()["created"] is False
    other = world.ask("grid_worker", "POST", "/inspections", json={**check, "passed": False})
    assert other.status_code == 409, "another content under this id is told, not lost"
    story = world.ask("operator", "GET", f"/tickets/{id}").json()
    assert story["evidence"]["kind"] == "inspection"
    assert [line["action"] for line in story["timeline"]] == [
        "opened", "assigned", "accepted", "started", "claimed", "verified", "closed",
    ]  # fmt: skip


def test_a_refusal_tells_the_state_and_what_is_possible(world: World) -> None:
    id = world.ticket()
    refused = world.ask("repairer", "POST", f"/tickets/{id}/claim",
                        json={"cause": "a", "remedy": "b"})  # fmt: skip
    assert refused.status_code == 409
    assert refused.headers["content-type"] == "application/problem+json"
    assert (refused.json()["state"], refused.json()["allowed"][0]) == ("open", "assign")
    old = world.ask("operator", "POST", f"/tickets/{id}/accept", headers={"If-Match": '"7"'})
    assert (old.status_code, old.json()["version"]) == (412, 1)


def test_a_resident_reports_and_follows_the_receipt(world: World) -> None:
    said = {"charger": "C1", "connector": 2, "code": "no-output", "note": "充不进电"}
    first = world.ask(None, "POST", "/reports", json=said)
    assert (first.status_code, first.json()["joined"]) == (201, False)
    assert world.ask(None, "POST", "/reports", json=said).json()["joined"] is True
    story = world.ask(None, "GET", f"/receipts/{first.json()['receipt']}").json()
    assert [step["action"] for step in story["steps"]] == ["opened", "reported-too"]
    assert world.ask(None, "GET", "/receipts/guess").status_code == 404


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"charger": "C1", "code": "nonsense"}, "/body/code"),
        ({"charger": "C1", "code": "no-output", "connector": 0}, "/body/connector"),
        ({"charger": "C1", "code": "no-output", "note": "a\0b"}, "/body/note"),
        ({"charger": "C1", "code": "no-output", "more": 1}, "/body/more"),
    ],
)
def test_each_wrong_field_is_pointed_at(world: World, body: Any, pointer: str) -> None:
    problem = world.ask(None, "POST", "/reports", json=body)
    assert problem.status_code == 422
    assert [e["pointer"] for e in problem.json()["errors"]] == [pointer]


def _order(name: str) -> dict[str, Any]:
    at_port = {"connector": 1} if name in ("unlock", "startTest") else {}
    args = {"args": {"available": False}} if name == "setAvailability" else {}
    return {"name": name, "reason": "a", "on_site": True, **at_port, **args}


_BODIES: dict[str, tuple[str, str, Any]] = {
    "read": ("GET", "/tickets/{id}", None),
    "assign": ("POST", "/tickets/{id}/assign", {"company": "c"}),
    "accept": ("POST", "/tickets/{id}/accept", None),
    "start": ("POST", "/tickets/{id}/start", None),
    "claim": ("POST", "/tickets/{id}/claim", {"cause": "a", "remedy": "b"}),
    "reject": ("POST", "/tickets/{id}/reject", {"reason": "a"}),
    "reopen": ("POST", "/tickets/{id}/reopen", {"reason": "a"}),
    "merge": ("POST", "/tickets/{id}/merge", {"into": 999}),
    "comment": ("POST", "/tickets/{id}/comments", {"text": "a"}),
    "report": (
        "POST",
        "/reports/phone",
        {"id": str(uuid4()), "charger": "C0", "code": "no-output"},
    ),
    "review": ("POST", "/reports/999/review", {"accept": True}),
    "meet": ("POST", f"/matters/{uuid4()}/settle", None),
    "answer": ("POST", f"/matters/{uuid4()}/answer", {"text": "a"}),
    "split": (
        "POST",
        "/tickets/{id}/split",
        {
            "orders": [
                {
                    "duty": "power",
                    "company": "c",
                    "task": "a",
                    "deadline_at": "2099-01-01T00:00:00Z",
                }
            ]
        },
    ),
    "order": ("POST", "/work-orders/999/accept", {}),
    "cost": ("POST", "/tickets/{id}/costs", {"kind": "labour", "unit_fen": 1, "payer": "user"}),
    "ledger": ("GET", "/ledger", None),
    "inspect": ("POST", "/inspections", {"id": str(uuid4()), "charger": "C0", "passed": True}),
    "quarantine": ("GET", "/quarantine", None),
    "pause": ("POST", "/tickets/{id}/pause", {"reason": "part"}),
    "resume": ("POST", "/tickets/{id}/resume", None),
    "plan": ("DELETE", "/downtimes/{id}", None),
    "silence": ("DELETE", "/silences/{id}", None),
    "shift": ("DELETE", "/shifts/999", None),
    "exclude": ("DELETE", "/exclusions/{id}", None),
    "adopt": (
        "POST",
        "/unknown-chargers/X9/adopt",
        {"site": "s", "kind": "ebike", "label": "x", "connectors": 2},
    ),
    "policy": ("GET", "/policies", None),
    "deliveries": ("GET", "/deliveries", None),
    "alertmanager": ("POST", "/alertmanager", {"version": "4", "alerts": []}),
    "account": ("GET", "/me/keys", None),
    "see-people": ("GET", "/persons", None),
    "people": ("PATCH", "/persons/1", {"name": "W"}),
    "audit": ("GET", "/audit", None),
    **{f"command.{name}": ("POST", "/chargers/C0/commands", _order(name)) for name in NAMES},
    "webhooks": ("GET", "/webhooks", None),
    "ocpi": ("GET", "/ocpi-parties", None),
}


@pytest.mark.parametrize("operation", sorted(RIGHTS))
def test_every_operation_for_every_role(world: World, operation: str) -> None:
    method, path, body = _BODIES[operation]
    path = path.format(id=world.ticket())
    anonymous = world.ask(None, method, path, json=body)
    assert anonymous.status_code == 401
    for role in ROLES:
        status = world.ask(role, method, path, json=body).status_code
        assert (status == 403) == (role not in RIGHTS[operation]), (role, status)


def test_a_repairer_sees_only_the_own_company(world: World) -> None:
    id = world.ticket()
    world.db.execute("UPDATE ticket SET company_id = NULL")
    assert world.ask("repairer", "GET", f"/tickets/{id}").status_code == 404
    assert world.ask("repairer", "POST", f"/tickets/{id}/accept").status_code == 404
    assert world.ask("repairer", "GET", "/tickets").json()["items"] == []
    assert world.ask("operator", "GET", f"/tickets/{id}").status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/tickets/99999999999999999999",
        "/tickets/x",
        "/sites/%00",
        "/chargers/%F0%9F/connectors/1",
        "/chargers?site=%00",
        "/tickets?state=nonsense",
        "/connectors?limit=100000",
        "/nothing",
    ],
)
def test_hostile_addresses_get_an_answer(world: World, path: str) -> None:
    answer = world.ask("operator", "GET", path)
    assert answer.status_code in (404, 422)
    assert answer.headers["content-type"] == "application/problem+json"


def test_changes_are_audited_and_wrong_keys_refused(world: World) -> None:
    id = world.ticket()
    world.ask("operator", "POST", f"/tickets/{id}/accept")
    row = world.db.execute("SELECT action, object, before, after FROM audit").fetchone()
    assert row is not None
    assert (row["action"], row["object"]) == ("ticket.accept", f"ticket/{id}")
    assert (row["before"]["state"], row["after"]["state"]) == ("open", "accepted")
    bad = world.client.get("/api/v1/me", headers={"Authorization": "Bearer pw_guess"})
    assert bad.status_code == 401


def test_health_and_the_document(world: World) -> None:
    get: Callable[[str], Any] = world.client.get
    assert get("/healthz").json() == {"status": "ok"}
    assert get("/readyz").json() == {"status": "ready"}
    assert b"python_info" in get("/metrics").content
    document = get("/openapi.json").json()
    assert all(op.get("summary") for path in document["paths"].values() for op in path.values())
