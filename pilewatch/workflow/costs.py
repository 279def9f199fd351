"""What a repair costs: parts, work and ways, in fen, and who pays."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import date, datetime
from typing import Any

from pilewatch.policy import Policy
from pilewatch.repaircodes import CostKind, Payer
from pilewatch.store import queries
from pilewatch.store.pool import Db
from pilewatch.workflow.desk import Actor, NotFound, act, get_ticket
from pilewatch.workflow.tickets import Comment
from pilewatch.workflow.warranty import covers

_SQL = queries.load("costs")


@dataclass(frozen=True)
class Cost:
    """One thing to pay. `warrantor_id` answers for the part until the end of `warranty_until`."""

    kind: CostKind
    quantity: int
    unit_fen: int
    payer: Payer
    part: str | None = None
    serial: str | None = None
    warrantor_id: int | None = None
    warranty_until: date | None = None
    note: str | None = None


def add_cost(db: Db, policy: Policy, now: datetime, ticket_id: int, cost: Cost, by: Actor) -> int:
    """Keep it, and say so on the timeline; gives its id. Runs in the caller's transaction.

    Where the same part was put in before and is under warranty still, the new one refers to it.
    """
    said = {"kind": cost.kind, "part": cost.part, "payer": cost.payer}
    amount = cost.quantity * cost.unit_fen
    act(db, policy, now, ticket_id, Comment(None, "cost-added", {**said, "fen": amount}), by)
    before = next((c for c in covers(db, ticket_id) if c.part == cost.part), None)
    values = {
        **asdict(cost),
        "ticket_id": ticket_id,
        "under_warranty_of": None if before is None else before.cost_id,
        "person_id": by.person_id,
        "now": now,
    }
    row = db.execute(_SQL["add_cost"], values).fetchone()
    assert row is not None
    return int(row["id"])


def withdraw_cost(
    db: Db, policy: Policy, now: datetime, ticket_id: int, cost_id: int, by: Actor
) -> None:
    """It was a mistake; the line stays for the record. Raises `NotFound`."""
    get_ticket(db, ticket_id)
    values = {"id": cost_id, "ticket_id": ticket_id, "now": now}
    row = db.execute(_SQL["withdraw_cost"], values).fetchone()
    if row is None:
        raise NotFound(f"cost {cost_id} of ticket {ticket_id}")
    said = {"kind": row["kind"], "part": row["part"], "payer": row["payer"]}
    withdrawn = Comment(None, "cost-withdrawn", {**said, "fen": row["amount_fen"]})
    act(db, policy, now, ticket_id, withdrawn, by)


def costs_of(db: Db, ticket_id: int) -> list[dict[str, Any]]:
    """Every line of the ticket, withdrawn ones too, in the order of entry."""
    return db.execute(_SQL["costs"], {"ticket_id": ticket_id}).fetchall()


def totals(costs: Iterable[dict[str, Any]]) -> dict[str, int]:
    """Fen by who pays, without what was withdrawn."""
    found: Counter[str] = Counter()
    for cost in costs:
        if cost["withdrawn_at"] is None:
            found[cost["payer"]] += cost["amount_fen"]
    return dict(found)
