"""What goes in, checked at the door, and what comes out; each with an example."""

import json
from datetime import datetime
from typing import Annotated, Any, Generic, Literal, TypeVar
from uuid import UUID

from fastapi import Path
from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field

from pilewatch.faultcodes import FAULTS
from pilewatch.repaircodes import CAUSES, REMEDIES
from pilewatch.workflow.downtime import DowntimeKind, ScopeKind
from pilewatch.workflow.tickets import PauseReason


def _no_nul(text: str) -> str:
    if "\0" in text:
        raise ValueError("the character NUL cannot be kept")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError("not valid Unicode") from error
    return text


def _fault(code: str) -> str:
    if code not in FAULTS:
        raise ValueError("no fault code; see the taxonomy")
    return code


def _cause(code: str) -> str:
    if code not in CAUSES:
        raise ValueError("no cause code; see /repair-codes")
    return code


def _remedy(code: str) -> str:
    if code not in REMEDIES:
        raise ValueError("no remedy code; see /repair-codes")
    return code


def _plain_json(value: list[dict[str, Any]]) -> list[dict[str, Any]]:
    _no_nul(json.dumps(value, ensure_ascii=False).replace("\\u0000", "\0"))
    return value


Text = Annotated[str, Field(min_length=1, max_length=2000), AfterValidator(_no_nul)]
Code = Annotated[str, Field(min_length=1, max_length=64), AfterValidator(_no_nul)]
FaultCode = Annotated[str, AfterValidator(_fault)]
Port = Annotated[int, Field(ge=1, le=999)]
Big = 2**63 - 1


def _near(moment: datetime) -> datetime:
    if not 2020 <= moment.year <= 2100:
        raise ValueError("a moment between 2020 and 2100 is needed")
    return moment


Moment = Annotated[AwareDatetime, AfterValidator(_near)]
"""A moment of a plan, with its offset from UTC."""
PathCode = Annotated[
    str,
    Path(min_length=1, max_length=64, pattern=r"^[^\x00]+$", description="Its code"),
    AfterValidator(_no_nul),
]
T = TypeVar("T", bound=BaseModel)


def _example(**values: Any) -> ConfigDict:
    return ConfigDict(json_schema_extra={"examples": [values]})


class Listed(BaseModel, Generic[T]):
    """One page of a list; `next_cursor` where there may be more."""

    items: list[T]
    next_cursor: str | None


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid")


class AssignRequest(_Request):
    """To a company, a person, or both."""

    model_config = _example(company="xinchong", assignee="wang")

    company: Code | None = Field(None, examples=["xinchong"])
    assignee: Code | None = Field(None, examples=["wang"])


