"""What goes in and comes out around patrols; each with an example."""

from datetime import date, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, Field

from api.models import Body, Code, Moment, Text, example
from pilewatch.checklist import Purpose
from pilewatch.workflow.patrols import Kind, Route, Scope

Days = Annotated[int, Field(ge=1, le=366)]
Order = Annotated[list[Code], Field(max_length=10_000)]


class PlanRequest(Body):
    """A patrol with its interval, or a survey: one round over all piles of its scope."""

    model_config = example(
        name="万和一区巡查",
        kind="patrol",
        purpose="patrol",
        scope="grid",
        code="wanhe-1",
        interval_days=90,
        route="nearest",
        chargers=[],
        worker="chen",
        first_due_at="2026-06-01T10:00:00Z",
    )

    name: Annotated[Text, Field(max_length=100)]
    kind: Kind = "patrol"
    purpose: Purpose = "patrol"
    scope: Scope = Field(examples=["grid"])
    code: Code = Field(examples=["wanhe-1"])
    interval_days: Days | None = Field(None, examples=[90])
    route: Route = "nearest"
    chargers: Order = Field([], description="The given order of the route")
    worker: Code | None = Field(None, description="None: whoever works in the grid")
    first_due_at: Moment = Field(description="For piles that were never inspected")


class PlanChange(Body):
    """What is to be another one, for the rounds to come; what is left out stays."""

    model_config = example(interval_days=60, worker="chen")

    name: Annotated[Text, Field(max_length=100)] | None = None
    interval_days: Days | None = None
    route: Route | None = None
    chargers: Order | None = None
    worker: Code | None = None
    everybody: bool = Field(False, description="The plan belongs to no single worker")


class PlanAnswer(BaseModel):
    """A plan; its version is its ETag."""

    model_config = example(
        id=3,
        name="万和一区巡查",
        kind="patrol",
        purpose="patrol",
        scope="grid",
        code="wanhe-1",
        interval_days=90,
        route="nearest",
        chargers=[],
        worker="chen",
        first_due_at="2026-06-01T10:00:00Z",
        entered_by="li",
        entered_at="2026-05-01T08:00:00Z",
        ended_at=None,
        version=1,
    )

    id: int
    name: str
    kind: str
    purpose: str
    scope: str
    code: str
    interval_days: int | None
    route: str
    chargers: list[str]
    worker: str | None
    first_due_at: datetime
    entered_by: str
    entered_at: datetime
    ended_at: datetime | None
    version: int


class RoundChange(Body):
    """To whom an open round is given; None: whoever works in the grid."""

    model_config = example(worker="chen")

    worker: Code | None = Field(examples=["chen"])


class RoundAnswer(BaseModel):
    """A round. `state`: open, done, partly or missed; the last two are facts and stay.

    `done` of its `stops` were inspected, `late` of these after it was due.
    """

    model_config = example(
        id=12,
        plan=3,
        name="万和一区巡查",
        kind="patrol",
        purpose="patrol",
        number=4,
        worker="chen",
        opened_at="2026-05-25T10:00:00Z",
        due_at="2026-06-01T10:00:00Z",
        state="open",
        closed_at=None,
        version=1,
        stops=24,
        done=9,
        late=0,
    )

    id: int
    plan: int
    name: str
    kind: str
    purpose: str
    number: int
    worker: str | None
    opened_at: datetime
    due_at: datetime
    state: str
    closed_at: datetime | None
    version: int
    stops: int
    done: int
    late: int


class Reason(BaseModel):
    """Why an interval is shorter: what there was of it, and what it weighs."""

    reason: str
    amount: float
    weight: float
    codes: dict[str, int]


A_STOP: dict[str, Any] = {
    "place": 1,
    "charger": "WH-E01",
    "label": "1号柜",
    "site": "wanhe-1a",
    "site_name": "万和苑东门车棚",
    "address": "万和路18号东门",
    "latitude": 32.1312,
    "longitude": 114.0706,
    "ports": [1, 2, 3],
    "checklist": 2,
    "interval_days": 30,
    "reasons": [{"reason": "faults", "amount": 3, "weight": 1.5, "codes": {"plug-broken": 3}}],
    "inspection": None,
    "late": None,
    "inspected_at": None,
    "passed": None,
    "presence": None,
    "worker": None,
}


class StopAnswer(BaseModel):
    """A pile of a round in the order of the way, and its inspection once there is one."""

    model_config = example(**A_STOP)

    place: int
    charger: str
    label: str
    site: str
    site_name: str
    address: str | None
    latitude: float | None
    longitude: float | None
    ports: list[int] | None
    checklist: int
    interval_days: int | None
    reasons: list[Reason]
    inspection: UUID | None
    late: bool | None
    inspected_at: datetime | None
    passed: bool | None
    presence: str | None
    worker: str | None


class IntervalAnswer(BaseModel):
    """How often a pile is inspected, instead of how often at most, and why."""

    model_config = example(
        charger="WH-E01",
        site="wanhe-1a",
        purpose="patrol",
        days=30,
        instead_of=90,
        last_at="2026-05-01T08:00:00Z",
        due_at="2026-05-31T08:00:00Z",
        reasons=[
            {"reason": "faults", "amount": 3, "weight": 1.5, "codes": {"plug-broken": 3}},
            {"reason": "age", "amount": 9.1, "weight": 0.41, "codes": {}},
        ],
        text="每 30 天一次（规定最长 90 天）：60 天内故障 3 次；已用 9.1 年",
    )

    charger: str
    site: str
    purpose: str
    days: int
    instead_of: int
    last_at: datetime | None
    due_at: datetime | None
    reasons: list[Reason]
    text: str


class HarshDayRequest(Body):
    """A day on which the weather wore on the piles of an area."""

    model_config = example(area="wanhe", day="2026-07-12", kind="storm")

    area: Code = Field(examples=["wanhe"])
    day: date
    kind: Literal["heat", "frost", "storm", "flood"]


class HarshDayAnswer(BaseModel):
    """A harsh day of an area."""

    model_config = example(area="wanhe", day="2026-07-12", kind="storm")

    area: str
    day: date
    kind: str
