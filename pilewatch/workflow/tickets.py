"""The ticket as a pure state machine: (ticket, action, moment) -> (ticket, timeline entry).

open -> assigned -> accepted -> repairing -> repaired (claimed) -> verified -> closed, with
reopened, rejected and merged beside it. Nothing becomes verified or closed without evidence.
"""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from pilewatch.policy import Policy


class TicketState(StrEnum):
    """Where a ticket stands."""

    OPEN = "open"
    ASSIGNED = "assigned"
    ACCEPTED = "accepted"
    REPAIRING = "repairing"
    REPAIRED = "repaired"
    VERIFIED = "verified"
    CLOSED = "closed"
    REOPENED = "reopened"
    REJECTED = "rejected"
    MERGED = "merged"


S = TicketState
FINAL = frozenset({S.CLOSED, S.REJECTED, S.MERGED})
LIVE = frozenset(S) - FINAL
_UNREPAIRED = frozenset({S.OPEN, S.ASSIGNED, S.ACCEPTED, S.REPAIRING, S.REOPENED})


@dataclass(frozen=True)
class Ticket:
    """One promise to fix. Times are aware UTC; `evidence` is what proved the repair."""

    id: int
    state: TicketState
    subject_kind: str
    subject_id: int
    site_id: int
    charger_id: int | None
    connector_id: int | None
    code: str
    family: str
    severity: int
    opened_at: datetime
    deadline_at: datetime
    company_id: int | None = None
    assignee_id: int | None = None
    claimed_at: datetime | None = None
    verify_by_at: datetime | None = None
    verified_at: datetime | None = None
    closed_at: datetime | None = None
    evidence: dict[str, Any] | None = None
    cause: str | None = None
    remedy: str | None = None
    part: str | None = None
    merged_into: int | None = None
    reopened: int = 0
    version: int = 1


@dataclass(frozen=True)
class Entry:
    """One line of the timeline. `action` is a stable word that pages translate."""

    action: str
    from_state: TicketState
    to_state: TicketState
    note: str | None = None
    data: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Assign:
    """Give it to a company and, if known, a person."""

    company: int | None = None
    assignee: int | None = None


@dataclass(frozen=True)
class Accept:
    """The repairer takes it on."""


@dataclass(frozen=True)
class Start:
    """Work begins."""


@dataclass(frozen=True)
class Claim:
    """The repairer says that it is repaired; now evidence is awaited."""

    cause: str
    remedy: str
    part: str | None = None
    note: str | None = None


@dataclass(frozen=True)
class ReturnClaim:
    """The claim was not borne out: back to the repairer."""

    reason: str


@dataclass(frozen=True)
class Verify:
    """Evidence shows that it works: `evidence["kind"]` is session, idle, online or inspection."""

    evidence: dict[str, Any]


@dataclass(frozen=True)
class Recover:
    """The fault went away without a claim; evidence as for Verify. Never for danger to people."""

    evidence: dict[str, Any]


@dataclass(frozen=True)
class Close:
    """Everyone has been told: the end."""


@dataclass(frozen=True)
class Reject:
    """It is no fault, or not ours; always with the reason."""

    reason: str


@dataclass(frozen=True)
class Reopen:
    """It does not work after all."""

    reason: str


@dataclass(frozen=True)
class Merge:
    """The same matter as another live ticket, which goes on."""

    into: int


@dataclass(frozen=True)
class Comment:
    """A word on the timeline; `data` may carry what it is about."""

    text: str | None = None
    action: str = "commented"
    data: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Worsen:
    """The fault got worse: a higher severity brings its own deadline, never a later one."""

    code: str
    severity: int


Action = (
    Assign
    | Accept
    | Start
    | Claim
    | ReturnClaim
    | Verify
    | Recover
    | Close
    | Reject
    | Reopen
    | Merge
    | Comment
    | Worsen
)

POSSIBLE: dict[type[Any], frozenset[TicketState]] = {
    Assign: frozenset({S.OPEN, S.ASSIGNED, S.ACCEPTED, S.REPAIRING, S.REOPENED}),
    Accept: frozenset({S.OPEN, S.ASSIGNED, S.REOPENED}),
    Start: frozenset({S.ACCEPTED}),
    Claim: frozenset({S.ACCEPTED, S.REPAIRING}),
    ReturnClaim: frozenset({S.REPAIRED}),
    Verify: frozenset({S.REPAIRED}),
    Recover: _UNREPAIRED,
    Close: frozenset({S.VERIFIED}),
    Reject: _UNREPAIRED,
    Reopen: frozenset({S.REPAIRED, S.VERIFIED, S.CLOSED, S.REJECTED}),
    Merge: _UNREPAIRED,
    Comment: frozenset(S),
    Worsen: LIVE,
}
BY_PEOPLE: dict[str, type[Any]] = {
    "assign": Assign,
    "accept": Accept,
    "start": Start,
    "claim": Claim,
    "reject": Reject,
    "reopen": Reopen,
    "merge": Merge,
    "comment": Comment,
}
"""What people may ask for, by the word that the API uses."""


class Refused(Exception):
    """The action is not possible now. `state` is the present one, `allowed` what is possible."""

    def __init__(self, text: str, state: TicketState):
        super().__init__(text)
        self.state = state
        self.allowed = possible(state)


def possible(state: TicketState) -> list[str]:
    """What people may do with a ticket in this state."""
    return [word for word, action in BY_PEOPLE.items() if state in POSSIBLE[action]]


def apply(ticket: Ticket, action: Action, now: datetime, policy: Policy) -> tuple[Ticket, Entry]:
    """The ticket after the action, one version on, and its line of the timeline.

    Raises `Refused` where the present state, or what the action lacks, does not allow it.
    """
    if ticket.state not in POSSIBLE[type(action)]:
        raise Refused(
            f"{type(action).__name__.lower()} is not possible while the ticket is {ticket.state}",
            ticket.state,
        )
    _check(ticket, action)
    changed, entry = _step(ticket, action, now, policy)
    return replace(changed, version=ticket.version + 1), entry


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
        case Merge(into=into) if into == ticket.id:
            problem = "a ticket cannot be merged into itself"
    if problem:
        raise Refused(problem, ticket.state)


def _step(  # noqa: PLR0912 - one case for each action, in one place
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
        case Start():
            state, entry = to(S.REPAIRING, "started")
        case Claim(cause, remedy, part, note):
            state, entry = to(S.REPAIRED, "claimed", note, cause=cause, remedy=remedy, part=part)
            within = policy.evidence.verify_within_s
            changes = {"cause": cause, "remedy": remedy, "part": part, "claimed_at": now}
            changes["verify_by_at"] = now + timedelta(seconds=within)
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
        case Comment(text, word, data):
            state, entry = ticket.state, Entry(word, ticket.state, ticket.state, text, data)
        case Worsen(code, severity):
            state, entry = to(ticket.state, "worsened", None, code=code, severity=severity)
            promised = min(ticket.deadline_at, now + policy.repair_within(severity))
            worse = min(severity, ticket.severity)
            changes = {"code": code, "severity": worse, "deadline_at": promised}
    return replace(ticket, state=state, **changes), entry


def _reopening(ticket: Ticket, now: datetime, policy: Policy) -> dict[str, Any]:
    """A new promise; the former evidence stays on the timeline only."""
    return {
        "reopened": ticket.reopened + 1,
        "deadline_at": now + policy.repair_within(ticket.severity),
        "evidence": None,
        "claimed_at": None,
        "verify_by_at": None,
        "verified_at": None,
        "closed_at": None,
    }
