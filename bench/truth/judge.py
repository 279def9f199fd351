"""Tickets against the truth. Pure.

A ticket *matches* a fault if its subject lies on the path of the fault's place (the place itself,
what it hangs on, or what hangs on it), it was opened between the fault's start and `GRACE` after
its end, and its code is the same or of the same family. A ticket which fits in place and time,
but only names the symptom ("nothing comes out") of a fault that causes it, *finds* the fault
without naming it; it is neither false nor a second ticket unless the fault has a matching one
too. So does, the other way round, a ticket which names a cause ("the contact does not close") of
a fault that is itself only a symptom: a port that gives nothing. Everything else is *false*.
Tickets merged into another count as that other one.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from statistics import mean, quantiles

from pilewatch.faultcodes import FAULTS
from simulator.faults import KINDS
from simulator.truth import Truth

GRACE = timedelta(hours=2)
SYMPTOMS = frozenset({"no-output", "dead-available", "internal-error", "plug-broken"})


@dataclass(frozen=True)
class Opened:
    """A ticket, or what stands for one elsewhere: place by codes, narrowest last."""

    id: int
    code: str
    site: str
    gateway: str | None
    charger: str | None
    connector: int | None
    at: datetime
    family: str | None = None

    @property
    def kin(self) -> str:
        """The fault family that it speaks of."""
        return self.family or FAULTS[self.code].family


@dataclass
class Verdict:
    """One fault and the tickets it got."""

    truth: Truth
    matching: list[Opened] = field(default_factory=list)
    finding: list[Opened] = field(default_factory=list)

    @property
    def tickets(self) -> list[Opened]:
        """All that were opened for it."""
        return self.matching + self.finding

    @property
    def delay(self) -> float | None:
        """Seconds from the fault's start to its first ticket."""
        if not self.tickets:
            return None
        return (min(t.at for t in self.tickets) - self.truth.start).total_seconds()


@dataclass
class Judged:
    """All faults of a run, and the tickets that belong to none."""

    verdicts: list[Verdict]
    false: list[Opened]


def judge(truths: Sequence[Truth], opened: Iterable[Opened]) -> Judged:
    """Give each ticket to the fault that it fits best; the latest start where several fit."""
    verdicts = [Verdict(truth) for truth in truths]
    false = []
    for ticket in sorted(opened, key=lambda t: t.at):
        near = [v for v in verdicts if _fits(v.truth, ticket)]
        named = [v for v in near if FAULTS[v.truth.code].family == ticket.kin]
        symptom = [v for v in near if explains(v.truth.code, ticket.code)]
        exact = [v for v in named if v.truth.code == ticket.code]
        for fitting, matches in ((exact, True), (named, True), (symptom, False)):
            if fitting:
                best = max(fitting, key=lambda v: v.truth.start)
                (best.matching if matches else best.finding).append(ticket)
                break
        else:
            false.append(ticket)
    return Judged(verdicts, false)


def explains(fault: str, ticket: str) -> bool:
    """Whether one of the two names only what the other one does to people."""
    symptom = ticket in SYMPTOMS and FAULTS[fault].effect != "none"
    return symptom or (ticket in KINDS and KINDS[ticket].complaint == fault)


def _fits(truth: Truth, ticket: Opened) -> bool:
    if ticket.site != truth.site:
        return False
    end = truth.end + GRACE if truth.end else ticket.at
    if not truth.start - timedelta(seconds=1) <= ticket.at <= end:
        return False
    if truth.charger is None:
        return truth.gateway is None or truth.gateway == ticket.gateway or ticket.gateway is None
    if ticket.charger is None:
        return True
    if ticket.charger != truth.charger:
        return False
    return truth.connector is None or ticket.connector in (None, truth.connector)


@dataclass(frozen=True)
class Row:
    """Figures of one fault code."""

    code: str
    faults: int
    found: int
    named: int
    false: int
    mean: float
    most: int
    p50: float | None
    p95: float | None

    @property
    def recall(self) -> float | None:
        """Share of the faults that got a ticket."""
        return self.found / self.faults if self.faults else None

    @property
    def precision(self) -> float | None:
        """Share of this code's tickets that belong to a fault."""
        all_ = self.found + self.false
        return self.found / all_ if all_ else None


def table(runs: Iterable[Judged]) -> list[Row]:
    """One row for each code, and `total`."""
    verdicts: dict[str, list[Verdict]] = defaultdict(list)
    false: dict[str, int] = defaultdict(int)
    for run in runs:
        for verdict in run.verdicts:
            verdicts[verdict.truth.code].append(verdict)
        for ticket in run.false:
            false[ticket.code] += 1
    rows = [_row(code, verdicts[code], false[code]) for code in sorted({*verdicts, *false})]
    return [*rows, _row("total", [v for vs in verdicts.values() for v in vs], sum(false.values()))]


def _row(code: str, verdicts: list[Verdict], false: int) -> Row:
    found = [v for v in verdicts if v.tickets]
    counts = [len(v.tickets) for v in found]
    delays = sorted(v.delay for v in found if v.delay is not None)
    cuts = quantiles(delays, n=20, method="inclusive") if len(delays) > 1 else delays * 19
    return Row(
        code,
        len(verdicts),
        len(found),
        sum(bool(v.matching) for v in verdicts),
        false,
        mean(counts) if counts else 0.0,
        max(counts, default=0),
        cuts[9] if cuts else None,
        cuts[18] if cuts else None,
    )
