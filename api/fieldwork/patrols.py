"""`/api/v1/patrol-plans` and `/api/v1/rounds`: what is to be inspected, when, and by whom."""

from typing import Annotated, Any

from fastapi import Path, Query, Response

from api import problems
from api.context import Ask, Asked, IfMatch, Paged, Word, one, seen_version
from api.fieldwork import patrol_models as shapes
from api.fieldwork.seen import plans_seen, rounds_seen, stops_seen
from api.models import Listed
from api.ownership import own_scope, scope_id
from api.problems import Problem
from api.rights import demand
from api.routers import ordering, reading
from pilewatch.store import queries
from pilewatch.workflow.patrols import Plan, assign_round, change_plan, end_plan, enter_plan

router, orders = reading("patrols"), ordering("patrols")
_SQL = queries.load("patrols")
Id = Annotated[int, Path(ge=1, le=2**53, description="Its number")]
State = Annotated[Word, Query(description="open, done, partly or missed", examples=["missed"])]


# --- plans


@router.get(
    "/patrol-plans",
    response_model=Listed[shapes.PlanAnswer],
    summary="Patrol plans and surveys",
    **problems.for_staff(),
)
def plans(
    ask: Ask,
    page: Paged,
    current: Annotated[bool, Query(description="Only those that have not ended")] = False,
) -> Any:
    """Newest first."""
    demand(ask.caller, "read")
    rows = plans_seen(ask, before=page.before, limit=page.limit, current=current)
    return page.answer(rows, rows)


@router.get(
    "/patrol-plans/{id}",
    response_model=shapes.PlanAnswer,
    summary="One patrol plan",
    **problems.for_staff(404),
)
def plan(id: Id, ask: Ask, response: Response) -> Any:
    """Its ETag is its version, for If-Match."""
    demand(ask.caller, "read")
    return _show_plan(ask, id, response)


@orders.post(
    "/patrol-plans",
    status_code=201,
    response_model=shapes.PlanAnswer,
    summary="Plan a patrol or a survey",
    **problems.for_staff(),
)
def enter(body: shapes.PlanRequest, ask: Ask, response: Response) -> Any:
    """Rounds are made by themselves, each in time; that of a survey at once."""
    demand(ask.caller, "plan")
    with ask.all_or_nothing():
        place = scope_id(ask, body.scope, body.code)
        own_scope(ask, body.scope, place)
        made = Plan(
            name=body.name,
            kind=body.kind,
            purpose=body.purpose,
            scope_kind=body.scope,
            scope_id=place,
            interval_days=body.interval_days,
            route=body.route,
            chargers=tuple(body.chargers),
            worker_id=_worker(ask, body.worker, body.scope, place),
            first_due_at=body.first_due_at,
        )
        id = enter_plan(ask.db, ask.policy, ask.now, made, ask.person_id)
        ask.record("patrol.enter", f"patrol-plan/{id}", None, body.model_dump(mode="json"))
        return _show_plan(ask, id, response)


@router.patch(
    "/patrol-plans/{id}",
    response_model=shapes.PlanAnswer,
    summary="Change a patrol plan",
    **problems.for_staff(404, 412),
)
def change(
    id: Id, body: shapes.PlanChange, ask: Ask, response: Response, if_match: IfMatch = None
) -> Any:
    """For the rounds to come; those that are open stay as they are."""
    demand(ask.caller, "plan")
    with ask.all_or_nothing():
        before = _own_plan(ask, id)
        said = body.model_dump(exclude_none=True, exclude={"worker", "everybody"})
        if body.everybody:
            said["worker_id"] = None
        elif body.worker is not None:
            said["worker_id"] = _worker(ask, body.worker, before["scope"], before["scope_id"])
        change_plan(ask.db, ask.policy, ask.now, id, said, seen_version(if_match))
        after = body.model_dump(mode="json", exclude_none=True)
        old = {key: before[key] for key in after if key in before}
        ask.record("patrol.change", f"patrol-plan/{id}", old, after)
        return _show_plan(ask, id, response)


