"""Work orders: a ticket shared out between companies, which waits until each has done its part.

open -> accepted -> done; a done one may be returned, one that is not done cancelled. An order is
settled by its own people's word; the ticket as a whole is still closed by evidence only.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal

from pilewatch.policy import Policy
from pilewatch.repaircodes import Duty
from pilewatch.store import queries
from pilewatch.store.pool import Db
from pilewatch.workflow import tickets
from pilewatch.workflow.deadlines import due, used
from pilewatch.workflow.desk import Actor, NotFound, VersionConflict, act, get_ticket
from pilewatch.workflow.promises import Danger
from pilewatch.workflow.tickets import Comment, Escalate, Refused, Split, Ticket

_SQL = queries.load("orders")
Step = Literal["accept", "finish", "return", "cancel"]


class OrderState(StrEnum):
    """Where a work order stands."""

    OPEN = "open"
    ACCEPTED = "accepted"
    DONE = "done"
    CANCELLED = "cancelled"


S = OrderState
POSSIBLE: dict[Step, frozenset[OrderState]] = {
    "accept": frozenset({S.OPEN}),
    "finish": frozenset({S.OPEN, S.ACCEPTED}),
    "return": frozenset({S.DONE}),
    "cancel": frozenset({S.OPEN, S.ACCEPTED}),
}
_BECOMES: dict[Step, OrderState] = {
    "accept": S.ACCEPTED,
    "finish": S.DONE,
    "return": S.OPEN,
    "cancel": S.CANCELLED,
}
_WORDS: dict[Step, str] = {
    "accept": "order-accepted",
    "finish": "order-done",
    "return": "order-returned",
    "cancel": "order-cancelled",
}
"""The words of the ticket's timeline."""


@dataclass(frozen=True)
class Part:
    """What one side is to do, and until when."""

    duty: Duty
    company_id: int | None
    owner_id: int | None
    task: str
    deadline_at: datetime


@dataclass(frozen=True)
class WorkOrder:
    """One side's part of a ticket."""

    id: int
    ticket_id: int
    duty: Duty
    company_id: int | None
    owner_id: int | None
    task: str
    deadline_at: datetime
    state: OrderState
    opened_at: datetime
    accepted_at: datetime | None = None
    settled_at: datetime | None = None
    note: str | None = None
    version: int = 1
    level: int = 0


def possible(state: OrderState) -> list[str]:
    """What may be done with an order in this state."""
    return [step for step, states in POSSIBLE.items() if state in states]


def moved(order: WorkOrder, step: Step, now: datetime, note: str | None) -> WorkOrder:
    """The order after this step, one version on. Raises `tickets.Refused`."""
    problem = None
    if order.state not in POSSIBLE[step]:
        problem = f"{step} is not possible while the work order is {order.state}"
    elif step in ("return", "cancel") and not (note or "").strip():
        problem = "a reason is needed"
    if problem is not None:
        raise Refused(problem, order.state, order.version, possible(order.state))
    state = _BECOMES[step]
    accepted = {"accept": now, "return": None}.get(step, order.accepted_at)
    settled = now if state in (S.DONE, S.CANCELLED) else None
    return replace(
        order,
        state=state,
        accepted_at=accepted,
        settled_at=settled,
        note=note if note is not None else order.note,
        version=order.version + 1,
    )


def order_danger(order: WorkOrder, ticket: Ticket, policy: Policy) -> Danger | None:
    """The next step of escalation: of the policy's steps those from the breach on. None where the
    order is settled, and where all are taken.

    Its deadline was set by somebody and stands, also while the ticket is paused.
    """
    if order.settled_at is not None or ticket.state not in tickets.UNREPAIRED:
        return None
    steps = enumerate(policy.escalation.steps, 1)
    left = [(level, step) for level, step in steps if level > order.level and step.share >= 1]
    if not left:
        return None
    level, step = left[0]
    calendar, zone = policy.counting(ticket.area, ticket.severity), ticket.zone
    length = used(order.opened_at, order.deadline_at, calendar, zone)
    at = due(order.deadline_at, length * (step.share - 1), calendar, zone)
    return Danger(at, Escalate("order", level, step.to, order.deadline_at, order.id))


def get_order(db: Db, id: int) -> WorkOrder:
    """The order, locked for this transaction, whose ticket must be locked already."""
    row: Any = db.execute(_SQL["lock_order"], {"id": id}).fetchone()
    return WorkOrder(**{**row, "state": OrderState(row["state"])})


def split_ticket(
    db: Db,
    policy: Policy,
    now: datetime,
    ticket_id: int,
    parts: Sequence[Part],
    actor: Actor,
    *,
    expected_version: int | None = None,
) -> Ticket:
    """Share the ticket out, in the caller's transaction; raises as `desk.act` does."""
    told = tuple({**asdict(part), "deadline_at": part.deadline_at.isoformat()} for part in parts)
    after = act(db, policy, now, ticket_id, Split(told), actor, expected_version=expected_version)
    for part in parts:
        db.execute(_SQL["add_order"], {**asdict(part), "ticket_id": ticket_id, "now": now})
    return after


def step_order(
    db: Db,
    policy: Policy,
    now: datetime,
    order_id: int,
    step: Step,
    actor: Actor,
    *,
    note: str | None = None,
    expected_version: int | None = None,
) -> WorkOrder:
    """Take one step with an order, and say so on its ticket's timeline.

    Raises `NotFound`, `VersionConflict`, or `tickets.Refused`, also where the ticket is repaired.
    """
    found = db.execute(_SQL["ticket_of_order"], {"id": order_id}).fetchone()
    if found is None:
        raise NotFound(f"work order {order_id}")
    ticket = get_ticket(db, found["ticket_id"])  # always locked before its orders
    order = get_order(db, order_id)
    if expected_version is not None and expected_version != order.version:
        raise VersionConflict(order.version, "work order", order.state)
    after = moved(order, step, now, note)
    if ticket.state not in tickets.UNREPAIRED:
        text = f"the ticket is {ticket.state}: its work orders stay as they are"
        raise Refused(text, order.state, order.version, [])
    danger = order_danger(after, ticket, policy)
    values = {**asdict(after), "state": after.state.value, "at": danger and danger.at}
    db.execute(_SQL["update_order"], values)
    said = Comment(note, _WORDS[step], {"order": order.id, "duty": order.duty})
    act(db, policy, now, ticket.id, said, actor)
    return after
