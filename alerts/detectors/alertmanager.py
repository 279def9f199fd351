"""What other programs say through Alertmanager's webhook."""

from collections.abc import Iterable

from alerts.detectors.event import Event
from alerts.incidents import Finding, Incident, Key
from pilewatch.faultcodes import FAULTS
from pilewatch.model import SubjectKind

ALERTMANAGER = "alertmanager"


def outside_alerts(event: Event, live: Iterable[Incident]) -> list[Finding]:
    """A firing alert is a fault of the place that its labels name; a resolved one ends it.

    Sees: `alert.firing` and `alert.resolved`. Thresholds are those of the other program. May be
    wrong as the other program is; it never ends what another detector has found.
    """
    if event.kind not in ("alert.firing", "alert.resolved"):
        return []
    code = event.payload["code"]
    key = Key(*_subject(event), FAULTS[code].family)
    present = event.kind == "alert.firing"
    others = any(i.key == key and i.detector != ALERTMANAGER for i in live)
    if others and not present:
        return []
    said = {name: event.payload.get(name) for name in ("alert", "summary", "starts_at")}
    return [Finding(key, ALERTMANAGER, code, present=present, at=event.received_at, evidence=said)]


def _subject(event: Event) -> tuple[SubjectKind, int]:
    if event.connector_id is not None:
        return SubjectKind.CONNECTOR, event.connector_id
    if event.charger_id:
        return SubjectKind.CHARGER, event.charger_id
    return SubjectKind.SITE, int(event.payload["site_id"])
