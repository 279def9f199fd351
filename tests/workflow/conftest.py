"""A small community in the database, whose piles say what a test wants."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pilewatch.model import SubjectKind
from pilewatch.policy import Evidence, Policy
from pilewatch.store.pool import Db
from pilewatch.workflow.desk import ENGINE, Subject, open_ticket

NOW = datetime(2026, 5, 1, 8, tzinfo=UTC)


class Community:
    """One site, one gateway, `chargers` chargers with two connectors each, all healthy."""

    def __init__(self, db: Db, chargers: int = 3):
        self.db = db
        self.policy = Policy(evidence=Evidence(healthy_idle_s=600))
        area = self._one("INSERT INTO area (code, name) VALUES ('a', 'A') RETURNING id")
        grid = self._one("INSERT INTO grid (area_id, code, name) VALUES (%s,'g','G')", area)
        self.company = self._one("INSERT INTO company (code, name) VALUES ('c', 'C')")
        self.site = self._one(
            "INSERT INTO site (code, grid_id, company_id, name) VALUES ('s', %s, %s, 'S')",
            grid,
            self.company,
        )
        self.gateway = self._one("INSERT INTO gateway (code, site_id) VALUES ('gw', %s)", self.site)
        self.worker = self._one(
            "INSERT INTO person (login, name, role) VALUES ('w', 'W', 'grid_worker')"
        )
        self.chargers: list[int] = []
        self.connectors: list[int] = []
        for number in range(chargers):
            charger = self._one(
                "INSERT INTO charger (code, site_id, gateway_id, kind, label) "
                "VALUES (%s, %s, %s, 'ebike', 'x')",
                f"C{number}",
                self.site,
                self.gateway,
            )
            self.chargers.append(charger)
            db.execute(
                "INSERT INTO charger_state (charger_id, last_seen_at, confirmed_at) "
                "VALUES (%s, %s, %s)",
                (charger, NOW, NOW),
            )
            for port in (1, 2):
                connector = self._one(
                    "INSERT INTO connector (charger_id, number) VALUES (%s, %s)", charger, port
                )
                self.connectors.append(connector)
                db.execute(
                    "INSERT INTO connector_state (connector_id, charger_id, status, status_at, "
                    "confirmed_at, healthy_since) VALUES (%s, %s, 'available', %s, %s, %s)",
                    (connector, charger, NOW, NOW, NOW - timedelta(days=1)),
                )

    def _one(self, sql: str, *values: Any) -> int:
        text = sql if "RETURNING" in sql else f"{sql} RETURNING id"
        row = self.db.execute(text, values).fetchone()
        assert row is not None
        return int(row["id"])

    def heard(self, now: datetime) -> None:
        """Every charger sends a heartbeat that confirms all its ports."""
        self.db.execute("UPDATE charger_state SET last_seen_at = %s, confirmed_at = %s", (now, now))

    def session(self, connector: int, start: datetime, end: datetime, wh: float) -> None:
        """A session that ended with so much energy."""
        self.db.execute(
            "INSERT INTO charging_session (connector_id, session_id, started_at, ended_at, "
            "energy_wh) VALUES (%s, %s, %s, %s, %s)",
            (connector, start.isoformat(), start, end, wh),
        )

    def ticket(self, code: str, connector: int) -> int:
        """A ticket that the engine opens now on a connector, by its place in `connectors`."""
        subject = Subject(SubjectKind.CONNECTOR, self.connectors[connector])
        with self.db.transaction():
            return open_ticket(
                self.db, self.policy, datetime.now(UTC), subject=subject, code=code, actor=ENGINE
            ).ticket_id

    def state(self, ticket: int) -> str:
        """Where the ticket stands."""
        row = self.db.execute("SELECT state FROM ticket WHERE id = %s", (ticket,)).fetchone()
        assert row is not None
        return str(row["state"])

    def timeline(self, ticket: int) -> list[str]:
        """The words of its timeline."""
        rows = self.db.execute(
            "SELECT action FROM ticket_entry WHERE ticket_id = %s ORDER BY id", (ticket,)
        )
        return [row["action"] for row in rows]


@pytest.fixture
def community(plain_db: Db) -> Community:
    """The community on plain PostgreSQL."""
    return Community(plain_db)
