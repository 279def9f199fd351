"""Every operation x every role x own and others' objects, and lists that agree with single objects.

A new operation must be put into the table: the test fails for one that is not there. One that asks
for different rights has a line for each, told apart by a word after `#`.
"""

import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api.context import SQL
from api.people import ROLES, Reach, caller_by_key, change_person, person_named
from api.rights import RIGHTS, SCOPES, scope, within
from tests.api.conftest import World
from tests.api.sides import Sides

Body = Callable[[bool], Any]
"""Of a request about something near (False) or far (True)."""


@dataclass(frozen=True)
class Rule:
    """`right` None: for everyone. `of` is the kind of the object in the path (None: only the right
    is tried); `far` is what those get who may do it, but not there: 404 hides what is not theirs,
    403 refuses what all can see, 422 does not know the place, 200 shows to all staff.

    `query` may name the side's `{site}` or `{area}`; `blind` roles are those to whom even what is
    near is far; `whole`: only for those who look after all of it."""

    right: str | None
    of: str | None = None
    body: Body | None = None
    far: Literal[200, 403, 404, 422] = 404
    listed: str | None = None
    query: str = ""
    blind: frozenset[str] = frozenset()
    whole: bool = False


def _fixed(**said: Any) -> Body:
    return lambda far: said


def _at(hour: int) -> str:
    return f"2030-01-01T{hour:02}:00:00+08:00"


def _ticket(word: str, body: Body | None = None) -> Rule:
    return Rule(word, "ticket", body)


def _place(far: bool) -> dict[str, str]:
    return {"charger": "D0" if far else "C0"}


def _site(far: bool) -> str:
    return "t" if far else "s"


def _order(name: str, **more: Any) -> Rule:
    return Rule(f"command.{name}", "charger", _fixed(name=name, reason="x", **more))


