"""A charger whose story is told to the database, early or late, and its figures."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from psycopg.types.json import Jsonb

from pilewatch.faultcodes import FAULTS
from pilewatch.store.pool import Db
from pilewatch.uptime.building import build_late, build_on
from pilewatch.uptime.measures import Tally
from pilewatch.uptime.periods import Length, Period
from pilewatch.uptime.reading import places, tallies
from tests.uptime.slow import Out, Story, Trouble, Word
from tests.workflow.conftest import Community

START = datetime(2026, 5, 31, 12, tzinfo=UTC)
"""A second 0 of the stories. In the site's time it is the evening before a new month."""
_KINDS = {"meter": 2, "heartbeat": 6, "online": 7, "offline": 8}


class Recorded(Community):
    """A community whose first charger has a story."""

    def __init__(self, db: Db):
        super().__init__(db, chargers=1)
        db.execute("DELETE FROM charger_state")
        db.execute("DELETE FROM connector_state")

    def at(self, second: float) -> datetime:
        """START and so many seconds."""
        return START + timedelta(seconds=second)

    def hear(self, words: Iterable[Word]) -> None:
        """Store these words as the ingester does, and mark their hours."""
        hours = set()
        for word in words:
            kind = _KINDS.get(word.says, 1)
            data = {"heartbeatS": word.heartbeat_s} if word.says == "online" else None
            self.db.execute(
                "INSERT INTO observation (observed_at, received_at, charger_id, connector, kind, "
                "seq, connector_id, status, errors, data) "
                "VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
                (
                    self.at(word.at), self.at(word.at), self.chargers[0], word.port, kind, word.seq,
                    self.connectors[word.port - 1] if word.port else None,
                    word.says if kind == 1 else None,
                    Jsonb([{"code": code} for code in word.codes]) if kind == 1 else None,
                    None if data is None else Jsonb(data),
                ),
            )  # fmt: skip
            hours.add(self.at(word.at).replace(minute=0, second=0, microsecond=0))
        self.late = sorted(hours)

    def promise(self, story: Story) -> None:
        """The heartbeat that current state tells: the last one announced."""
        self.promise_of(story.promise(10**9))

    def promise_of(self, heartbeat_s: int) -> None:
        """So long between two heartbeats."""
        self.db.execute(
            "INSERT INTO charger_state (charger_id, heartbeat_s) VALUES (%s, %s) "
            "ON CONFLICT (charger_id) DO UPDATE SET heartbeat_s = excluded.heartbeat_s",
            (self.chargers[0], heartbeat_s),
        )

    def build(self, second: float) -> None:
        """The step functions up to the last full hour before this."""
        while build_on(self.db, self.at(second), START - timedelta(days=60)):
            pass

    def come_late(self, words: Iterable[Word]) -> None:
        """Words for hours that were built already."""
        self.hear(words)
        for hour in self.late:
            with self.db.transaction():
                build_late(self.db, hour)

    def trouble(self, trouble: Trouble) -> None:
        """An incident as the engine leaves it."""
        fault = FAULTS[trouble.code]
        connector = self.connectors[trouble.port - 1] if trouble.port else None
        self.db.execute(
            "INSERT INTO incident (subject_kind, subject_id, site_id, charger_id, connector_id, "
            "code, family, severity, effect, detector, phase, started_at, ended_at) VALUES "
            "(%s, %s, %s, %s, %s, %s, %s, %s, %s, 'reported', %s, %s, %s) ON CONFLICT DO NOTHING",
            (
                "connector" if trouble.port else "charger", connector or self.chargers[0],
                self.site, self.chargers[0], connector, trouble.code, fault.family, fault.severity,
                fault.effect, "open" if trouble.ends is None else "cleared",
                self.at(trouble.begins), None if trouble.ends is None else self.at(trouble.ends),
            ),
        )  # fmt: skip

    def leave_out(self, out: Out) -> None:
        """An exclusion with its document."""
        self.db.execute(
            "INSERT INTO exclusion (scope_kind, scope_id, reason, document, from_at, to_at, "
            "entered_by, entered_at) VALUES (%s, %s, %s, 'a letter', %s, %s, %s, %s)",
            (
                "connector" if out.port else "site",
                self.connectors[out.port - 1] if out.port else self.site,
                out.reason, self.at(out.begins), self.at(out.ends), self.worker, self.at(out.ends),
            ),
        )  # fmt: skip

    def opened(self) -> datetime:
        """When the last ticket was opened."""
        row = self.db.execute("SELECT max(opened_at) AS at FROM ticket").fetchone()
        assert row is not None
        found: datetime = row["at"]
        return found

    def tallies(self, period: Period) -> dict[int, Tally]:
        """Each port's time in the period."""
        return {place.number: t for place, t in tallies(self.db, places(self.db), period)}


def seconds(tally: Tally) -> dict[str, float]:
    """A tally in seconds, as far as the slow reference counts."""
    told = msgspec.to_builtins(tally)
    names = (
        "service", "working", "unavailable", "out_of_order", "unknown", "nevi_outage",
        "nevi_excluded", "uk_total", "uk_down", "uk_ineligible",
    )  # fmt: skip
    return {name: told[name] / 1e6 for name in names}


def whole(first: str, after: str) -> Period:
    """From one day up to another, in the site's own time."""
    return Period(
        Length.MONTH, datetime.fromisoformat(first).date(), datetime.fromisoformat(after).date()
    )


@pytest.fixture
def recorded(db: Db) -> Recorded:
    """On both kinds of server."""
    return Recorded(db)


@pytest.fixture
def plain_recorded(plain_db: Db) -> Recorded:
    """On plain PostgreSQL."""
    return Recorded(plain_db)
