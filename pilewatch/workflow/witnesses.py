"""Three witnesses of a pile: telemetry, residents, grid workers. Pure.

The rule, in points for "it is broken": telemetry that shows a fault +2, that says healthy -1, that
has delivered energy since the first report -2, that is silent 0; each report with a receipt of
its own +1, three at most, and none older than `RECENT`. One point or more asks for a repair,
less for a check. A grid worker's inspection settles what was said before it: reports older than
the latest inspection no longer count, and a failed one is a repair. A word about danger to people
is never weighed: it is believed.

So two residents who say "it does not charge" outweigh a pile that says "available", and one
alone asks somebody to look.
"""

from dataclasses import asdict, dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any, Literal

from pilewatch.faultcodes import FAULTS

RECENT = timedelta(days=14)
_MOST_REPORTS = 3


class Telemetry(StrEnum):
    """What the pile itself shows."""

    FAULTY = "faulty"
    SILENT = "silent"
    HEALTHY = "healthy"
    DELIVERING = "delivering"


_POINTS = {
    Telemetry.FAULTY: 2,
    Telemetry.SILENT: 0,
    Telemetry.HEALTHY: -1,
    Telemetry.DELIVERING: -2,
}


@dataclass(frozen=True)
class Witnesses:
    """What is known of one thing; `reports` are recent ones, the new one included.

    Those from before the latest `inspection` are not among them.
    """

    telemetry: Telemetry
    reports: int
    inspection: Literal["passed", "failed"] | None = None


@dataclass(frozen=True)
class Weighed:
    """The rule's outcome, with all that led to it."""

    ask: Literal["check", "repair"]
    points: int
    severity: int
    witnesses: Witnesses

    @property
    def data(self) -> dict[str, Any]:
        """For the ticket's timeline."""
        return {"ask": self.ask, "points": self.points, "witnesses": asdict(self.witnesses)}


def weigh(code: str, seen: Witnesses) -> Weighed:
    """Whether what is reported as `code` asks for a check or a repair, and how urgently."""
    severity = FAULTS[code].severity
    points = _POINTS[seen.telemetry] + min(seen.reports, _MOST_REPORTS)
    if seen.inspection == "failed" or severity == 1:
        return Weighed("repair", points, severity, seen)
    if points >= 1:
        return Weighed("repair", points, severity, seen)
    return Weighed("check", points, 3, seen)
