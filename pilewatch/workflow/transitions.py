"""The ticket as a pure state machine: (ticket, action, moment) -> (ticket, timeline entry).

open -> assigned -> accepted -> repairing -> repaired (claimed) -> verified -> closed, with
reopened, rejected and merged beside it. Nothing becomes verified or closed without evidence, and
no deadline moves without saying so on the timeline (`data["moved"]`).
"""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from pilewatch.policy import PROMISES, Policy
from pilewatch.workflow.deadlines import due, used
from pilewatch.workflow.tickets import (
    DUE,
    POSSIBLE,
    Accept,
    Action,
    Assign,
    Claim,
    Close,
    Comment,
    Entry,
    Escalate,
    Merge,
    Pause,
    Recover,
    Reject,
    Reopen,
    Resume,
    ReturnClaim,
    Split,
    Start,
    Ticket,
    TicketState,
    Verify,
    Worsen,
    refused,
)

S = TicketState
_KEEPS_PAUSE = (Comment, Pause, Escalate)


def promised(
    policy: Policy, severity: int, now: datetime, area: str | None, zone: ZoneInfo
) -> dict[str, Any]:
    """What is promised from this moment on: each promise's field and when it is due."""
    rules, calendar = policy.deadlines_of(area), policy.counting(area, severity)
    return {DUE[p]: due(now, rules.promised(p, severity), calendar, zone) for p in PROMISES}


def apply(ticket: Ticket, action: Action, now: datetime, policy: Policy) -> tuple[Ticket, Entry]:
    """The ticket after the action, one version on, and its line of the timeline.

    Raises `Refused` where the present state, or what the action lacks, does not allow it.
    """
    if ticket.state not in POSSIBLE[type(action)]:
        word = type(action).__name__.lower()
        raise refused(ticket, f"{word} is not possible while the ticket is {ticket.state}")
    _check(ticket, action)
    ready = ticket if isinstance(action, _KEEPS_PAUSE) else _resumed(ticket, now, policy)
    changed, entry = _step(ready, action, now, policy)
    told = _moved(ticket, changed)
    if ticket.paused_at is not None and changed.paused_at is None:
        told["paused_s"] = changed.paused_s - ticket.paused_s
    return (
        replace(changed, version=ticket.version + 1),
        replace(entry, data={**entry.data, **told}),
    )


def _moved(before: Ticket, after: Ticket) -> dict[str, Any]:
    """Every deadline that is another one now, for the timeline."""
    moved = {
        promise: [at and at.isoformat() for at in (before.due_at(promise), after.due_at(promise))]
        for promise in PROMISES
        if before.due_at(promise) != after.due_at(promise)
    }
    return {"moved": moved} if moved else {}


def _check(ticket: Ticket, action: Action) -> None:
    problem = None
    match action:
        case Assign(company=None, assignee=None):
            problem = "assign needs a company or an assignee"
        case Claim(cause=cause, remedy=remedy) if not (cause.strip() and remedy.strip()):
            problem = "claim needs cause and remedy"
        case Reject(reason=reason) | Reopen(reason=reason) if not reason.strip():
            problem = "a reason is needed"
        case Verify(evidence=evidence) | Recover(evidence=evidence) if not evidence.get("kind"):
            problem = "evidence is needed"
        case Recover() if ticket.severity == 1:
            problem = "a danger to people is closed only after someone has looked at it"
        case Split(orders=()):
            problem = "split needs at least one work order"
        case Claim() | Recover() | Reject() | Merge() if ticket.open_orders:
            problem = f"the ticket waits for {ticket.open_orders} work orders: settle them first"
        case Merge(into=into) if into == ticket.id:
            problem = "a ticket cannot be merged into itself"
        case Pause() if ticket.paused_at is not None:
            problem = "the ticket is paused already"
        case Resume() if ticket.paused_at is None:
            problem = "the ticket is not paused"
    if problem:
        raise refused(ticket, problem)


