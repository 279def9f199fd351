"""What goes in and comes out around bench meetings; each with an example."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import AfterValidator, BaseModel, Field

from api.models import Body, Code, Moment, Port, Text, example, no_nul
from api.models import FaultCode as Fault
from pilewatch.workflow.matters import Kind, State

Attendees = Annotated[int, Field(ge=0, le=100_000, description="How many came; never who")]
Agenda = Annotated[list[Text], Field(max_length=50)]
Minutes = Annotated[str, Field(max_length=20_000), AfterValidator(no_nul)]


class MeetingRequest(Body):
    """A meeting that is planned or was held. The id is made by the phone: the same again is a
    repeat."""

    model_config = example(
        id="5f0c9f6e-6c39-4c0b-8f2b-0d1f1f5d7a01",
        grid="wanhe-1",
        place="3 号楼前",
        starts_at="2026-05-01T11:00:00Z",
        agenda=["上次问题的办理情况", "充电车棚"],
    )

    id: UUID
    grid: Code = Field(examples=["wanhe-1"])
    place: Text = Field(max_length=200, examples=["3 号楼前"])
    starts_at: Moment
    agenda: Agenda = Field(default_factory=list)


class MeetingChange(Body):
    """What is to be another one; what is left out stays."""

    model_config = example(
        attendees=23,
        minutes="大家主要反映东门车棚。",
        next_at="2026-05-15T11:00:00Z",
        next_place="3 号楼前",
    )

    place: Text | None = Field(None, max_length=200)
    starts_at: Moment | None = None
    agenda: Agenda | None = None
    attendees: Attendees | None = None
    minutes: Minutes | None = None
    next_at: Moment | None = None
    next_place: Text | None = Field(None, max_length=200)


class MeetingAnswer(BaseModel):
    """A bench meeting; `unsettled` of its `matters` are not done yet."""

    model_config = example(
        id="5f0c9f6e-6c39-4c0b-8f2b-0d1f1f5d7a01",
        grid="wanhe-1",
        place="3 号楼前",
        starts_at="2026-05-01T11:00:00Z",
        agenda=["上次问题的办理情况", "充电车棚"],
        attendees=23,
        minutes="大家主要反映东门车棚。",
        next_at="2026-05-15T11:00:00Z",
        next_place="3 号楼前",
        entered_by="zhao",
        entered_at="2026-05-01T11:02:00Z",
        closed_at="2026-05-01T12:30:00Z",
        matters=3,
        unsettled=2,
        version=3,
    )

    id: UUID
    grid: str
    place: str
    starts_at: datetime
    agenda: list[str]
    attendees: int | None
    minutes: str | None
    next_at: datetime | None
    next_place: str | None
    entered_by: str
    entered_at: datetime
    closed_at: datetime | None
    matters: int
    unsettled: int
    version: int


class MatterRequest(Body):
    """What somebody raised. About charging: `code` and a charger or a site, and it becomes a
    ticket; anything else: an owner (without one, whoever enters it) and a deadline."""

    model_config = example(
        id="a52d1d5c-0f6a-4d94-9a52-5c3a6f3e2b02",
        kind="charging",
        text="东门 1 号桩三号口充不进电",
        charger="WH-E01",
        connector=3,
        code="no-output",
    )

    id: UUID
    kind: Kind
    text: Text = Field(examples=["东门 1 号桩三号口充不进电"])
    raised_at: Moment | None = None
    site: Code | None = Field(None, examples=["wanhe-1a"])
    charger: Code | None = Field(None, examples=["WH-E01"])
    connector: Port | None = Field(None, examples=[3])
    code: Fault | None = Field(None, examples=["no-output"])
    company: Code | None = Field(None, examples=["xinchong"])
    person: Code | None = Field(None, examples=["zhao"])
    deadline_at: Moment | None = None


class MatterChange(Body):
    """A slip of the pen; what is left out stays."""

    model_config = example(text="3 号楼前的路灯不亮")

    text: Text | None = None
    kind: Kind | None = None
    deadline_at: Moment | None = None


class HandOnRequest(Body):
    """Who owes the answer from now on, and until when."""

    model_config = example(company="wuye", deadline_at="2026-05-10T11:00:00Z")

    company: Code | None = Field(None, examples=["wuye"])
    person: Code | None = Field(None, examples=["zhao"])
    deadline_at: Moment


class AnswerMatterRequest(Body):
    """What whoever raised it is told."""

    model_config = example(text="5 月 6 日已换新灯。")

    text: Text = Field(examples=["5 月 6 日已换新灯。"])


class MatterAnswer(BaseModel):
    """A matter as it stands: one about charging as its ticket stands. `receipt` comes with the
    entry only, for whoever raised it; `actions` are possible now."""

    model_config = example(
        id="a52d1d5c-0f6a-4d94-9a52-5c3a6f3e2b02",
        meeting_id="5f0c9f6e-6c39-4c0b-8f2b-0d1f1f5d7a01",
        grid="wanhe-1",
        kind="charging",
        text="东门 1 号桩三号口充不进电",
        state="handed-on",
        raised_at="2026-05-01T11:20:00Z",
        company="xinchong",
        person=None,
        deadline_at="2026-05-03T11:20:00Z",
        answer=None,
        answered_at=None,
        done_at=None,
        site="wanhe-1a",
        charger="WH-E01",
        connector=3,
        code="no-output",
        ticket_id=7,
        ticket_state="open",
        receipt="4821 0937 5516 0027",
        actions=[],
        version=1,
    )

    id: UUID
    meeting_id: UUID
    grid: str
    kind: Kind
    text: str
    state: State
    raised_at: datetime
    company: str | None
    person: str | None
    deadline_at: datetime
    answer: str | None
    answered_at: datetime | None
    done_at: datetime | None
    site: str | None
    charger: str | None
    connector: int | None
    code: str | None
    ticket_id: int | None
    ticket_state: str | None
    receipt: str | None = None
    actions: list[Literal["hand-on", "answer", "settle"]]
    version: int
