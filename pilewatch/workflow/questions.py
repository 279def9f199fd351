""" "Does it charge now?": asked when a ticket is closed, and once more weeks later."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from psycopg.types.json import Jsonb

from pilewatch.policy import Policy
from pilewatch.store import queries
from pilewatch.store.pool import Db
from pilewatch.workflow.tickets import Ticket

_SQL = queries.load("questions")
_MANY = 200
Kind = Literal["now", "later"]


@dataclass(frozen=True)
class Question:
    """One question to one reporter; `round` is how often the ticket had been reopened."""

    ticket_id: int
    round: int
    kind: Kind
    due_at: datetime
    answered_at: datetime | None
    charges: bool | None


@dataclass(frozen=True)
class Asking:
    """Which of the two is asked at this moment, what was answered to it (None: nothing yet), and
    when it will be asked again (None: no more, or not known yet)."""

    kind: Kind
    charges: bool | None
    again_at: datetime | None


def asked_now(questions: Iterable[Question], ticket_id: int, round: int, now: datetime) -> Asking:
    """What a reporter of this ticket, in this round of it, is asked now."""
    mine = {q.kind: q for q in questions if (q.ticket_id, q.round) == (ticket_id, round)}
    first, later = mine.get("now"), mine.get("later")
    if later is not None and later.due_at <= now:
        return Asking("later", later.charges, None)
    charges = None if first is None else first.charges
    return Asking("now", charges, None if later is None else later.due_at)


def questions_of(db: Db, report_id: int) -> list[Question]:
    """Every question to this reporter, the oldest first."""
    rows = db.execute(_SQL["questions_of"], {"report_id": report_id})
    return [Question(**row) for row in rows]


def plan_questions(db: Db, policy: Policy, now: datetime, ticket: Ticket) -> None:
    """The ticket is closed now: everybody who has reported it is asked, now and later."""
    values = {
        "ticket_id": ticket.id,
        "round": ticket.reopened,
        "now": now,
        "later": now + timedelta(days=policy.reports.ask_again_days),
    }
    db.execute(_SQL["plan_questions"], values)


def withdraw_questions(db: Db, ticket_id: int) -> None:
    """The ticket is open again: nobody is asked before it is closed anew."""
    db.execute(_SQL["withdraw_questions"], {"ticket_id": ticket_id})


def keep_answer(
    db: Db, now: datetime, report_id: int, ticket: Ticket, kind: Kind, *, charges: bool
) -> None:
    """Keep the answer; a later one to the same question replaces it."""
    values = {
        "report_id": report_id,
        "ticket_id": ticket.id,
        "round": ticket.reopened,
        "kind": kind,
        "now": now,
        "charges": charges,
    }
    db.execute(_SQL["keep_answer"], values)


def sweep_questions(db: Db, now: datetime) -> int:
    """Ask what is due, in the caller's transaction: on the receipt's page from now on, and
    through the outbox where the reporter can be reached. Gives how many were asked."""
    rows = db.execute(_SQL["ask_due"], {"now": now, "limit": _MANY}).fetchall()
    for row in rows:
        if row["way"] is not None:
            _tell(db, now, row)
    return len(rows)


def _tell(db: Db, now: datetime, row: dict[str, Any]) -> None:
    """What is kept of the contact is read when the message leaves, not before."""
    said = {
        "to": "resident",
        "way": row["way"],
        "report": row["report_id"],
        "ticket": row["ticket_id"],
        "question": row["kind"],
        "severity": 3,
    }
    values = {
        "key": f"question/{row['id']}",
        "topic": "report.asked",
        "payload": Jsonb(said),
        "now": now,
    }
    db.execute(_SQL["add_outbox"], values)