PUBLIC = Rule(None)
MONTH = "month=2026-01"
COMPANIES = frozenset({"repairer", "operator", "device"})
"""The roles that act for a company here: a bench meeting is the community's own."""
MINE = Rule("account")
TABLE: dict[str, Rule] = {
    "GET /sites": PUBLIC,
    "GET /sites/{code}": PUBLIC,
    "GET /chargers": PUBLIC,
    "GET /chargers/{code}": PUBLIC,
    "GET /connectors": PUBLIC,
    "GET /chargers/{code}/connectors/{number}": PUBLIC,
    "GET /live": PUBLIC,  # what of it staff see: test_live.py, and the property below
    "GET /me": PUBLIC,
    "POST /reports": PUBLIC,
    "GET /receipts/{token}": PUBLIC,
    "POST /receipts/{token}/answer": Rule(None, body=_fixed(charges_now=True)),
    "GET /incidents": Rule("read", listed="incident"),
    "GET /incidents/{id}": Rule("read", "incident"),
    "GET /incidents/{id}/explanation": Rule("read", "incident"),
    "GET /tickets": Rule("read", listed="ticket"),
    "GET /tickets/{id}": Rule("read", "ticket"),
    "POST /tickets/{id}/assign": _ticket("assign", lambda far: {"company": "d" if far else "c"}),
    "POST /tickets/{id}/accept": _ticket("accept"),
    "POST /tickets/{id}/start": _ticket("start"),
    "POST /tickets/{id}/claim": _ticket("claim", _fixed(cause="a", remedy="b")),
    "POST /tickets/{id}/reject": _ticket("reject", _fixed(reason="a")),
    "POST /tickets/{id}/reopen": _ticket("reopen", _fixed(reason="a")),
    "POST /tickets/{id}/merge": _ticket("merge", _fixed(into=1)),
    "POST /tickets/{id}/comments": _ticket("comment", _fixed(text="a")),
    "POST /tickets/{id}/pause": _ticket("pause", _fixed(reason="part")),
    "POST /tickets/{id}/resume": _ticket("resume"),
    "POST /inspections": Rule(
        "inspect", "place", lambda far: {"id": str(uuid4()), "passed": True, **_place(far)}, 403
    ),
    "GET /chargers/{code}/observations": Rule("read", "charger"),
    "GET /chargers/{code}/series": Rule(
        "read", "charger", query="connector=1&measure=power_w"
    ),
    "GET /quarantine": Rule("quarantine", listed="quarantine"),
    "GET /unknown-chargers": Rule("quarantine"),
    "GET /deliveries": Rule("deliveries", listed="delivery"),
    "POST /alertmanager": Rule(
        "alertmanager", "place",
        lambda far: {
            "version": "4",
            "alerts": [{
                "status": "firing", "startsAt": "2026-05-01T08:00:00Z",
                "endsAt": "0001-01-01T00:00:00Z", "annotations": {},
                "labels": {"alertname": "NoOutput", **_place(far)},
            }],
        },
        422,
    ),
    "GET /downtimes": Rule("read"),
    "GET /downtimes/{id}": Rule("read", "downtime", far=200),
    "POST /downtimes": Rule(
        "plan", "place",
        lambda far: {
            "scope": "charger", "code": _place(far)["charger"], "kind": "maintenance",
            "from_at": _at(8), "to_at": _at(9), "reason": "x",
        },
        403,
    ),
    "PATCH /downtimes/{id}": Rule("plan", "downtime", _fixed(reason="y"), 403),
    "DELETE /downtimes/{id}": Rule("plan", "downtime", far=403),
    "GET /silences": Rule("read"),
    "GET /silences/{id}": Rule("read", "silence", far=200),
    "POST /silences": Rule(
        "silence", "place", lambda far: {"to_at": _at(8), "reason": "x", **_place(far)}, 403
    ),
    "PATCH /silences/{id}": Rule("silence", "silence", _fixed(reason="y"), 403),
    "DELETE /silences/{id}": Rule("silence", "silence", far=403),
    "GET /shifts": Rule("read", listed="shift"),
    "GET /shifts/{id}": Rule("read", "shift"),
    "POST /shifts": Rule(
        "shift", "place",
        lambda far: {
            "person": "near operator", "scope": "site", "code": _site(far), "from_at": _at(8),
            "to_at": _at(9),
        },
        403,
    ),
    "POST /shifts/{id}/hand-over": Rule("shift", "shift", _fixed(note="x")),
    "DELETE /shifts/{id}": Rule("shift", "shift"),
    "GET /persons": Rule("see-people", listed="person"),
    "GET /persons/{id}": Rule("see-people", "person"),
    "POST /persons": Rule(
        "people", "place",
        lambda far: {
            "login": secrets.token_hex(4), "name": "N", "role": "grid_worker",
            "grids": ["h" if far else "g"],
        },
        403,
    ),
    "PATCH /persons/{id}": Rule("people", "person", _fixed(name="N")),
    "DELETE /persons/{id}": Rule("people", "person"),
    "POST /persons/{id}/password": Rule("people", "person"),
    "DELETE /persons/{id}/second-factor": Rule("people", "person"),
    "POST /persons/{id}/identities": Rule(
        "people", "person", lambda far: {"issuer": "https://i", "subject": secrets.token_hex(4)}
    ),
    "DELETE /persons/{id}/identities": Rule("people", "person"),
    "GET /persons/{id}/keys": Rule("see-people", "person"),
    "POST /persons/{id}/keys": Rule("people", "device", _fixed(label="x")),
    "DELETE /persons/{id}/keys/{key}": Rule("people", "person"),
    "GET /me/keys": MINE,
    "POST /me/keys": Rule("account", body=_fixed(label="x")),
    "DELETE /me/keys/{id}": Rule("account", "my key"),
    "GET /me/sessions": MINE,
    "DELETE /me/sessions": MINE,
    "DELETE /me/sessions/{id}": Rule("account", "my session"),
    "PUT /me/password": Rule("account", body=_fixed(old="not this", new="battery staple")),
    "GET /audit": Rule("audit", listed="audit"),
    "POST /chargers/{code}/commands#reset": _order("reset"),
    "POST /chargers/{code}/commands#unlock": _order("unlock", connector=1),
    "POST /chargers/{code}/commands#available": _order("setAvailability", args={"available": True}),
    "POST /chargers/{code}/commands#status": _order("triggerStatus"),
    "POST /chargers/{code}/commands#log": _order("getLog", args={"url": "https://logs.example/"}),
    "POST /chargers/{code}/commands#test": _order("startTest", connector=1, on_site=True),
    "GET /chargers/{code}/commands": Rule("read", "charger"),
    "GET /commands/{id}": Rule("read", "command"),
    "POST /tickets/bulk": Rule("accept", body=_fixed(action="accept", tickets=[{"id": 1}])),
    "GET /repair-codes": PUBLIC,
    "GET /tickets/{id}/costs": Rule("read", "ticket"),
    "POST /tickets/{id}/costs": Rule(
        "cost", "ticket", _fixed(kind="labour", unit_fen=100, payer="user")
    ),
    "POST /tickets/{id}/costs/{cost}/withdraw": Rule("cost", "ticket"),
    "GET /ledger": Rule("ledger"),
    "GET /ledger/export.csv": Rule("ledger"),
    "GET /ledger/export.xlsx": Rule("ledger"),
    "GET /ledger/figures/{month}": Rule("ledger"),
    "GET /ledger/report.pdf": Rule("ledger", query=MONTH),
    "POST /tickets/{id}/split": Rule(
        "split", "ticket",
        lambda far: {"orders": [{
            "duty": "power", "company": "d" if far else "c", "task": "x", "deadline_at": _at(8),
        }]},
    ),
    "GET /work-orders": Rule("read", listed="work_order"),
    "GET /work-orders/{id}": Rule("read", "work_order"),
    "POST /work-orders/{id}/{step}": Rule("order", "work_order", _fixed(note="x")),
    "GET /meetings": Rule("read", listed="meeting", blind=COMPANIES),
    "GET /meetings/{id}": Rule("read", "meeting", blind=COMPANIES),
    "POST /meetings": Rule(
        "meet", "place",
        lambda far: {
            "id": str(uuid4()), "grid": "h" if far else "g", "place": "x", "starts_at": _at(8),
        },
        403, blind=COMPANIES,
    ),
    "PATCH /meetings/{id}": Rule("meet", "meeting", _fixed(place="y"), blind=COMPANIES),
    "POST /meetings/{id}/close": Rule("meet", "meeting", _fixed(attendees=3), blind=COMPANIES),
    "GET /meetings/{id}/minutes.pdf": Rule("read", "meeting", blind=COMPANIES),
    "GET /meetings/{id}/feedback.pdf": Rule("read", "meeting", blind=COMPANIES),
    "POST /meetings/{id}/matters": Rule(
        "meet", "meeting",
        lambda far: {"id": str(uuid4()), "kind": "other", "text": "x", "deadline_at": _at(8)},
        blind=COMPANIES,
    ),
    "GET /matters": Rule("read", listed="matter"),
    "GET /matters/{id}": Rule("read", "matter"),
    "PATCH /matters/{id}": Rule("meet", "matter", _fixed(text="y")),
    "POST /matters/{id}/hand-on": Rule(
        "meet", "matter", _fixed(company="c", deadline_at=_at(8))
    ),
    "POST /matters/{id}/answer": Rule("answer", "matter", _fixed(text="y")),
    "POST /matters/{id}/settle": Rule("meet", "matter"),
    "POST /reports/phone": Rule(
        "report", "place", lambda far: {"id": str(uuid4()), "code": "no-output", **_place(far)}, 403
    ),
    "GET /reports": Rule("read", listed="report"),
    "GET /reports/{id}": Rule("read", "report"),
    "GET /reports/{id}/photos/{number}": Rule("read", "report"),
    "POST /reports/{id}/review": Rule("review", "report", _fixed(accept=False)),
    "POST /receipts/{token}/photos": PUBLIC,
    "GET /receipts/{token}/photos/{number}": PUBLIC,
    "PUT /receipts/{token}/contact": Rule(None, body=_fixed(contact="13800000000")),
    "DELETE /receipts/{token}/contact": PUBLIC,
    "GET /sites/{code}/busy-hours": PUBLIC,
    "POST /sites/{code}/waits": PUBLIC,
    "GET /waits/{token}": PUBLIC,
    "DELETE /waits/{token}": PUBLIC,
    "GET /webhooks": Rule("webhooks", listed="webhook"),
    "GET /webhooks/{id}": Rule("webhooks", "webhook"),
    "POST /webhooks": Rule(
        "webhooks", "place",
        lambda far: {"url": "https://x.example", "topics": ["ticket.*"], "sites": [_site(far)]},
        422,
    ),
    "PATCH /webhooks/{id}": Rule("webhooks", "webhook", _fixed(active=False)),
    "DELETE /webhooks/{id}": Rule("webhooks", "webhook"),
    "POST /webhooks/{id}/replay": Rule("webhooks", "webhook", query="from=2026-01-01T00:00:00Z"),
    "GET /ocpi-parties": Rule("ocpi", far=403, whole=True),
    "POST /ocpi-parties": Rule("ocpi", body=_fixed(name="hub"), far=403, whole=True),
    "DELETE /ocpi-parties/{id}": Rule("ocpi", far=403, whole=True),
    "POST /unknown-chargers/{code}/adopt": Rule(
        "adopt", "place",
        lambda far: {"site": _site(far), "kind": "ebike", "label": "x", "connectors": 2}, 403,
    ),
    "GET /policies": Rule("policy", far=403, whole=True),
    "POST /policies": Rule("policy", body=_fixed(text=""), far=403, whole=True),
    "GET /policies/{id}": Rule("policy", far=403, whole=True),
    "POST /policies/{id}/save": Rule("policy", far=403, whole=True),
    "GET /patrol-plans": Rule("read", listed="patrol_plan"),
    "GET /patrol-plans/{id}": Rule("read", "patrol_plan"),
    "POST /patrol-plans": Rule(
        "plan", "place",
        lambda far: {
            "name": "x", "kind": "survey", "scope": "site", "code": _site(far),
            "first_due_at": _at(8),
        },
        403,
    ),
    "PATCH /patrol-plans/{id}": Rule("plan", "patrol_plan", _fixed(name="y")),
    "DELETE /patrol-plans/{id}": Rule("plan", "patrol_plan"),
    "GET /rounds": Rule("read", listed="round"),
    "GET /rounds/{id}": Rule("read", "round"),
    "GET /rounds/{id}/stops": Rule("read", "round"),
    "PATCH /rounds/{id}": Rule("plan", "round", _fixed(worker=None)),
    "GET /patrol-intervals": Rule("read"),
    "GET /harsh-days": Rule("read", query="area={area}"),
    "POST /harsh-days": Rule(
        "plan", "place",
        lambda far: {
            "area": "b" if far else "a", "day": str(datetime.now(UTC).date()), "kind": "heat",
        },
        403,
    ),
    "GET /checklists": Rule("read"),
    "GET /checklists/{id}": Rule("read"),
    "GET /worker/tasks": Rule("inspect"),
    "POST /worker/sync": Rule("inspect", body=_fixed(inspections=[{}])),
    "GET /inspections/{id}": Rule("read", "inspection"),
    "GET /inspections/{id}/photos/{name}": Rule("read", "inspection"),
    "PUT /inspections/{id}/photos/{name}": Rule("inspect", "inspection"),
    "GET /posters": Rule("read"),
    "POST /posters": Rule("plan", "place", lambda far: {"site": _site(far)}, 422),
    "GET /posters.pdf": Rule("plan", "place", query="site={site}"),
    "GET /uptime": Rule("read", query=MONTH),
    "GET /uptime.csv": Rule("read", query=MONTH),
    "GET /uptime/excluded": Rule("read", query=MONTH),
    "GET /uptime/history": Rule(
        "read", "place", far=422, query=f"{MONTH}&by=site&code={{site}}"
    ),
    "GET /analysis": Rule("read", query=MONTH),
    "GET /exclusions": Rule("read", listed="exclusion"),
    "GET /exclusions/{id}": Rule("read", "exclusion"),
    "POST /exclusions": Rule(
        "exclude", "place",
        lambda far: {
            "scope": "site", "code": _site(far), "reason": "utility", "document": "x",
            "from_at": "2026-01-01T00:00:00Z", "to_at": "2026-01-02T00:00:00Z",
        },
        403,
    ),
    "PATCH /exclusions/{id}": Rule("exclude", "exclusion", _fixed(document="y")),
    "DELETE /exclusions/{id}": Rule("exclude", "exclusion"),
    "GET /sites/{code}/hours": Rule("read", "place"),
    "PUT /sites/{code}/hours": Rule(
        "exclude", "place", _fixed(from_on="2026-01-01", week={"1": [["08:00", "20:00"]]})
    ),
}  # fmt: skip


