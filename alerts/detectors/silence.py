"""Who no longer speaks: chargers by last will or missed heartbeats, ports behind a live charger."""

from datetime import datetime
from typing import Any

from alerts.detectors.event import Event
from alerts.incidents import Finding, Key
from pilewatch.faultcodes import FAULTS
from pilewatch.model import SubjectKind

SILENCE = "silence"
STALE = "stale"


def charger_silence(event: Event) -> list[Finding]:
    """A charger's last will spoke, or it is back.

    Sees: the broker's word that the connection broke. May be wrong for a moment: a radio that
    reconnects within the debounce is no incident.
    """
    if event.kind == "charger.offline":
        return [silent_charger(event.charger_id, event.received_at, {"by": "last will"})]
    if event.kind == "charger.online":
        return [returned_charger(event.charger_id, event.received_at)]
    return []


def silent_charger(charger_id: int, at: datetime, evidence: dict[str, Any]) -> Finding:
    """Also for three missed heartbeats (found by the sweep, which the database does)."""
    key = Key(SubjectKind.CHARGER, charger_id, FAULTS["offline-charger"].family)
    return Finding(key, SILENCE, "offline-charger", present=True, at=at, evidence=evidence)


def returned_charger(charger_id: int, at: datetime) -> Finding:
    """The charger speaks again."""
    key = Key(SubjectKind.CHARGER, charger_id, FAULTS["offline-charger"].family)
    return Finding(key, SILENCE, "offline-charger", present=False, at=at)


def stale_connector(
    connector_id: int, at: datetime, *, stale: bool, heard_at: datetime | None
) -> Finding:
    """A port that says nothing while its charger does: older than three heartbeats.

    May be wrong where a charger confirms its ports less often than it promises.
    """
    key = Key(SubjectKind.CONNECTOR, connector_id, FAULTS["silent-port"].family)
    evidence = {"heard_at": heard_at.isoformat() if heard_at else None}
    return Finding(key, STALE, "silent-port", present=stale, at=at, evidence=evidence)
