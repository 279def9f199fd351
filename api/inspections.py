"""`POST /api/v1/inspections`: a check on the spot."""

import json
from typing import Annotated, Any
from uuid import UUID

from pydantic import AfterValidator, AwareDatetime, BaseModel, Field

from api import problems
from api.context import Ask
from api.models import Body, Code, Port, Text, example, no_nul
from api.problems import Problem
from api.reporting import find_place
from api.rights import demand, scope
from api.routers import ordering
from pilewatch.workflow.inspections import record_inspection

orders = ordering("inspections")


def _plain_json(value: list[dict[str, Any]]) -> list[dict[str, Any]]:
    no_nul(json.dumps(value, ensure_ascii=False).replace("\\u0000", "\0"))
    return value


class InspectionRequest(Body):
    """One check on the spot; the id is made by the phone, so that a repeat is no double."""

    model_config = example(
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
    answers: Annotated[list[dict[str, Any]], AfterValidator(_plain_json)] = Field(
        [], max_length=100
    )
    note: Text | None = None


class InspectionAnswer(BaseModel):
    """What the inspection did."""

    model_config = example(created=True, verified_tickets=[7], opened_tickets=[])

    created: bool
    verified_tickets: list[int]
    opened_tickets: list[int]


@orders.post(
    "/inspections",
    status_code=201,
    response_model=InspectionAnswer,
    summary="Inspect",
    **problems.for_staff(409),
)
def inspect(body: InspectionRequest, ask: Ask) -> Any:
    """A check on the spot: passed with a test charge it proves a claimed repair. The same again
    changes nothing; with another content under its id it is refused (409)."""
    demand(ask.caller, "inspect")
    place = find_place(ask, None, body.charger, body.connector)
    grids = scope(ask.caller)["grids"]
    if grids is not None and place["grid_id"] not in grids:
        raise Problem(403, "this charger is not in your grids")
    if body.inspected_at is not None and body.inspected_at > ask.now:
        raise Problem(422, "inspected_at is in the future")
    assert ask.caller.id is not None
    with ask.db.transaction():
        done = record_inspection(
            ask.db,
            ask.policy,
            ask.now,
            id=body.id,
            charger_id=place["charger_id"],
            connector_id=place["connector_id"],
            person_id=ask.caller.id,
            inspected_at=body.inspected_at or ask.now,
            passed=body.passed,
            test_charge=body.test_charge,
            answers=body.answers,
            note=body.note,
        )
        if not done.same:
            raise Problem(409, "id: it came before with another content")
        if done.created:
            said = {"charger": body.charger, "connector": body.connector, "passed": body.passed}
            ask.record("inspection.add", f"inspection/{body.id}", None, said)
    return done
