"""What goes in: requests, checked at the door."""

import json
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field

from pilewatch.faultcodes import FAULTS


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


def _plain_json(value: list[dict[str, Any]]) -> list[dict[str, Any]]:
    _no_nul(json.dumps(value, ensure_ascii=False).replace("\\u0000", "\0"))
    return value


Text = Annotated[str, Field(min_length=1, max_length=2000), AfterValidator(_no_nul)]
Code = Annotated[str, Field(min_length=1, max_length=64), AfterValidator(_no_nul)]
FaultCode = Annotated[str, AfterValidator(_fault)]
Port = Annotated[int, Field(ge=1, le=999)]
Big = 2**63 - 1


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid")


class AssignRequest(_Request):
    """To a company, a person, or both."""

    company: Code | None = Field(None, examples=["xinchong"])
    assignee: Code | None = Field(None, examples=["wang"])


class ClaimRequest(_Request):
    """What was wrong and what was done."""

    cause: Text = Field(examples=["contact of the socket worn"])
    remedy: Text = Field(examples=["socket replaced"])
    part: Text | None = Field(None, examples=["socket 16 A"])
    note: Text | None = None


class ReasonRequest(_Request):
    """Why."""

    reason: Text = Field(examples=["the pile belongs to another company"])


class MergeRequest(_Request):
    """The ticket that goes on."""

    into: int = Field(ge=1, le=Big, examples=[12])


class CommentRequest(_Request):
    """A word on the timeline."""

    text: Text = Field(examples=["part ordered"])


class ReportRequest(_Request):
    """What a resident saw. A charger or at least a site is needed."""

    site: Code | None = Field(None, examples=["wanhe-1a"])
    charger: Code | None = Field(None, examples=["WH-E01"])
    connector: Port | None = Field(None, examples=[3])
    code: FaultCode = Field(examples=["no-output"])
    note: Text | None = Field(None, examples=["插上没反应"])


class AnswerRequest(_Request):
    """The answer to "does it charge now?"."""

    charges_now: bool


class InspectionRequest(_Request):
    """One check on the spot; the id is made by the phone, so that a repeat is no double."""

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
    """A ticket; `actions` are possible now, `timeline` comes with a single ticket only."""

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
    claimed_at: datetime | None
    verify_by_at: datetime | None
    verified_at: datetime | None
    closed_at: datetime | None
    evidence: dict[str, Any] | None
    cause: str | None
    remedy: str | None
    part: str | None
    merged_into: int | None
    reopened: int
    reports: int
    version: int
    actions: list[str]
    timeline: list[Entry] | None = None


class IncidentAnswer(BaseModel):
    """A machine-detected problem with its evidence."""

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


class SiteAnswer(BaseModel):
    """A charging place and how its connectors stand now."""

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


class ReceiptAnswer(BaseModel):
    """What became of a report."""

    code: str
    reported_at: datetime
    ticket_id: int | None
    state: str | None
    steps: list[dict[str, Any]]


class FiledAnswer(BaseModel):
    """A kept report: the receipt is the key to its story."""

    receipt: str
    receipt_url: str
    ticket_id: int
    joined: bool


class InspectionAnswer(BaseModel):
    """What the inspection did."""

    created: bool
    verified_tickets: list[int]
    opened_tickets: list[int]
