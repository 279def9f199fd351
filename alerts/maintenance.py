"""The leader's housekeeping: partitions ahead, roll-ups, uptime, retention, bounds."""

from datetime import datetime, timedelta

import psycopg
import structlog

from pilewatch.settings import Settings
from pilewatch.store import queries
from pilewatch.store.pool import Db
from pilewatch.uptime.building import build_late, build_on
from pilewatch.uptime.publishing import publish_due

_LOG = structlog.get_logger()
_SQL = queries.load("alerts")
_OPEN = queries.load("open")
_SETTLE = timedelta(minutes=2)
"""How long after its end an hour's rows may still be in an open transaction."""


def maintain(db: Db, settings: Settings, now: datetime) -> None:
    """Everything that is due. Each step is its own transaction and may be repeated."""
    for days in (0, 1, 2):
        db.execute("SELECT ensure_observation_day(%s)", ((now + timedelta(days=days)).date(),))
    oldest = now - timedelta(days=settings.database.retention_days)
    roll_up(db, now)
    built = build_on(db, now - _SETTLE, oldest)
    publish_due(db, now, late=built > 0)
    db.execute("SELECT drop_observations_before(%s)", (oldest,))
    compress(db, now - timedelta(days=settings.database.columnstore_days))
    kept = now - timedelta(days=settings.ingest.quarantine_days)
    db.execute(_SQL["trim_quarantine"], {"before": kept, "rows": settings.ingest.quarantine_rows})
    db.execute(_SQL["trim_unknown_chargers"], {"before": kept})
    db.execute(_SQL["trim_idempotency"], {"before": now - timedelta(days=2)})
    db.execute(_SQL["trim_word_counts"], {"now": now})
    db.execute(_SQL["trim_daily_salts"], {"today": now.date()})
    db.execute(_SQL["trim_login_sessions"], {"now": now})
    db.execute(_OPEN["trim_waiters"], {"before": now - timedelta(days=1)})
    db.execute(_SQL["trim_outbox"], {"before": now - timedelta(days=30)})


def compress(db: Db, before: datetime) -> int:
    """Move one chunk of old observations into TimescaleDB's columnstore, where there is one; gives
    how many. A server that refuses keeps its rows as they are."""
    try:
        row = db.execute("SELECT compress_observations_before(%s) AS n", (before,)).fetchone()
    except psycopg.Error as error:
        if db.closed or db.broken:
            raise
        _LOG.warning("the columnstore is not used", problem=str(error).splitlines()[:1])
        return 0
    assert row is not None
    return int(row["n"])


def roll_up(db: Db, now: datetime) -> int:
    """Recompute the finished hours whose rows changed; gives how many."""
    before = now - timedelta(hours=1) - _SETTLE
    hours = [row["hour"] for row in db.execute(_SQL["finished_hours"], {"before": before})]
    for hour in hours:
        with db.transaction():
            # Marks that come while we read stay behind, and bring us back to this hour.
            db.execute(_SQL["clear_due_hour"], {"hour": hour})
            db.execute(_SQL["roll_up_hour"], {"hour": hour})
            build_late(db, hour)
    return len(hours)
