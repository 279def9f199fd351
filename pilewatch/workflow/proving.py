"""Why a repair is not proved (yet): what the evidence lacks, for the repairer to read."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from pilewatch.faultcodes import FAULTS
from pilewatch.policy import Policy
from pilewatch.store import queries
from pilewatch.store.pool import Db
from pilewatch.workflow.desk import get_ticket

_SQL = queries.load("workflow")
Word = Literal["still-complains", "inspection", "no-session", "weak-session", "unheard", "wait"]


@dataclass(frozen=True)
class Lack:
    """One thing that is missing. `value` is what there is of `needed`: Wh, or seconds."""

    word: Word
    value: float | None = None
    needed: float | None = None


@dataclass(frozen=True)
class Unproved:
    """A claim that nothing proves: since when proof is looked for, whether its time ran out."""

    since: datetime
    returned: bool
    lacks: list[Lack]


def unproved(db: Db, policy: Policy, now: datetime, ticket_id: int) -> Unproved | None:
    """What the latest claim lacks by the rules of `verification.find_evidence`; None where there
    is no claim that waits for its proof or was returned for want of it."""
    claim = db.execute(_SQL["latest_claim"], {"ticket_id": ticket_id}).fetchone()
    if claim is None:
        return None
    ticket = get_ticket(db, ticket_id)
    subject = {"subject_kind": ticket.subject_kind, "subject_id": ticket.subject_id}
    matter = {"ticket_id": ticket_id, "family": ticket.family}
    said = db.execute(_SQL["machine_said"], {**subject, **matter}).fetchone()
    assert said is not None
    connectors = [r["id"] for r in db.execute(_SQL["connectors_of_subject"], subject)]
    found = Unproved(claim["at"], claim["returned"], [])
    if said["alive"]:
        found.lacks.append(Lack("still-complains"))
    if said["hands_only"]:
        found.lacks.append(Lack("inspection"))
    if said["alive"] or said["hands_only"]:
        return found
    if ticket.family != "silence":
        values = {"connectors": connectors, "claimed_at": claim["at"]}
        best = db.execute(_SQL["best_session"], values).fetchone()
        wh = None if best is None else best["energy_wh"]
        needed = policy.evidence.min_session_wh
        found.lacks.append(Lack("no-session" if wh is None else "weak-session", wh, needed))
    if FAULTS[ticket.code].idle_proves and said["ever"]:
        found.lacks.append(_idle(db, policy, now, connectors, claim["at"]))
    return found


def _idle(db: Db, policy: Policy, now: datetime, connectors: list[int], since: datetime) -> Lack:
    health = db.execute(
        _SQL["health_of_connectors"], {"now": now, "connectors": connectors}
    ).fetchone()
    if health is None or not health["heard"]:
        return Lack("unheard")
    known = max(since, health["healthy_since"] or since)
    return Lack("wait", (now - known).total_seconds(), policy.evidence.healthy_idle_s)