def test_every_operation_is_in_the_table_and_every_right_in_one_scope(world: World) -> None:
    there = {
        f"{method.upper()} {path.removeprefix('/api/v1')}"
        for path, methods in world.app.openapi()["paths"].items()
        for method in methods
        if path.startswith("/api/")
    }
    assert there == {operation.partition("#")[0] for operation in TABLE}
    assert {rule.right for rule in TABLE.values()} - {None} == set(RIGHTS)
    scoped = [word for words in SCOPES.values() for word in words]
    assert sorted(scoped) == sorted(RIGHTS)


def _path(sides: Sides, who: str, path: str, rule: Rule, far: bool) -> str:
    """The path with an object of this side in it."""
    values: dict[str, Any] = {
        "code": "D0" if far else "C0", "site": _site(far), "area": "b" if far else "a",
        "number": 1, "token": "guess", "month": "2026-01", "step": "accept",
    }  # fmt: skip
    if "/sites/" in path:
        values["code"] = _site(far)
    person = sides.far_person if far else sides.near_person
    match rule.of:
        case "ticket":
            values["id"] = sides.ticket(far)
            values["cost"] = sides.cost(values["id"])
        case "person":
            values |= {"id": person, "key": sides.key_of(person)}
        case "device":
            values["id"] = sides.far_device if far else sides.near_device
        case "my key":
            values["id"] = sides.key_of(person if far or who == "nobody" else sides.me(who))
        case "my session":
            owner = person if far or who == "nobody" else sides.me(who)
            row = sides.db.execute(
                "INSERT INTO login_session (hash, person_id, csrf, created_at, expires_at) "
                "VALUES (%s, %s, 'x', now(), now() + interval '1 hour') RETURNING id",
                (secrets.token_bytes(32), owner),
            ).fetchone()
            assert row is not None
            values["id"] = row["id"]
        case str() as kind if kind not in ("place", "charger"):
            values["id"] = getattr(sides, kind)(far)
    return re.sub(r"\{(\w+)\}", lambda name: str(values.get(name[1], 1)), f"{path}?{rule.query}")


