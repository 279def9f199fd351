"""A community whose piles say what a test wants, and an engine that looks when it is told."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from psycopg.types.json import Jsonb

from alerts.engine import Engine
from pilewatch.policy import Correlation, Debounce, Evidence, Policy
from pilewatch.store.pool import Db
from tests.workflow.conftest import NOW, Community

POLICY = Policy(
    debounce=Debounce(people_s=0, reported_s=10, silence_s=30, stale_s=30, clear_s=60),
    correlation=Correlation(share=0.8),
    evidence=Evidence(healthy_idle_s=600),
)


class Watched(Community):
    """The community with an engine over it; times are seconds after NOW."""

    def __init__(self, db: Db, chargers: int = 5):
        super().__init__(db, chargers)
        self.policy = POLICY
        self.engine = Engine(db, POLICY)

    def at(self, seconds: float) -> datetime:
        """NOW and so many seconds."""
        return NOW + timedelta(seconds=seconds)

    def event(self, seconds: float, kind: str, charger: int, port: int | None, **said: Any) -> None:
        """One event, as the ingester writes it."""
        connector = None if port is None else self.connectors[charger * 2 + port - 1]
        self.db.execute(
            "INSERT INTO event (kind, charger_id, connector_id, observed_at, received_at, payload)"
            " VALUES (%s, %s, %s, %s, %s, %s)",
            (kind, self.chargers[charger], connector, self.at(seconds), self.at(seconds),
             Jsonb(said)),
        )  # fmt: skip

    def says(self, seconds: float, charger: int, port: int, status: str, *codes: str) -> None:
        """A status message of one port."""
        errors = [{"code": code} for code in codes]
        self.event(seconds, "connector.status", charger, port, status=status, errors=errors)
        healthy = None if codes or status == "faulted" else self.at(seconds)
        self.db.execute(
            "UPDATE connector_state SET status = %s, healthy_since = %s WHERE connector_id = %s",
            (status, healthy, self.connectors[charger * 2 + port - 1]),
        )

    def dies(self, seconds: float, charger: int) -> None:
        """Its last will speaks."""
        self.event(seconds, "charger.offline", charger, None)
        self.db.execute(
            "UPDATE charger_state SET offline_said_at = %s WHERE charger_id = %s",
            (self.at(seconds), self.chargers[charger]),
        )

    def returns(self, seconds: float, charger: int) -> None:
        """It speaks again."""
        self.event(seconds, "charger.online", charger, None)
        self.lives(seconds, charger)

    def lives(self, seconds: float, *chargers: int) -> None:
        """Heartbeats."""
        for charger in chargers:
            self.db.execute(
                "UPDATE charger_state SET last_seen_at = %s, confirmed_at = %s "
                "WHERE charger_id = %s",
                (self.at(seconds), self.at(seconds), self.chargers[charger]),
            )

    def listens(self, seconds: float, since: float = -3600) -> None:
        """An ingester was alive at this moment."""
        self.db.execute(
            "INSERT INTO listener VALUES ('t', %s, %s) ON CONFLICT (client_id) DO UPDATE "
            "SET since = excluded.since, alive_at = excluded.alive_at",
            (self.at(since), self.at(seconds)),
        )

    def look(self, seconds: float) -> None:
        """The engine decides everything that waits."""
        while self.engine.turn(self.at(seconds)):
            pass

    def incidents(self) -> list[tuple[str, str, str]]:
        """(subject kind, code, phase) of every incident, in order of writing."""
        rows = self.db.execute("SELECT subject_kind, code, phase FROM incident ORDER BY id")
        return [(r["subject_kind"], r["code"], r["phase"]) for r in rows]

    def tickets(self) -> list[tuple[str, str, str]]:
        """(subject kind, code, state) of every ticket."""
        rows = self.db.execute("SELECT subject_kind, code, state FROM ticket ORDER BY id")
        return [(r["subject_kind"], r["code"], r["state"]) for r in rows]


@pytest.fixture
def watched(plain_db: Db) -> Watched:
    """Five chargers behind one gateway."""
    return Watched(plain_db)
