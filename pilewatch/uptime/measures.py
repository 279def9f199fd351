"""One connector's time, told apart, and the three figures that are made of it. Pure.

NEVI: 23 CFR 680.116(b). UK: SI 2023/1168 reg. 7. Plain: working time by the whole time.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Literal

from pilewatch.uptime.spans import Span, Spans, intersect, subtract, total, union

Reason = Literal["utility", "internet", "maintenance", "vandalism", "disaster", "vehicle", "access"]
Measure = Literal["nevi", "uk"]
CLOSED = "closed"
"""The reason of time outside a site's opening hours."""
LEAVES_OUT: Mapping[str, frozenset[str]] = {
    "utility": frozenset({"nevi", "uk"}),
    "internet": frozenset({"nevi", "uk"}),
    "maintenance": frozenset({"nevi"}),
    "vandalism": frozenset({"nevi", "uk"}),
    "disaster": frozenset({"nevi", "uk"}),
    "vehicle": frozenset({"nevi"}),
    "access": frozenset({"uk"}),
    CLOSED: frozenset({"nevi", "uk"}),
}
"""Which figure a reason is left out of. NEVI names its own; for the UK figure it is exempt time,
which planned maintenance is not: a charge point under maintenance is inoperative."""
NEVI_YEAR = 525_600 * 60_000_000
"""The formula's minutes of a year, in microseconds; also where the year has 366 days."""
NEVI_LEAST_PERCENT = 97
"""Each port must exceed it."""
UK_LEAST_PERCENT = 99
"""A network must reach it on average."""
RAPID_W = 50_000
"""From this power on reg. 7 demands its 99 %."""


@dataclass(frozen=True)
class Left:
    """Time that is to be left out, why, and by which document. `source` is its row or rule."""

    spans: Spans
    reason: str
    document: str
    source: str


@dataclass(frozen=True)
class LeftOut:
    """All that is to be left out of some connectors' figures; what comes first counts first."""

    pieces: tuple[Left, ...] = ()

    @cached_property
    def nevi(self) -> Spans:
        """Where NEVI leaves outage out."""
        return self._of("nevi")

    @cached_property
    def uk(self) -> Spans:
        """Where the UK's figure does not measure."""
        return self._of("uk")

    @cached_property
    def closed(self) -> Spans:
        """When the site is shut."""
        return union(*(x.spans for x in self.pieces if x.reason == CLOSED))

    def _of(self, measure: str) -> Spans:
        return union(*(x.spans for x in self.pieces if measure in LEAVES_OUT[x.reason]))


@dataclass(frozen=True)
class Layers:
    """What is known of one connector. Spans may reach beyond the window.

    `window` is the asked time cut to what the connector was in service. `said` has the spans of
    each state it told, `heard` when its charger was heard, `out` when an incident put it out of
    order, `quiet` when it alone was silent, `weak` when it gave less power than it should.
    """

    window: Span
    said: Mapping[str, Spans]
    heard: Spans
    out: Spans = field(default_factory=list)
    quiet: Spans = field(default_factory=list)
    weak: Spans = field(default_factory=list)
    left: LeftOut = LeftOut()


@dataclass(frozen=True)
class Parts:
    """The window in four parts that neither overlap nor leave a gap, and two cuts through them."""

    working: Spans
    unavailable: Spans
    out_of_order: Spans
    unknown: Spans
    nevi_outage: Spans
    uk_down: Spans
    """Inoperative or out of order, before exempt time and closed hours leave."""


def take_apart(layers: Layers) -> Parts:
    """What the connector was when. An incident outweighs what the pile says; a pile that is not
    heard is unknown, whatever it said last."""
    whole = [layers.window] if layers.window[0] < layers.window[1] else []
    said = layers.said
    known = subtract(layers.heard, layers.quiet) if layers.quiet else layers.heard
    known = intersect(whole, known)
    out = intersect(whole, layers.out) if layers.out else []
    if faulted := said.get("faulted"):
        out = union(out, intersect(faulted, known))
    unavailable = subtract(intersect(said.get("unavailable", []), known), out)
    working = subtract(intersect(said.get("working", []), known), out)
    unknown = subtract(whole, union(out, unavailable, working))
    up = subtract(working, layers.weak)
    return Parts(
        working=working,
        unavailable=unavailable,
        out_of_order=out,
        unknown=unknown,
        nevi_outage=subtract(whole, up),
        uk_down=union(out, unavailable),
    )