class ClaimRequest(_Request):
    """What was wrong and what was done; the codes are those of /repair-codes."""

    model_config = _example(
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


class ReasonRequest(_Request):
    """Why."""

    model_config = _example(reason="the pile belongs to another company")

    reason: Text = Field(examples=["the pile belongs to another company"])


class PauseRequest(_Request):
    """What is waited for: a part, access to the place, better weather, or what the note says."""

    model_config = _example(reason="part", note="socket ordered, three days")

    reason: PauseReason = Field(examples=["part"])
    note: Text | None = Field(None, examples=["socket ordered, three days"])


class MergeRequest(_Request):
    """The ticket that goes on."""

    model_config = _example(into=12)

    into: int = Field(ge=1, le=Big, examples=[12])


class CommentRequest(_Request):
    """A word on the timeline, for the inside or also for residents, who read it on receipts."""

    model_config = _example(text="part ordered, it comes on Friday", audience="residents")

    text: Text = Field(examples=["part ordered"])
    audience: Literal["inside", "residents"] = "inside"


class ReportRequest(_Request):
    """What a resident saw. A charger or at least a site is needed."""

    model_config = _example(charger="WH-E01", connector=3, code="no-output", note="插上没反应")

    site: Code | None = Field(None, examples=["wanhe-1a"])
    charger: Code | None = Field(None, examples=["WH-E01"])
    connector: Port | None = Field(None, examples=[3])
    code: FaultCode = Field(examples=["no-output"])
    note: Text | None = Field(None, examples=["插上没反应"])
    contact: Code | None = Field(None, description="A phone number or a mail address")
    language: Literal["zh-CN", "en"] = "zh-CN"


class AnswerRequest(_Request):
    """The answer to "does it charge now?"."""

    model_config = _example(charges_now=False)

    charges_now: bool


class InspectionRequest(_Request):
    """One check on the spot; the id is made by the phone, so that a repeat is no double."""

    model_config = _example(
        id="0b9c7c5e-52c5-4e4f-8f0e-6a2f0d3f7f11",
        charger="WH-E01",
        connector=3,
        passed=True,
        test_charge=True,
        answers=[{"item": "socket", "ok": True}],
    )

    id: UUID
    charger: Code = Field(examples=["WH-E01"])
    connector: Port | None = Field(None, examples=[3])
    passed: bool
    test_charge: bool = False
    inspected_at: AwareDatetime | None = None
    answers: Annotated[
        list[dict[str, Any]], Field(max_length=100), AfterValidator(_plain_json)
    ] = []
    note: Text | None = None


class DowntimeRequest(_Request):
    """What is planned. A connector is the number of a port on the charger of this code."""

    model_config = _example(
        scope="site",
        code="wanhe-1a",
        kind="power-cut",
        from_at="2026-05-06T00:00:00Z",
        to_at="2026-05-06T06:00:00Z",
        reason="work on the transformer",
        reference="停电公告 2026-118",
    )

    scope: ScopeKind = Field(examples=["site"])
    code: Code = Field(examples=["wanhe-1a"])
    connector: Port | None = Field(None, examples=[3])
    kind: DowntimeKind = Field(examples=["power-cut"])
    from_at: Moment
    to_at: Moment
    reason: Text = Field(examples=["work on the transformer"])
    reference: Text | None = Field(None, examples=["停电公告 2026-118"])


class DowntimeChange(_Request):
    """What is to be another one; what is left out stays."""

    model_config = _example(to_at="2026-05-06T08:00:00Z", reason="the work takes longer")

    to_at: Moment | None = None
    reason: Text | None = None
    reference: Text | None = None


class SilenceRequest(_Request):
    """What fits all that is named; at least one thing is. Danger to people needs `severity` 1."""

    model_config = _example(
        charger="WH-E01", code="weak-signal", to_at="2026-05-08T00:00:00Z", reason="antenna ordered"
    )

    site: Code | None = Field(None, examples=["wanhe-1a"])
    charger: Code | None = Field(None, examples=["WH-E01"])
    code: FaultCode | None = Field(None, examples=["weak-signal"])
    severity: int | None = Field(None, ge=1, le=3, examples=[3])
    to_at: Moment
    reason: Text = Field(examples=["antenna ordered"])


class SilenceChange(_Request):
    """What is to be another one; what is left out stays."""

    model_config = _example(to_at="2026-05-10T00:00:00Z")

    to_at: Moment | None = None
    reason: Text | None = None


class DowntimeAnswer(BaseModel):
    """A planned downtime; `incidents` is how many it explains."""

    model_config = _example(
        id=3,
        scope="site",
        code="wanhe-1a",
        connector=None,
        kind="power-cut",
        from_at="2026-05-06T00:00:00Z",
        to_at="2026-05-06T06:00:00Z",
        reason="work on the transformer",
        reference="停电公告 2026-118",
        entered_by="li",
        entered_at="2026-05-01T08:00:00Z",
        cancelled_at=None,
        incidents=0,
    )

    id: int
    scope: str
    code: str
    connector: int | None
    kind: str
    from_at: datetime
    to_at: datetime
    reason: str
    reference: str | None
    entered_by: str
    entered_at: datetime
    cancelled_at: datetime | None
    incidents: int


class SilenceAnswer(BaseModel):
    """A silence; `held` is how many notifications it held or holds back."""

    model_config = _example(
        id=2,
        site=None,
        charger="WH-E01",
        code="weak-signal",
        severity=None,
        from_at="2026-05-01T08:00:00Z",
        to_at="2026-05-08T00:00:00Z",
        reason="antenna ordered",
        entered_by="li",
        entered_at="2026-05-01T08:00:00Z",
        active=True,
        held=1,
    )

    id: int
    site: str | None
    charger: str | None
    code: str | None
    severity: int | None
    from_at: datetime
    to_at: datetime
    reason: str
    entered_by: str
    entered_at: datetime
    active: bool
    held: int


class Subject(BaseModel):
    """What a matter is about, by the codes of the registry."""

    kind: Literal["site", "gateway", "charger", "connector"]
    site: str
    gateway: str | None = None
    charger: str | None = None
    connector: int | None = None


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

    model_config = _example(
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


class IncidentAnswer(BaseModel):
    """A machine-detected problem with its evidence.

    `planned_by` is the downtime that explains it, without a ticket while `planned_until` is set;
    `silenced_by` is the silence that holds its notifications back at present.
    """

    model_config = _example(
        id=4,
        code="relay-open",
        family="relay",
        severity=2,
        effect="out-of-order",
        detector="reported",
        phase="open",
        subject={
            "kind": "connector",
            "site": "wanhe-1a",
            "gateway": None,
            "charger": "WH-E01",
            "connector": 3,
        },
        parent_id=None,
        ticket_id=7,
        started_at="2026-05-01T07:59:50Z",
        opened_at="2026-05-01T08:00:00Z",
        quiet_since=None,
        ended_at=None,
        evidence={"first": {"status": "faulted"}},
        planned_by=None,
        planned_until=None,
        silenced_by=None,
    )

    id: int
    code: str
    family: str
    severity: int
    effect: str
    detector: str
    phase: str
    subject: Subject
    parent_id: int | None
    ticket_id: int | None
    started_at: datetime
    opened_at: datetime | None
    quiet_since: datetime | None
    ended_at: datetime | None
    evidence: dict[str, Any]
    planned_by: int | None
    planned_until: datetime | None
    silenced_by: int | None


class SiteAnswer(BaseModel):
    """A charging place and how its connectors stand now."""

    model_config = _example(
        code="wanhe-1a",
        name="万和一区东门",
        grid="wanhe-1",
        company="xinchong",
        address="万和路 1 号",
        latitude=31.2,
        longitude=121.4,
        repair_phone="021-00000000",
        connectors=20,
        available=14,
        out_of_order=1,
        unknown=0,
    )

    code: str
    name: str
    grid: str
    company: str | None
    address: str | None
    latitude: float | None
    longitude: float | None
    repair_phone: str | None
    connectors: int
    available: int
    out_of_order: int
    unknown: int


class ChargerAnswer(BaseModel):
    """A pile."""

    model_config = _example(
        code="WH-E01",
        site="wanhe-1a",
        gateway=None,
        kind="ebike",
        label="东门 1 号",
        vendor="dny",
        model="D10",
        firmware="3.2",
        last_seen_at="2026-05-01T08:00:00Z",
        rssi_dbm=-71,
        online=True,
    )

    code: str
    site: str
    gateway: str | None
    kind: str
    label: str
    vendor: str | None
    model: str | None
    firmware: str | None
    last_seen_at: datetime | None
    rssi_dbm: float | None
    online: bool


class ConnectorAnswer(BaseModel):
    """A connector: `status` is what may be believed now, `said` what it said last, and `age_s`
    how long ago that was confirmed."""

    model_config = _example(
        charger="WH-E01",
        connector=3,
        site="wanhe-1a",
        kind="ebike",
        label="东门 1 号",
        status="charging",
        said="charging",
        errors=[],
        online=True,
        stale=False,
        heard_at="2026-05-01T08:00:00Z",
        age_s=12.5,
        session_id="s-81",
        power_w=180,
        energy_wh=412,
        voltage_v=221,
        current_a=0.82,
        temperature_c=31,
        soc=None,
    )

    charger: str
    connector: int
    site: str
    kind: str
    label: str
    status: str
    said: str
    errors: list[dict[str, Any]]
    online: bool
    stale: bool
    heard_at: datetime | None
    age_s: float | None
    session_id: str | None
    power_w: float | None
    energy_wh: float | None
    voltage_v: float | None
    current_a: float | None
    temperature_c: float | None
    soc: float | None

    @classmethod
    def example(cls) -> "ConnectorAnswer":
        """The one that the document shows."""
        return cls.model_validate(cls.model_json_schema()["examples"][0])


class AskingAnswer(BaseModel):
    """What the reporter is asked at this moment, now or weeks later; `charges` is the answer."""

    kind: Literal["now", "later"]
    charges: bool | None
    again_at: datetime | None


class ReceiptAnswer(BaseModel):
    """What became of a report. It `waits` for a review where it looked like spam; `others` have
    reported the same; `photos` are their numbers."""

    model_config = _example(
        code="no-output",
        reported_at="2026-05-01T08:00:00Z",
        ticket_id=7,
        state="repaired",
        waits=False,
        dismissed=False,
        others=2,
        photos=[1],
        contact=True,
        asking={"kind": "now", "charges": None, "again_at": None},
        steps=[{"at": "2026-05-01T08:00:00Z", "action": "opened", "state": "open"}],
    )

    code: str
    reported_at: datetime
    ticket_id: int | None
    state: str | None
    waits: bool
    dismissed: bool
    others: int
    photos: list[int]
    contact: bool
    asking: AskingAnswer | None
    steps: list[dict[str, Any]]


class FiledAnswer(BaseModel):
    """A kept report: the receipt is the key to its story. Without `ticket_id` it waits for a
    review; `others` have reported the same."""

    model_config = _example(
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


class InspectionAnswer(BaseModel):
    """What the inspection did."""

    model_config = _example(created=True, verified_tickets=[7], opened_tickets=[])

    created: bool
    verified_tickets: list[int]
    opened_tickets: list[int]


class ObservationAnswer(BaseModel):
    """One thing that a charger said; units are those of the names."""

    model_config = _example(
        observed_at="2026-05-01T08:00:00Z",
        received_at="2026-05-01T08:00:01Z",
        connector=3,
        kind="meter",
        seq=-1,
        status=None,
        errors=None,
        session_id="s-81",
        reason=None,
        energy_wh=412,
        power_w=180,
        voltage_v=221,
        current_a=0.82,
        temperature_c=31,
        soc=None,
        residual_current_ma=None,
        data=None,
    )

    observed_at: datetime
    received_at: datetime
    connector: int
    kind: str
    seq: int
    status: str | None
    errors: list[dict[str, Any]] | None
    session_id: str | None
    reason: str | None
    energy_wh: float | None
    power_w: float | None
    voltage_v: float | None
    current_a: float | None
    temperature_c: float | None
    soc: float | None
    residual_current_ma: float | None
    data: dict[str, Any] | None


class Bin(BaseModel):
    """A piece of a series; what is not known of it is null."""

    at: datetime
    samples: int
    min: float | None = None
    avg: float | None = None
    max: float | None = None
    sum: float | None = None


class SeriesAnswer(BaseModel):
    """A measure of one connector over time; bins without a value are left out."""

    model_config = _example(
        charger="WH-E01",
        connector=3,
        measure="power_w",
        step_s=300,
        bins=[{"at": "2026-05-01T08:00:00Z", "samples": 10, "min": 0, "avg": 176.5, "max": 190}],
    )

    charger: str
    connector: int
    measure: str
    step_s: float
    bins: list[Bin]


class QuarantineAnswer(BaseModel):
    """A message that could not be used, and why."""

    model_config = _example(
        id=3,
        received_at="2026-05-01T08:00:00Z",
        topic="pilewatch/v1/WH-E01/up/status/3",
        size=2,
        reason="not JSON",
        charger="WH-E01",
    )

    id: int
    received_at: datetime
    topic: str
    size: int
    reason: str
    charger: str | None


class UnknownChargerAnswer(BaseModel):
    """A charger that speaks but is not registered."""

    model_config = _example(
        code="WH-E99",
        first_seen_at="2026-05-01T08:00:00Z",
        last_seen_at="2026-05-01T09:00:00Z",
        messages=61,
    )

    code: str
    first_seen_at: datetime
    last_seen_at: datetime
    messages: int


class Alert(BaseModel):
    """One alert of a group. What else Alertmanager sends is not looked at."""

    status: Literal["firing", "resolved"]
    labels: dict[Code, Text] = Field(max_length=100)
    annotations: dict[Code, Annotated[str, AfterValidator(_no_nul)]] = Field(
        default_factory=dict, max_length=100
    )
    starts_at: AwareDatetime = Field(alias="startsAt")
    ends_at: AwareDatetime = Field(alias="endsAt")


class AlertmanagerRequest(BaseModel):
    """A group of alerts as Alertmanager's webhook sends it, version 4."""

    model_config = _example(
        version="4",
        status="firing",
        receiver="pilewatch",
        alerts=[
            {
                "status": "firing",
                "labels": {"alertname": "OverTemperature", "charger": "WH-E01", "connector": "3"},
                "annotations": {"summary": "91 °C in the cabinet"},
                "startsAt": "2026-05-01T08:00:00Z",
                "endsAt": "0001-01-01T00:00:00Z",
            }
        ],
    )

    version: Literal["4"]
    alerts: list[Alert] = Field(max_length=500)


class TakenAnswer(BaseModel):
    """So many alerts were taken over."""

    model_config = _example(taken=1)

    taken: int


class DeliveryAnswer(BaseModel):
    """One notification to one receiver; those with one key are one message."""

    model_config = _example(
        id=9,
        receiver="repair-wecom",
        key="ticket/7/31",
        topic="ticket.opened",
        created_at="2026-05-01T08:00:00Z",
        due_at="2026-05-01T08:00:00Z",
        attempts=12,
        sent_at=None,
        dead_at="2026-05-01T14:00:00Z",
        last_error="answered 500",
    )

    id: int
    receiver: str
    key: str
    topic: str
    created_at: datetime
    due_at: datetime
    attempts: int
    sent_at: datetime | None
    dead_at: datetime | None
    last_error: str | None


class Measured(BaseModel):
    """A measure around an incident: `limit` is what it was judged against."""

    measure: str
    unit: str
    connector: int
    limit: float | None
    step_s: float
    bins: list[Bin]


class ExplanationAnswer(BaseModel):
    """Why there is an incident: what was seen first and last, and the measure around it."""

    model_config = _example(
        incident=5,
        code="over-temperature",
        detector="metering",
        phase="open",
        started_at="2026-05-01T08:00:00Z",
        opened_at="2026-05-01T08:00:02Z",
        ended_at=None,
        first={"at": "2026-05-01T08:00:00+00:00", "value": 91.0, "limit": 80},
        latest={"at": "2026-05-01T08:00:00+00:00", "value": 91.0, "limit": 80},
        ports=[],
        ticket=7,
        parent=None,
        members=[],
        chart={
            "measure": "temperature_c",
            "unit": "°C",
            "connector": 3,
            "limit": 80,
            "step_s": 60,
            "bins": [
                {"at": "2026-05-01T08:00:00Z", "samples": 2, "min": 90, "avg": 90.5, "max": 91}
            ],
        },
    )

    incident: int
    code: str
    detector: str
    phase: str
    started_at: datetime
    opened_at: datetime | None
    ended_at: datetime | None
    first: dict[str, Any] | None
    latest: dict[str, Any] | None
    ports: list[int]
    ticket: int | None
    parent: int | None
    members: list[int]
    chart: Measured | None


class MeAnswer(BaseModel):
    """Who asks."""

    model_config = _example(role="operator", login="li")

    role: str
    login: str | None


class HealthAnswer(BaseModel):
    """All is well."""

    model_config = _example(status="ok")

    status: str
