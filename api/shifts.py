"""`/api/v1/shifts`: who is on duty when, and the hand-over."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import Query, Response
from pydantic import BaseModel, Field

from api import problems
from api.context import Ask, Asked, IfMatch, Paged, check_match, etag_of
from api.models import Big, Body, Code, Id, Listed, Moment, Text, example
from api.ownership import own_scope, scope_id
from api.problems import Problem
from api.rights import RIGHTS, demand, scope
from api.routers import ordering, reading
from pilewatch.store import queries
from pilewatch.workflow import shifts as duty
from pilewatch.workflow.shifts import Shift, ShiftScope

router, orders = reading("planning"), ordering("planning")
_SQL = queries.load("shifts")
Current = Annotated[bool, Query(description="Only what is not over")]


class ShiftRequest(Body):
    """Who is on duty when; for all sites, or for those of the place that is named."""

    model_config = example(
        person="li", scope="area", code="wanhe", from_at="2026-05-06T00:00:00Z",
        to_at="2026-05-06T12:00:00Z",
    )  # fmt: skip

    person: Annotated[Text, Field(max_length=100, description="The login")]
    scope: ShiftScope | None = None
    code: Code | None = None
    from_at: Moment
    to_at: Moment


class HandOverRequest(Body):
    """What whoever follows should know."""

    model_config = example(note="WH-E03: the electrician comes at 20:00")

    note: Text | None = None


class ShiftAnswer(BaseModel):
    """A shift; without a scope it is for all sites."""

    model_config = example(
        id=4, person="li", scope="area", code="wanhe", from_at="2026-05-06T00:00:00Z",
        to_at="2026-05-06T12:00:00Z", note=None, noted_at=None, entered_by="wang",
        entered_at="2026-05-01T08:00:00Z", cancelled_at=None, on_duty=False,
    )  # fmt: skip

    id: int
    person: str
    scope: str | None
    code: str | None
    from_at: datetime
    to_at: datetime
    note: str | None
    noted_at: datetime | None
    entered_by: str
    entered_at: datetime
    cancelled_at: datetime | None
    on_duty: bool


@router.get("/shifts", response_model=Listed[ShiftAnswer], summary="Shifts", **problems.for_staff())
def shifts(ask: Ask, page: Paged, current: Current = False) -> Any:
    """Newest first; those that were cancelled are left out."""
    demand(ask.caller, "read")
    found = listed(
        ask, before=page.before, limit=page.limit, ends_after=ask.now if current else None
    )
    return page.answer(found, found)


@router.get(
    "/shifts/{id}", response_model=ShiftAnswer, summary="One shift", **problems.for_staff(404)
)
def shift(id: Id, response: Response, ask: Ask) -> Any:
    """With its hand-over; its ETag is for If-Match."""
    demand(ask.caller, "read")
    found = _one(ask, id)
    response.headers["ETag"] = _etag(found)
    return found


@orders.post(
    "/shifts",
    status_code=201,
    response_model=ShiftAnswer,
    summary="Put somebody on duty",
    **problems.for_staff(),
)
def put_on_duty(body: ShiftRequest, ask: Ask) -> Any:
    """An operator or admin, for 24 hours at most. All sites are for those who answer for all."""
    demand(ask.caller, "shift")
    if (body.scope is None) != (body.code is None):
        raise Problem(422, "scope and code: both, or neither for all sites")
    with ask.all_or_nothing():
        place = None
        if body.scope is not None and body.code is not None:
            place = scope_id(ask, body.scope, body.code)
        own_scope(ask, body.scope, place)
        person = next((p["id"] for p in people(ask) if p["login"] == body.person), None)
        if person is None:
            raise Problem(422, f"person: {body.person} is no operator or admin of yours")
        planned = Shift(person, body.from_at, body.to_at, body.scope, place)
        id = duty.enter_shift(ask.db, ask.now, planned, ask.person_id)
        ask.record("shift.enter", f"shift/{id}", None, body.model_dump(mode="json"))
        return _one(ask, id)


@orders.post(
    "/shifts/{id}/hand-over",
    response_model=ShiftAnswer,
    summary="Hand a shift over",
    **problems.for_staff(404),
)
def hand_over(id: Id, body: HandOverRequest, ask: Ask) -> Any:
    """It ends now; the note is for whoever follows. Up to 12 hours after its end only the note is
    new."""
    demand(ask.caller, "shift")
    with ask.all_or_nothing():
        before = _own(ask, id)
        duty.hand_over(ask.db, ask.now, id, body.note)
        after = _one(ask, id)
        told = {"to_at": str(after["to_at"]), "note": body.note is not None}
        ask.record("shift.hand-over", f"shift/{id}", {"to_at": str(before["to_at"])}, told)
        return after


@router.delete(
    "/shifts/{id}",
    response_model=ShiftAnswer,
    summary="Cancel a shift",
    **problems.for_staff(404, 412),
)
def call_off(id: Id, ask: Ask, if_match: IfMatch = None) -> Any:
    """One that has not begun. Kept for the record."""
    demand(ask.caller, "shift")
    with ask.all_or_nothing():
        check_match(if_match, _etag(_own(ask, id)))
        duty.cancel_shift(ask.db, ask.now, id)
        ask.record("shift.cancel", f"shift/{id}")
        return _one(ask, id)


def listed(ask: Asked, **wanted: Any) -> list[dict[str, Any]]:
    """The shifts that the caller sees."""
    usual = {"id": None, "before": Big, "limit": 200, "ends_after": None}
    return rows(ask, "shifts", **{**usual, **wanted})


def people(ask: Asked) -> list[dict[str, Any]]:
    """Whom the caller can put on duty."""
    return rows(ask, "duty_people", roles=sorted(RIGHTS["shift"]))


def rows(ask: Asked, query: str, /, **values: Any) -> list[dict[str, Any]]:
    """The rows of a named query about shifts."""
    return ask.db.execute(_SQL[query], {"now": ask.now, **values, **scope(ask.caller)}).fetchall()


def _one(ask: Asked, id: int) -> dict[str, Any]:
    found = listed(ask, id=id)
    if not found:
        raise Problem(404, f"there is no shift {id}")
    return found[0]


def _own(ask: Asked, id: int) -> dict[str, Any]:
    """A shift that the caller may change: the own one, or one over own sites only."""
    found = _one(ask, id)
    if found["person_id"] != ask.caller.id:
        own_scope(ask, found["scope"], found["scope_id"])
    return found


def _etag(found: dict[str, Any]) -> str:
    """Of what people have said; what time does is no change."""
    return etag_of([value for name, value in found.items() if name != "on_duty"])
