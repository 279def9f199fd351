"""Evidence: what shows that a repair is real, looked for in the chargers' own words."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

from pilewatch.faultcodes import FAULTS
from pilewatch.policy import Policy
from pilewatch.store import queries
from pilewatch.store.pool import Db
from pilewatch.workflow.desk import ENGINE, act, get_ticket
from pilewatch.workflow.tickets import Close, Recover, ReturnClaim, Ticket, Verify

_SQL = queries.load("workflow")


@dataclass
class Swept:
    """Ticket ids that the sweep moved."""

    verified: list[int] = field(default_factory=list)
    returned: list[int] = field(default_factory=list)
    recovered: list[int] = field(default_factory=list)


def sweep_repaired(db: Db, policy: Policy, now: datetime) -> Swept:
    """Verify and close what telemetry proves; return claims whose time for proof is over.

    Also closes tickets whose fault went away by itself, unless people were in danger.
    Runs inside the caller's transaction.
    """
    swept = Swept()
    for row in db.execute(_SQL["tickets_to_verify"]).fetchall():
        ticket = get_ticket(db, row["id"])
        assert ticket.claimed_at is not None
        evidence = find_evidence(db, policy, now, ticket, ticket.claimed_at)
        if evidence is not None:
            act(db, policy, now, ticket.id, Verify(evidence), ENGINE)
            swept.verified.append(ticket.id)
        elif ticket.verify_by_at is not None and ticket.verify_by_at <= now:
            reason = "no session, healthy idle time or inspection has shown the repair in time"
            act(db, policy, now, ticket.id, ReturnClaim(reason), ENGINE)
            swept.returned.append(ticket.id)
    idle = timedelta(seconds=policy.evidence.healthy_idle_s)
    for row in db.execute(_SQL["tickets_to_recover"], {"before": now - idle}).fetchall():
        ticket = get_ticket(db, row["id"])
        evidence = find_evidence(db, policy, now, ticket, row["since"])
        if evidence is not None:
            act(db, policy, now, ticket.id, Recover(evidence), ENGINE)
            swept.recovered.append(ticket.id)
    for row in db.execute(_SQL["tickets_to_close"]).fetchall():
        act(db, policy, now, row["id"], Close(), ENGINE)
    return swept


def find_evidence(
    db: Db, policy: Policy, now: datetime, ticket: Ticket, since: datetime
) -> dict[str, Any] | None:
    """Telemetry that proves the repair, all of it later than `since`; None while there is none.

    Either a session that delivered energy, or, for faults which the machine itself had shown in
    the idle state, a working state without errors kept for the policy's time. Never while the
    machine still complains of the same family, nor where an inspection found what no telemetry
    can show: then only another inspection proves the repair.
    """
    subject = {"subject_kind": ticket.subject_kind, "subject_id": ticket.subject_id}
    matter = {"ticket_id": ticket.id, "family": ticket.family}
    said = db.execute(_SQL["machine_said"], {**subject, **matter}).fetchone()
    assert said is not None
    if said["alive"] or said["hands_only"]:
        return None
    connectors = [r["id"] for r in db.execute(_SQL["connectors_of_subject"], subject)]
    silence = ticket.family == "silence"
    if not silence:
        session = _proving_session(db, policy, connectors, since)
        if session is not None:
            return session
    if not FAULTS[ticket.code].idle_proves or not said["ever"]:
        return None
    if silence:
        return _kept(db, policy, now, connectors, since, "online")
    if ticket.subject_kind == "connector":
        return _kept(db, policy, now, connectors, since, "healthy")
    # Another fault of one of its ports says nothing about the mains of a whole site.
    quiet = max(since, said["quiet_since"] or since)
    return _kept(db, policy, now, connectors, quiet, "heard")


def _proving_session(
    db: Db, policy: Policy, connectors: list[int], since: datetime
) -> dict[str, Any] | None:
    values = {
        "connectors": connectors,
        "claimed_at": since,
        "min_wh": policy.evidence.min_session_wh,
    }
    row = db.execute(_SQL["proving_session"], values).fetchone()
    if row is None:
        return None
    return {
        "kind": "session",
        "connector_id": row["connector_id"],
        "session_id": row["session_id"],
        "ended_at": row["ended_at"].isoformat(),
        "energy_wh": row["energy_wh"],
        "at_least_wh": policy.evidence.min_session_wh,
    }


def _kept(
    db: Db,
    policy: Policy,
    now: datetime,
    connectors: list[int],
    since: datetime,
    state: Literal["online", "healthy", "heard"],
) -> dict[str, Any] | None:
    """All connectors in this state now, and for the policy's time since they came into it."""
    values = {"now": now, "connectors": connectors}
    row = db.execute(_SQL["health_of_connectors"], values).fetchone()
    if row is None or not row[state]:
        return None
    known = row.get(f"{state}_since")
    start = max(since, known) if known is not None else since
    kept = (now - start).total_seconds()
    if kept < policy.evidence.healthy_idle_s:
        return None
    return {
        "kind": "online" if state == "online" else "idle",
        "since": start.isoformat(),
        "seconds": round(kept),
        "at_least_seconds": policy.evidence.healthy_idle_s,
    }
