"""Ports that nobody uses although people come: "available", but dead."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from alerts.incidents import Finding, Key
from pilewatch.faultcodes import FAULTS
from pilewatch.model import SubjectKind
from pilewatch.policy import Demand

DEMAND = "demand"


@dataclass(frozen=True)
class Idle:
    """One unused port: its own sessions and those of its neighbours, before and since."""

    connector_id: int
    charger_id: int
    last_used_at: datetime
    own_before: int
    neighbours_before: int
    neighbours_since: int

    @property
    def expected(self) -> float:
        """Sessions that its share of the neighbourhood's would have brought since."""
        if not self.neighbours_before:
            return 0.0
        return self.own_before * self.neighbours_since / self.neighbours_before


def vanished_demand(idle: Sequence[Idle], at: datetime, rule: Demand) -> list[Finding]:
    """Ports whose share of what the neighbours had since their last session is `expected` or more.

    Nights, holidays and a dead site explain themselves: the neighbours have none either. May be
    wrong where a port has become hard to reach, which is worth a look too. With `expected` λ a
    sound port is wrongly suspected with probability e^-λ for each of its sessions.
    """
    return [
        Finding(
            _key(port.connector_id),
            DEMAND,
            "dead-available",
            present=True,
            at=at,
            evidence={
                "last_used_at": port.last_used_at.isoformat(),
                "expected": round(port.expected, 1),
                "neighbours_since": port.neighbours_since,
            },
        )
        for port in idle
        if port.own_before >= rule.known_sessions and port.expected >= rule.expected
    ]


def used_again(connector_id: int, at: datetime) -> Finding:
    """Somebody charged there."""
    return Finding(_key(connector_id), DEMAND, "dead-available", present=False, at=at)


def _key(connector_id: int) -> Key:
    return Key(SubjectKind.CONNECTOR, connector_id, FAULTS["dead-available"].family)
