"""`/api/v1/reports` and `/api/v1/receipts`: what anybody may say, and what became of it."""

from datetime import datetime
from typing import Any, Literal

from fastapi import Request
from pydantic import BaseModel, Field

from api import problems
from api.context import Ask
from api.limits import count_word
from api.models import Body, Code, FaultCode, Port, Text, Token, example
from api.problems import Problem
from api.reporting import filed_answer, find_place, leave_contact
from api.reporting_models import FiledAnswer
from api.routers import ordering, reading
from pilewatch.workflow.reports import Receipt, answer_receipt, file_report, report_by_receipt

router, orders = reading("residents"), ordering("residents")


class ReportRequest(Body):
    """What a resident saw. A charger or at least a site is needed."""

    model_config = example(charger="WH-E01", connector=3, code="no-output", note="插上没反应")

    site: Code | None = Field(None, examples=["wanhe-1a"])
    charger: Code | None = Field(None, examples=["WH-E01"])
    connector: Port | None = Field(None, examples=[3])
    code: FaultCode = Field(examples=["no-output"])
    note: Text | None = Field(None, examples=["插上没反应"])
    contact: Code | None = Field(None, description="A phone number or a mail address")
    language: Literal["zh-CN", "en"] = "zh-CN"


class AnswerRequest(Body):
    """The answer to "does it charge now?"."""

    model_config = example(charges_now=False)

    charges_now: bool


class AskingAnswer(BaseModel):
    """What the reporter is asked at this moment, now or weeks later; `charges` is the answer."""

    kind: Literal["now", "later"]
    charges: bool | None
    again_at: datetime | None


class ReceiptAnswer(BaseModel):
    """What became of a report. It `waits` for a review where it looked like spam; `others` have
    reported the same; `photos` are their numbers."""

    model_config = example(
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


@orders.post(
    "/reports",
    status_code=201,
    response_model=FiledAnswer,
    summary="Report",
    **problems.open_to_all(429),
)
def report(body: ReportRequest, request: Request, ask: Ask) -> Any:
    """Say that a pile does not work; no account is needed. The receipt tells what became of it."""
    if body.site is None and body.charger is None:
        raise Problem(422, "a charger or a site is needed")
    if body.connector is not None and body.charger is None:
        raise Problem(422, "a connector needs its charger")
    count_word(request, ask)
    place = find_place(ask, body.site, body.charger, body.connector)
    with ask.db.transaction():
        filed = file_report(
            ask.db,
            ask.policy,
            ask.now,
            source="page",
            site_id=place["site_id"],
            charger_id=place["charger_id"],
            connector_id=place["connector_id"],
            code=body.code,
            note=body.note,
            entered_by=ask.caller.id,
        )
        if body.contact is not None:
            leave_contact(ask, filed.report_id, filed.receipt_token, body.contact, body.language)
    return filed_answer(ask, filed)


@router.get(
    "/receipts/{token}",
    response_model=ReceiptAnswer,
    summary="A report's story",
    **problems.open_to_all(404),
)
def receipt(token: Token, ask: Ask) -> Any:
    """Each step of the ticket that the report came to."""
    return _receipt(report_by_receipt(ask.db, ask.now, token))


@orders.post(
    "/receipts/{token}/answer",
    response_model=ReceiptAnswer,
    summary="Does it charge now?",
    **problems.open_to_all(404, 409, 429),
)
def answer(token: Token, body: AnswerRequest, request: Request, ask: Ask) -> Any:
    """ "No" reopens."""
    count_word(request, ask)
    with ask.db.transaction():
        found = answer_receipt(ask.db, ask.policy, ask.now, token, charges_now=body.charges_now)
    return _receipt(found)


def _receipt(found: Receipt | None) -> dict[str, Any]:
    if found is None:
        raise Problem(404, "there is no such receipt")
    return {
        "code": found.code,
        "reported_at": found.reported_at,
        "ticket_id": found.ticket_id,
        "state": found.state,
        "waits": found.waits,
        "dismissed": found.dismissed,
        "others": found.others,
        "photos": found.photos,
        "contact": found.contact,
        "asking": found.asking and vars(found.asking),
        "steps": [
            {
                "at": line["at"],
                "action": line["action"],
                "state": line["to_state"],
                "text": line["note"],
            }
            for line in found.timeline
        ],
    }
