"""Figures of whole periods, published once and corrected in versions: nothing is overwritten."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import msgspec
from psycopg.types.json import Jsonb

from pilewatch.store import queries
from pilewatch.store.pool import Db
from pilewatch.uptime.building import built_until
from pilewatch.uptime.measures import Tally
from pilewatch.uptime.periods import Length, Period, moment, period_of
from pilewatch.uptime.reading import LEVELS, Level, Place, places, sums, tallies

_SQL = queries.load("uptime")
_WAIT = timedelta(days=1)
"""How long after its end a period is published: piles that were away tell what they missed."""


def publish_due(db: Db, now: datetime, *, late: bool = True) -> int:
    """Publish the periods that are over, and correct those that changed; gives how many steps.

    Without `late`, what only late words have changed waits: they may trickle in for long.

    A step is a period, or one correction of all that it touches, and one transaction: a kill
    between two loses nothing. One process at a time.
    """
    done = 0
    while True:
        with db.transaction():
            row = db.execute(_SQL["lock_publishing"]).fetchone()
            if row is None or not row["mine"] or not _publish_next(db, now, late):
                return done
        done += 1


def known_tallies(db: Db, found: list[Place], period: Period) -> list[tuple[Place, Tally]]:
    """Each connector's time: as published where nothing has to be corrected, else counted now.

    The two are the same; what is published is read a hundred times faster.
    """
    if not found:
        return []
    low, high = _outer(period, sorted({place.timezone for place in found}))
    values = {"span": period.length.value, "month": period.month, "from_at": low, "to_at": high}
    row = db.execute(_SQL["is_settled"], values).fetchone()
    if row is None or not row["settled"]:
        return tallies(db, found, period)
    rows = db.execute(_SQL["published"], {**values, "ids": [place.id for place in found]})
    known = {row["id"]: msgspec.convert(row["tally"], Tally) for row in rows}
    return [(place, known[place.id]) for place in found if place.id in known]


def history(db: Db, level: Level, id: int, period: Period) -> list[dict[str, Any]]:
    """Every version of a published figure, the first one first, with its `Tally`."""
    values = {"kind": level, "id": id, "span": period.length.value, "month": period.month}
    rows = db.execute(_SQL["history"], values).fetchall()
    return [{**row, "tally": msgspec.convert(row["tally"], Tally)} for row in rows]


def _publish_next(db: Db, now: datetime, late: bool) -> bool:
    """The oldest correction, or else the oldest period that is over and not published yet."""
    due = db.execute(_SQL["due"], {"late": late}).fetchall()
    published = [
        period_of(row["month"], Length(row["span"]))
        for row in db.execute(_SQL["published_periods"])
    ]
    if due:
        return _correct(db, now, due, published)
    known = {(period.length, period.month) for period in published}
    for period in _finished(db):
        if (period.length, period.month) not in known:
            _publish(db, now, period, "first", None)
            return True
    return False


def _correct(db: Db, now: datetime, due: list[dict[str, Any]], published: list[Period]) -> bool:
    """All that is due at once, a period once for all of it; whether there was any."""
    zones, corrected = _zones(db), False
    for period in published:
        low, high = _outer(period, zones)
        touching = [r["why"] for r in due if r["from_at"] < high and r["to_at"] > low]
        if touching:
            about = list(dict.fromkeys(touching))
            person = db.execute(_SQL["who_changed"], {"about": about}).fetchone()
            who = None if person is None else person["person_id"]
            _publish(db, now, period, ", ".join(about)[:500], who)
            corrected = True
    db.execute(_SQL["delete_due"], {"ids": [row["id"] for row in due]})
    return corrected


def _publish(db: Db, now: datetime, period: Period, why: str, person_id: int | None) -> None:
    counted = tallies(db, places(db), period)
    rows = [
        {"subject_kind": level, "subject_id": row.id, "tally": msgspec.to_builtins(row.tally)}
        for level in LEVELS
        for row in sums(counted, level)
        if row.id is not None
    ]
    values = {"span": period.length.value, "month": period.month, "now": now}
    more = {"rows": Jsonb(rows), "why": why, "person_id": person_id}
    db.execute(_SQL["publish"], {**values, **more})
    db.execute(_SQL["note_period"], values)


def _finished(db: Db) -> Iterator[Period]:
    """Every period since the first word that is over everywhere, in order of time."""
    until = built_until(db)
    first = db.execute(_SQL["first_change"]).fetchone()
    if until is None or first is None or first["at"] is None:
        return
    zones = _zones(db)
    month = (first["at"] - _WAIT).date().replace(day=1)
    while True:
        period = period_of(month, Length.MONTH)
        if _outer(period, zones)[1] + _WAIT > until:
            return
        yield period
        yield period_of(month, Length.TWELVE_MONTHS)
        if month.month == 12:
            yield period_of(month, Length.YEAR)
        month = period.after


def _outer(period: Period, zones: list[str]) -> tuple[datetime, datetime]:
    """From its first beginning to its last end among these time zones."""
    spans = [period.span(zone) for zone in zones]
    return moment(min(s[0] for s in spans)), moment(max(s[1] for s in spans))


def _zones(db: Db) -> list[str]:
    return [row["timezone"] for row in db.execute(_SQL["timezones"])] or ["UTC"]
