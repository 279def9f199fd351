"""`/api/v1`: patrol plans, rounds, checklists, and a worker's offline day."""

from datetime import timedelta
from typing import Annotated, Any
from uuid import UUID

from fastapi import Header, Path, Query, Request, Response

from api import problems
from api.context import Ask, Asked, Paged, Word, tag
from api.fieldwork import patrol_models as shapes
from api.fieldwork.words import LANGUAGES, interval_text, phrases
from api.models import Listed
from api.problems import REFUSALS, Problem
from api.rights import demand, scope
from api.routers import ordering, reading
from pilewatch.checklist import Purpose
from pilewatch.store import queries
from pilewatch.workflow.desk import NotFound
from pilewatch.workflow.patrols import (
    Plan,
    assign_round,
    change_plan,
    end_plan,
    enter_plan,
    interval_of,
    read_piles,
    reasons_of,
)
from pilewatch.workflow.visits import BadVisit, Visit, Worker, hold_rounds, read_visit, take_visit

router, orders = reading("patrols"), ordering("patrols")
_SQL = queries.load("patrols")
_PLANNING = queries.load("planning")
_ALL = 2**63 - 1
_ROUNDS, _STOPS = 200, 1000
"""So much of a worker's tasks is sent at once."""
Id = Annotated[int, Path(ge=1, le=2**53, description="Its number")]
IfMatch = Annotated[str | None, Header(description="its ETag; 412 if it has changed")]
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
    rows = _plans(ask, before=page.before, limit=page.limit, current=current)
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
        scope_id = _place(ask, body.scope, body.code)
        _own(ask, body.scope, scope_id)
        made = Plan(
            name=body.name,
            kind=body.kind,
            purpose=body.purpose,
            scope_kind=body.scope,
            scope_id=scope_id,
            interval_days=body.interval_days,
            route=body.route,
            chargers=tuple(body.chargers),
            worker_id=_worker(ask, body.worker, body.scope, scope_id),
            first_due_at=body.first_due_at,
        )
        id = enter_plan(ask.db, ask.policy, ask.now, made, ask.person_id)
        _audit(ask, "patrol.enter", f"patrol-plan/{id}", None, body.model_dump(mode="json"))
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
        change_plan(ask.db, ask.policy, ask.now, id, said, _version(if_match))
        after = body.model_dump(mode="json", exclude_none=True)
        old = {key: before[key] for key in after if key in before}
        _audit(ask, "patrol.change", f"patrol-plan/{id}", old, after)
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
        end_plan(ask.db, ask.now, id, _version(if_match))
        _audit(ask, "patrol.end", f"patrol-plan/{id}", None, None)
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
    rows = _rounds(ask, before=page.before, limit=page.limit, **wanted)
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
    _one(_rounds(ask, id=id), f"round {id}")
    rows = _stops(ask, [id], after=page.after, limit=page.limit)
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
        before = _one(_rounds(ask, id=id), f"round {id}")
        plan = _own_plan(ask, before["plan"])
        worker = _worker(ask, body.worker, plan["scope"], plan["scope_id"])
        assign_round(ask.db, id, worker, _version(if_match))
        after = {"worker": body.worker}
        _audit(ask, "round.assign", f"round/{id}", {"worker": before["worker"]}, after)
        return _show_round(ask, id, response)


@router.get(
    "/patrol-intervals",
    response_model=Listed[shapes.IntervalAnswer],
    summary="How often each pile is inspected, and why",
    **problems.for_staff(),
)
def intervals(
    ask: Ask,
    page: Paged,
    purpose: Annotated[Purpose, Query(description="patrol, or electrical test")] = "patrol",
    site: Annotated[Word, Query(description="Only of this site", examples=["wanhe-1a"])] = None,
    language: Annotated[str, Query(description="zh or en", pattern="^(zh|en)$")] = "zh",
) -> Any:
    """The rules' interval, and what evidence makes of it; a plan may be tighter still."""
    demand(ask.caller, "read")
    rule = ask.policy.patrols
    narrowed = {**_scope(ask), "site": site, "after": page.after, "limit": page.limit}
    piles = read_piles(ask.db, rule, ask.now, purpose=purpose, **narrowed)
    items = []
    for pile in piles:
        found = interval_of(rule, purpose, rule.longest_days(purpose), pile)
        due = None if pile.last_at is None else pile.last_at + timedelta(days=found.days)
        items.append(
            {
                "charger": pile.place.charger,
                "site": pile.place.site,
                "purpose": purpose,
                "days": found.days,
                "instead_of": found.instead_of,
                "last_at": pile.last_at,
                "due_at": due,
                "reasons": reasons_of(found),
                "text": interval_text(language, found, rule.look_back_days),
            }
        )
    return page.answer([{"id": pile.id} for pile in piles], items)


