"""The figures of a month's ledger: pure arithmetic over its lines.

A line counts as raised in the month of its report, as settled in the month in which it was closed,
answered or rejected; so what was open before, and raised, less what was settled, is open after.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from statistics import median
from typing import Any
from zoneinfo import ZoneInfo

from pilewatch.store import queries
from pilewatch.store.pool import Db

_SQL = queries.load("ledger")
_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Month:
    """A calendar month at a place."""

    year: int
    number: int
    zone: ZoneInfo

    @property
    def begins(self) -> datetime:
        """Its first moment."""
        return datetime(self.year, self.number, 1, tzinfo=self.zone)

    @property
    def ends(self) -> datetime:
        """The first moment of the next."""
        year, before = divmod(self.year * 12 + self.number, 12)
        return datetime(year, before + 1, 1, tzinfo=self.zone)


@dataclass(frozen=True)
class Line:
    """What the figures need of a line."""

    raised_at: datetime
    settled_at: datetime | None
    done_at: datetime | None
    deadline_at: datetime
    paused_at: datetime | None
    state: str
    source: str
    severity: int | None
    kind: str
    place: str
    reopened: int
    paused_s: float
    escalated: bool
    satisfied: bool | None


@dataclass
class Group:
    """Lines of one site, kind or source. `open` are those open at the end."""

    name: str
    raised: int = 0
    settled: int = 0
    on_time: int = 0
    late: int = 0
    escalated: int = 0
    open: int = 0


@dataclass
class Figures:
    """One month. Of what was settled: kept in the grid or escalated to the community, on time or
    late, reopened before, rejected, with the answer of residents; `paused_s` are its pauses, and
    `hours` the median time from the report to the repair as it was claimed. `overdue` is open at
    the end and past its deadline.
    """

    before: int = 0
    raised: int = 0
    settled: int = 0
    after: int = 0
    inside_grid: int = 0
    escalated: int = 0
    on_time: int = 0
    late: int = 0
    reopened: int = 0
    rejected: int = 0
    satisfied: int = 0
    dissatisfied: int = 0
    overdue: int = 0
    paused_s: float = 0.0
    hours: float | None = None
    by_site: list[Group] = field(default_factory=list)
    by_kind: list[Group] = field(default_factory=list)
    by_source: list[Group] = field(default_factory=list)
    days: list[tuple[date, int, int]] = field(default_factory=list)
    """Of each day: raised, settled."""


def read_lines(
    db: Db, month: Month, area_id: int | None, narrowed: Mapping[str, Any]
) -> list[Line]:
    """What was open in this month, before its end."""
    values = {"from_at": month.begins, "to_at": month.ends, "area_id": area_id, **narrowed}
    return [Line(**row) for row in db.execute(_SQL["figures"], values, prepare=False)]


def figures(lines: Iterable[Line], month: Month, now: datetime) -> Figures:
    """The month's figures; one that is not over yet is judged as of now."""
    begins, ends = month.begins, month.ends
    at = min(ends, now)
    found = Figures()
    sites, kinds, sources = _Groups(), _Groups(), _Groups()
    days: dict[date, list[int]] = {}
    day = begins.date()
    while day < ends.date():
        days[day] = [0, 0]
        day += _DAY
    took: list[float] = []
    for line in lines:
        groups = (sites.of(line.place), kinds.of(line.kind), sources.of(line.source))
        raised = begins <= line.raised_at < ends
        settled = line.settled_at is not None and begins <= line.settled_at < ends
        found.before += not raised
        if raised:
            found.raised += 1
            days[line.raised_at.astimezone(month.zone).date()][0] += 1
        if settled:
            _settle(found, line, took)
            assert line.settled_at is not None
            days[line.settled_at.astimezone(month.zone).date()][1] += 1
        else:
            found.after += 1
            found.overdue += _past(line, at)
        for group in groups:
            group.raised += raised
            group.open += not settled
            if settled:
                group.settled += 1
                group.escalated += line.escalated
                group.late += _late(line)
                group.on_time += not _late(line)
    found.hours = round(median(took), 1) if took else None
    found.by_site, found.by_kind, found.by_source = (g.listed() for g in (sites, kinds, sources))
    found.days = [(day, *counts) for day, counts in days.items()]  # type: ignore[misc]
    return found


def _settle(found: Figures, line: Line, took: list[float]) -> None:
    found.settled += 1
    found.escalated += line.escalated
    found.inside_grid += not line.escalated
    found.late += _late(line)
    found.on_time += not _late(line)
    found.reopened += line.reopened > 0
    found.rejected += line.state == "rejected"
    found.satisfied += line.satisfied is True
    found.dissatisfied += line.satisfied is False
    found.paused_s += line.paused_s
    if line.done_at is not None and line.state != "rejected":
        took.append((line.done_at - line.raised_at).total_seconds() / 3600)


def _late(line: Line) -> bool:
    return line.done_at is not None and line.done_at > line.deadline_at


def _past(line: Line, at: datetime) -> bool:
    return min(line.done_at or at, line.paused_at or at, at) > line.deadline_at


class _Groups:
    def __init__(self) -> None:
        self._found: dict[str, Group] = {}

    def of(self, name: str) -> Group:
        return self._found.setdefault(name, Group(name))

    def listed(self) -> list[Group]:
        order: Callable[[Group], Any] = lambda g: (-g.raised, -g.settled, -g.open, g.name)  # noqa: E731
        return sorted(self._found.values(), key=order)
