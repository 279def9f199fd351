"""`/api/v1/tickets/{id}/costs`, and the catalogues of causes, remedies and parts."""

from datetime import date, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from api import models, problems, ticketing
from api.context import Ask, Asked
from api.ledger.words import named
from api.models import Id
from api.problems import Problem
from api.rights import demand
from api.routers import ordering, reading
from pilewatch.repaircodes import CAUSES, DUTIES, PARTS, PAYERS, REMEDIES, CostKind, Payer
from pilewatch.workflow.costs import Cost, add_cost, costs_of, totals, withdraw_cost
from pilewatch.workflow.desk import Actor
from pilewatch.workflow.warranty import covers

router, orders = reading("tickets"), ordering("tickets")


def _part(code: str) -> str:
    if code not in PARTS:
        raise ValueError("no part code; see /repair-codes")
    return code


def _near(day: date) -> date:
    if not 2020 <= day.year <= 2100:
        raise ValueError("a day between 2020 and 2100 is needed")
    return day


class CostRequest(BaseModel):
    """One thing to pay. Money is in fen (hundredths of a yuan), whole numbers only."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "kind": "part",
                    "part": "socket",
                    "serial": "XC16A-0042",
                    "quantity": 1,
                    "unit_fen": 4500,
                    "payer": "operator",
                    "warrantor": "xinchong",
                    "warranty_until": "2027-05-01",
                }
            ]
        },
    )

    kind: CostKind
    part: Annotated[str, AfterValidator(_part)] | None = None
    serial: models.Code | None = None
    quantity: int = Field(1, ge=1, le=10_000, strict=True)
    unit_fen: int = Field(ge=0, le=100_000_000_000, strict=True)
    payer: Payer
    warrantor: models.Code | None = None
    warranty_until: Annotated[date, AfterValidator(_near)] | None = None
    note: models.Text | None = None


class CostAnswer(BaseModel):
    """One line. `under_warranty_of` is the ticket whose repair put the same part in before, which
    was under warranty still; a line that was a mistake has `withdrawn_at`."""

    id: int
    kind: str
    part: str | None
    serial: str | None
    quantity: int
    unit_fen: int
    amount_fen: int
    payer: str
    warrantor: str | None
    warranty_until: date | None
    under_warranty_of: int | None
    note: str | None
    entered_by: str
    entered_at: datetime
    withdrawn_at: datetime | None


class CoverAnswer(BaseModel):
    """A part at the place of the ticket for which `warrantor` answers until the end of `until`;
    `may_explain`: this fault is one in which its failure shows."""

    part: str
    serial: str | None
    until: date
    warrantor: str
    installed_by: int
    may_explain: bool


class CostsAnswer(BaseModel):
    """What the ticket costs, by who pays, and who answers for parts under warranty."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "items": [
                        {
                            "id": 3,
                            "kind": "part",
                            "part": "socket",
                            "serial": "XC16A-0042",
                            "quantity": 1,
                            "unit_fen": 4500,
                            "amount_fen": 4500,
                            "payer": "operator",
                            "warrantor": "xinchong",
                            "warranty_until": "2027-05-01",
                            "under_warranty_of": None,
                            "note": None,
                            "entered_by": "wang",
                            "entered_at": "2026-05-01T10:00:00Z",
                            "withdrawn_at": None,
                        }
                    ],
                    "total_fen": 4500,
                    "by_payer": {"operator": 4500},
                    "warranty": [
                        {
                            "part": "relay",
                            "serial": None,
                            "until": "2026-12-31",
                            "warrantor": "xinchong",
                            "installed_by": 4,
                            "may_explain": False,
                        }
                    ],
                }
            ]
        }
    )

    items: list[CostAnswer]
    total_fen: int
    by_payer: dict[str, int]
    warranty: list[CoverAnswer]


class Named(BaseModel):
    """A code and its names."""

    code: str
    zh: str
    en: str


