"""When a site is open: `24/7`, or by weekday as `Mo-Fr 08:00-20:00; Sa 09:00-12:00,14:00-18:00`,
or `off`; in the database, a week of days.

A small part of OpenStreetMap's opening_hours; local time of the site.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

ALWAYS = "24/7"
NEVER = "off"
Week = Mapping[str, Sequence[Sequence[str]]]
"""Weekday "1" (Monday) to "7" -> pieces of the day, each from and to as HH:MM, up to 24:00. A day
left out is closed."""
_DAYS = ("Mo", "Tu", "We", "Th", "Fr", "Sa", "Su")
_DAY = "|".join(_DAYS)
_RULE = re.compile(rf"({_DAY})(?:-({_DAY}))? (\S+)")
_TIME = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]"
_SPAN = re.compile(rf"{_TIME}-(?:{_TIME}|24:00)")
_RIGHT = "right would be 24/7 or as 'Mo-Fr 08:00-20:00; Sa 09:00-18:00'"


@dataclass(frozen=True, order=True)
class Span:
    """Open on this weekday (Monday is 1) from and until these times of day, `24:00` at most."""

    weekday: int
    begins: str
    ends: str


def read_opening_hours(text: str) -> tuple[Span, ...]:
    """Every span in order; none for `24/7` and `off`.

    Raises `ValueError` that says what would be right.
    """
    if text.strip() in (ALWAYS, NEVER):
        return ()
    spans: list[Span] = []
    for rule in filter(None, (part.strip() for part in text.split(";"))):
        match = _RULE.fullmatch(rule)
        if match is None:
            raise ValueError(f"{rule!r}: {_RIGHT}")
        first = _DAYS.index(match[1])
        last = _DAYS.index(match[2] or match[1])
        if last < first:
            raise ValueError(f"{rule!r}: the days of the week run from Mo to Su")
        for times in match[3].split(","):
            begins, _, ends = times.partition("-")
            if not _SPAN.fullmatch(times) or ends <= begins:
                raise ValueError(f"{times!r}: right would be as 08:00-20:00, or until 24:00")
            spans += [Span(day + 1, begins, ends) for day in range(first, last + 1)]
    if not spans:
        raise ValueError(f"no hours; {_RIGHT}")
    spans.sort()
    for one, following in pairwise(spans):
        if one.weekday == following.weekday and following.begins < one.ends:
            raise ValueError(f"{_DAYS[one.weekday - 1]}: the spans overlap")
    return tuple(spans)


def week_of(text: str) -> Week:
    """The week that a text tells. Raises `ValueError` as `read_opening_hours` does."""
    if text.strip() == ALWAYS:
        return {str(day): [["00:00", "24:00"]] for day in range(1, 8)}
    week: dict[str, list[list[str]]] = {}
    for span in read_opening_hours(text):
        week.setdefault(str(span.weekday), []).append([span.begins, span.ends])
    return week


def text_of(week: Week) -> str:
    """The shortest text that tells this week."""
    pieces = [",".join("-".join(piece) for piece in week.get(str(day), ())) for day in range(1, 8)]
    if set(pieces) == {"00:00-24:00"}:
        return ALWAYS
    rules: list[str] = []
    first = 0
    for day in range(1, 8):
        if day == 7 or pieces[day] != pieces[first]:
            last = f"-{_DAYS[day - 1]}" if day - 1 > first else ""
            if pieces[first]:
                rules.append(f"{_DAYS[first]}{last} {pieces[first]}")
            first = day
    return "; ".join(rules) or NEVER
