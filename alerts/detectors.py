"""Detectors: pure functions from what happened to findings. See docs/add-a-detector.md."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from alerts.incidents import Finding, Incident, Key
from pilewatch.faultcodes import FAULTS, UNMAPPED, WHOLE_CHARGER
from pilewatch.model import SubjectKind

REPORTED = "reported"
SILENCE = "silence"
STALE = "stale"


@dataclass(frozen=True)
class Event:
    """A change that someone may have to decide about, as the ingester wrote it."""

    id: int
    kind: str
    charger_id: int
    connector_id: int | None
    number: int | None
    received_at: datetime
    payload: dict[str, Any]


def reported_faults(event: Event, live: Iterable[Incident]) -> list[Finding]:
    """What a connector says is wrong with it, and what it no longer says.

    Sees: `status` and `errors` of a status message; a bare "faulted" is an internal error.
    May be wrong: a charger may forget to withdraw an error; then its ticket waits for evidence.
    """
    if event.kind != "connector.status" or event.connector_id is None:
        return []
    errors = event.payload.get("errors") or []
    if not errors and event.payload.get("status") == "faulted":
        errors = [{"code": UNMAPPED, "info": "faulted without an error code"}]
    findings: dict[Key, Finding] = {}
    for error in errors:
        finding = _reported(event, error)
        known = findings.get(finding.key)
        if known is None or FAULTS[finding.code].severity < FAULTS[known.code].severity:
            findings[finding.key] = finding
    for incident in live:
        if incident.detector == REPORTED and incident.key not in findings:
            whole = incident.key.subject_kind == SubjectKind.CHARGER
            if whole and event.number not in incident.evidence.get("ports", []):
                continue
            findings[incident.key] = Finding(
                incident.key,
                REPORTED,
                incident.code,
                present=False,
                at=event.received_at,
                port=event.number if whole else None,
            )
    return list(findings.values())


def _reported(event: Event, error: dict[str, Any]) -> Finding:
    code = error.get("code") if error.get("code") in FAULTS else UNMAPPED
    whole = code in WHOLE_CHARGER
    subject = (
        (SubjectKind.CHARGER, event.charger_id)
        if whole
        else (SubjectKind.CONNECTOR, event.connector_id or 0)
    )
    said = {"status": event.payload.get("status"), "error": error}
    return Finding(
        Key(*subject, FAULTS[str(code)].family),
        REPORTED,
        str(code),
        present=True,
        at=event.received_at,
        port=event.number if whole else None,
        evidence=said,
    )


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


def detect(event: Event, live: Iterable[Incident]) -> list[Finding]:
    """All detectors over one event; `live` are the live incidents of its charger and connector."""
    return [*reported_faults(event, live), *charger_silence(event)]
