"""What goes in and comes out around reports; each with an example."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import BaseModel, Field

from api.models import Body, Code, Port, Text, example
from api.models import FaultCode as Fault


class FiledAnswer(BaseModel):
    """A kept report: the receipt is the key to its story. Without `ticket_id` it waits for a
    review; `others` have reported the same."""

    model_config = example(
        receipt="q7…",
        receipt_url="https://piles.example/r/q7…",
        ticket_id=7,
        joined=True,
        others=2,
    )

    receipt: str
    receipt_url: str
    ticket_id: int | None
    joined: bool
    others: int


class PhoneRequest(Body):
    """What somebody said on the phone. The id is made by the client: the same again is a repeat.

    A contact is kept only where the caller has agreed to it.
    """

    model_config = example(
        id="3d1c0a62-7c8f-4f7a-9a53-1b6f3c1f6a10",
        charger="WH-E01",
        connector=3,
        code="no-output",
        note="插上没反应",
        contact=None,
        language="zh-CN",
    )

    id: UUID
    site: Code | None = Field(None, examples=["wanhe-1a"])
    charger: Code | None = Field(None, examples=["WH-E01"])
    connector: Port | None = Field(None, examples=[3])
    code: Fault = Field(examples=["no-output"])
    note: Text | None = Field(None, examples=["插上没反应"])
    contact: Code | None = Field(None, description="A phone number or a mail address")
    language: Literal["zh-CN", "en"] = "zh-CN"


class PhoneAnswer(FiledAnswer):
    """A kept report; `read_out` is its receipt as it is read to the caller."""

    model_config = example(
        receipt="4821093755160027",
        receipt_url="https://piles.example/r/4821093755160027",
        ticket_id=7,
        joined=True,
        others=2,
        read_out="4821 0937 5516 0027",
    )

    read_out: str


class ReportAnswer(BaseModel):
    """A report as staff see it. `doubt` are the signs of spam; `contact` tells only whether the
    reporter can be reached; `photos` are their numbers."""

    model_config = example(
        id=5,
        source="page",
        site="wanhe-1a",
        charger="WH-E01",
        connector=3,
        code="no-output",
        note="插上没反应",
        reported_at="2026-05-01T08:00:00Z",
        entered_by=None,
        ticket_id=7,
        doubt=[],
        reviewed_at=None,
        accepted=None,
        contact=True,
        photos=[1],
    )

    id: int
    source: Literal["page", "phone", "meeting", "open311"]
    site: str
    charger: str | None
    connector: int | None
    code: str
    note: str | None
    reported_at: datetime
    entered_by: str | None
    ticket_id: int | None
    doubt: list[str]
    reviewed_at: datetime | None
    accepted: bool | None
    contact: bool
    photos: list[int]


class ReviewRequest(Body):
    """Whether a doubtful report is one of a resident."""

    model_config = example(accept=True)

    accept: bool


class PhotoAnswer(BaseModel):
    """The number under which a photo is kept; a repeat gets the first one's."""

    model_config = example(number=1)

    number: int


class ContactRequest(Body):
    """How the reporter may be reached."""

    model_config = example(contact="13800000000", language="zh-CN")

    contact: Code = Field(examples=["13800000000"])
    language: Literal["zh-CN", "en"] = "zh-CN"


class ContactAnswer(BaseModel):
    """Which kind of contact is kept now; null for none."""

    model_config = example(kind="phone")

    kind: Literal["phone", "email"] | None
