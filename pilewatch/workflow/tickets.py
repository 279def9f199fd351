"""What a ticket is, what may be done with it, and in which state: plain data.

`transitions` is what becomes of it.
"""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal
from zoneinfo import ZoneInfo

from pilewatch.policy import PROMISES, Promise


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
UNREPAIRED = frozenset({S.OPEN, S.ASSIGNED, S.ACCEPTED, S.REPAIRING, S.REOPENED})


@dataclass(frozen=True)
class Ticket:
    """One promise to fix. Times are aware UTC; `evidence` is what proved the repair.

    The promises' clock runs since `clock_at`, and had run for `clock_used_s` before that;
    `…_level` is how many escalation steps each promise has taken; `open_orders` is how many work
    orders it waits for.
    """

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
    cause_code: str | None = None
    remedy_code: str | None = None
    merged_into: int | None = None
    reopened: int = 0
    version: int = 1
    open_orders: int = 0
    area: str | None = None
    timezone: str = "Asia/Shanghai"
    accept_by_at: datetime | None = None
    arrive_by_at: datetime | None = None
    accepted_at: datetime | None = None
    arrived_at: datetime | None = None
    clock_at: datetime | None = None
    clock_used_s: float = 0.0
    paused_at: datetime | None = None
    pause_reason: str | None = None
    paused_s: float = 0.0
    accept_level: int = 0
    arrive_level: int = 0
    repair_level: int = 0

    @property
    def zone(self) -> ZoneInfo:
        """Where its working hours are counted."""
        return ZoneInfo(self.timezone)

    @property
    def running_since(self) -> datetime:
        """Since when the promises' clock has been running."""
        return self.clock_at or self.opened_at

    def open_promises(self) -> list[Promise]:
        """What is promised and not kept yet."""
        kept = {"accept": self.accepted_at, "arrive": self.arrived_at, "repair": None}
        return [promise for promise in PROMISES if kept[promise] is None]

    def due_at(self, promise: Promise) -> datetime | None:
        """When this promise is due; None where nothing was promised."""
        found: datetime | None = getattr(self, DUE[promise])
        return found


DUE: dict[Promise, str] = {
    "accept": "accept_by_at",
    "arrive": "arrive_by_at",
    "repair": "deadline_at",
}
"""Which field holds a promise's deadline."""
PauseReason = Literal["part", "access", "weather", "other"]


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
    cause_code: str | None = None
    remedy_code: str | None = None


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
class Split:
    """The work is shared out between companies; `orders` says what each of them is to do."""

    orders: tuple[dict[str, Any], ...]


@dataclass(frozen=True)
class Comment:
    """A word on the timeline; `data` may carry what it is about. `announced` is for residents."""

    text: str | None = None
    action: str = "commented"
    data: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Worsen:
    """The fault got worse: a higher severity brings its own deadline, never a later one."""

    code: str
    severity: int


@dataclass(frozen=True)
class Pause:
    """Nothing can be done until something comes: the promises' clock stops."""

    reason: PauseReason
    note: str | None = None


@dataclass(frozen=True)
class Resume:
    """The clock runs again. Any other step of the work ends a pause as well."""


@dataclass(frozen=True)
class Escalate:
    """A promise is in danger, or broken; or a work order (`order`) is overdue: the next one up is
    told."""

    promise: Promise | Literal["order"]
    level: int
    to: str
    due_at: datetime
    order: int | None = None


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
    | Split
    | Comment
    | Worsen
    | Pause
    | Resume
    | Escalate
)

POSSIBLE: dict[type[Any], frozenset[TicketState]] = {
    Assign: frozenset({S.OPEN, S.ASSIGNED, S.ACCEPTED, S.REPAIRING, S.REOPENED}),
    Accept: frozenset({S.OPEN, S.ASSIGNED, S.REOPENED}),
    Start: frozenset({S.ACCEPTED}),
    Claim: frozenset({S.ACCEPTED, S.REPAIRING}),
    ReturnClaim: frozenset({S.REPAIRED}),
    Verify: frozenset({S.REPAIRED}),
    Recover: UNREPAIRED,
    Close: frozenset({S.VERIFIED}),
    Reject: UNREPAIRED,
    Reopen: frozenset({S.REPAIRED, S.VERIFIED, S.CLOSED, S.REJECTED}),
    Merge: UNREPAIRED,
    Split: UNREPAIRED,
    Comment: frozenset(S),
    Worsen: LIVE,
    Pause: frozenset({S.ACCEPTED, S.REPAIRING}),
    Resume: frozenset({S.ACCEPTED, S.REPAIRING}),
    Escalate: UNREPAIRED,
}
BY_PEOPLE: dict[str, type[Any]] = {
    "assign": Assign,
    "accept": Accept,
    "start": Start,
    "claim": Claim,
    "reject": Reject,
    "reopen": Reopen,
    "merge": Merge,
    "split": Split,
    "comment": Comment,
    "pause": Pause,
    "resume": Resume,
}
"""What people may ask for, by the word that the API uses."""


class Refused(Exception):
    """The action is not possible now. `state` and `version` are the present ones, `allowed` what is
    possible."""

    def __init__(self, text: str, state: StrEnum, version: int, allowed: list[str]):
        super().__init__(text)
        self.state = state
        self.version = version
        self.allowed = allowed


def refused(ticket: Ticket, text: str) -> Refused:
    """The refusal of something that this ticket does not allow."""
    allowed = possible(ticket.state, paused=ticket.paused_at is not None)
    return Refused(text, ticket.state, ticket.version, allowed)


def possible(state: TicketState, *, paused: bool = False) -> list[str]:
    """What people may do with a ticket in this state."""
    never = "pause" if paused else "resume"
    return [w for w, action in BY_PEOPLE.items() if state in POSSIBLE[action] and w != never]
