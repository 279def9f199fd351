"""When a promise is due: pure arithmetic over working time, in the zone of the place.

A promise's time is a length, counted round the clock (`calendar` None) or in working hours only.
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from pilewatch.workdays import Calendar

_DAY = timedelta(days=1)
_NOTHING = timedelta()
_HORIZON = timedelta(days=40 * 366)
"""No promise is longer; a calendar without a single working day must not be searched for ever."""


def due(start: datetime, length: timedelta, calendar: Calendar | None, zone: ZoneInfo) -> datetime:
    """The moment (UTC) at which `length` of the promise's time has passed since `start`.

    In working hours it never lies in a pause: a length that fits a period ends in it, its closing
    included. No length at all is due at once. Raises `OverflowError` beyond forty years.
    """
    if calendar is None or length <= _NOTHING:
        return start + max(length, _NOTHING)
    left = length
    for opens, closes in _periods(start, start + _HORIZON, calendar, zone):
        begins = max(opens, start)
        if left <= closes - begins:
            return begins + left
        left -= max(closes - begins, _NOTHING)
    raise OverflowError("the calendar has too little working time for this promise")


def used(start: datetime, end: datetime, calendar: Calendar | None, zone: ZoneInfo) -> timedelta:
    """How much of a promise's time passes between two moments; none where `end` is earlier."""
    if end <= start:
        return _NOTHING
    if calendar is None:
        return end - start
    parts = _periods(start, end, calendar, zone)
    return sum((min(closes, end) - max(opens, start) for opens, closes in parts), _NOTHING)


def _periods(
    start: datetime, end: datetime, calendar: Calendar, zone: ZoneInfo
) -> Iterator[tuple[datetime, datetime]]:
    """Working periods (UTC) that have a part after `start` and before `end`, in order."""
    day = start.astimezone(zone).date()
    while True:
        if calendar.is_worked(day):
            for period in calendar.periods:
                opens, closes = _utc(day, period.opens, zone), _utc(day, period.closes, zone)
                if opens >= end:
                    return
                if closes > start:
                    yield opens, closes
        elif _utc(day, time(), zone) >= end:
            return
        day += _DAY


def _utc(day: date, at: time, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, at, zone).astimezone(UTC)
