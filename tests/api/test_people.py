"""People, keys, sessions and the audit over the API."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from api.people import add_person, open_session, person_named, set_password
from pilewatch.workflow.audit import verify
from tests.api.conftest import World
from tests.api.sides import Sides


def _ask(world: World, key: str, method: str, path: str, **more: Any) -> Any:
    headers = {**more.pop("headers", {}), "Authorization": f"Bearer {key}"}
    answer = world.client.request(method, f"/api/v1{path}", headers=headers, **more)
    assert answer.status_code < 500, answer.text
    return answer


def test_a_person_is_let_in_changed_and_shut_out_and_the_audit_tells_it(world: World) -> None:
    said = {"login": "zhou", "name": "周师傅", "role": "repairer", "company": "c"}
    new = world.ask("admin", "POST", "/persons", json={**said, "email": "zhou@example.org"})
    assert (new.status_code, new.headers["etag"]) == (201, '"2"')
    id = new.json()["id"]
    assert world.ask("admin", "POST", "/persons", json=said).status_code == 409
    password = world.ask("admin", "POST", f"/persons/{id}/password").json()["password"]
    assert len(password) >= 16
    moved = {"role": "grid_worker", "company": None, "grids": ["g"], "name": "周"}
    old = world.ask("admin", "PATCH", f"/persons/{id}", json=moved, headers={"If-Match": '"2"'})
    assert (old.status_code, old.json()["version"]) == (412, 3)
    done = world.ask("admin", "PATCH", f"/persons/{id}", json=moved, headers={"If-Match": '"3"'})
    assert (done.json()["role"], done.json()["grids"], done.json()["company"]) == (
        "grid_worker", ["g"], None,
    )  # fmt: skip
    assert (
        world.ask("admin", "PATCH", f"/persons/{id}", json={"active": False}).json()["version"] == 5
    )
    told = world.ask("auditor", "GET", f"/audit?object=person/{id}").json()["items"]
    assert [row["action"] for row in told] == [
        "person.change", "person.change", "person.password", "person.add",
    ]  # fmt: skip
    assert {row["person"] for row in told} == {"admin"} and all(row["key"] for row in told)
    assert (told[1]["before"]["role"], told[1]["after"]["role"]) == ("repairer", "grid_worker")
    assert "周" not in str(told) and "zhou@" not in str(told) and password not in str(told)
    assert verify(world.db).wrong == ()


def test_what_does_not_fit_is_refused_and_nothing_is_kept(world: World) -> None:
    before = world.db.execute("SELECT count(*) AS n FROM person").fetchone()
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"role": "root"}, "errors"),
        ({"role": "repairer", "company": "nobody"}, "company 'nobody' is not in the registry"),
        ({"role": "operator", "grids": ["g"]}, "grids: only for device, grid_worker"),
        ({"role": "grid_worker", "grids": ["x", "g"]}, "grid 'x' is not in the registry"),
        ({"role": "admin", "areas": ["x"]}, "area 'x' is not in the registry"),
        ({"role": "admin", "login": "a b"}, "errors"),
        ({"role": "admin", "email": "no address"}, "errors"),
        ({"role": "admin", "name": None}, "errors"),
    ]
    for body, said in wrong:
        answer = world.ask("admin", "POST", "/persons", json={"login": "x", "name": "x", **body})
        assert (answer.status_code, said in answer.text) == (422, True), answer.text
    assert world.db.execute("SELECT count(*) AS n FROM person").fetchone() == before


def test_an_admin_of_areas_gives_nobody_more_than_the_own_areas(world: World) -> None:
    sides = Sides(world)
    admin = sides.keys["admin"]
    name = {"login": "new", "name": "x"}
    for beyond in (
        {"role": "admin"},
        {"role": "auditor"},
        {"role": "operator"},
        {"role": "operator", "company": "d"},
        {"role": "repairer", "company": "d"},
        {"role": "grid_worker"},
        {"role": "grid_worker", "grids": ["g", "h"]},
        {"role": "admin", "areas": ["a", "b"]},
        {"role": "device", "grids": ["h"]},
    ):
        assert _ask(world, admin, "POST", "/persons", json={**name, **beyond}).status_code == 403
    made = _ask(world, admin, "POST", "/persons", json={**name, "role": "admin", "areas": ["a"]})
    path = f"/persons/{made.json()['id']}"
    assert made.status_code == 201
    assert _ask(world, admin, "PATCH", path, json={"areas": []}).status_code == 403
    assert _ask(world, admin, "GET", path).json()["areas"] == ["a"]
    # A company that works elsewhere too is not theirs to let people in for.
    sides.db.execute("UPDATE ticket SET company_id = (SELECT id FROM company WHERE code = 'c')"
                     " WHERE id = %s", (sides.ticket(True),))  # fmt: skip
    beyond = {**name, "login": "y", "role": "repairer", "company": "c"}
    assert _ask(world, admin, "POST", "/persons", json=beyond).status_code == 403


def test_nobody_changes_the_own_role_or_reach(world: World) -> None:
    row = world.db.execute("SELECT id FROM person WHERE login = 'admin'").fetchone()
    assert row is not None
    path = f"/persons/{row['id']}"
    for change in ({"active": False}, {"role": "auditor"}, {"areas": ["a"]}):
        assert world.ask("admin", "PATCH", path, json=change).status_code == 403
    assert world.ask("admin", "DELETE", path).status_code == 403
    assert world.ask("admin", "PATCH", path, json={"name": "Li"}).json()["name"] == "Li"


def test_a_key_is_shown_once_also_when_the_order_is_sent_again(world: World) -> None:
    order = {"Idempotency-Key": "one-key-please"}
    said = {"label": "board", "scopes": ["read"]}
    first = world.ask("operator", "POST", "/me/keys", json=said, headers=dict(order)).json()
    again = world.ask("operator", "POST", "/me/keys", json=said, headers=dict(order))
    assert again.headers["idempotent-replayed"] == "true"
    assert (again.json()["id"], again.json()["key"]) == (first["id"], "")
    assert first["key"].startswith("pw_")
    kept = world.db.execute("SELECT response::text AS r FROM idempotency_key").fetchone()
    assert kept is not None and first["key"] not in kept["r"]
    listed = world.ask("operator", "GET", "/me/keys").json()["items"]
    assert [key["label"] for key in listed] == ["board", "t"]
    assert first["key"] not in str(listed)
    assert _ask(world, first["key"], "GET", "/tickets").status_code == 200
    assert _ask(world, first["key"], "GET", "/me/keys").status_code == 403
    assert world.ask("operator", "DELETE", f"/me/keys/{first['id']}").json()["valid"] is False
    assert _ask(world, first["key"], "GET", "/tickets").status_code == 401


def test_a_narrow_key_makes_no_wider_or_longer_one(world: World) -> None:
    ends = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    narrow = {"label": "x", "scopes": ["account", "read"], "expires_at": ends}
    key = world.ask("operator", "POST", "/me/keys", json=narrow).json()["key"]
    for wider in ({"scopes": None}, {"scopes": ["tickets"]}, {"expires_at": None}):
        answer = _ask(world, key, "POST", "/me/keys", json={**narrow, **wider})
        assert answer.status_code == 403, wider
    assert _ask(world, key, "POST", "/me/keys", json=narrow).status_code == 201
    late = {**narrow, "expires_at": "2021-01-01T00:00:00Z"}
    assert world.ask("operator", "POST", "/me/keys", json=late).status_code == 422


def test_a_key_without_the_scope_read_sees_no_tickets_pass_by(world: World) -> None:
    from api.live import Change, Viewer
    from api.people import caller_by_key

    said = {"label": "x", "scopes": ["tickets"]}
    for role, key in (
        ("operator", world.ask("operator", "POST", "/me/keys", json=said).json()["key"]),
        ("device", world.keys["device"]),
    ):
        caller = caller_by_key(world.db, key, datetime.now(UTC))
        assert caller is not None and caller.role == role
        owners = {"companies": [caller.company_id], "site_company_id": caller.company_id,
                  "assignee_id": None, "grid_id": 1}  # fmt: skip
        assert not Viewer(caller, None).may_see(Change("ticket", "s", b"", owners))
        assert Viewer(caller, None).may_see(Change("connector", "s", b""))


def test_passwords_and_sessions_of_ones_own(world: World) -> None:
    id = add_person(world.db, "wang", "Wang", "operator", password="correct horse")
    now = datetime.now(UTC)
    tokens = [
        open_session(world.db, id, stage="full", now=now, hours=1, next="/") for _ in range(3)
    ]
    world.client.cookies.set("pilewatch_session", tokens[0])
    row = world.db.execute("SELECT csrf, id FROM login_session ORDER BY id").fetchone()
    assert row is not None
    csrf = {"X-CSRF-Token": row["csrf"]}
    listed = world.client.get("/api/v1/me/sessions").json()["items"]
    assert [session["current"] for session in listed] == [False, False, True]
    change = {"old": "guess", "new": "battery staple"}
    put = "/api/v1/me/password"
    assert world.client.put(put, json=change).status_code == 403
    assert world.client.put(put, json=change, headers=csrf).status_code == 422
    change["old"] = "correct horse"
    ends = f"/api/v1/me/sessions/{listed[0]['id']}"
    assert world.client.delete(ends, headers=csrf).status_code == 204
    assert world.client.delete(ends, headers=csrf).status_code == 404
    assert world.client.put(put, json=change, headers=csrf).status_code == 204
    assert len(world.client.get("/api/v1/me/sessions").json()["items"]) == 1
    told = world.db.execute("SELECT session_id, key_id, action FROM audit ORDER BY id").fetchall()
    assert [row["action"] for row in told] == ["session.end", "person.password"]
    assert {(line["session_id"], line["key_id"]) for line in told} == {(row["id"], None)}
    assert world.client.delete("/api/v1/me/sessions", headers=csrf).status_code == 204
    assert world.client.get("/api/v1/me").json()["role"] == "resident"
    world.client.cookies.clear()
    with pytest.raises(ValueError, match="at least 8"):
        set_password(world.db, "wang", "short")


def test_the_audit_tells_the_request_and_is_filtered(world: World) -> None:
    id = world.ticket()
    sent = {"X-Request-Id": "from-the-client-1"}
    answer = world.ask("operator", "POST", f"/tickets/{id}/accept", headers=dict(sent))
    assert answer.headers["x-request-id"] == "from-the-client-1"
    odd = world.ask("operator", "POST", f"/tickets/{id}/start", headers={"X-Request-Id": "a b\tc"})
    assert len(odd.headers["x-request-id"]) == 32
    rows = world.ask("auditor", "GET", "/audit").json()["items"]
    assert [row["request"] for row in rows] == [odd.headers["x-request-id"], "from-the-client-1"]

    def found(query: str) -> int:
        return len(world.ask("admin", "GET", f"/audit?{query}").json()["items"])

    kinds = ("action=ticket", "action=ticket.start", "action=tick", "action=%25")
    assert [found(query) for query in kinds] == [2, 1, 0, 0]
    whose = ("person=operator", "person=admin", f"object=ticket/{id}")
    assert [found(query) for query in whose] == [2, 0, 2]
    assert [found(q) for q in ("to=2026-01-01T00:00:00Z", "from=2026-01-01T00:00:00Z")] == [0, 2]
    assert world.ask("admin", "GET", "/audit?from=yesterday").status_code == 422


def test_a_person_is_changed_only_as_the_admin_has_seen_them(world: World) -> None:
    id = person_named(world.db, "repairer")["id"]
    seen = world.ask("admin", "GET", f"/persons/{id}").headers["etag"]
    world.ask("admin", "PATCH", f"/persons/{id}", json={"name": "other"})
    for path in ("", "/identities", "/second-factor"):
        late = world.ask("admin", "DELETE", f"/persons/{id}{path}", headers={"If-Match": seen})
        assert late.status_code == 412, path
    assert person_named(world.db, "repairer")["active"]
    now = world.ask("admin", "GET", f"/persons/{id}").headers["etag"]
    done = world.ask("admin", "DELETE", f"/persons/{id}", headers={"If-Match": now})
    assert (done.status_code, done.json()["active"]) == (200, False)