@router.delete(
    "/patrol-plans/{id}",
    response_model=shapes.PlanAnswer,
    summary="End a patrol plan",
    **problems.for_staff(404, 412),
)
def end(id: Id, ask: Ask, response: Response, if_match: IfMatch = None) -> Any:
    """No more rounds. Those that are open stay; plan and rounds are kept for the record."""
    demand(ask.caller, "plan")
    with ask.all_or_nothing():
        _own_plan(ask, id)
        end_plan(ask.db, ask.now, id, seen_version(if_match))
        ask.record("patrol.end", f"patrol-plan/{id}", None, None)
        return _show_plan(ask, id, response)


# --- rounds


@router.get(
    "/rounds",
    response_model=Listed[shapes.RoundAnswer],
    summary="Rounds, and how far they are",
    **problems.for_staff(),
)
def rounds(
    ask: Ask,
    page: Paged,
    state: State = None,
    plan: Annotated[int | None, Query(ge=1, le=2**53, description="Only of this plan")] = None,
    mine: Annotated[bool, Query(description="Only my own, and those of no single worker")] = False,
) -> Any:
    """Newest first. Counts are of the piles that the caller may see."""
    demand(ask.caller, "read")
    wanted = {"state": state, "plan": plan, "mine": mine}
    rows = rounds_seen(ask, before=page.before, limit=page.limit, **wanted)
    return page.answer(rows, rows)


@router.get(
    "/rounds/{id}",
    response_model=shapes.RoundAnswer,
    summary="One round",
    **problems.for_staff(404),
)
def one_round(id: Id, ask: Ask, response: Response) -> Any:
    """Its ETag is its version, for If-Match."""
    demand(ask.caller, "read")
    return _show_round(ask, id, response)


@router.get(
    "/rounds/{id}/stops",
    response_model=Listed[shapes.StopAnswer],
    summary="The piles of a round",
    **problems.for_staff(404),
)
def stops(id: Id, ask: Ask, page: Paged) -> Any:
    """In the order of the way, each with its inspection once there is one."""
    demand(ask.caller, "read")
    one(rounds_seen(ask, id=id), f"round {id}")
    rows = stops_seen(ask, [id], after=page.after, limit=page.limit)
    return page.answer(rows, rows)


@router.patch(
    "/rounds/{id}",
    response_model=shapes.RoundAnswer,
    summary="Give a round to another worker",
    **problems.for_staff(404, 412),
)
def reassign(
    id: Id, body: shapes.RoundChange, ask: Ask, response: Response, if_match: IfMatch = None
) -> Any:
    """Only while it is open."""
    demand(ask.caller, "plan")
    with ask.all_or_nothing():
        before = one(rounds_seen(ask, id=id), f"round {id}")
        plan = _own_plan(ask, before["plan"])
        worker = _worker(ask, body.worker, plan["scope"], plan["scope_id"])
        assign_round(ask.db, id, worker, seen_version(if_match))
        after = {"worker": body.worker}
        ask.record("round.assign", f"round/{id}", {"worker": before["worker"]}, after)
        return _show_round(ask, id, response)


# --- shapes


def _show_plan(ask: Asked, id: int, response: Response) -> dict[str, Any]:
    row = one(plans_seen(ask, id=id), f"patrol plan {id}")
    response.headers["ETag"] = f'"{row["version"]}"'
    return row


def _show_round(ask: Asked, id: int, response: Response) -> dict[str, Any]:
    row = one(rounds_seen(ask, id=id), f"round {id}")
    response.headers["ETag"] = f'"{row["version"]}"'
    return row


def _own_plan(ask: Asked, id: int) -> dict[str, Any]:
    row = one(plans_seen(ask, id=id), f"patrol plan {id}")
    own_scope(ask, row["scope"], row["scope_id"])
    return row


def _worker(ask: Asked, login: str | None, kind: str, id: int) -> int | None:
    if login is None:
        return None
    values = {"login": login, "scope_kind": kind, "scope_id": id}
    row = ask.db.execute(_SQL["worker_of"], values).fetchone()
    if row is None:
        raise Problem(422, f"worker: no grid worker of this place has the login {login}")
    return int(row["id"])
