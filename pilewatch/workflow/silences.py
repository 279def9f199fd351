"""Silences: an operator says "I know". Tickets are made as ever, notifications wait for the end.

Every function runs inside its caller's transaction.
"""

from dataclasses import dataclass
from datetime import datetime

from pilewatch.store import queries
from pilewatch.store.pool import Db
from pilewatch.workflow.desk import NotFound

_SQL = queries.load("planning")


@dataclass(frozen=True)
class Matcher:
    """What is silenced: everything that fits all that is named here. At least one thing is.

    Danger to people is silenced only where `severity` is 1.
    """

    site_id: int | None = None
    charger_id: int | None = None
    code: str | None = None
    severity: int | None = None


def enter_silence(
    db: Db, now: datetime, matcher: Matcher, *, to_at: datetime, reason: str, person_id: int
) -> int:
    """Silence from now on; gives its id. Raises `ValueError` for an impossible end or matcher."""
    if to_at <= now:
        raise ValueError("to_at: must be in the future")
    if matcher == Matcher():
        raise ValueError("name a site, charger, code or severity")
    values = {**vars(matcher), "to_at": to_at, "reason": reason, "person_id": person_id}
    row = db.execute(_SQL["add_silence"], {**values, "now": now}).fetchone()
    assert row is not None
    return int(row["id"])


def change_silence(db: Db, now: datetime, id: int, *, to_at: datetime, reason: str) -> None:
    """Another end or reason; what is held back follows. An end that is past means: now.

    Raises `NotFound`, or `ValueError` where the silence is over.
    """
    row = db.execute(_SQL["lock_silence"], {"id": id}).fetchone()
    if row is None:
        raise NotFound(f"silence {id}")
    if row["to_at"] <= now:
        raise ValueError("it is over; enter a new one")
    values = {"id": id, "to_at": max(to_at, now), "reason": reason}
    db.execute(_SQL["change_silence"], values)
    db.execute(_SQL["move_held"], values)


def end_silence(db: Db, now: datetime, id: int) -> None:
    """Over now. Raises `NotFound`; ending what is over changes nothing."""
    row = db.execute(_SQL["lock_silence"], {"id": id}).fetchone()
    if row is None:
        raise NotFound(f"silence {id}")
    if row["to_at"] > now:
        change_silence(db, now, id, to_at=now, reason=row["reason"])