def _step(  # noqa: PLR0912, PLR0915 - one case for each action, in one place
    ticket: Ticket, action: Action, now: datetime, policy: Policy
) -> tuple[Ticket, Entry]:
    def to(
        state: TicketState, word: str, note: str | None = None, /, **data: Any
    ) -> tuple[TicketState, Entry]:
        return state, Entry(word, ticket.state, state, note, data)

    changes: dict[str, Any] = {}
    match action:
        case Assign(company, assignee):
            later = ticket.state in (S.ACCEPTED, S.REPAIRING)
            state, entry = to(S.ASSIGNED, "reassigned" if later else "assigned")
            entry = replace(entry, data={"company_id": company, "assignee_id": assignee})
            changes = {"company_id": company or ticket.company_id, "assignee_id": assignee}
        case Accept():
            state, entry = to(S.ACCEPTED, "accepted")
            changes = {"accepted_at": ticket.accepted_at or now}
        case Start():
            state, entry = to(S.REPAIRING, "started")
            changes = {"arrived_at": ticket.arrived_at or now}
        case Claim(cause, remedy, part, note, cause_code, remedy_code):
            said = {"cause": cause, "remedy": remedy, "part": part}
            codes = {"cause_code": cause_code, "remedy_code": remedy_code}
            state, entry = to(S.REPAIRED, "claimed", note, **said, **codes)
            within = policy.evidence.verify_within_s
            changes = {**said, **codes, "claimed_at": now}
            changes["verify_by_at"] = now + timedelta(seconds=within)
            changes["arrived_at"] = ticket.arrived_at or now
        case ReturnClaim(reason):
            state, entry = to(S.REPAIRING, "claim-returned", reason)
            changes = {"claimed_at": None, "verify_by_at": None}
        case Verify(evidence):
            state, entry = to(S.VERIFIED, "verified", None, evidence=evidence)
            changes = {"evidence": evidence, "verified_at": now, "verify_by_at": None}
        case Recover(evidence):
            state, entry = to(S.VERIFIED, "recovered", None, evidence=evidence)
            changes = {"evidence": evidence, "verified_at": now}
        case Close():
            state, entry = to(S.CLOSED, "closed")
            changes = {"closed_at": now}
        case Reject(reason):
            state, entry = to(S.REJECTED, "rejected", reason)
            changes = {"closed_at": now}
        case Reopen(reason):
            state, entry = to(S.REOPENED, "reopened", reason)
            changes = _reopening(ticket, now, policy)
        case Merge(into):
            state, entry = to(S.MERGED, "merged", None, into=into)
            changes = {"merged_into": into, "closed_at": now}
        case Split(orders):
            known = ticket.state in (S.ACCEPTED, S.REPAIRING)
            state, entry = to(ticket.state if known else S.ASSIGNED, "split", None, orders=orders)
        case Comment(text, word, data):
            state, entry = ticket.state, Entry(word, ticket.state, ticket.state, text, data)
        case Worsen(code, severity):
            state, entry = to(ticket.state, "worsened", None, code=code, severity=severity)
            changes = {"code": code, **_worsening(ticket, severity, now, policy)}
        case Pause(reason, note):
            state, entry = to(ticket.state, "paused", note, reason=reason)
            changes = {"paused_at": now, "pause_reason": reason}
        case Resume():
            state, entry = to(ticket.state, "resumed")
        case Escalate(promise, level, whom, at, order):
            state, entry = to(ticket.state, "escalated")
            told = {"promise": promise, "level": level, "to": whom, "due_at": at.isoformat()}
            its = {} if order is None else {"order": order}
            entry = replace(entry, data={**told, "round": ticket.reopened, **its})
            changes = {f"{promise}_level": level} if order is None else {}
    return replace(ticket, state=state, **changes), entry


def _worsening(ticket: Ticket, severity: int, now: datetime, policy: Policy) -> dict[str, Any]:
    """The promises of the higher severity where they are earlier than those still open."""
    if severity >= ticket.severity:
        return {}
    soon = promised(policy, severity, now, ticket.area, ticket.zone)
    fields = [DUE[promise] for promise in ticket.open_promises()]
    earlier = {field: min(getattr(ticket, field) or soon[field], soon[field]) for field in fields}
    return {"severity": severity, "clock_at": now, "clock_used_s": 0.0, **earlier}


def _reopening(ticket: Ticket, now: datetime, policy: Policy) -> dict[str, Any]:
    """New promises; the former evidence stays on the timeline only."""
    cleared = ("evidence", "claimed_at", "verify_by_at", "verified_at", "closed_at")
    return {
        **promised(policy, ticket.severity, now, ticket.area, ticket.zone),
        **dict.fromkeys((*cleared, "accepted_at", "arrived_at")),
        **{f"{promise}_level": 0 for promise in PROMISES},
        "reopened": ticket.reopened + 1,
        "clock_at": now,
        "clock_used_s": 0.0,
    }


def _resumed(ticket: Ticket, now: datetime, policy: Policy) -> Ticket:
    """The same with its clock running again: what was not yet due at the pause is due later."""
    since = ticket.paused_at
    if since is None:
        return ticket
    calendar = policy.counting(ticket.area, ticket.severity)

    def shifted(at: datetime) -> datetime:
        return max(at, due(now, used(since, at, calendar, ticket.zone), calendar, ticket.zone))

    later: dict[str, Any] = {
        DUE[promise]: shifted(at)
        for promise in ticket.open_promises()
        if (at := ticket.due_at(promise)) is not None and at > since
    }
    ran = used(ticket.running_since, since, calendar, ticket.zone)
    return replace(
        ticket,
        **later,
        paused_at=None,
        pause_reason=None,
        paused_s=ticket.paused_s + (now - since).total_seconds(),
        clock_at=now,
        clock_used_s=ticket.clock_used_s + ran.total_seconds(),
    )
