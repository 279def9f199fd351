"""`/api/v1/tickets`: every step that people take with a ticket."""

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import Query, Request, Response
from fastapi.types import DecoratedCallable

from api import problems, ticketing
from api import ticket_models as models
from api.context import (
    Ask,
    Asked,
    ChargerWord,
    IfMatch,
    Paged,
    SiteWord,
    Word,
    one,
    seen_version,
    tag,
)
from api.models import Big, Id, Listed, with_subject
from api.people import RESIDENT
from api.rights import demand, scope
from api.routers import ordering, reading
from pilewatch.workflow.tickets import (
    Accept,
    Action,
    Merge,
    Pause,
    Reject,
    Reopen,
    Resume,
    Start,
    TicketState,
    possible,
)

router, orders = reading("tickets"), ordering("tickets")


def _step(path: str, summary: str) -> Callable[[DecoratedCallable], DecoratedCallable]:
    """An order about one ticket, answered with the ticket as it is afterwards."""
    return orders.post(
        path,
        response_model=models.TicketAnswer,
        summary=summary,
        **problems.for_staff(404, 409, 412),
    )


@router.get(
    "/tickets",
    response_model=Listed[models.TicketAnswer],
    summary="Tickets",
    **problems.for_staff(),
)
def tickets(
    request: Request,
    response: Response,
    ask: Ask,
    page: Paged,
    state: Annotated[TicketState | None, Query(description="Only in this state")] = None,
    site: SiteWord = None,
    charger: ChargerWord = None,
    code: Annotated[
        Word, Query(description="Only of this fault code", examples=["no-output"])
    ] = None,
) -> Any:
    """Newest first; a repairer sees the own company's, a grid worker the own grids'."""
    demand(ask.caller, "read")
    wanted: dict[str, Any] = {
        "state": state and state.value,
        "site": site,
        "charger": charger,
        "code": code,
    }
    rows = _tickets(ask, before=page.before, limit=page.limit, **wanted)
    return tag(request, response, rows) or page.answer(rows, [_ticket(row) for row in rows])


@router.get(
    "/tickets/{id}",
    response_model=models.TicketAnswer,
    summary="One ticket",
    **problems.for_staff(404),
)
def ticket(id: Id, request: Request, response: Response, ask: Ask) -> Any:
    """With timeline and evidence; its ETag is its version, for If-Match."""
    demand(ask.caller, "read")
    return _show(ask, id, response)


@_step("/tickets/{id}/assign", "Assign")
def assign(
    id: Id, body: models.AssignRequest, response: Response, ask: Ask, if_match: IfMatch = None
) -> Any:
    """Give it to a company or a person."""
    demand(ask.caller, "assign")
    return _do(ask, id, "assign", ticketing.assignment(ask, body), response, if_match)


@_step("/tickets/{id}/accept", "Accept")
def accept(id: Id, response: Response, ask: Ask, if_match: IfMatch = None) -> Any:
    """Take it on."""
    return _do(ask, id, "accept", Accept(), response, if_match)


@_step("/tickets/{id}/start", "Start the repair")
def start(id: Id, response: Response, ask: Ask, if_match: IfMatch = None) -> Any:
    """Work begins."""
    return _do(ask, id, "start", Start(), response, if_match)


@_step("/tickets/{id}/claim", "Claim the repair")
def claim(
    id: Id, body: models.ClaimRequest, response: Response, ask: Ask, if_match: IfMatch = None
) -> Any:
    """Repaired, says the repairer; evidence is awaited."""
    return _do(ask, id, "claim", ticketing.claim(body), response, if_match)


@_step("/tickets/{id}/reject", "Reject with a reason")
def reject(
    id: Id, body: models.ReasonRequest, response: Response, ask: Ask, if_match: IfMatch = None
) -> Any:
    """No fault, or not ours."""
    return _do(ask, id, "reject", Reject(body.reason), response, if_match)


@_step("/tickets/{id}/reopen", "Reopen with a reason")
def reopen(
    id: Id, body: models.ReasonRequest, response: Response, ask: Ask, if_match: IfMatch = None
) -> Any:
    """It does not work after all."""
    return _do(ask, id, "reopen", Reopen(body.reason), response, if_match)


@_step("/tickets/{id}/merge", "Merge into another")
def merge(
    id: Id, body: models.MergeRequest, response: Response, ask: Ask, if_match: IfMatch = None
) -> Any:
    """The same matter as another live ticket."""
    return _do(ask, id, "merge", Merge(body.into), response, if_match)


@_step("/tickets/{id}/comments", "Comment")
def comment(
    id: Id, body: models.CommentRequest, response: Response, ask: Ask, if_match: IfMatch = None
) -> Any:
    """A word on the timeline; residents read only what is meant for them."""
    return _do(ask, id, "comment", ticketing.comment(body), response, if_match)


@_step("/tickets/{id}/pause", "Stop the clock with a reason")
def pause(
    id: Id, body: models.PauseRequest, response: Response, ask: Ask, if_match: IfMatch = None
) -> Any:
    """Nothing can be done until something comes; the deadlines stand still."""
    return _do(ask, id, "pause", Pause(body.reason, body.note), response, if_match)


@_step("/tickets/{id}/resume", "Let the clock run again")
def resume(id: Id, response: Response, ask: Ask, if_match: IfMatch = None) -> Any:
    """Deadlines that were still to come move by the pause; the timeline tells old and new."""
    return _do(ask, id, "resume", Resume(), response, if_match)


def _tickets(ask: Asked, *, everyones: bool = False, **wanted: Any) -> list[dict[str, Any]]:
    nothing = dict.fromkeys(("id", "state", "site", "charger", "code"))
    values = {**nothing, "before": Big, "limit": 1, **wanted}
    narrowed = scope(RESIDENT if everyones else ask.caller)
    return ask.rows("tickets", **values, **narrowed)


def _show(ask: Asked, id: int, response: Response, *, done: bool = False) -> dict[str, Any]:
    # Whoever has just given a ticket away is still told how it stands.
    row = one(_tickets(ask, id=id, everyones=done), f"ticket {id}")
    response.headers["ETag"] = f'"{row["version"]}"'
    return {**_ticket(row), "timeline": ask.rows("timeline", id=id)}


def _do(
    ask: Asked, id: int, word: str, action: Action, response: Response, if_match: str | None
) -> dict[str, Any]:
    ticketing.do(ask, id, word, action, seen_version(if_match))
    return _show(ask, id, response, done=True)


def _ticket(row: dict[str, Any]) -> dict[str, Any]:
    can = possible(TicketState(row["state"]), paused=row["paused_at"] is not None)
    return {**with_subject(row), "actions": can}
