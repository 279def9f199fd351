"""`/api/v1/tickets/{id}/split` and `/api/v1/work-orders`: a ticket shared out between companies."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import Path, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from api import models, problems, ticketing
from api.context import Ask, Asked, IfMatch, Paged, seen_version
from api.models import Id, Listed
from api.problems import Problem
from api.rights import RIGHTS, demand, scope
from api.routers import ordering, reading
from pilewatch.repaircodes import Duty
from pilewatch.store import queries
from pilewatch.workflow.desk import Actor
from pilewatch.workflow.orders import OrderState, Part, Step, possible, split_ticket, step_order

router, orders = reading("tickets"), ordering("tickets")
_SQL = queries.load("orders")
StepWord = Annotated[Step, Path(description="What to do with it")]
_OWN: frozenset[Step] = frozenset({"accept", "finish"})
"""Steps of those whose order it is; the others belong to whoever has shared the ticket out."""


class PartRequest(BaseModel):
    """What one side is to do. A company, an owner, or both."""

    model_config = ConfigDict(extra="forbid")

    duty: Duty
    company: models.Code | None = None
    owner: models.Code | None = None
    task: models.Text
    deadline_at: models.Moment


class SplitRequest(BaseModel):
    """Who does what until when: 供电 power, 运营 operator, 物业 property, 社区 community."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "orders": [
                        {
                            "duty": "power",
                            "company": "xydl",
                            "task": "测进线电压，恢复供电",
                            "deadline_at": "2026-05-02T08:00:00Z",
                        },
                        {
                            "duty": "property",
                            "owner": "li",
                            "task": "打开配电间",
                            "deadline_at": "2026-05-01T10:00:00Z",
                        },
                    ]
                }
            ]
        },
    )

    orders: list[PartRequest] = Field(min_length=1, max_length=20)


class NoteRequest(BaseModel):
    """What was done, or why not."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"note": "已送电"}]})

    note: models.Text | None = None


class OrderAnswer(BaseModel):
    """One side's part of a ticket, and what it is about. `late` is by now, or when settled;
    `escalation_level` is the last step of the policy that was told of it."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": 5,
                    "ticket_id": 7,
                    "duty": "power",
                    "company": "xydl",
                    "owner": None,
                    "task": "测进线电压，恢复供电",
                    "deadline_at": "2026-05-02T08:00:00Z",
                    "late": False,
                    "escalation_level": 0,
                    "state": "open",
                    "opened_at": "2026-05-01T08:00:00Z",
                    "accepted_at": None,
                    "settled_at": None,
                    "note": None,
                    "version": 1,
                    "code": "power-loss",
                    "severity": 2,
                    "ticket_state": "assigned",
                    "subject": {
                        "kind": "site",
                        "site": "wanhe-1a",
                        "gateway": None,
                        "charger": None,
                        "connector": None,
                    },
                    "actions": ["accept", "finish", "cancel"],
                }
            ]
        }
    )

    id: int
    ticket_id: int
    duty: str
    company: str | None
    owner: str | None
    task: str
    deadline_at: datetime
    late: bool
    escalation_level: int
    state: str
    opened_at: datetime
    accepted_at: datetime | None
    settled_at: datetime | None
    note: str | None
    version: int
    code: str
    severity: int
    ticket_state: str
    subject: models.Subject
    actions: list[str]


@orders.post(
    "/tickets/{id}/split",
    status_code=201,
    response_model=Listed[OrderAnswer],
    summary="Share out between companies",
    **problems.for_staff(404, 409, 412),
)
def split(id: Id, body: SplitRequest, ask: Ask, if_match: IfMatch = None) -> Any:
    """Each side gets a work order; the ticket cannot be claimed before all of them are settled.
    Gives all work orders of the ticket."""
    demand(ask.caller, "split")
    parts = [_part(ask, part) for part in body.orders]
    with ask.db.transaction():
        seen = ticketing.check_seen(ask, id)
        after = split_ticket(
            ask.db,
            ask.policy,
            ask.now,
            id,
            parts,
            Actor("person", ask.caller.id),
            expected_version=seen_version(if_match),
        )
        before = {"state": seen["state"], "version": seen["version"]}
        told = {"state": after.state.value, "version": after.version, "orders": len(parts)}
        ask.record("ticket.split", f"ticket/{id}", before, told)
        rows = _rows(ask, ticket_id=id, limit=500)
    return {"items": [_order(row) for row in rows], "next_cursor": None}


