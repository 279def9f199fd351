"""`/api/v1/worker/…`, checklists and inspections: a worker's day, also without a net."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import Path, Request, Response

from api import problems
from api.context import Ask, Asked, Paged, one, tag
from api.fieldwork import workday_models as shapes
from api.fieldwork.patrols import Id
from api.fieldwork.seen import checklists_seen, rounds_seen, stops_seen
from api.fieldwork.words import LANGUAGES, phrases
from api.models import Listed
from api.problems import REFUSALS
from api.rights import demand, scope
from api.routers import ordering, reading
from pilewatch.store import queries
from pilewatch.workflow.desk import NotFound
from pilewatch.workflow.visits import BadVisit, Visit, Worker, hold_rounds, read_visit, take_visit

router, orders = reading("patrols"), ordering("patrols")
_SQL = queries.load("patrols")
_ROUNDS, _STOPS = 200, 1000
"""So much of a worker's tasks is sent at once."""


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
    rows = checklists_seen(ask, before=page.before, limit=page.limit)
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
    return one(checklists_seen(ask, id=id), f"checklist {id}")


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
    mine = rounds_seen(ask, state="open", mine=True, limit=_ROUNDS)
    mine.sort(key=lambda row: (row["due_at"], row["id"]))
    found: list[dict[str, Any]] = []
    left = _STOPS
    for row in mine:
        stops = (
            stops_seen(ask, [row["id"]], limit=left) if left >= row["stops"] or not found else []
        )
        if not stops:
            break
        left -= len(stops)
        found.append({**row, "stops_in_order": stops})
    used = sorted({stop["checklist"] for row in found for stop in row["stops_in_order"]})
    grids = scope(ask.caller)["grids"]
    answer = {
        "rounds": found,
        "checklists": checklists_seen(ask, ids=used, limit=len(used) or 1) if used else [],
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
    rows = ask.db.execute(_SQL["inspections"], {**scope(ask.caller), "id": id}).fetchall()
    row = one(rows, f"inspection {id}")
    return {**row, "id": row["uuid"]}


def _take(ask: Asked, visit: Visit) -> dict[str, Any]:
    worker = Worker(ask.person_id, scope(ask.caller)["grids"])
    keys = ask.context.settings.posters.keyring()
    try:
        with ask.db.transaction():
            taken = take_visit(ask.db, ask.policy, keys, ask.now, worker, visit)
            if taken.outcome == "accepted":
                after = {"presence": taken.presence, "passed": taken.passed, "rules": taken.rules}
                about = f"inspection/{visit.id}"
                ask.record("inspection.enter", about, None, {"charger": visit.charger, **after})
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
