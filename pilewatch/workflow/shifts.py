"""Who is on duty when: for an area, a grid, a site or for all, and what is handed over.

Functions that take a database run inside their caller's transaction.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from pilewatch.store import queries
from pilewatch.store.pool import Db
from pilewatch.workflow.desk import NotFound

_SQL = queries.load("shifts")
ShiftScope = Literal["area", "grid", "site"]
LONGEST = timedelta(hours=24)
NOTE_WITHIN = timedelta(hours=12)
"""So long after its end a shift may still be handed over in words."""


Wrong = Literal["order", "long", "past", "twice"]
"""Why a shift cannot be."""


class BadShift(ValueError):
    """A shift that cannot be; `word` says why."""

    def __init__(self, word: Wrong, text: str):
        super().__init__(text)
        self.word = word


@dataclass(frozen=True)
class Shift:
    """`from_at` is in it, `to_at` is not. Without a scope it is for all sites."""

    person_id: int
    from_at: datetime
    to_at: datetime
    scope_kind: ShiftScope | None = None
    scope_id: int | None = None

    def doubles(self, other: "Shift") -> bool:
        """Whether the same person would be on duty twice for the same."""
        same = (self.person_id, self.scope_kind, self.scope_id) == (
            *(other.person_id, other.scope_kind, other.scope_id),
        )
        return same and self.from_at < other.to_at and other.from_at < self.to_at


def check(new: Shift, others: Iterable[Shift], now: datetime) -> None:
    """Raises `BadShift` for a shift that cannot be, or that is there already."""
    if new.to_at <= new.from_at:
        raise BadShift("order", "to_at: must be later than from_at")
    if new.to_at - new.from_at > LONGEST:
        raise BadShift("long", "to_at: a shift lasts 24 hours at most")
    if new.to_at <= now:
        raise BadShift("past", "to_at: must be in the future")
    for other in others:
        if new.doubles(other):
            told = f"{other.from_at:%Y-%m-%d %H:%M} to {other.to_at:%H:%M} UTC"
            raise BadShift("twice", f"from_at: this person is on duty there already, {told}")


def ended(shift: Shift, now: datetime) -> datetime:
    """The end of a shift that is handed over now. Raises `ValueError` where it is too early or
    too late for it."""
    if now <= shift.from_at:
        raise ValueError("it has not begun: cancel it instead")
    if now > shift.to_at + NOTE_WITHIN:
        raise ValueError("it has been over for more than 12 hours")
    return min(now, shift.to_at)


def enter_shift(db: Db, now: datetime, shift: Shift, entered_by: int) -> int:
    """Plan it; gives its id. Raises `BadShift`."""
    db.execute(_SQL["lock_person"], {"id": shift.person_id})
    values = {**vars(shift), "entered_by": entered_by, "now": now}
    check(shift, [Shift(**row) for row in db.execute(_SQL["shifts_of"], values)], now)
    row = db.execute(_SQL["add_shift"], values).fetchone()
    assert row is not None
    return int(row["id"])


def hand_over(db: Db, now: datetime, id: int, note: str | None) -> None:
    """It ends now, with a word for whoever follows. Raises `NotFound` or `ValueError`."""
    values = {"id": id, "now": now, "note": note}
    db.execute(_SQL["end_shift"], {**values, "to_at": ended(_locked(db, id), now)})


def cancel_shift(db: Db, now: datetime, id: int) -> None:
    """It will not be. Raises `NotFound`, or `ValueError` where it has begun."""
    if _locked(db, id).from_at <= now:
        raise ValueError("it has begun: hand it over instead")
    db.execute(_SQL["cancel_shift"], {"id": id, "now": now})


def _locked(db: Db, id: int) -> Shift:
    row = db.execute(_SQL["lock_shift"], {"id": id}).fetchone()
    if row is None:
        raise NotFound(f"shift {id}")
    return Shift(**row)


def on_duty(db: Db, now: datetime, sites: Iterable[int]) -> Mapping[int, frozenset[str]]:
    """The logins of those on duty for each of these sites; a site without anybody is left out."""
    rows = db.execute(_SQL["on_duty"], {"sites": list(sites), "now": now})
    return {row["site_id"]: frozenset(row["logins"]) for row in rows}
