"""`/api/v1/downtimes` and `/api/v1/silences`: what is planned, and what is known already."""

from typing import Annotated, Any

from fastapi import Query, Response

from api import models, problems
from api import planning_models as shapes
from api.context import Ask, Asked, IfMatch, Paged, check_match, etag_of
from api.models import Id, Listed
from api.ownership import own_scope, scope_id
from api.problems import Problem
from api.rights import demand
from api.routers import ordering, reading
from pilewatch.store import queries
from pilewatch.workflow.downtime import Window, cancel_downtime, change_downtime, enter_downtime
from pilewatch.workflow.silences import Matcher, change_silence, end_silence, enter_silence

router, orders = reading("planning"), ordering("planning")
_SQL = queries.load("planning")
_COUNTED = ("incidents", "held", "active")
Current = Annotated[bool, Query(description="Only what is not over")]


# --- planned downtime


@router.get(
    "/downtimes",
    response_model=Listed[shapes.DowntimeAnswer],
    summary="Planned downtime",
    **problems.for_staff(),
)
def downtimes(ask: Ask, page: Paged, current: Current = False) -> Any:
    """Newest first."""
    demand(ask.caller, "read")
    rows = _rows(ask, "downtimes", id=None, before=page.before, limit=page.limit, current=current)
    return page.answer(rows, rows)


@router.get(
    "/downtimes/{id}",
    response_model=shapes.DowntimeAnswer,
    summary="One planned downtime",
    **problems.for_staff(404),
)
def downtime(id: Id, response: Response, ask: Ask) -> Any:
    """With the number of incidents that it explains; its ETag is for If-Match."""
    demand(ask.caller, "read")
    row = _one(ask, "downtimes", id, "planned downtime")
    response.headers["ETag"] = _etag(row)
    return row


@orders.post(
    "/downtimes",
    status_code=201,
    response_model=shapes.DowntimeAnswer,
    summary="Plan a downtime",
    **problems.for_staff(),
)
def plan(body: shapes.DowntimeRequest, ask: Ask) -> Any:
    """Also afterwards: incidents that began within it are explained, and their tickets rejected
    where nobody has taken them on. Danger to people is never planned."""
    demand(ask.caller, "plan")
    if body.to_at <= body.from_at:
        raise Problem(422, "to_at: must be later than from_at")
    if (body.connector is not None) != (body.scope == "connector"):
        raise Problem(422, "connector: its number is needed with scope connector, and only there")
    with ask.all_or_nothing():
        place = scope_id(ask, body.scope, body.code, body.connector)
        own_scope(ask, body.scope, place)
        window = Window(
            body.scope,
            place,
            body.kind,
            body.from_at,
            body.to_at,
            body.reason,
            body.reference,
        )
        id = enter_downtime(ask.db, ask.policy, ask.now, window, ask.person_id)
        after = _one(ask, "downtimes", id, "planned downtime")
        ask.record("downtime.enter", f"downtime/{id}", None, body.model_dump(mode="json"))
    return after


@router.patch(
    "/downtimes/{id}",
    response_model=shapes.DowntimeAnswer,
    summary="Change a planned downtime",
    **problems.for_staff(404, 412),
)
def replan(id: Id, body: shapes.DowntimeChange, ask: Ask, if_match: IfMatch = None) -> Any:
    """Another end, reason or document."""
    demand(ask.caller, "plan")
    with ask.all_or_nothing():
        before = _own_downtime(ask, id)
        check_match(if_match, _etag(before))
        change_downtime(
            ask.db,
            ask.policy,
            ask.now,
            id,
            to_at=body.to_at or before["to_at"],
            reason=body.reason or before["reason"],
            reference=body.reference or before["reference"],
            person_id=ask.person_id,
        )
        said = body.model_dump(mode="json", exclude_none=True)
        ask.record("downtime.change", f"downtime/{id}", _plain(before, said), said)
        return _one(ask, "downtimes", id, "planned downtime")


@router.delete(
    "/downtimes/{id}",
    response_model=shapes.DowntimeAnswer,
    summary="Cancel a planned downtime",
    **problems.for_staff(404, 412),
)
def cancel(id: Id, ask: Ask, if_match: IfMatch = None) -> Any:
    """It explains nothing from now on: what is still there gets its ticket. Kept for the record."""
    demand(ask.caller, "plan")
    with ask.all_or_nothing():
        check_match(if_match, _etag(_own_downtime(ask, id)))
        cancel_downtime(ask.db, ask.now, id)
        ask.record("downtime.cancel", f"downtime/{id}")
        return _one(ask, "downtimes", id, "planned downtime")


