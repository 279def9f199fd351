"""Step functions of what was said and heard, built from raw observations before these are dropped.

Hours are built in order, each in its own transaction with the mark of how far we are. An hour may
be built as often as wanted; late words bring us back to theirs.
"""

from datetime import datetime, timedelta
from typing import Any

from pilewatch.faultcodes import FAULTS
from pilewatch.store import queries
from pilewatch.store.pool import Db

_SQL = queries.load("uptime")
STOPPING = [fault.code for fault in FAULTS.values() if fault.effect == "out-of-order"]
"""Faults that put a port out of order although it may say that it is available."""
HOUR = timedelta(hours=1)
_NEAR_S = 900
_MANY = 100
"""Hours of one call: a new installation over an old history takes several."""


def built_until(db: Db) -> datetime | None:
    """Up to when the step functions are known; None before the first hour was built."""
    row = db.execute(_SQL["progress"]).fetchone()
    return None if row is None else row["built_until"]


def build_on(db: Db, until: datetime, oldest: datetime) -> int:
    """Build the hours that ended by `until` and were not built yet; gives how many.

    `oldest` is the moment before which retention drops what was observed.
    """
    begins = built_until(db) or _first_hour(db, oldest)
    ends = until.replace(minute=0, second=0, microsecond=0)
    built = 0
    while begins is not None and begins < ends and built < _MANY:
        with db.transaction():
            build_hour(db, begins)
            begins += HOUR
            # A day of which retention may drop a part of its words cannot be built again.
            values = {"until": begins, "kept_since": oldest + timedelta(days=1)}
            db.execute(_SQL["set_built_until"], values)
        built += 1
    return built


def build_late(db: Db, hour: datetime) -> None:
    """Words have come late for this hour: build it again, and mark its figures as due.

    Inside the caller's transaction. What is older than the retention stays as it is: the words
    around it, which would decide, are gone.
    """
    if db.execute(_SQL["may_be_late"], {"hour": hour}).fetchone() is None:
        return
    build_hour(db, hour)
    for row in db.execute(_SQL["new_promises"], {"hour": hour}).fetchall():
        later = hour + HOUR
        while later < row["until"]:
            _build_contacts(db, later, [row])
            later += HOUR
    db.execute(_SQL["mark_late"], {"hour": hour})


def rebuild(db: Db, begins: datetime, ends: datetime) -> int:
    """Build every hour that touches this range once more; gives how many.

    Only where all that was observed is still there, and only what was built before.
    """
    row = db.execute(_SQL["progress"]).fetchone()
    if row is None:
        return 0
    hour = max(begins, row["kept_since"]).replace(minute=0, second=0, microsecond=0)
    ends = min(ends, row["built_until"])
    built = 0
    while hour < ends:
        with db.transaction():
            build_hour(db, hour)
        hour += HOUR
        built += 1
    return built


def build_hour(db: Db, hour: datetime) -> None:
    """What this hour's words say of its connectors and chargers. Inside a transaction."""
    db.execute(_SQL["rebuild_states"], {"hour": hour, "stopping": STOPPING})
    db.execute(_SQL["remember_reach"], {"hour": hour})
    rows = db.execute(_SQL["reach_of_chargers"]).fetchall()
    # A charger that announced long silences would make all of them be read far back.
    _build_contacts(db, hour, [row for row in rows if row["longest_s"] <= _NEAR_S])
    _build_contacts(db, hour, [row for row in rows if row["longest_s"] > _NEAR_S])


def _build_contacts(db: Db, hour: datetime, chargers: list[dict[str, Any]]) -> None:
    if chargers:
        reach = timedelta(seconds=max(row["longest_s"] for row in chargers))
        values = {"hour": hour, "ids": [row["id"] for row in chargers], "reach": reach}
        db.execute(_SQL["rebuild_contacts"], values)


def _first_hour(db: Db, oldest: datetime) -> datetime | None:
    row = db.execute(_SQL["first_hour"], {"oldest": oldest}).fetchone()
    hour: datetime | None = None if row is None else row["hour"]
    return hour
