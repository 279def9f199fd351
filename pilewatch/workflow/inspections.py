"""Inspections: a grid worker's check on the spot proves a repair or opens a ticket."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from pilewatch.model import SubjectKind
from pilewatch.policy import Policy
from pilewatch.store import queries
from pilewatch.store.pool import Db
from pilewatch.workflow.desk import Actor, Subject, act, open_ticket
from pilewatch.workflow.tickets import Close, Comment, ReturnClaim, Verify

_SQL = queries.load("workflow")
FAILED_CODE = "no-output"
"""What a failed check means where the worker names no fault: 充不进电."""


@dataclass
class Recorded:
    """What the inspection did; `created` is False for a repeat of the same id."""

    created: bool
    verified_tickets: list[int] = field(default_factory=list)
    opened_tickets: list[int] = field(default_factory=list)


def record_inspection(
    db: Db,
    policy: Policy,
    now: datetime,
    *,
    id: UUID,
    charger_id: int,
    connector_id: int | None,
    person_id: int,
    inspected_at: datetime,
    passed: bool,
    test_charge: bool,
    answers: list[dict[str, Any]],
    note: str | None,
    code: str = FAILED_CODE,
) -> Recorded:
    """Keep one check and draw its consequences, inside the caller's transaction.

    Passed with a test charge after the claim: the claimed ticket is verified and closed.
    Failed: claims go back to the repairer; without a ticket one is opened.
    """
    values = {
        "id": id,
        "charger_id": charger_id,
        "connector_id": connector_id,
        "person_id": person_id,
        "inspected_at": inspected_at,
        "now": now,
        "passed": passed,
        "test_charge": test_charge,
        "answers": Jsonb(answers),
        "note": note,
    }
    if db.execute(_SQL["add_inspection"], values).fetchone() is None:
        return Recorded(created=False)
    recorded = Recorded(created=True)
    actor = Actor("person", person_id)
    live = db.execute(_SQL["repaired_tickets_of"], values).fetchall()
    for row in live:
        claimed = row["state"] == "repaired" and row["claimed_at"] <= inspected_at
        said = {"inspection": str(id), "passed": passed, "test_charge": test_charge}
        if claimed and passed and test_charge:
            evidence = {"kind": "inspection", **said, "at": inspected_at.isoformat()}
            act(db, policy, now, row["id"], Verify(evidence), actor)
            act(db, policy, now, row["id"], Close(), actor)
            recorded.verified_tickets.append(row["id"])
        elif claimed and not passed:
            reason = note or "the inspection failed"
            act(db, policy, now, row["id"], ReturnClaim(reason), actor)
        else:
            act(db, policy, now, row["id"], Comment(note, "inspected", said), actor)
        db.execute(_SQL["link_inspection"], {"id": id, "ticket_id": row["id"]})
    if not passed and not live:
        kind = SubjectKind.CHARGER if connector_id is None else SubjectKind.CONNECTOR
        subject = Subject(kind, charger_id if connector_id is None else connector_id)
        opened = open_ticket(
            db,
            policy,
            now,
            subject=subject,
            code=code,
            actor=actor,
            note=note,
            data={"inspection": str(id)},
        )
        recorded.opened_tickets.append(opened.ticket_id)
        db.execute(_SQL["link_inspection"], {"id": id, "ticket_id": opened.ticket_id})
    return recorded