def _own_downtime(ask: Asked, id: int) -> dict[str, Any]:
    row = _one(ask, "downtimes", id, "planned downtime")
    own_scope(ask, row["scope"], row["scope_id"])
    return row


# --- silences


@router.get(
    "/silences",
    response_model=Listed[shapes.SilenceAnswer],
    summary="Silences",
    **problems.for_staff(),
)
def silences(ask: Ask, page: Paged, current: Current = False) -> Any:
    """Newest first."""
    demand(ask.caller, "read")
    rows = _rows(ask, "silences", id=None, before=page.before, limit=page.limit, current=current)
    return page.answer(rows, rows)


@router.get(
    "/silences/{id}",
    response_model=shapes.SilenceAnswer,
    summary="One silence",
    **problems.for_staff(404),
)
def silence(id: Id, response: Response, ask: Ask) -> Any:
    """With the number of notifications that it held back; its ETag is for If-Match."""
    demand(ask.caller, "read")
    row = _one(ask, "silences", id, "silence")
    response.headers["ETag"] = _etag(row)
    return row


@orders.post(
    "/silences",
    status_code=201,
    response_model=shapes.SilenceAnswer,
    summary="Silence what is known",
    **problems.for_staff(),
)
def hush(body: shapes.SilenceRequest, ask: Ask) -> Any:
    """From now on: tickets are made as ever, notifications wait for the end."""
    demand(ask.caller, "silence")
    with ask.all_or_nothing():
        matcher = Matcher(
            None if body.site is None else scope_id(ask, "site", body.site),
            None if body.charger is None else scope_id(ask, "charger", body.charger),
            body.code,
            body.severity,
        )
        _own_silence(ask, vars(matcher))
        id = enter_silence(
            ask.db, ask.now, matcher, to_at=body.to_at, reason=body.reason, person_id=ask.person_id
        )
        ask.record("silence.enter", f"silence/{id}", None, body.model_dump(mode="json"))
        return _one(ask, "silences", id, "silence")


@router.patch(
    "/silences/{id}",
    response_model=shapes.SilenceAnswer,
    summary="Change a silence",
    **problems.for_staff(404, 412),
)
def rehush(id: Id, body: shapes.SilenceChange, ask: Ask, if_match: IfMatch = None) -> Any:
    """Another end or reason; what is held back follows."""
    demand(ask.caller, "silence")
    with ask.all_or_nothing():
        before = _one(ask, "silences", id, "silence")
        _own_silence(ask, before)
        check_match(if_match, _etag(before))
        change_silence(
            ask.db,
            ask.now,
            id,
            to_at=body.to_at or before["to_at"],
            reason=body.reason or before["reason"],
        )
        said = body.model_dump(mode="json", exclude_none=True)
        ask.record("silence.change", f"silence/{id}", _plain(before, said), said)
        return _one(ask, "silences", id, "silence")


@router.delete(
    "/silences/{id}",
    response_model=shapes.SilenceAnswer,
    summary="End a silence",
    **problems.for_staff(404, 412),
)
def unhush(id: Id, ask: Ask, if_match: IfMatch = None) -> Any:
    """Over now: what was held back is sent. Kept for the record."""
    demand(ask.caller, "silence")
    with ask.all_or_nothing():
        before = _one(ask, "silences", id, "silence")
        _own_silence(ask, before)
        check_match(if_match, _etag(before))
        end_silence(ask.db, ask.now, id)
        ask.record("silence.end", f"silence/{id}")
        return _one(ask, "silences", id, "silence")


def _own_silence(ask: Asked, named: dict[str, Any]) -> None:
    found = [k for k in ("charger", "site") if named[f"{k}_id"] is not None]
    own_scope(ask, found[0] if found else None, named[f"{found[0]}_id"] if found else None)


# --- shapes


def _rows(ask: Asked, name: str, **values: Any) -> list[dict[str, Any]]:
    return ask.db.execute(_SQL[name], {"now": ask.now, **values}).fetchall()


def _one(ask: Asked, name: str, id: int, what: str) -> dict[str, Any]:
    rows = _rows(ask, name, id=id, before=models.Big, limit=1, current=False)
    if not rows:
        raise Problem(404, f"there is no {what} {id}")
    return rows[0]


def _etag(row: dict[str, Any]) -> str:
    """Of what people have said; what time and machines do is no change."""
    return etag_of([value for name, value in row.items() if name not in _COUNTED])


def _plain(row: dict[str, Any], keys: dict[str, Any]) -> dict[str, Any]:
    return {key: row[key] and str(row[key]) for key in keys}
