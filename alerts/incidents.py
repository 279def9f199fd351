"""An incident as a pure state machine over findings and time.

pending -(debounce)-> open -(absent)-> clearing -(hysteresis)-> cleared; pending -(absent)->
dismissed; member: explained by a parent incident, without a ticket of its own.
"""

from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from pilewatch.faultcodes import FAULTS
from pilewatch.model import SubjectKind
from pilewatch.policy import Policy


class Phase(StrEnum):
    """Where an incident stands."""

    PENDING = "pending"
    OPEN = "open"
    CLEARING = "clearing"
    CLEARED = "cleared"
    DISMISSED = "dismissed"
    MEMBER = "member"


LIVE = frozenset({Phase.PENDING, Phase.OPEN, Phase.CLEARING, Phase.MEMBER})


@dataclass(frozen=True)
class Key:
    """One live incident at most for each of these; the database keeps it so."""

    subject_kind: SubjectKind
    subject_id: int
    family: str


@dataclass(frozen=True)
class Finding:
    """What a detector says: this fault is there (`present`) or is not, as of `at`.

    `port` is the connector's number where a fault of the whole charger is seen at one port.
    """

    key: Key
    detector: str
    code: str
    present: bool
    at: datetime
    port: int | None = None
    evidence: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Incident:
    """A machine-detected problem with start, end, evidence. `id` is None until it is written."""

    key: Key
    detector: str
    code: str
    severity: int
    phase: Phase
    started_at: datetime
    id: int | None = None
    opened_at: datetime | None = None
    quiet_since: datetime | None = None
    ended_at: datetime | None = None
    due_at: datetime | None = None
    parent_id: int | None = None
    ticket_id: int | None = None
    evidence: dict[str, Any] = field(default_factory=dict)

    @property
    def live(self) -> bool:
        """Neither cleared nor dismissed."""
        return self.phase in LIVE

    @property
    def quiet(self) -> bool:
        """The fault is not seen at present."""
        return self.quiet_since is not None


def begin(finding: Finding, policy: Policy) -> Incident:
    """A fault seen for the first time: pending until its debounce is over."""
    fault = FAULTS[finding.code]
    return Incident(
        key=finding.key,
        detector=finding.detector,
        code=finding.code,
        severity=fault.severity,
        phase=Phase.PENDING,
        started_at=finding.at,
        due_at=finding.at + policy.debounce_of(fault),
        evidence=_seen({}, finding),
    )


def advance(incident: Incident, now: datetime, policy: Policy) -> Incident:
    """What time alone has done to it by `now`, as if looked at in the very moment."""
    if incident.due_at is None or incident.due_at > now:
        return incident
    if incident.phase == Phase.PENDING:
        return replace(incident, phase=Phase.OPEN, opened_at=incident.due_at, due_at=None)
    return replace(incident, phase=Phase.CLEARED, ended_at=incident.quiet_since, due_at=None)


def see(incident: Incident, finding: Finding, policy: Policy) -> Incident:
    """Apply a finding to a live incident, after time has been let pass up to it."""
    if finding.present:
        return _present(incident, finding)
    ports = [p for p in incident.evidence.get("ports", []) if p != finding.port]
    if finding.port is not None and ports:
        return replace(incident, evidence={**incident.evidence, "ports": ports})
    if incident.phase == Phase.PENDING:
        return replace(incident, phase=Phase.DISMISSED, ended_at=finding.at, due_at=None)
    if incident.quiet:
        return incident
    phase = Phase.CLEARING if incident.phase == Phase.OPEN else incident.phase
    due = finding.at + policy.clear_after
    return replace(incident, phase=phase, quiet_since=finding.at, due_at=due)


def _present(incident: Incident, finding: Finding) -> Incident:
    fault = FAULTS[finding.code]
    changes: dict[str, Any] = {"evidence": _seen(incident.evidence, finding)}
    if fault.severity < incident.severity:
        changes |= {"code": fault.code, "severity": fault.severity}
    if incident.quiet:
        # Whoever sees it again is the one who will see it gone.
        changes |= {"quiet_since": None, "due_at": None, "detector": finding.detector}
        if incident.phase == Phase.CLEARING:
            changes["phase"] = Phase.OPEN
    return replace(incident, **changes)


def release(incident: Incident, now: datetime, policy: Policy) -> Incident:
    """A member whose parent has ended: gone with it, or a fault of its own from now on."""
    free = replace(incident, parent_id=None)
    if incident.quiet:
        return replace(free, phase=Phase.CLEARED, ended_at=incident.quiet_since, due_at=None)
    due = now + policy.debounce_of(FAULTS[incident.code])
    return replace(free, phase=Phase.PENDING, due_at=due)


def join_parent(incident: Incident, parent_id: int) -> Incident:
    """Explained by the parent: no ticket of its own."""
    return replace(incident, phase=Phase.MEMBER, parent_id=parent_id, due_at=None)


def _seen(evidence: dict[str, Any], finding: Finding) -> dict[str, Any]:
    """First and latest sight, bounded however long the fault lasts."""
    said = {"at": finding.at.isoformat(), "code": finding.code, **finding.evidence}
    seen = {"first": said, **evidence, "latest": said}
    if finding.port is not None:
        seen["ports"] = sorted({*evidence.get("ports", []), finding.port})
    return seen
