"""A connector that swings between faulted and healthy: one intermittent fault, with its rhythm."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from alerts.detectors.event import Event
from alerts.incidents import Finding, Key
from pilewatch.faultcodes import FAULTS
from pilewatch.model import SubjectKind
from pilewatch.policy import Flapping

FLAPPING = "flapping"


def flapping(event: Event, swings: Sequence[datetime], rule: Flapping) -> list[Finding]:
    """More changes between faulted and healthy within the window than a real repair makes.

    `swings` are the moments of such changes, in order. May be wrong where somebody tests a port
    again and again; the incident ends when the port has been steady for the window.
    """
    if event.kind != "connector.status" or event.connector_id is None or not is_swing(event):
        return []
    opens = event.observed_at - timedelta(seconds=rule.window_s)
    recent = [at for at in swings if opens < at <= event.observed_at]
    if len(recent) <= rule.changes:
        return []
    rhythm = (recent[-1] - recent[0]).total_seconds() / (len(recent) - 1)
    evidence = {"changes": len(recent), "within_s": rule.window_s, "every_s": round(rhythm)}
    return [_finding(event.connector_id, event.received_at, present=True, evidence=evidence)]


def is_swing(event: Event) -> bool:
    """Whether this event crosses the line between faulted and healthy."""
    return (event.payload.get("status") == "faulted") != (event.payload.get("was") == "faulted")


def steady(connector_id: int, at: datetime) -> Finding:
    """No change within the window, as the sweep found."""
    return _finding(connector_id, at, present=False, evidence={})


def _finding(
    connector_id: int, at: datetime, *, present: bool, evidence: dict[str, float]
) -> Finding:
    key = Key(SubjectKind.CONNECTOR, connector_id, FAULTS["flapping"].family)
    return Finding(key, FLAPPING, "flapping", present=present, at=at, evidence=evidence)