@router.get(
    "/harsh-days",
    response_model=Listed[shapes.HarshDayAnswer],
    summary="Days of harsh weather",
    **problems.for_staff(),
)
def harsh_days(
    ask: Ask, area: Annotated[str, Query(max_length=64, description="Its code")]
) -> dict[str, Any]:
    """Those that count at present, latest first."""
    demand(ask.caller, "read")
    since = ask.now - timedelta(days=ask.policy.patrols.look_back_days)
    values = {"area_id": _place(ask, "area", area), "since": since}
    rows = ask.db.execute(_SQL["harsh_days"], values).fetchall()
    return {"items": rows, "next_cursor": None}


@orders.post(
    "/harsh-days",
    status_code=201,
    response_model=shapes.HarshDayAnswer,
    summary="Enter a day of harsh weather",
    **problems.for_staff(),
)
def enter_harsh_day(body: shapes.HarshDayRequest, ask: Ask) -> Any:
    """From a weather service's program or by hand; once more for a day replaces its kind."""
    demand(ask.caller, "plan")
    if abs((body.day - ask.now.date()).days) > 366:
        raise Problem(422, "day: within a year from today")
    with ask.db.transaction():
        area = _place(ask, "area", body.area)
        _own(ask, "area", area)
        values = {**vars(body), "area_id": area, "person_id": ask.person_id, "now": ask.now}
        ask.db.execute(_SQL["add_harsh_day"], values)
        after = body.model_dump(mode="json")
        _audit(ask, "harsh-day.enter", f"area/{body.area}", None, after)
    return body.model_dump()


# --- checklists


@router.get(
    "/checklists",
    response_model=Listed[shapes.ChecklistAnswer],
    summary="Checklists, all versions",
    **problems.for_staff(),
)
def checklists(ask: Ask, page: Paged) -> Any:
    """Newest first; those that ship are here once they were used."""
    demand(ask.caller, "read")
    rows = _checklists(ask, before=page.before, limit=page.limit)
    return page.answer(rows, rows)


@router.get(
    "/checklists/{id}",
    response_model=shapes.ChecklistAnswer,
    summary="One version of a checklist",
    **problems.for_staff(404),
)
def checklist(id: Id, ask: Ask) -> Any:
    """As it was answered."""
    demand(ask.caller, "read")
    return _one(_checklists(ask, id=id), f"checklist {id}")


# --- a worker's day


@router.get(
    "/worker/tasks",
    response_model=shapes.TasksAnswer,
    summary="All that a phone needs for a day without a net",
    **problems.for_staff(),
)
def tasks(request: Request, response: Response, ask: Ask) -> Any:
    """Open rounds of the caller, their piles and checklists, repairs to confirm, and texts; ask
    again with its ETag."""
    demand(ask.caller, "inspect")
    mine = _rounds(ask, state="open", mine=True, limit=_ROUNDS)
    mine.sort(key=lambda row: (row["due_at"], row["id"]))
    found: list[dict[str, Any]] = []
    left = _STOPS
    for row in mine:
        stops = _stops(ask, [row["id"]], limit=left) if left >= row["stops"] or not found else []
        if not stops:
            break
        left -= len(stops)
        found.append({**row, "stops_in_order": stops})
    used = sorted({stop["checklist"] for row in found for stop in row["stops_in_order"]})
    grids = _scope(ask)["grids"]
    answer = {
        "rounds": found,
        "checklists": _checklists(ask, ids=used, limit=len(used) or 1) if used else [],
        "tickets": ask.db.execute(_SQL["tickets_to_confirm"], {"grids": grids}).fetchall(),
        "more": len(found) < len(mine) or len(mine) == _ROUNDS,
        "texts": {language: phrases(language) for language in LANGUAGES},
    }
    return tag(request, response, answer) or answer


@orders.post(
    "/worker/sync",
    response_model=shapes.SyncAnswer,
    summary="Hand in an offline day",
    **problems.for_staff(),
)
def sync(body: shapes.SyncRequest, ask: Ask) -> Any:
    """Inspections in any order, repeated or in part: each is taken by itself, and answered with
    accepted, duplicate, conflict (kept beside, 409) or refused."""
    demand(ask.caller, "inspect")
    results: list[dict[str, Any] | None] = [None] * len(body.inspections)
    visits: list[tuple[int, Visit]] = []
    for place, raw in enumerate(body.inspections):
        try:
            visits.append((place, read_visit(raw)))
        except BadVisit as error:
            results[place] = _refused(raw.get("id"), 422, error.problems)
    # With an Idempotency-Key all of it is one transaction.
    hold_rounds(ask.db, [visit for _, visit in visits])
    for place, visit in sorted(visits, key=lambda v: (v[1].charger, v[1].inspected_at, v[0])):
        results[place] = _take(ask, visit)
    return {"results": results}


@router.get(
    "/inspections/{id}",
    response_model=shapes.VisitAnswer,
    summary="One inspection",
    **problems.for_staff(404),
)
def inspection(
    id: Annotated[UUID, Path(description="The id that the phone made")], ask: Ask
) -> Any:
    """With its answers, presence, and the tickets that it led to."""
    demand(ask.caller, "read")
    rows = ask.db.execute(_SQL["inspections"], {**_scope(ask), "id": id}).fetchall()
    row = _one(rows, f"inspection {id}")
    return {**row, "id": row["uuid"]}


