"""Months, twelve months and years in a site's own time, and its opening hours. Pure."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from functools import lru_cache
from zoneinfo import ZoneInfo

from pilewatch.openinghours import Week
from pilewatch.uptime.spans import Span, Spans, melt

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY_MINUTES = 24 * 60
_CLOCK = re.compile(r"([01]\d|2[0-3]):([0-5]\d)|24:00")
FIRST_YEAR, LAST_YEAR = 2020, 2100


class Length(StrEnum):
    """What a period is: NEVI looks at twelve months, reg. 7 at a calendar year."""

    MONTH = "month"
    TWELVE_MONTHS = "twelve-months"
    YEAR = "year"


def microseconds(at: datetime) -> int:
    """Since 1970, exact."""
    since = at - _EPOCH
    return since.days * 86_400_000_000 + since.seconds * 1_000_000 + since.microseconds


def moment(us: int) -> datetime:
    """The other way round, UTC."""
    return _EPOCH + timedelta(microseconds=us)


@dataclass(frozen=True)
class Period:
    """Whole months: from the first of `first` up to the first of `after`, by local calendars."""

    length: Length
    first: date
    after: date

    def span(self, timezone: str) -> Span:
        """Where it lies in a place with this time zone."""
        return _midnight(self.first, timezone), _midnight(self.after, timezone)

    @property
    def month(self) -> date:
        """Its last month."""
        return _months(self.after, -1)

    def __str__(self) -> str:
        return f"{self.first:%Y-%m}" if self.length == Length.MONTH else (
            f"{self.first:%Y-%m} to {self.month:%Y-%m}"
        )  # fmt: skip


def period(month: str, length: Length = Length.MONTH) -> Period:
    """The month (as 2026-11), the twelve months that end with it, or its calendar year.

    Raises `ValueError` for what is no month.
    """
    if not re.fullmatch(r"\d{4}-(0[1-9]|1[0-2])", month, re.ASCII):
        raise ValueError(f"month: {month!r} is none; right would be as 2026-11")
    first = date(int(month[:4]), int(month[5:]), 1)
    if not FIRST_YEAR <= first.year <= LAST_YEAR:
        raise ValueError(f"month: between {FIRST_YEAR} and {LAST_YEAR}")
    return period_of(first, length)


def period_of(month: date, length: Length) -> Period:
    """The same from a month's first day."""
    if length == Length.YEAR:
        return Period(length, date(month.year, 1, 1), date(month.year + 1, 1, 1))
    back = 0 if length == Length.MONTH else -11
    return Period(length, _months(month, back), _months(month, 1))


def _months(day: date, more: int) -> date:
    count = day.year * 12 + day.month - 1 + more
    return date(count // 12, count % 12 + 1, 1)


@lru_cache(maxsize=4096)
def _midnight(day: date, timezone: str) -> int:
    return microseconds(datetime.combine(day, time(), ZoneInfo(timezone)).astimezone(UTC))


def check_week(week: Week) -> None:
    """Raises `ValueError` where the hours cannot be kept: what is wrong, and on which day."""
    if not set(week) <= set("1234567"):
        raise ValueError("week: the days are 1 (Monday) to 7")
    for day, pieces in sorted(week.items()):
        last = 0
        for piece in pieces:
            if len(piece) != 2 or not all(_CLOCK.fullmatch(word) for word in piece):
                raise ValueError(f"week: day {day}: a piece is from and to, as 08:00 and 22:00")
            begins, ends = map(_minutes, piece)
            if begins >= ends or begins < last:
                raise ValueError(f"week: day {day}: pieces follow each other, from before to")
            last = ends


def _minutes(clock: str) -> int:
    return int(clock[:2]) * 60 + int(clock[3:])


def closed(hours: Sequence[tuple[date, Week]], timezone: str, within: Span) -> Spans:
    """When a site with these weekly hours (each from a day on, in order) is shut.

    Before the first of them it is open round the clock.
    """
    if not hours:
        return []
    zone = ZoneInfo(timezone)
    day = moment(within[0]).astimezone(zone).date()
    last = moment(within[1]).astimezone(zone).date()
    shut: list[Span] = []
    while day <= last:
        valid = [week for from_on, week in hours if from_on <= day]
        if valid:
            at = 0
            for begins, ends in (
                map(_minutes, p) for p in valid[-1].get(str(day.isoweekday()), ())
            ):
                shut.append((_local(day, at, zone), _local(day, begins, zone)))
                at = ends
            shut.append((_local(day, at, zone), _local(day, _DAY_MINUTES, zone)))
        day += timedelta(days=1)
    low, high = within
    return melt((max(begins, low), min(ends, high)) for begins, ends in shut)


def _local(day: date, minutes: int, zone: ZoneInfo) -> int:
    """A clock's time on a day; what the clock skips is the moment at which it skips."""
    more, of_day = divmod(minutes, _DAY_MINUTES)
    wall = datetime.combine(day + timedelta(days=more), time(of_day // 60, of_day % 60), zone)
    return microseconds(wall.astimezone(UTC))
