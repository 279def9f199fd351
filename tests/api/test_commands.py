"""Commands through the API: who may, over what, once, on record."""

import asyncio
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from api.live import Live, Notices, Viewer
from api.people import Caller
from api.rights import RIGHTS
from pilewatch.store.pool import connect_async
from pilewatch.workflow.commands import NAMES
from tests.api.conftest import World


def _said(name: str = "reset", **more: Any) -> dict[str, Any]:
    port = {"connector": 1} if name in ("unlock", "startTest") else {}
    needed = {"setAvailability": {"available": False}, "getLog": {"url": "https://logs.example/"}}
    args = {"args": needed[name]} if name in needed else {}
    site = {"on_site": True} if name == "startTest" else {}
    return {"name": name, "reason": "it hangs", **port, **args, **site, **more}


def _give(world: World, role: str | None, code: str = "C0", **body: Any) -> Any:
    return world.ask(role, "POST", f"/chargers/{code}/commands", json=body)


def test_a_command_is_ordered_seen_and_on_record(world: World) -> None:
    made = _give(world, "operator", **_said("unlock", connector=2, expires_in_s=60))
    assert made.status_code == 201, made.text
    body = made.json()
    assert (body["state"], body["ordered_by"], body["connector"]) == ("queued", "operator", 2)
    lasts = datetime.fromisoformat(body["expires_at"]) - datetime.fromisoformat(body["issued_at"])
    assert lasts == timedelta(seconds=60)
    assert world.ask("repairer", "GET", f"/commands/{body['id']}").json() == body
    assert world.ask("repairer", "GET", "/chargers/C0/commands").json()["items"] == [body]
    row = world.db.execute("SELECT action, object, after FROM audit").fetchone()
    assert row is not None and (row["action"], row["object"]) == (
        "command.unlock", f"command/{body['id']}",
    )  # fmt: skip
    assert row["after"]["connector"] == 2


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("role", [None, "grid_worker", "repairer", "operator", "admin"])
def test_each_role_orders_what_is_its_own(world: World, name: str, role: str | None) -> None:
    status = _give(world, role, **_said(name)).status_code
    allowed = role in RIGHTS[f"command.{name}"]
    assert status == (201 if allowed else 401 if role is None else 403)


def test_a_test_charge_is_for_repairers_and_grid_workers_who_stand_there(world: World) -> None:
    assert RIGHTS["command.startTest"] == {"repairer", "grid_worker"}
    away = _give(world, "repairer", **_said("startTest", on_site=False))
    assert (away.status_code, "stands before" in away.json()["detail"]) == (422, True)


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"name": "unlock", "connector": None}, "connector: unlock is for one connector"),
        ({"name": "reset", "connector": 1}, "connector: reset is for the whole charger"),
        ({"name": "unlock", "connector": 9}, "C0 has no connector 9"),
        ({"name": "setAvailability", "args": {}}, 'right would be {"available": true}'),
        ({"name": "getLog"}, 'right would be {"url": "https://'),
        ({"name": "getLog", "args": {"url": "https://me:secret@logs.example/x"}}, "password"),
        ({"name": "getLog", "args": {"url": "file:///etc/passwd"}}, "right would be"),
        ({"name": "getLog", "args": {"url": True}}, "right would be"),
        ({"name": "setAvailability", "args": {"on": True}}, 'right would be {"available": true}'),
        ({"name": "reset", "args": {"hard": True}}, "args: reset has none"),
        ({"name": "reset", "ticket": 99}, "ticket: 99 is no live ticket of this charger"),
        ({"name": "explode"}, "errors"),
        ({"name": "reset", "expires_in_s": 5}, "errors"),
        ({"name": "reset", "reason": ""}, "errors"),
    ],
)
def test_an_impossible_order_is_refused_with_the_reason(
    world: World, more: dict[str, Any], told: str
) -> None:
    answer = _give(world, "operator", **{**_said(), **more})
    assert answer.status_code == 422 and told in answer.json()["detail"], answer.text