def _is_far(sides: Sides, who: str, rule: Rule, far: bool) -> bool:
    if who == "chief" and rule.of not in ("my key", "my session"):
        return False
    return far or rule.whole or (rule.of is not None and sides.roles.get(who) in rule.blind)


@pytest.mark.timeout(120)
def test_every_operation_for_every_role_and_both_sides(world: World) -> None:
    sides = Sides(world)
    sides.ticket(False, port=1)  # ticket 1: the one to merge into
    wrong = []
    for operation, rule in TABLE.items():
        if operation in ("GET /live", "POST /reports"):
            continue  # a stream has no end; both are public
        method, path = operation.partition("#")[0].split(" ")
        for who in ("nobody", *sides.keys):
            headers = {} if who == "nobody" else {"Authorization": f"Bearer {sides.keys[who]}"}
            allowed = rule.right is None or (
                who != "nobody" and sides.roles[who] in RIGHTS[rule.right]
            )
            for far in (False, True) if rule.of is not None and allowed else (False,):
                body = None if rule.body is None else rule.body(far)
                answer = world.client.request(
                    method, f"/api/v1{_path(sides, who, path, rule, far)}", json=body,
                    headers=headers,
                )  # fmt: skip
                if not allowed:
                    fits = answer.status_code == (401 if who == "nobody" else 403)
                elif _is_far(sides, who, rule, far):
                    fits = answer.status_code == rule.far
                elif rule.right is None:
                    fits = answer.status_code in (200, 201, 404)
                else:
                    missing = rule.of is None and "{" in path  # nothing was made to be found
                    fits = answer.status_code in (200, 201, 202, 204, 409, 422, 404 * missing)
                if not fits:
                    wrong.append((operation, who, far, answer.status_code, answer.text[:100]))
    assert not wrong, "\n".join(map(str, wrong))