@dataclass(frozen=True)
class Tally:
    """Microseconds of each kind, of one connector or of many together."""

    connectors: int = 0
    service: int = 0
    working: int = 0
    unavailable: int = 0
    out_of_order: int = 0
    unknown: int = 0
    nevi_total: int = 0
    nevi_outage: int = 0
    nevi_excluded: int = 0
    nevi_missed: int = 0
    """Connectors that did not exceed NEVI's 97 %."""
    uk_total: int = 0
    uk_down: int = 0
    uk_exempt: int = 0
    uk_ineligible: int = 0

    def __add__(self, other: "Tally") -> "Tally":
        """Both together."""
        return Tally(*(getattr(self, n) + getattr(other, n) for n in _NAMES))

    @property
    def plain(self) -> float | None:
        """Available or in use, by the whole time; None without any time."""
        return self.working / self.service if self.service else None

    @property
    def nevi(self) -> float | None:
        """µ of 23 CFR 680.116(b)(3) as a share."""
        if not self.nevi_total:
            return None
        return max(0, self.nevi_total - (self.nevi_outage - self.nevi_excluded)) / self.nevi_total

    @property
    def uk(self) -> float | None:
        """Reliable by the measured time; the time that is ineligible counts as reliable."""
        return (self.uk_total - self.uk_down) / self.uk_total if self.uk_total else None


_NAMES = [f.name for f in fields(Tally)]


def count(layers: Layers) -> Tally:
    """One connector's time."""
    parts = take_apart(layers)
    service = layers.window[1] - layers.window[0]
    if service <= 0:
        return Tally(connectors=1)
    outage = total(parts.nevi_outage)
    excluded = exempt = closed = 0
    uk_down, unknown = parts.uk_down, parts.unknown
    if layers.left.pieces:
        excluded = total(intersect(parts.nevi_outage, layers.left.nevi))
        leaving = intersect([layers.window], layers.left.uk)
        closed = total(leaving)
        exempt = total(subtract(leaving, layers.left.closed))
        uk_down = subtract(uk_down, leaving)
        unknown = subtract(unknown, leaving)
    nevi_total = min(service, NEVI_YEAR)
    reached = (nevi_total - (outage - excluded)) * 100 > nevi_total * NEVI_LEAST_PERCENT
    return Tally(
        connectors=1,
        service=service,
        working=total(parts.working),
        unavailable=total(parts.unavailable),
        out_of_order=total(parts.out_of_order),
        unknown=total(parts.unknown),
        nevi_total=nevi_total,
        nevi_outage=outage,
        nevi_excluded=excluded,
        nevi_missed=0 if reached else 1,
        uk_total=service - closed,
        uk_down=total(uk_down),
        uk_exempt=exempt,
        uk_ineligible=total(unknown),
    )


@dataclass(frozen=True)
class Excluded:
    """A piece of time that a figure leaves out, counted once, with why and by which document."""

    measure: Measure
    span: Span
    reason: str
    document: str
    source: str


def excluded_pieces(layers: Layers) -> list[Excluded]:
    """Every piece that was left out, in order. Where several reasons cover the same moment the
    first in `layers.left` has it, so that the pieces of one figure add up to what it left out:
    of NEVI outage only, of the UK figure all of the time."""
    whole = [layers.window] if layers.window[0] < layers.window[1] else []
    found: list[Excluded] = []
    open_to: dict[Measure, Spans] = {"nevi": take_apart(layers).nevi_outage, "uk": whole}
    for measure, remaining in open_to.items():
        rest = remaining
        for left in layers.left.pieces:
            if measure in LEAVES_OUT[left.reason]:
                found += [
                    Excluded(measure, span, left.reason, left.document, left.source)
                    for span in intersect(rest, left.spans)
                ]
                rest = subtract(rest, left.spans)
    return sorted(found, key=lambda e: (e.span, e.measure))