def _take(ask: Asked, visit: Visit) -> dict[str, Any]:
    worker = Worker(ask.person_id, _scope(ask)["grids"])
    keys = ask.context.settings.posters.keyring()
    try:
        with ask.db.transaction():
            taken = take_visit(ask.db, ask.policy, keys, ask.now, worker, visit)
            if taken.outcome == "accepted":
                after = {"presence": taken.presence, "passed": taken.passed, "rules": taken.rules}
                about = f"inspection/{visit.id}"
                _audit(ask, "inspection.enter", about, None, {"charger": visit.charger, **after})
    except BadVisit as error:
        return _refused(visit.id, 422, error.problems)
    except NotFound as error:
        return _refused(visit.id, 404, [f"there is no {error}"])
    except REFUSALS as error:
        return _refused(visit.id, 409, [str(error)])
    status = {"accepted": 201, "duplicate": 200, "conflict": 409}[taken.outcome]
    return {"id": str(visit.id), "status": status, **vars(taken)}


def _refused(id: object, status: int, problems: list[str]) -> dict[str, Any]:
    named, told = None if id is None else _printable(str(id)[:64]), map(_printable, problems)
    return {"id": named, "status": status, "outcome": "refused", "problems": list(told)}


def _printable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


# --- shapes


def _scope(ask: Asked) -> dict[str, Any]:
    return scope(ask.caller)


def _plans(ask: Asked, **wanted: Any) -> list[dict[str, Any]]:
    values = {"id": None, "before": _ALL, "limit": 1, "current": False, **_scope(ask), **wanted}
    return ask.db.execute(_SQL["plans"], values).fetchall()


def _rounds(ask: Asked, **wanted: Any) -> list[dict[str, Any]]:
    values = {"id": None, "plan": None, "state": None, "mine": False, "before": _ALL, "limit": 1}
    return ask.db.execute(_SQL["rounds"], {**values, **_scope(ask), **wanted}).fetchall()


def _stops(ask: Asked, ids: list[int], **wanted: Any) -> list[dict[str, Any]]:
    values = {"round_ids": ids, "after": 0, **_scope(ask), **wanted}
    return ask.db.execute(_SQL["stops"], values).fetchall()


def _checklists(ask: Asked, **wanted: Any) -> list[dict[str, Any]]:
    values = {"id": None, "ids": None, "before": _ALL, "limit": 1, **wanted}
    rows = ask.db.execute(_SQL["checklists"], values).fetchall()
    return [
        {**row, "name": row["content"]["name"], "items": row["content"]["items"]} for row in rows
    ]


def _one(rows: list[dict[str, Any]], what: str) -> dict[str, Any]:
    if not rows:
        raise Problem(404, f"there is no {what}")
    return rows[0]


def _show_plan(ask: Asked, id: int, response: Response) -> dict[str, Any]:
    row = _one(_plans(ask, id=id), f"patrol plan {id}")
    response.headers["ETag"] = f'"{row["version"]}"'
    return row


def _show_round(ask: Asked, id: int, response: Response) -> dict[str, Any]:
    row = _one(_rounds(ask, id=id), f"round {id}")
    response.headers["ETag"] = f'"{row["version"]}"'
    return row


def _version(if_match: str | None) -> int | None:
    if if_match is None or if_match.strip() == "*":
        return None
    text = if_match.strip().strip('"')
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise Problem(412, "If-Match: use the ETag that came with it")
    return int(text)


def _place(ask: Asked, kind: str, code: str) -> int:
    values = {"kind": kind, "code": code, "connector": None}
    row = None if "\0" in code else ask.db.execute(_PLANNING["scope_of"], values).fetchone()
    if row is None:
        raise Problem(422, f"there is no such {kind}")
    return int(row["id"])


def _own_plan(ask: Asked, id: int) -> dict[str, Any]:
    row = _one(_plans(ask, id=id), f"patrol plan {id}")
    _own(ask, row["scope"], row["scope_id"])
    return row


def _own(ask: Asked, kind: str, id: int) -> None:
    """Raises `Problem` 403 where the scope reaches beyond what the caller may see."""
    values = {"scope_kind": kind, "scope_id": id, **_scope(ask)}
    if ask.db.execute(_SQL["beyond"], values).fetchone() is not None:
        raise Problem(403, "only for sites that you look after")


def _worker(ask: Asked, login: str | None, kind: str, id: int) -> int | None:
    if login is None:
        return None
    values = {"login": login, "scope_kind": kind, "scope_id": id}
    row = ask.db.execute(_SQL["worker_of"], values).fetchone()
    if row is None:
        raise Problem(422, f"worker: no grid worker of this place has the login {login}")
    return int(row["id"])


def _audit(
    ask: Asked, action: str, about: str, before: dict[str, Any] | None, after: dict[str, Any] | None
) -> None:
    ask.record(action, about, before, after)
