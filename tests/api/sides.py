"""Two sides of one installation, and people of every role on the near one."""

import secrets
from datetime import UTC, datetime, timedelta
from typing import Any

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
