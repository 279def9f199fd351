"""What is done with tickets, and how they are told."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, Field

from api.models import Big, Body, Code, Subject, Text, example
from pilewatch.repaircodes import CAUSES, REMEDIES
from pilewatch.workflow.tickets import PauseReason


def _cause(code: str) -> str:
    if code not in CAUSES:
        raise ValueError("no cause code; see /repair-codes")
    return code


def _remedy(code: str) -> str:
    if code not in REMEDIES:
        raise ValueError("no remedy code; see /repair-codes")
    return code


class AssignRequest(Body):
    """To a company, a person, or both."""

    model_config = example(company="xinchong", assignee="wang")

    company: Code | None = Field(None, examples=["xinchong"])
    assignee: Code | None = Field(None, examples=["wang"])


class ClaimRequest(Body):
    """What was wrong and what was done; the codes are those of /repair-codes."""

    model_config = example(
        cause="contact of the socket worn",
        remedy="socket replaced",
        part="socket 16 A",
        cause_code="worn",
        remedy_code="part-replaced",
    )

    cause: Text = Field(examples=["contact of the socket worn"])
    remedy: Text = Field(examples=["socket replaced"])
    part: Text | None = Field(None, examples=["socket 16 A"])
    note: Text | None = None
    cause_code: Annotated[str, AfterValidator(_cause)] | None = Field(None, examples=["worn"])
    remedy_code: Annotated[str, AfterValidator(_remedy)] | None = Field(
        None, examples=["part-replaced"]
    )


class ReasonRequest(Body):
    """Why."""

    model_config = example(reason="the pile belongs to another company")

    reason: Text = Field(examples=["the pile belongs to another company"])


class PauseRequest(Body):
    """What is waited for: a part, access to the place, better weather, or what the note says."""

    model_config = example(reason="part", note="socket ordered, three days")

    reason: PauseReason = Field(examples=["part"])
    note: Text | None = Field(None, examples=["socket ordered, three days"])


class MergeRequest(Body):
    """The ticket that goes on."""

    model_config = example(into=12)

    into: int = Field(ge=1, le=Big, examples=[12])


class CommentRequest(Body):
    """A word on the timeline, for the inside or also for residents, who read it on receipts."""

    model_config = example(text="part ordered, it comes on Friday", audience="residents")

    text: Text = Field(examples=["part ordered"])
    audience: Literal["inside", "residents"] = "inside"


class Entry(BaseModel):
    """One line of a ticket's timeline."""

    at: datetime
    actor: str
    person: str | None
    action: str
    from_state: str | None
    to_state: str
    note: str | None
    data: dict[str, Any]


class TicketAnswer(BaseModel):
    """A ticket; `actions` are possible now, `timeline` comes with a single ticket only.

    `deadline_at` is the promised repair. While `paused_at` is set the deadlines stand still;
    `paused_s` are the pauses that are over. `escalation_level` is how far up it has been told.
    It cannot be claimed while `open_orders`, its work orders that are not settled, are more than 0.
    """

    model_config = example(
        id=7,
        state="repaired",
        code="relay-open",
        family="relay",
        severity=2,
        subject={
            "kind": "connector",
            "site": "wanhe-1a",
            "gateway": None,
            "charger": "WH-E01",
            "connector": 3,
        },
        company="xinchong",
        assignee="wang",
        opened_at="2026-05-01T08:00:00Z",
        deadline_at="2026-05-03T08:00:00Z",
        accept_by_at="2026-05-01T10:00:00Z",
        arrive_by_at="2026-05-02T08:00:00Z",
        accepted_at="2026-05-01T08:20:00Z",
        arrived_at="2026-05-01T10:00:00Z",
        paused_at=None,
        pause_reason=None,
        paused_s=0,
        escalation_level=0,
        claimed_at="2026-05-01T10:30:00Z",
        verify_by_at="2026-05-04T10:30:00Z",
        verified_at=None,
        closed_at=None,
        evidence=None,
        cause="contact of the socket worn",
        remedy="socket replaced",
        part="socket 16 A",
        cause_code="worn",
        remedy_code="part-replaced",
        open_orders=0,
        merged_into=None,
        reopened=0,
        reports=1,
        version=5,
        actions=["reopen", "comment"],
        timeline=[
            {
                "at": "2026-05-01T08:00:00Z",
                "actor": "engine",
                "person": None,
                "action": "opened",
                "from_state": None,
                "to_state": "open",
                "note": None,
                "data": {},
            }
        ],
    )

    id: int
    state: str
    code: str
    family: str
    severity: int
    subject: Subject
    company: str | None
    assignee: str | None
    opened_at: datetime
    deadline_at: datetime
    accept_by_at: datetime | None
    arrive_by_at: datetime | None
    accepted_at: datetime | None
    arrived_at: datetime | None
    paused_at: datetime | None
    pause_reason: str | None
    paused_s: float
    escalation_level: int
    claimed_at: datetime | None
    verify_by_at: datetime | None
    verified_at: datetime | None
    closed_at: datetime | None
    evidence: dict[str, Any] | None
    cause: str | None
    remedy: str | None
    part: str | None
    cause_code: str | None
    remedy_code: str | None
    open_orders: int
    merged_into: int | None
    reopened: int
    reports: int
    version: int
    actions: list[str]
    timeline: list[Entry] | None = None