def _part(ask: Asked, part: PartRequest) -> Part:
    if part.company is None and part.owner is None:
        raise Problem(422, "orders: each needs a company or an owner")
    if part.deadline_at <= ask.now:
        raise Problem(422, "orders: deadline_at must be in the future")
    company = ticketing.company_id(ask, part.company)
    owner = ticketing.person_id(ask, part.owner)
    return Part(part.duty, company, owner, part.task, part.deadline_at)


@router.get(
    "/work-orders",
    response_model=Listed[OrderAnswer],
    summary="Work orders",
    **problems.for_staff(),
)
def listed(
    ask: Ask,
    page: Paged,
    ticket: Annotated[int | None, Query(ge=1, le=models.Big, description="Of this ticket")] = None,
    state: Annotated[OrderState | None, Query(description="Only in this state")] = None,
    duty: Annotated[Duty | None, Query(description="Only of this side")] = None,
) -> Any:
    """Newest first: the own company's, one's own, and those of the own company's tickets."""
    demand(ask.caller, "read")
    rows = _rows(
        ask,
        ticket_id=ticket,
        state=state and state.value,
        duty=duty,
        before=page.before,
        limit=page.limit,
    )
    return page.answer(rows, [_order(row) for row in rows])


@router.get(
    "/work-orders/{id}",
    response_model=OrderAnswer,
    summary="One work order",
    **problems.for_staff(404),
)
def one(id: Id, response: Response, ask: Ask) -> Any:
    """Its ETag is its version, for If-Match."""
    demand(ask.caller, "read")
    row = _one(ask, id)
    response.headers["ETag"] = f'"{row["version"]}"'
    return _order(row)


@orders.post(
    "/work-orders/{id}/{step}",
    response_model=OrderAnswer,
    summary="Accept, finish, return or cancel a work order",
    **problems.for_staff(404, 409, 412),
)
def take(
    id: Id,
    step: StepWord,
    body: NoteRequest,
    response: Response,
    ask: Ask,
    if_match: IfMatch = None,
) -> Any:
    """Accept and finish: those whose order it is. Return (not done after all) and cancel, each with
    a reason: those whose ticket it is."""
    demand(ask.caller, "order")
    with ask.db.transaction():
        before = _one(ask, id)
        if not _may(ask, step, before):
            raise Problem(403, f"{step} a work order: only for those {_whose(step)}")
        step_order(
            ask.db,
            ask.policy,
            ask.now,
            id,
            step,
            Actor("person", ask.caller.id),
            note=body.note,
            expected_version=seen_version(if_match),
        )
        after = _one(ask, id)
        ask.record(
            f"work-order.{step}",
            f"work-order/{id}",
            {key: before[key] for key in ("state", "version")},
            {key: after[key] for key in ("state", "version")},
        )
    response.headers["ETag"] = f'"{after["version"]}"'
    return _order(after)


def _may(ask: Asked, step: Step, row: dict[str, Any]) -> bool:
    caller, narrowed = ask.caller, scope(ask.caller)
    company, owner, grids = (narrowed[key] for key in ("company_id", "owner_id", "grids"))
    if step in _OWN and row["owner_id"] == caller.id:
        return True
    if grids is not None and row["grid_id"] not in grids:
        return False
    if caller.role == "grid_worker":
        return step in _OWN and row["duty"] == "community" and row["owner_id"] is None
    if step in _OWN:
        return company in (None, row["company_id"])
    its = company in (None, row["ticket_company_id"]) or owner == row["site_company_id"]
    return its and caller.role in RIGHTS["split"]


def _whose(step: Step) -> str:
    return "whose order it is" if step in _OWN else "whose ticket it is"


def _rows(ask: Asked, **wanted: Any) -> list[dict[str, Any]]:
    nothing = dict.fromkeys(("id", "ticket_id", "state", "duty"))
    values = {**nothing, "before": models.Big, "limit": 1, "now": ask.now, **wanted}
    return ask.db.execute(_SQL["orders"], {**values, **scope(ask.caller)}).fetchall()


def _one(ask: Asked, id: int) -> dict[str, Any]:
    rows = _rows(ask, id=id)
    if not rows:
        raise Problem(404, f"there is no work order {id}")
    return rows[0]


def _order(row: dict[str, Any]) -> dict[str, Any]:
    keys = ("site", "gateway", "charger", "connector")
    subject = {"kind": row["subject_kind"], **{key: row[key] for key in keys}}
    return {**row, "subject": subject, "actions": possible(OrderState(row["state"]))}