class CodesAnswer(BaseModel):
    """The small catalogues of a repair."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "causes": [{"code": "worn", "zh": "磨损老化", "en": "worn out"}],
                    "remedies": [
                        {"code": "part-replaced", "zh": "更换部件", "en": "part replaced"}
                    ],
                    "parts": [{"code": "socket", "zh": "插座", "en": "socket"}],
                    "duties": [{"code": "power", "zh": "供电", "en": "power supplier"}],
                    "payers": [{"code": "operator", "zh": "运营单位", "en": "operator"}],
                }
            ]
        }
    )

    causes: list[Named]
    remedies: list[Named]
    parts: list[Named]
    duties: list[Named]
    payers: list[Named]


@router.get(
    "/repair-codes",
    response_model=CodesAnswer,
    summary="Codes of causes, remedies and parts",
    **problems.open_to_all(),
)
def codes() -> Any:
    """Each with its name in Chinese and English."""
    return {
        "causes": named("cause", sorted(CAUSES)),
        "remedies": named("remedy", sorted(REMEDIES)),
        "parts": named("part", PARTS),
        "duties": named("duty", DUTIES),
        "payers": named("payer", PAYERS),
    }


@router.get(
    "/tickets/{id}/costs",
    response_model=CostsAnswer,
    summary="Parts, costs and warranty",
    **problems.for_staff(404, 409, 412),
)
def costs(id: Id, ask: Ask) -> Any:
    """What was entered, by who pays, and who answers for what is under warranty."""
    demand(ask.caller, "read")
    ticketing.check_seen(ask, id)
    return _shown(ask, id)


@orders.post(
    "/tickets/{id}/costs",
    status_code=201,
    response_model=CostsAnswer,
    summary="Enter a part or a cost",
    **problems.for_staff(404, 409, 412),
)
def enter(id: Id, body: CostRequest, ask: Ask) -> Any:
    """Who pays is said by whoever enters it; the answer tells where a warranty holds."""
    demand(ask.caller, "cost")
    _check(body)
    cost = Cost(
        body.kind,
        body.quantity,
        body.unit_fen,
        body.payer,
        body.part,
        body.serial,
        ticketing.company_id(ask, body.warrantor),
        body.warranty_until,
        body.note,
    )
    with ask.db.transaction():
        ticketing.check_seen(ask, id)
        actor = Actor("person", ask.caller.id)
        cost_id = add_cost(ask.db, ask.policy, ask.now, id, cost, actor)
        said = body.model_dump(mode="json", exclude={"note", "serial"})
        about = f"ticket/{id}"
        ask.record("cost.enter", about, None, {"cost": cost_id, **said})
        return _shown(ask, id)


def _check(body: CostRequest) -> None:
    if (body.kind == "part") != (body.part is not None):
        raise Problem(422, "part: needed with kind part, and only there")
    if (body.warrantor is None) != (body.warranty_until is None):
        raise Problem(422, "warrantor and warranty_until: both or none")
    if body.part is None and (body.serial or body.warrantor):
        raise Problem(422, "serial and warranty: only of a part")


@orders.post(
    "/tickets/{id}/costs/{cost}/withdraw",
    response_model=CostsAnswer,
    summary="Withdraw a cost",
    **problems.for_staff(404, 409, 412),
)
def withdraw(id: Id, cost: Id, ask: Ask) -> Any:
    """It was entered by mistake; the line stays for the record and counts nowhere."""
    demand(ask.caller, "cost")
    with ask.db.transaction():
        ticketing.check_seen(ask, id)
        withdraw_cost(ask.db, ask.policy, ask.now, id, cost, Actor("person", ask.caller.id))
        about = f"ticket/{id}"
        ask.record("cost.withdraw", about, {"cost": cost}, None)
        return _shown(ask, id)


def _shown(ask: Asked, id: int) -> dict[str, Any]:
    family = ticketing.check_seen(ask, id)["family"]
    lines = costs_of(ask.db, id)
    by_payer = totals(lines)
    return {
        "items": lines,
        "total_fen": sum(by_payer.values()),
        "by_payer": by_payer,
        "warranty": [
            {**vars(cover), "may_explain": cover.may_explain(family)}
            for cover in covers(ask.db, id)
        ],
    }
