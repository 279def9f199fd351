"""Two sides of one installation, and people of every role on the near one."""

import secrets
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from api.people import ROLES, add_person, new_api_key
from pilewatch.model import SubjectKind
from pilewatch.workflow.desk import ENGINE, Subject, open_ticket
from tests.api.conftest import World

NEAR: dict[str, dict[str, Any]] = {
    "grid_worker": {"grids": ["g"]},
    "repairer": {"company": "c"},
    "operator": {"company": "c"},
    "admin": {"areas": ["a"]},
    "auditor": {"areas": ["a"]},
    "device": {"company": "c"},
}


class Sides:
    """Near: area a, grid g, company c, site s, charger C0. Far: b, h, d, t, D0."""

    def __init__(self, world: World):
        self.world, self.db = world, world.db
        db = world.db
        area = self._one("INSERT INTO area (code, name) VALUES ('b', 'B')")
        grid = self._one("INSERT INTO grid (area_id, code, name) VALUES (%s, 'h', 'H')", area)
        company = self._one("INSERT INTO company (code, name) VALUES ('d', 'D')")
        site = self._one(
            "INSERT INTO site (code, grid_id, company_id, name) VALUES ('t', %s, %s, 'T')",
            grid, company,
        )  # fmt: skip
        charger = self._one(
            "INSERT INTO charger (code, site_id, kind, label) VALUES ('D0', %s, 'ebike', 'x')", site
        )
        self.far_connectors = [
            self._one("INSERT INTO connector (charger_id, number) VALUES (%s, %s)", charger, number)
            for number in (1, 2)
        ]
        self.keys = {role: self.key(f"near {role}", role, **NEAR[role]) for role in ROLES}
        self.keys["chief"] = self.key("chief", "admin")
        self.roles = {**{role: role for role in ROLES}, "chief": "admin"}
        now = datetime.now(UTC)
        self.far_person = add_person(db, "far", "far", "grid_worker", grids=["h"])
        new_api_key(db, self.far_person, "far", now)
        self.near_person = add_person(db, "near", "near", "repairer", company="c")
        new_api_key(db, self.near_person, "near", now)
        self.near_device = add_person(db, "pile", "pile", "device", grids=["g"])
        self.far_device = add_person(db, "far pile", "pile", "device", grids=["h"])

    def _one(self, sql: str, *values: Any) -> int:
        row = self.db.execute(f"{sql} RETURNING id", values).fetchone()  # type: ignore[call-overload]
        assert row is not None
        return int(row["id"])

    def key(self, login: str, role: str, **reach: Any) -> str:
        """A new person's key."""
        return new_api_key(
            self.db, add_person(self.db, login, login, role, **reach), "t", datetime.now(UTC)
        )

    def ticket(self, far: bool, port: int = 0, code: str = "relay-open") -> int:
        """A ticket that the engine opens."""
        connectors = self.far_connectors if far else self.world.community.connectors
        subject = Subject(SubjectKind.CONNECTOR, connectors[port])
        with self.db.transaction():
            opened = open_ticket(
                self.db, self.world.community.policy, datetime.now(UTC), subject=subject,
                code=code, actor=ENGINE,
            )  # fmt: skip
        return opened.ticket_id

    def incident(self, far: bool) -> int:
        """An open incident of its own family."""
        return self._one(
            "INSERT INTO incident (subject_kind, subject_id, site_id, charger_id, connector_id, "
            "code, family, severity, effect, detector, phase, started_at) "
            "SELECT 'connector', n.id, c.site_id, c.id, n.id, 'no-output', %s, 2, "
            "'out-of-order', 'reported', 'open', now() "
            "FROM connector n JOIN charger c ON c.id = n.charger_id WHERE n.id = %s",
            secrets.token_hex(4),
            (self.far_connectors if far else self.world.community.connectors)[0],
        )

    def downtime(self, far: bool) -> int:
        """A planned one."""
        begins = datetime.now(UTC) + timedelta(days=1)
        return self._one(
            "INSERT INTO downtime (scope_kind, scope_id, kind, from_at, to_at, reason, entered_by, "
            "entered_at) SELECT 'site', s.id, 'maintenance', %s, %s, 'x', 1, now() FROM site s "
            "WHERE s.code = %s",
            begins, begins + timedelta(hours=1), "t" if far else "s",
        )  # fmt: skip

    def silence(self, far: bool) -> int:
        """One that is in force."""
        return self._one(
            "INSERT INTO silence (site_id, from_at, to_at, reason, entered_by, entered_at) "
            "SELECT s.id, now(), now() + interval '1 hour', 'x', 1, now() FROM site s "
            "WHERE s.code = %s",
            "t" if far else "s",
        )

    def shift(self, far: bool) -> int:
        """Tomorrow's, for the site."""
        begins = datetime.now(UTC) + timedelta(days=1)
        return self._one(
            "INSERT INTO shift (person_id, scope_kind, scope_id, from_at, to_at, entered_by, "
            "entered_at) SELECT %s, 'site', s.id, %s, %s, 1, now() FROM site s WHERE s.code = %s",
            self.far_person if far else self.near_person,
            begins, begins + timedelta(hours=8), "t" if far else "s",
        )  # fmt: skip

    def cost(self, ticket: int) -> int:
        """A cost of this ticket."""
        return self._one(
            "INSERT INTO ticket_cost (ticket_id, kind, quantity, unit_fen, payer, entered_by, "
            "entered_at) VALUES (%s, 'labour', 1, 100, 'user', 1, now())",
            ticket,
        )

    def work_order(self, far: bool) -> int:
        """The community's part of a ticket, which the company may do too."""
        return self._one(
            "INSERT INTO work_order (ticket_id, duty, company_id, task, deadline_at, state, "
            "opened_at) SELECT %s, 'community', c.id, 'x', now(), 'open', now() FROM company c "
            "WHERE c.code = %s",
            self.ticket(far), "d" if far else "c",
        )  # fmt: skip

    def command(self, far: bool) -> int:
        """One that is done."""
        return self._one(
            "INSERT INTO command (charger_id, name, reason, state, issued_at, expires_at, "
            "ended_at) SELECT c.id, 'reset', 'x', 'done', now(), now() + interval '1 h', now() "
            "FROM charger c WHERE c.code = %s",
            "D0" if far else "C0",
        )

    def report(self, far: bool) -> int:
        """A doubtful one with a photo, that waits for a review."""
        id = self._one(
            "INSERT INTO report (receipt, source, site_id, code, reported_at, doubt) "
            "SELECT %s, 'page', s.id, 'no-output', now(), '{same-text}' FROM site s "
            "WHERE s.code = %s",
            secrets.token_bytes(32), "t" if far else "s",
        )  # fmt: skip
        self.db.execute(
            "INSERT INTO report_photo (report_id, number, added_at, sent, width, height, jpeg) "
            "VALUES (%s, 1, now(), %s, 1, 1, 'x')",
            (id, secrets.token_bytes(32)),
        )
        return id

    def meeting(self, far: bool) -> str:
        """One that was held in the grid."""
        id = str(uuid4())
        self.db.execute(
            "INSERT INTO meeting (id, grid_id, place, starts_at, entered, entered_by, entered_at) "
            "SELECT %s, g.id, 'x', now(), '', 1, now() FROM grid g WHERE g.code = %s",
            (id, "h" if far else "g"),
        )
        return id

    def matter(self, far: bool) -> str:
        """One that the company owes an answer to."""
        id = str(uuid4())
        self.db.execute(
            "INSERT INTO matter (id, meeting_id, grid_id, raised_at, kind, text, owner_company_id, "
            "deadline_at, state, entered, entered_by, entered_at) "
            "SELECT %s, m.id, m.grid_id, now(), 'other', 'x', c.id, now(), 'raised', '', 1, now() "
            "FROM meeting m, company c WHERE m.id = %s AND c.code = %s",
            (id, self.meeting(far), "d" if far else "c"),
        )
        return id

    def exclusion(self, far: bool) -> int:
        """An hour of the site's."""
        return self._one(
            "INSERT INTO exclusion (scope_kind, scope_id, reason, document, from_at, to_at, "
            "entered_by, entered_at) SELECT 'site', s.id, 'utility', 'x', now() - interval '1 h', "
            "now(), 1, now() FROM site s WHERE s.code = %s",
            "t" if far else "s",
        )

    def patrol_plan(self, far: bool) -> int:
        """A patrol of the site."""
        return self._one(
            "INSERT INTO patrol_plan (name, kind, purpose, scope_kind, scope_id, interval_days, "
            "route, first_due_at, entered_by, entered_at) "
            "SELECT 'x', 'patrol', 'patrol', 'site', s.id, 90, 'nearest', now(), 1, now() "
            "FROM site s WHERE s.code = %s",
            "t" if far else "s",
        )

    def round(self, far: bool) -> int:
        """An open round over one pile."""
        checklist = self._one(
            "INSERT INTO checklist (code, number, purpose, chargers, digest, content, added_at) "
            "VALUES (%s, 1, 'patrol', '{ebike}', '', %s, now())",
            secrets.token_hex(4), '{"name": {"zh": "x", "en": "x"}, "items": []}',
        )  # fmt: skip
        id = self._one(
            "INSERT INTO patrol_round (plan_id, number, opened_at, due_at) "
            "VALUES (%s, 1, now(), now() + interval '1 day')",
            self.patrol_plan(far),
        )
        self.db.execute(
            "INSERT INTO patrol_stop (round_id, charger_id, place, checklist_id) "
            "SELECT %s, c.id, 1, %s FROM charger c WHERE c.code = %s",
            (id, checklist, "D0" if far else "C0"),
        )
        return id

    def inspection(self, far: bool) -> str:
        """One that passed, with a photo."""
        id = str(uuid4())
        self.db.execute(
            "INSERT INTO inspection (id, charger_id, person_id, inspected_at, received_at, passed) "
            "SELECT %s, c.id, 1, now(), now(), true FROM charger c WHERE c.code = %s",
            (id, "D0" if far else "C0"),
        )
        self.db.execute(
            "INSERT INTO inspection_photo "
            "(inspection_id, name, added_at, sent, width, height, jpeg) "
            "VALUES (%s, '1', now(), %s, 1, 1, 'x')",
            (id, secrets.token_bytes(32)),
        )
        return id

    def webhook(self, far: bool) -> int:
        """The company's, about its one site."""
        return self._one(
            "INSERT INTO webhook (url, secret, topics, sites, company_id, created_by, created_at) "
            "SELECT 'https://x.example', 'x', '{ticket.*}', ARRAY[%s], c.id, 1, now() "
            "FROM company c WHERE c.code = %s",
            *(("t", "d") if far else ("s", "c")),
        )

    def key_of(self, person: int) -> int:
        """The number of a new key of this person."""
        new_api_key(self.db, person, "x", datetime.now(UTC))
        row = self.db.execute("SELECT max(id) AS id FROM api_key").fetchone()
        assert row is not None
        return int(row["id"])

    def me(self, who: str) -> int:
        """The number of the person who asks."""
        login = "chief" if who == "chief" else f"near {who}"
        row = self.db.execute("SELECT id FROM person WHERE login = %s", (login,)).fetchone()
        assert row is not None
        return int(row["id"])
