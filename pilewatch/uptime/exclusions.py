"""Time that may be left out of the figures: each with a reason and the document that proves it.

Every function runs inside its caller's transaction; the figures that a change touches become due.
"""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Literal

from psycopg.types.json import Jsonb

from pilewatch.openinghours import Week
from pilewatch.store import queries
from pilewatch.store.pool import Db
from pilewatch.uptime.measures import Reason
from pilewatch.uptime.periods import check_week

_SQL = queries.load("uptime")
ScopeKind = Literal["area", "grid", "site", "gateway", "charger", "connector"]


@dataclass(frozen=True)
class Exclusion:
    """What is left out. `from_at` is in it, `to_at` is not."""

    reason: Reason
    document: str
    from_at: datetime
    to_at: datetime
    note: str | None = None


def enter_exclusion(
    db: Db, now: datetime, scope: tuple[ScopeKind, int], what: Exclusion, person_id: int
) -> int:
    """Gives its number. Raises `ValueError` where it has not begun, or ends before it begins."""
    _check(what, now)
    kind, id = scope
    values = {**vars(what), "scope_kind": kind, "scope_id": id, "person_id": person_id, "now": now}
    row = db.execute(_SQL["add_exclusion"], values).fetchone()
    assert row is not None
    return int(row["id"])


def lock_exclusion(db: Db, id: int) -> dict[str, Any] | None:
    """Its row, ours until the transaction ends."""
    return db.execute(_SQL["lock_exclusion"], {"id": id}).fetchone()


def change_exclusion(db: Db, now: datetime, id: int, what: Exclusion) -> None:
    """Another reason, document, note or time, of one that `lock_exclusion` gave.

    Raises `ValueError` as `enter_exclusion` does.
    """
    _check(what, now)
    db.execute(_SQL["change_exclusion"], {**vars(what), "id": id})


def withdraw_exclusion(db: Db, now: datetime, id: int) -> None:
    """It leaves nothing out from now on, also of the past. Kept for the record."""
    db.execute(_SQL["withdraw_exclusion"], {"id": id, "now": now})


def set_opening_hours(db: Db, site_id: int, code: str, from_on: date, week: Week) -> None:
    """A site's weekly hours from this day on, until the next ones begin. Raises `ValueError`."""
    check_week(week)
    values = {"site_id": site_id, "from_on": from_on, "week": Jsonb(week)}
    db.execute(_SQL["set_opening_hours"], values)
    # A day earlier: the day begins elsewhere before it does in UTC.
    since = from_on - timedelta(days=1)
    due = {"from_at": since, "to_at": date(9999, 1, 1), "why": f"site/{code}/hours"}
    db.execute(_SQL["mark_due"], due)


def _check(what: Exclusion, now: datetime) -> None:
    if what.to_at <= what.from_at:
        raise ValueError("to_at: must be later than from_at")
    if what.from_at > now:
        raise ValueError("from_at: what is still to come is planned downtime; see /downtimes")
    if not what.document.strip():
        raise ValueError("document: what proves it is needed")
