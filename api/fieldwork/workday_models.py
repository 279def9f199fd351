"""A worker's day as it goes to the phone and comes back."""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, Field

from api.fieldwork.patrol_models import A_STOP, RoundAnswer, StopAnswer
from api.models import Body, example


class ChecklistAnswer(BaseModel):
    """One version of a checklist; inspections name its id. `area` None: it ships."""

    model_config = example(
        id=2,
        code="patrol-ebike",
        number=1,
        area=None,
        purpose="patrol",
        chargers=["ebike"],
        name={"zh": "电动自行车充电柜巡查", "en": "Patrol of an e-bike cabinet"},
        items=[
            {
                "code": "earth",
                "text": {"zh": "接地线连接牢固", "en": "Earth wire connected"},
                "fault": "no-earth",
            }
        ],
        added_at="2026-05-01T08:00:00Z",
    )

    id: int
    code: str
    number: int
    area: str | None
    purpose: str
    chargers: list[str]
    name: dict[str, str]
    items: list[dict[str, Any]]
    added_at: datetime


class ConfirmAnswer(BaseModel):
    """A claimed repair that an inspection with a test charge proves."""

    id: int
    code: str
    severity: int
    site: str
    site_name: str
    charger: str | None
    label: str | None
    connector: int | None
    claimed_at: datetime
    verify_by_at: datetime | None
    cause: str | None
    remedy: str | None


class TaskRound(RoundAnswer):
    """A round with all that a phone needs of it."""

    stops_in_order: list[StopAnswer]


class TasksAnswer(BaseModel):
    """A worker's day, whole: it works without a net from here on.

    `more`: not all rounds are here; finish some and ask again. `texts` are phrases by language.
    """

    model_config = example(
        rounds=[
            {
                **RoundAnswer.model_json_schema()["examples"][0],
                "stops_in_order": [A_STOP],
            }
        ],
        checklists=[ChecklistAnswer.model_json_schema()["examples"][0]],
        tickets=[
            {
                "id": 7,
                "code": "plug-broken",
                "severity": 2,
                "site": "wanhe-1a",
                "site_name": "万和苑东门车棚",
                "charger": "WH-E01",
                "label": "1号柜",
                "connector": 3,
                "claimed_at": "2026-05-25T10:00:00Z",
                "verify_by_at": "2026-05-28T10:00:00Z",
                "cause": "contact worn",
                "remedy": "socket replaced",
            }
        ],
        more=False,
        texts={"zh": {"outcome.accepted": "已收到"}, "en": {"outcome.accepted": "received"}},
    )

    rounds: list[TaskRound]
    checklists: list[ChecklistAnswer]
    tickets: list[ConfirmAnswer]
    more: bool
    texts: dict[str, dict[str, str]]


class SyncRequest(Body):
    """Inspections of an offline day, in any order. Each is judged by itself: see the example for
    its fields, and docs/patrols.md for the rules."""

    model_config = example(
        inspections=[
            {
                "id": "0b9c7c5e-52c5-4e4f-8f0e-6a2f0d3f7f11",
                "charger": "WH-E01",
                "checklist": 2,
                "round": 12,
                "inspected_at": "2026-05-26T01:10:00Z",
                "answers": [
                    {"item": "socket", "ok": False, "ports": [3]},
                    {"item": "surface-temperature", "value": 41.5},
                    {"item": "extinguisher", "skipped": "shed is locked"},
                ],
                "test_charges": [1],
                "note": None,
                "scanned": "https://piles.example/p/WH-E01?s=1.2.ZIaqRsma69lI3xZB0U4iOw",
                "latitude": 32.1312,
                "longitude": 114.0706,
                "accuracy_m": 15,
            }
        ]
    )

    inspections: list[dict[str, Any]] = Field(min_length=1, max_length=200)


class SyncResult(BaseModel):
    """What became of one inspection. `rules` are the words of the rules that were applied."""

    id: str | None
    status: int = Field(description="201 accepted, 200 duplicate, 409 conflict, 404 or 422 refused")
    outcome: Literal["accepted", "duplicate", "conflict", "refused"]
    problems: list[str] = []
    rules: list[str] = []
    passed: bool | None = None
    complete: bool | None = None
    presence: str | None = None
    presence_why: str | None = None
    late: bool | None = None
    tickets: list[int] = []
    verified_tickets: list[int] = []


class SyncAnswer(BaseModel):
    """One result for each inspection, in the order they were sent."""

    model_config = example(
        results=[
            {
                "id": "0b9c7c5e-52c5-4e4f-8f0e-6a2f0d3f7f11",
                "status": 201,
                "outcome": "accepted",
                "problems": [],
                "rules": [],
                "passed": False,
                "complete": True,
                "presence": "proven",
                "presence_why": "signed-and-near",
                "late": False,
                "tickets": [7],
                "verified_tickets": [],
            }
        ]
    )

    results: list[SyncResult]


class VisitAnswer(BaseModel):
    """A kept inspection. `conflicts`: so many others came under its id and were kept beside."""

    model_config = example(
        id="0b9c7c5e-52c5-4e4f-8f0e-6a2f0d3f7f11",
        charger="WH-E01",
        worker="chen",
        inspected_at="2026-05-26T01:10:00Z",
        received_at="2026-05-26T09:00:00Z",
        passed=False,
        complete=True,
        test_charge=True,
        checklist=2,
        round=12,
        presence="proven",
        presence_why="signed-and-near",
        poster_number=2,
        answers=[{"item": "socket", "ok": False, "ports": [3]}],
        photos=[],
        note=None,
        conflicts=0,
        tickets=[7],
    )

    id: UUID
    charger: str
    worker: str
    inspected_at: datetime
    received_at: datetime
    passed: bool
    complete: bool
    test_charge: bool
    checklist: int | None
    round: int | None
    presence: str | None
    presence_why: str | None
    poster_number: int | None
    answers: list[dict[str, Any]]
    photos: list[str]
    note: str | None
    conflicts: int
    tickets: list[int]
