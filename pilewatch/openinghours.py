"""When a site is open: `24/7`, or by weekday as `Mo-Fr 08:00-20:00; Sa 09:00-12:00,14:00-18:00`.

A small part of OpenStreetMap's opening_hours; local time of the site.
"""

import re
from dataclasses import dataclass
from itertools import pairwise

ALWAYS = "24/7"
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
    """Every span in order; none for `24/7`. Raises `ValueError` that says what would be right."""
    if text.strip() == ALWAYS:
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
