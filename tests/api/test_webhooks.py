"""Webhooks by API: made, changed, ended, and each company to itself."""

from typing import Any

import pytest

from tests.api.conftest import World

ALL = {"url": "https://city.example/hook", "topics": ["ticket.*"]}


def make(world: World, role: str = "operator", **more: Any) -> dict[str, Any]:
    """A new webhook."""
    answer = world.ask(role, "POST", "/webhooks", json={**ALL, **more})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


def test_a_webhook_is_made_with_a_secret_that_is_told_once_changed_and_ended(world: World) -> None:
    made = make(world, sites=["s"])
    assert made["secret"].startswith("whs_") and (made["version"], made["active"]) == (1, True)
    path = f"/webhooks/{made['id']}"
    seen = world.ask("operator", "GET", path)
    assert (seen.json()["secret"], seen.headers["etag"]) == (None, '"1"')
    tag = {"If-Match": seen.headers["etag"]}
    paused = world.ask("operator", "PATCH", path, json={"active": False}, headers=tag)
    assert (paused.json()["active"], paused.headers["etag"]) == (False, '"2"')
    late = world.ask("operator", "PATCH", path, json={"active": True}, headers=tag)
    assert (late.status_code, late.json()["version"]) == (412, 2)
    assert world.ask("operator", "DELETE", path, headers=tag).status_code == 412
    assert world.ask("operator", "DELETE", path).status_code == 200
    for method in ("GET", "DELETE"):
        assert world.ask("operator", method, path).status_code == 404
    row = world.db.execute("SELECT secret FROM webhook").fetchone()
    assert row == {"secret": ""}
    actions = [r["action"] for r in world.db.execute("SELECT action FROM audit ORDER BY id")]
    assert actions == ["webhook.enter", "webhook.change", "webhook.end"]
    everything = world.db.execute("SELECT a::text AS told FROM audit a").fetchall()
    assert made["secret"] not in str(everything)


@pytest.mark.parametrize(
    "wrong",
    [
        {"url": "ftp://x.example"},
        {"url": "https://"},
        {"url": "https://user:word@x.example/"},
        {"url": "https://x.example/\n"},
        {"url": "https://x.example/a b"},
        {"topics": []},
        {"topics": ["*"]},
        {"topics": ["ocpi.changed"]},
        {"sites": ["nowhere"]},
        {"secret": "mine"},
    ],
)
def test_what_cannot_be_a_webhook_is_refused(world: World, wrong: dict[str, Any]) -> None:
    answer = world.ask("operator", "POST", "/webhooks", json={**ALL, **wrong})
    assert answer.status_code == 422, answer.text


def test_a_companys_operator_has_only_the_companys_webhooks_and_others_have_none(
    world: World,
) -> None:
    everyones = make(world, "admin")
    world.db.execute(
        "UPDATE person SET company_id = (SELECT id FROM company) WHERE role = 'operator'"
    )
    mine = make(world)
    assert (everyones["company"], mine["company"]) == (None, "c")
    listed = world.ask("operator", "GET", "/webhooks").json()["items"]
    assert [one["id"] for one in listed] == [mine["id"]]
    assert len(world.ask("admin", "GET", "/webhooks").json()["items"]) == 2
    for method, body in (("GET", None), ("PATCH", {"active": False}), ("DELETE", None)):
        answer = world.ask("operator", method, f"/webhooks/{everyones['id']}", json=body)
        assert answer.status_code == 404
    replay = f"/webhooks/{everyones['id']}/replay?from=2026-01-01T00:00:00Z"
    assert world.ask("operator", "POST", replay).status_code == 404
    world.db.execute("INSERT INTO site (code, grid_id, name) SELECT 't', grid_id, 'T' FROM site")
    answer = world.ask("operator", "POST", "/webhooks", json={**ALL, "sites": ["t"]})
    assert answer.status_code == 422
    for role in ("repairer", "grid_worker"):
        assert world.ask(role, "GET", "/webhooks").status_code == 403
        assert world.ask(role, "POST", "/webhooks", json=ALL).status_code == 403
    assert world.ask(None, "GET", "/webhooks").status_code == 401


def test_an_areas_admin_subscribes_to_the_areas_sites_only(world: World) -> None:
    everyones = make(world, "admin")
    world.db.execute(
        "INSERT INTO person_area SELECT p.id, a.id FROM person p, area a WHERE p.login = 'admin'"
    )
    mine = make(world, "admin", sites=["s"])
    listed = world.ask("admin", "GET", "/webhooks").json()["items"]
    assert [one["id"] for one in listed] == [mine["id"]]
    assert world.ask("admin", "GET", f"/webhooks/{everyones['id']}").status_code == 404
    for method, path in (("POST", "/webhooks"), ("PATCH", f"/webhooks/{mine['id']}")):
        answer = world.ask("admin", method, path, json={**ALL, "sites": []})
        assert answer.status_code == 422, "that would be everyone's"


def test_the_same_order_twice_makes_one_webhook(world: World) -> None:
    twin = {"Idempotency-Key": "8d4f3c1e-6f0e-4b0e"}
    first, second = (
        world.ask("admin", "POST", "/webhooks", json=ALL, headers=dict(twin)) for _ in range(2)
    )
    assert first.json()["secret"]
    assert second.json() == {**first.json(), "secret": ""}
    kept = world.db.execute("SELECT response::text FROM idempotency_key").fetchall()
    assert len(kept) == 1 and first.json()["secret"] not in str(kept)
    assert len(world.ask("admin", "GET", "/webhooks").json()["items"]) == 1
