"""What connectors say is wrong with them."""

from collections.abc import Iterable
from typing import Any

from alerts.detectors.event import Event
from alerts.incidents import Finding, Incident, Key
from pilewatch.faultcodes import FAULTS, UNMAPPED, WHOLE_CHARGER
from pilewatch.model import SubjectKind

REPORTED = "reported"


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