def test_lists_hold_only_what_is_near(world: World) -> None:
    sides = Sides(world)
    ids: dict[str, tuple[Any, Any]] = {
        kind: (getattr(sides, kind)(False), getattr(sides, kind)(True))
        for kind in (
            "ticket", "incident", "work_order", "meeting", "matter", "report", "webhook",
            "patrol_plan", "round", "exclusion", "shift",
        )
    } | {"person": (sides.near_person, sides.far_person)}  # fmt: skip
    db = world.db
    for far, code in ((False, "C0"), (True, "D0")):
        db.execute(
            "INSERT INTO quarantine (received_at, topic, payload, size, reason, charger_code) "
            "VALUES (now(), 't', '', 0, 'r', %s)", (code,),
        )  # fmt: skip
        db.execute(
            "INSERT INTO delivery (outbox_id, receiver, key, created_at, due_at) "
            "SELECT o.id, 'r', o.key, now(), now() FROM outbox o "
            "WHERE (o.payload ->> 'ticket')::bigint = %s ORDER BY o.id LIMIT 1",
            (ids["ticket"][far],),
        )  # fmt: skip
        db.execute(
            "INSERT INTO audit (at, person_id, action, object) VALUES (now(), NULL, 'x.y', %s)",
            (f"ticket/{ids['ticket'][far]}",),
        )
    for kind in ("quarantine", "delivery", "audit"):
        rows = db.execute(f"SELECT id FROM {kind} ORDER BY id").fetchall()  # type: ignore[call-overload]
        ids[kind] = (rows[0]["id"], rows[1]["id"])
    for operation, rule in TABLE.items():
        if rule.listed is None:
            continue
        assert rule.right is not None
        for who, role in sides.roles.items():
            if role not in RIGHTS[rule.right]:
                continue
            headers = {"Authorization": f"Bearer {sides.keys[who]}"}
            answer = world.client.get(f"/api/v1{operation.split()[1]}?limit=500", headers=headers)
            told = {row["id"] for row in answer.json()["items"]}
            near, far_id = ids[rule.listed]
            assert (near in told) == (role not in rule.blind or who == "chief"), (operation, who)
            assert (far_id in told) == (who == "chief"), (operation, who)
    for who, role in sides.roles.items():
        if role in RIGHTS["ledger"]:
            headers = {"Authorization": f"Bearer {sides.keys[who]}"}
            lines = world.client.get("/api/v1/ledger?limit=500", headers=headers).json()["items"]
            known = {line["ticket"] for line in lines} & set(ids["ticket"])
            assert known == set(ids["ticket"] if who == "chief" else ids["ticket"][:1]), who


