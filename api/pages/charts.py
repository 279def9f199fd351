"""Pictures over time as SVG geometry: lines with gaps, bands of states, marks. Pure.

No chart library: none of the field's ships as a maintained wheel of its own, and what can be had
(ECharts within other packages, 1 MB) draws into a canvas that nobody can read aloud, print or see
without JavaScript. Places along the time are per cent of the picture's width.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any

HEIGHT = 100.0
"""Units from the top of a line's picture to its bottom; its width is 1000."""
_WIDTH = 1000.0
_CELLS = 400
"""More pieces than that in one band are put together: each cell shows its worst."""
_WORST = ("faulted", "unavailable", "unknown")


@dataclass(frozen=True)
class Frame:
    """The time that a picture shows, and the step of its values."""

    begins: datetime
    ends: datetime
    step: timedelta

    def at(self, moment: datetime) -> float:
        """Where a moment lies, in per cent of the width, inside the picture."""
        share = (moment - self.begins) / (self.ends - self.begins)
        return round(100 * min(1.0, max(0.0, share)), 3)

    def ticks(self, count: int = 5) -> list[datetime]:
        """Moments at equal distances, the first at the beginning and the last at the end."""
        length = self.ends - self.begins
        return [self.begins + length * place / (count - 1) for place in range(count)]


@dataclass(frozen=True)
class Piece:
    """Something that lasts: from `left`, `width` wide, in per cent."""

    left: float
    width: float
    word: str
    begins: datetime
    ends: datetime


@dataclass(frozen=True)
class Line:
    """A measure: the path of its values, the area between least and most, and its scale."""

    path: str
    area: str
    low: float
    high: float
    last: float
    bottom: float
    top: float
    limit: float | None
    limit_y: float | None
    rows: Sequence[dict[str, Any]]


def line(
    frame: Frame,
    rows: Sequence[dict[str, Any]],
    low: str,
    value: str,
    high: str,
    limit: float | None = None,
) -> Line | None:
    """The picture of `value`, between `low` and `high`; None without any. A missing bin is a gap.

    The scale reaches from 0 (or what lies below) to the most, and to the limit where there is one.
    """
    found = [row for row in rows if row[value] is not None]
    if not found:
        return None
    bottom = min(0.0, *(float(row[low]) for row in found))
    most = max(float(row[high]) for row in found)
    top = max(most, limit if limit is not None else most) * 1.05 or 1.0

    def y(number: float) -> float:
        return HEIGHT - (number - bottom) / (top - bottom) * HEIGHT

    def point(row: dict[str, Any], key: str) -> str:
        x = frame.at(row["at"] + frame.step / 2) / 100 * _WIDTH
        return f"{x:.1f} {y(float(row[key])):.1f}"

    path, area = [], []
    for run in _runs(found, frame.step):
        path.append("M" + "L".join(point(row, value) for row in run))
        if len(run) == 1:
            path.append("h1")
        upper = [point(row, high) for row in run]
        lower = [point(row, low) for row in reversed(run)]
        area.append("M" + "L".join([*upper, *lower]) + "z")
    return Line(
        path="".join(path),
        area="".join(area),
        low=min(float(row[low]) for row in found),
        high=most,
        last=float(found[-1][value]),
        bottom=bottom,
        top=top,
        limit=limit,
        limit_y=None if limit is None else round(y(limit), 1),
        rows=found,
    )


def _runs(rows: Sequence[dict[str, Any]], step: timedelta) -> Iterable[list[dict[str, Any]]]:
    run: list[dict[str, Any]] = []
    for row in rows:
        if run and row["at"] - run[-1]["at"] > 2.5 * step:
            yield run
            run = []
        run.append(row)
    yield run


def bands(
    frame: Frame, changes: Iterable[dict[str, Any]], silent: Sequence[tuple[datetime, datetime]]
) -> dict[int, list[Piece]]:
    """The states of each port in pieces; where its pile was silent it is unknown, whatever it had
    said. `changes` are ordered by number and time, and each holds until the next."""
    found = {}
    for number, group in groupby(changes, key=lambda row: row["number"]):
        turned = list(group)
        spans: list[tuple[datetime, datetime, str]] = []
        for place, row in enumerate(turned):
            ends = turned[place + 1]["at"] if place + 1 < len(turned) else frame.ends
            spans += _covered(row["at"], ends, row["status"], silent)
        if len(spans) > _CELLS:
            spans = _cells(frame, spans)
        found[number] = [
            Piece(frame.at(a), max(0.15, round(frame.at(b) - frame.at(a), 3)), word, a, b)
            for a, b, word in spans
            if b > a
        ]
    return found


def _covered(
    begins: datetime, ends: datetime, word: str, silent: Sequence[tuple[datetime, datetime]]
) -> list[tuple[datetime, datetime, str]]:
    found, at = [], begins
    for from_at, to_at in silent:
        low, high = max(from_at, at), min(to_at, ends)
        if low < high:
            found += [(at, low, word), (low, high, "unknown")]
            at = high
    return [*found, (at, ends, word)]


def _cells(
    frame: Frame, spans: Sequence[tuple[datetime, datetime, str]]
) -> list[tuple[datetime, datetime, str]]:
    width = (frame.ends - frame.begins) / _CELLS
    worst: dict[int, str] = {}
    for begins, ends, word in spans:
        first = int((begins - frame.begins) / width)
        last = max(first, int((ends - frame.begins) / width - 1e-9))
        for cell in range(first, min(last, _CELLS - 1) + 1):
            worst[cell] = min(worst.get(cell, word), word, key=_badness)
    found = []
    for word, group in groupby(sorted(worst), key=lambda cell: worst[cell]):
        cells = list(group)
        ends = frame.begins + width * (cells[-1] + 1)
        found.append((frame.begins + width * cells[0], ends, word))
    return found


def _badness(word: str) -> int:
    return _WORST.index(word) if word in _WORST else len(_WORST)


def silences(
    frame: Frame,
    contact: Sequence[dict[str, Any]],
    silent_since: datetime | None,
    now: datetime,
) -> list[tuple[datetime, datetime]]:
    """When nothing was heard: what the record of contacts says, and since when it is silent now."""
    found = []
    for place, row in enumerate(contact):
        ends = contact[place + 1]["at"] if place + 1 < len(contact) else frame.ends
        if not row["heard"] and row["at"] < ends:
            found.append((row["at"], ends))
    end = min(frame.ends, now)
    if silent_since is not None and silent_since < end:
        begins = max(silent_since, frame.begins)
        found = [(a, min(b, begins)) for a, b in found if a < begins]
        found.append((begins, end))
    return found
