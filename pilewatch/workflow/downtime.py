"""Planned downtime: announced power cuts and maintenance explain what fails meanwhile.

A planned incident has no ticket and nobody is told; if it is still there some time after its
window, it becomes an ordinary one. Danger to people is never planned. Every function runs inside
its caller's transaction.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from pilewatch.policy import Policy
from pilewatch.store import queries
from pilewatch.store.pool import Db
from pilewatch.workflow.desk import Actor, NotFound, Subject, act
from pilewatch.workflow.tickets import Reject

_SQL = queries.load("planning")
REASON = "planned downtime"
"""With which the untouched tickets of what was planned are rejected."""
ScopeKind = Literal["area", "grid", "site", "gateway", "charger", "connector"]
DowntimeKind = Literal["power-cut", "maintenance"]


@dataclass(frozen=True)
class Window:
    """What is planned. `from_at` is in it, `to_at` is not."""

    scope_kind: ScopeKind
    scope_id: int
    kind: DowntimeKind
    from_at: datetime
    to_at: datetime
    reason: str
    reference: str | None = None


@dataclass(frozen=True)
class Interval:
    """A piece of time; `from_at` is in it, `to_at` is not."""

    from_at: datetime
    to_at: datetime


def enter_downtime(db: Db, policy: Policy, now: datetime, window: Window, person_id: int) -> int:
    """Plan it, also afterwards: incidents that began within are explained; gives its id.

    Their tickets are rejected where nobody has taken them on.
    """
    values = {**vars(window), "person_id": person_id, "now": now}
    row = db.execute(_SQL["add_downtime"], values).fetchone()
    assert row is not None
    _attach(db, policy, now, row["id"], person_id)
    return int(row["id"])


def change_downtime(
    db: Db,
    policy: Policy,
    now: datetime,
    id: int,
    *,
    to_at: datetime,
    reason: str,
    reference: str | None,
    person_id: int,
) -> None:
    """Another end, reason or document. Raises `NotFound`, `ValueError` for an impossible end."""
    row = _lock(db, id)
    if row["cancelled_at"] is not None:
        raise ValueError("it has been cancelled; enter a new one")
    if to_at <= row["from_at"]:
        raise ValueError("to_at: must be later than from_at")
    values = {"id": id, "to_at": to_at, "reason": reason, "reference": reference, "now": now}
    db.execute(_SQL["change_downtime"], values)
    db.execute(_SQL["move_downtime_end"], {**values, "grace": _grace(policy)})
    _attach(db, policy, now, id, person_id)


def cancel_downtime(db: Db, now: datetime, id: int) -> None:
    """From now on it explains nothing; what it did explain and is still there gets its ticket."""
    _lock(db, id)
    db.execute(_SQL["cancel_downtime"], {"id": id, "now": now})
    db.execute(_SQL["detach_downtime"], {"id": id, "now": now})


def plan_incident(db: Db, policy: Policy, at: datetime, incident_id: int, subject: Subject) -> bool:
    """Whether a window explains this incident at this moment; it is marked so."""
    values = {
        "id": incident_id,
        "subject_kind": subject.kind.value,
        "subject_id": subject.id,
        "at": at,
        "grace": _grace(policy),
    }
    return db.execute(_SQL["plan_incident"], values).fetchone() is not None


def ended_plans(db: Db, now: datetime) -> list[dict[str, Any]]:
    """Rows of incidents that their windows explain no longer; locked."""
    return db.execute(_SQL["ended_plans"], {"now": now}).fetchall()


def end_plan(db: Db, incident_id: int) -> None:
    """It is an ordinary incident from now on."""
    db.execute(_SQL["end_plan"], {"id": incident_id})


def excluded_intervals(
    db: Db, subject: Subject, from_at: datetime, to_at: datetime
) -> list[Interval]:
    """Planned time of a subject within a range, in order and without overlap, for uptime."""
    values = {
        "subject_kind": subject.kind.value,
        "subject_id": subject.id,
        "from_at": from_at,
        "to_at": to_at,
    }
    return [Interval(**row) for row in db.execute(_SQL["excluded_intervals"], values)]


def _lock(db: Db, id: int) -> dict[str, Any]:
    row = db.execute(_SQL["lock_downtime"], {"id": id}).fetchone()
    if row is None:
        raise NotFound(f"planned downtime {id}")
    return row


def _attach(db: Db, policy: Policy, now: datetime, id: int, person_id: int) -> None:
    rows = db.execute(_SQL["attach_downtime"], {"id": id, "grace": _grace(policy)}).fetchall()
    ids = sorted({row["ticket_id"] for row in rows if row["ticket_id"] is not None})
    actor = Actor("person", person_id)
    for ticket in db.execute(_SQL["untouched_tickets"], {"ids": ids}).fetchall():
        act(db, policy, now, ticket["id"], Reject(REASON), actor)
    for row in rows:
        db.execute(_SQL["notify_incident"], {"payload": str(row["id"])})


def _grace(policy: Policy) -> timedelta:
    return timedelta(seconds=policy.planned.grace_s)