# --- what a list shows is what the stream tells and what a single GET gives


class Mesh:
    """Two areas of two grids, three companies, six sites with two incidents and three tickets."""

    def __init__(self, world: World):
        self.world, db = world, world.db
        db.execute("INSERT INTO area (code, name) VALUES ('m1', 'x'), ('m2', 'x')")
        db.execute("INSERT INTO company (code, name) VALUES ('k0', 'x'), ('k1', 'x'), ('k2', 'x')")
        db.execute(
            "INSERT INTO grid (area_id, code, name) SELECT a.id, a.code || n, 'x' "
            "FROM area a, generate_series(1, 2) n WHERE a.code IN ('m1', 'm2')"
        )
        db.execute(
            "INSERT INTO site (code, grid_id, company_id, name) "
            "SELECT 'site' || n, g.id, c.id, 'x' "
            "FROM generate_series(1, 6) n "
            "JOIN grid g ON g.code = (ARRAY['m11', 'm12', 'm21', 'm22'])[n % 4 + 1] "
            "JOIN company c ON c.code = 'k' || n % 3"
        )
        db.execute("UPDATE site SET company_id = NULL WHERE code = 'site6'")
        db.execute(
            "INSERT INTO ticket (subject_kind, subject_id, site_id, code, family, severity, state, "
            "opened_at, deadline_at) SELECT 'site', s.id, s.id, 'no-output', 'f' || n, 2, 'open', "
            "now(), now() FROM site s, generate_series(1, 3) n WHERE s.code LIKE 'site%'"
        )
        db.execute(
            "INSERT INTO incident (subject_kind, subject_id, site_id, code, family, severity, "
            "effect, detector, phase, started_at) SELECT 'site', s.id, s.id, 'no-output', 'f', 2, "
            "'out-of-order', 'reported', 'open', now() FROM site s WHERE s.code LIKE 'site%'"
        )
        # One more that is explained by the first, and has no ticket of its own.
        db.execute(
            "INSERT INTO incident (subject_kind, subject_id, site_id, code, family, severity, "
            "effect, detector, phase, started_at, parent_id) SELECT subject_kind, subject_id, "
            "site_id, code, 'g', 2, effect, detector, 'member', now(), id FROM incident"
        )
        self.ids = {
            "ticket": [r["id"] for r in db.execute("SELECT id FROM ticket ORDER BY id")],
            "incident": [r["id"] for r in db.execute("SELECT id FROM incident ORDER BY id")],
        }

    def give(self, draw: Any, person: int) -> None:
        """Tickets change their company and assignee, incidents their ticket."""
        db = self.world.db
        companies = [None, *(f"k{n}" for n in range(3))]
        for id in self.ids["ticket"]:
            db.execute(
                "UPDATE ticket SET company_id = (SELECT id FROM company WHERE code = %s), "
                "assignee_id = %s WHERE id = %s",
                (draw(st.sampled_from(companies)), draw(st.sampled_from([None, None, person])), id),
            )
        for id in self.ids["incident"]:
            ticket = draw(st.sampled_from([None, *self.ids["ticket"]]))
            db.execute(
                "UPDATE incident SET ticket_id = %s WHERE id = %s AND parent_id IS NULL",
                (ticket, id),
            )


