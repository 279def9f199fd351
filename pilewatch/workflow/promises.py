"""Which promise of a ticket is in danger next, and when. Pure."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from pilewatch.policy import Policy, Promise
from pilewatch.workflow.deadlines import due
from pilewatch.workflow.tickets import UNREPAIRED, Escalate, Ticket


@dataclass(frozen=True)
class Danger:
    """The next step of escalation, and the moment at which it is to be taken."""

    at: datetime
    step: Escalate


def next_danger(ticket: Ticket, policy: Policy) -> Danger | None:
    """The earliest step not taken yet; None while the clock stands, and where all are taken."""
    if ticket.paused_at is not None or ticket.state not in UNREPAIRED:
        return None
    found = [
        danger
        for promise in ticket.open_promises()
        if (danger := _next_of(ticket, promise, policy)) is not None
    ]
    return min(found, key=lambda danger: danger.at, default=None)


def _next_of(ticket: Ticket, promise: Promise, policy: Policy) -> Danger | None:
    taken: int = getattr(ticket, f"{promise}_level")
    deadline = ticket.due_at(promise)
    if deadline is None or taken >= len(policy.escalation.steps):
        return None
    step = policy.escalation.steps[taken]
    at = _moment(ticket, promise, deadline, step.share, policy)
    return Danger(at, Escalate(promise, taken + 1, step.to, deadline))


def _moment(
    ticket: Ticket, promise: Promise, deadline: datetime, share: float, policy: Policy
) -> datetime:
    """When this share of the promise's time is used up; the deadline itself is what is stored."""
    calendar, zone = policy.counting(ticket.area, ticket.severity), ticket.zone
    length = policy.deadlines_of(ticket.area).promised(promise, ticket.severity)
    if share > 1 and deadline >= ticket.running_since:
        return due(deadline, length * (share - 1), calendar, zone)
    if share == 1:
        return deadline
    left = length * share - timedelta(seconds=ticket.clock_used_s)
    at = due(ticket.running_since, left, calendar, zone)
    return min(at, deadline) if share < 1 else at
