"""Working time: days and hours of work, public holidays and made-up working days, from a file."""

import tomllib
from datetime import date, datetime, time
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Meta, Struct


class Period(Struct, frozen=True, forbid_unknown_fields=True):
    """A part of a working day, in local time; `closes` is no longer in it."""

    opens: time
    closes: time


class Holiday(Struct, frozen=True, forbid_unknown_fields=True):
    """Days off in a row, both ends included."""

    first: date
    last: date
    name: str


class Year(Struct, frozen=True, forbid_unknown_fields=True):
    """What one year has of its own; `made_up` are days of the weekend that are worked."""

    source: str
    holidays: tuple[Holiday, ...]
    made_up: tuple[date, ...] = ()


class Calendar(Struct, frozen=True, forbid_unknown_fields=True):
    """When people work. Weekdays are those of ISO 8601: Monday is 1."""

    periods: Annotated[tuple[Period, ...], Meta(min_length=1)]
    weekdays: Annotated[frozenset[Annotated[int, Meta(ge=1, le=7)]], Meta(min_length=1)]
    years: dict[str, Year] = {}

    def __post_init__(self) -> None:
        ends = [at for period in self.periods for at in (period.opens, period.closes)]
        if ends != sorted(set(ends)) or any(at.tzinfo for at in ends):
            raise ValueError("periods: each must close after it opens, and before the next opens")
        for word, year in self.years.items():
            for holiday in year.holidays:
                if holiday.last < holiday.first:
                    raise ValueError(f"years.{word}: {holiday.name} ends before it begins")
            days = [day for h in year.holidays for day in (h.first, h.last)] + list(year.made_up)
            for day in days:
                if str(day.year) != word:
                    raise ValueError(f"years.{word}: {day} is of another year")

    def is_worked(self, day: date) -> bool:
        """Whether people work on this day; of an unknown year only the weekday counts."""
        year = self.years.get(str(day.year))
        if year is not None:
            if day in year.made_up:
                return True
            if any(holiday.first <= day <= holiday.last for holiday in year.holidays):
                return False
        return day.isoweekday() in self.weekdays

    def missing(self, now: datetime, zone: ZoneInfo) -> list[int]:
        """Years whose holidays should be known by `now`: this one, and in December the next."""
        today = now.astimezone(zone).date()
        wanted = {today.year, today.year + (today.month == 12)}
        return sorted(year for year in wanted if str(year) not in self.years)


def load_calendar(path: Path) -> Calendar:
    """Read and check a calendar file. Raises `ValueError` or `OSError` that says where and why."""
    try:
        return msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8")), Calendar)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


@lru_cache(maxsize=1)
def china() -> Calendar:
    """The calendar that comes with the program."""
    text = (files("pilewatch") / "calendars" / "china.toml").read_text(encoding="utf-8")
    return msgspec.convert(tomllib.loads(text), Calendar)