def _reach(draw: Any, role: str) -> Reach:
    company = draw(st.sampled_from([None, "k0", "k1", "k2"]))
    grids = draw(st.sets(st.sampled_from(["m11", "m12", "m21", "m22"]), max_size=3))
    areas = draw(st.sets(st.sampled_from(["m1", "m2"]), max_size=2))
    return Reach(
        company if role in ("repairer", "operator", "device") else None,
        tuple(grids) if role in ("grid_worker", "device") else (),
        tuple(areas) if role in ("admin", "auditor") else (),
    )


@pytest.mark.timeout(120)
def test_lists_single_objects_and_the_stream_agree(world: World) -> None:
    mesh = Mesh(world)
    person = person_named(world.db, "grid_worker")["id"]
    key = world.keys["grid_worker"]
    headers = {"Authorization": f"Bearer {key}"}
    seen = set()

    @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.data())
    def look(data: st.DataObject) -> None:
        draw = data.draw
        role = draw(st.sampled_from([role for role in ROLES if role in RIGHTS["read"]]))
        change_person(
            world.db, person, name="x", role=role, reach=_reach(draw, role), email=None, active=True
        )
        mesh.give(draw, person)
        caller = caller_by_key(world.db, key, datetime.now(UTC))
        assert caller is not None
        for kind, ids in mesh.ids.items():
            owners = world.db.execute(SQL[f"live_{kind}s"], {"ids": ids}).fetchall()
            mine = {row["id"] for row in owners if within(scope(caller), row)}
            listed = world.client.get(f"/api/v1/{kind}s?limit=500", headers=headers).json()["items"]
            assert {row["id"] for row in listed} == mine, (kind, caller)
            for id in draw(st.sets(st.sampled_from(ids), max_size=3)):
                answer = world.client.get(f"/api/v1/{kind}s/{id}", headers=headers)
                assert answer.status_code == (200 if id in mine else 404), (kind, id, caller)
            seen.add((kind, bool(mine), len(mine) == len(ids)))

    look()
    # Nothing, a part and all of it have been seen of both.
    assert len(seen) == 6, seen
