"""What the charger's controller shows: reboots, a wrong clock, a weak radio."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from alerts.detectors.event import Event
from alerts.incidents import Finding, Key
from pilewatch.faultcodes import FAULTS
from pilewatch.model import SubjectKind
from pilewatch.policy import Controller

CONTROLLER = "controller"
CLOCK_LAG = "clock-lag"


def reboot_loop(event: Event, boots: Sequence[datetime], rule: Controller) -> list[Finding]:
    """More boots within the window than a charger needs. `boots` are those known, in any order.

    May be wrong where somebody switches the breaker again and again.
    """
    if event.kind != "charger.boot":
        return []
    opens = event.observed_at - timedelta(seconds=rule.boots_within_s)
    recent = sorted(at for at in boots if opens < at <= event.observed_at)
    if len(recent) <= rule.boots:
        return []
    evidence = {"boots": [at.isoformat() for at in recent[-10:]]}
    return [_finding("reboot-loop", event.charger_id, event.received_at, True, evidence)]


def wrong_clock(event: Event) -> list[Finding]:
    """The ingester found the charger's time absurd; it says so once a day."""
    if event.kind != "charger.clock":
        return []
    return [_finding("clock-wrong", event.charger_id, event.received_at, True, {})]


def lagging_clock(charger_id: int, at: datetime, lag_s: float, rule: Controller) -> Finding:
    """A heartbeat's own time against ours at its arrival: heartbeats are never kept for later.

    May be wrong for a moment while a backlog is read; the debounce outlasts it.
    """
    present = abs(lag_s) > rule.clock_lag_s
    key = Key(SubjectKind.CHARGER, charger_id, FAULTS["clock-wrong"].family)
    evidence = {"lag_s": round(lag_s), "limit_s": rule.clock_lag_s}
    return Finding(key, CLOCK_LAG, "clock-wrong", present=present, at=at, evidence=evidence)


def controller_gone(code: str, charger_id: int, at: datetime) -> Finding:
    """The fault of this code is over, as the sweep found."""
    return _finding(code, charger_id, at, False, {})


def weak_signal(charger_id: int, at: datetime, rssi_dbm: float, limit: float) -> Finding:
    """The radio hears its network worse than the limit."""
    evidence = {"rssi_dbm": rssi_dbm, "limit": limit}
    return _finding("weak-signal", charger_id, at, True, evidence)


def _finding(
    code: str, charger_id: int, at: datetime, present: bool, evidence: dict[str, Any]
) -> Finding:
    key = Key(SubjectKind.CHARGER, charger_id, FAULTS[code].family)
    return Finding(key, CONTROLLER, code, present=present, at=at, evidence=evidence)