def test_the_same_order_is_under_way_once_however_many_ask(world: World) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: _give(world, "operator", **_said()), range(12)))
    made = [a.json()["id"] for a in answers if a.status_code == 201]
    refused = [a.json() for a in answers if a.status_code == 409]
    assert (len(made), len(refused)) == (1, 11)
    assert {problem["command"] for problem in refused} == set(made)
    assert _give(world, "operator", "C1", **_said()).status_code == 201, "another charger"
    world.db.execute(
        "UPDATE command SET issued_at = issued_at - interval '1 hour', "
        "expires_at = expires_at - interval '1 hour'"
    )
    assert _give(world, "operator", **_said()).status_code == 201, "what is too old is over"
    states = [
        c["state"] for c in world.ask("admin", "GET", "/chargers/C0/commands").json()["items"]
    ]
    assert states == ["queued", "expired"]


def test_a_repeated_key_orders_once(world: World) -> None:
    headers = {"Idempotency-Key": "0123456789"}
    twice = [
        world.ask("operator", "POST", "/chargers/C0/commands", json=_said(), headers=dict(headers))
        for _ in range(2)
    ]
    assert twice[0].json() == twice[1].json()
    assert twice[1].headers["idempotent-replayed"] == "true"


def test_a_repairer_commands_the_companys_chargers_and_those_of_the_own_tickets(
    world: World,
) -> None:
    db = world.db
    db.execute("INSERT INTO company (code, name) VALUES ('d', 'D')")
    db.execute("UPDATE site SET company_id = (SELECT id FROM company WHERE code = 'd')")
    assert _give(world, "repairer", **_said()).status_code == 404
    assert world.ask("repairer", "GET", "/chargers/C0/commands").status_code == 404
    id = world.ticket()
    db.execute("UPDATE ticket SET assignee_id = (SELECT id FROM person WHERE login = 'repairer')")
    made = _give(world, "repairer", **_said(ticket=id))
    assert made.status_code == 201, made.text
    assert _give(world, "repairer", "C1", **_said()).status_code == 404
    db.execute("UPDATE ticket SET state = 'rejected'")
    assert world.ask("repairer", "GET", f"/commands/{made.json()['id']}").status_code == 404
    assert world.ask("admin", "GET", f"/commands/{made.json()['id']}").status_code == 200


def test_a_grid_worker_tests_in_the_own_grids_only(world: World) -> None:
    db = world.db
    db.execute("INSERT INTO grid (area_id, code, name) SELECT area_id, 'h', 'H' FROM grid")
    db.execute(
        "UPDATE person_grid SET grid_id = g.id FROM person p, grid g "
        "WHERE p.id = person_id AND p.login = 'grid_worker' AND g.code = 'h'"
    )
    assert _give(world, "grid_worker", **_said("startTest")).status_code == 404
    db.execute("UPDATE site SET grid_id = (SELECT id FROM grid WHERE code = 'h')")
    assert _give(world, "grid_worker", **_said("startTest")).status_code == 201


@pytest.mark.parametrize("witness", ["ticket", "report"])
def test_where_people_may_be_in_danger_somebody_must_stand_there(
    world: World, witness: str
) -> None:
    if witness == "ticket":
        world.ticket("ground-fault")
    else:
        said = {"charger": "C0", "connector": 1, "code": "over-temperature"}
        assert world.ask(None, "POST", "/reports", json=said).status_code == 201
    far = _give(world, "operator", **_said())
    assert (far.status_code, "in danger" in far.json()["detail"]) == (409, True)
    on = _said("setAvailability", args={"available": True})
    assert _give(world, "operator", **on).status_code == 409
    assert _give(world, "operator", **_said("setAvailability")).status_code == 201, "to shut it off"
    assert _give(world, "repairer", **_said(on_site=True)).status_code == 201


def _told(work: Coroutine[Any, Any, bytes]) -> bytes:
    """In a thread of its own: a browser of another test may have left its event loop in ours."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result(60)


def test_the_live_stream_tells_commands_to_those_who_may_see_them(world: World) -> None:
    id = _give(world, "operator", **_said()).json()["id"]

    async def heard(viewer: Viewer) -> bytes:
        live = Live(world.url, lambda: datetime.now(UTC), 5, lambda: None)
        stream = live.open(viewer)
        notices = Notices()
        notices.note("pilewatch_command", str(id))
        async with await connect_async(world.url, application="t") as db:
            await live._tell(db, notices)
        stream.end()
        return b"".join(list(stream._waiting))

    told = _told(heard(Viewer(Caller("operator", 1), "s")))
    assert b"event: command" in told and b'"state": "queued"' in told
    assert b"event: command" not in _told(heard(Viewer(Caller(), "s")))
    assert b"event: command" not in _told(heard(Viewer(Caller("operator", 1, None, 99), "s")))
