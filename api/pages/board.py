"""The operator's board: what is urgent, page by page, and one order for many tickets."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Form, Path, Query, Request, Response
from fastapi.responses import RedirectResponse

from api import models, planning
from api.bulk import BulkTicket, do_one
from api.context import Ask, Asked, check_csrf
from api.pages import staff, views
from api.pages.shifts import duty, on_duty_now
from api.planning_models import SilenceRequest
from api.problems import Problem
from api.rights import demand, may, scope
from api.ticket_models import AssignRequest
from api.ticketing import assignment
from pilewatch.workflow.tickets import LIVE, Accept, Action, Comment, TicketState

router = APIRouter(prefix="/console", include_in_schema=False)
_ON_A_PAGE = 50
_FARTHEST = 100_000
_WATCHED = 50
_MOST = 200
HOURS = ("1", "8", "24", "72")
"""How long a silence from the board may last."""
Text = Annotated[str, Query(max_length=64)]
Field = Annotated[str, Form(max_length=2000)]
Id = Annotated[int, Path(ge=1, le=models.Big)]


@dataclass(frozen=True)
class Sheet:
    """One page of the list: its number from 1, and whether another follows."""

    number: int
    more: bool


def _wanted(
    ask: Ask, site: Text = "", severity: Text = "", state: Text = "", late: Text = "",
    since: Text = "",
) -> views.Wanted:  # fmt: skip
    mine = on_duty_now(ask) if since == "shift" else None
    return views.Wanted(
        site=site.replace("\0", "") or None,
        severity=int(severity) if severity in ("1", "2", "3") else None,
        state=state if state in frozenset(LIVE) else None,
        late=late == "1",
        since=None if mine is None else mine["from_at"],
    )


Wanted = Annotated[views.Wanted, Depends(_wanted)]


@router.get("")
def board(request: Request, ask: Ask, wanted: Wanted, page: Text = "") -> Response:
    """Live tickets by urgency, and incidents that have none."""
    demand(ask.caller, "read")
    number = int(page) if page.isascii() and page.isdigit() and len(page) < 6 else 1
    offset = min(max(number - 1, 0) * _ON_A_PAGE, _FARTHEST)
    found = staff.tickets(ask, live=True, limit=_ON_A_PAGE + 1, offset=offset, **vars(wanted))
    shown = found[:_ON_A_PAGE]
    narrowed = {"site": wanted.site, "severity": wanted.severity, **scope(ask.caller)}
    assigns = may(ask.caller, "assign")
    return staff.page(
        request,
        ask,
        "console/board.html",
        matters=views.matters(shown, staff.incidents(ask, [t["id"] for t in shown], live=True)),
        watched=staff.rows(ask, "watched", limit=_WATCHED, **narrowed),
        counts=staff.rows(ask, "board_counts", **scope(ask.caller))[0],
        sheet=Sheet(offset // _ON_A_PAGE + 1, len(found) > _ON_A_PAGE),
        query=urlencode({k: v for k, v in _said(wanted).items() if v}),
        wanted=wanted,
        sites=staff.rows(ask, "site_names"),
        states=[state.value for state in TicketState if state in LIVE],
        companies=staff.rows(ask, "companies") if assigns else [],
        repairers=staff.rows(ask, "repairers") if assigns else [],
        hours=HOURS,
        duty=duty(ask),
    )


def _said(wanted: views.Wanted) -> dict[str, Any]:
    told = {"late": "1" if wanted.late else "", "since": "shift" if wanted.since else ""}
    return {**vars(wanted), **told}


@router.post("/bulk")
def bulk(
    request: Request,
    ask: Ask,
    csrf: Annotated[str, Form(max_length=100)] = "",
    order: Annotated[str, Form(max_length=20)] = "",
    ticket: Annotated[list[str] | None, Form(max_length=_MOST)] = None,
    company: Annotated[str, Form(max_length=64)] = "",
    assignee: Annotated[str, Form(max_length=100)] = "",
    note: Field = "",
    hours: Annotated[str, Form(max_length=3)] = "",
) -> Response:
    """The same for each ticket that was ticked; whatever one refuses, the others are done."""
    demand(ask.caller, "read")
    check_csrf(ask.csrf, csrf)
    note = note.strip()
    if any("\0" in text for text in (company, assignee, note)):
        raise Problem(422, "the character NUL cannot be kept")
    chosen = [_ticked(text) for text in ticket or ()]
    problem = _lacking(order, chosen, note)
    results = []
    if problem is None and order == "silence":
        demand(ask.caller, order)
        results = [_silence(ask, one.id, note, hours) for one in chosen]
    elif problem is None:
        action = _action(ask, order, company, assignee, note)
        demand(ask.caller, order)
        results = [do_one(ask, order, action, one) for one in chosen]
    return staff.page(
        request,
        ask,
        "console/bulk.html",
        status=422 if problem else 200,
        order=order,
        problem=problem,
        results=results,
    )


def _ticked(text: str) -> BulkTicket:
    id, _, version = text.partition(":")
    if not (id.isascii() and id.isdigit() and version.isascii() and version.isdigit()):
        raise Problem(422, "ticket: right would be as 12:3, number and version")
    try:
        return BulkTicket(id=int(id[:20]), version=int(version[:20]))
    except ValueError as error:
        raise Problem(422, "ticket: out of range") from error


def _lacking(order: str, chosen: list[BulkTicket], note: str) -> str | None:
    if not chosen:
        return "none"
    return "reason" if order in ("comment", "silence") and not note else None


def _action(ask: Asked, order: str, company: str, assignee: str, note: str) -> Action:
    match order:
        case "assign":
            wanted = AssignRequest(company=company or None, assignee=assignee or None)
            return assignment(ask, wanted)
        case "accept":
            return Accept()
        case "comment":
            return Comment(note, "commented")
    raise Problem(404, "there is no such order")


def _silence(ask: Asked, id: int, reason: str, hours: str) -> dict[str, Any]:
    """What this ticket is about says nothing for so long; danger to people is not hushed in
    passing."""
    found = staff.tickets(ask, id=id)
    if not found or found[0]["severity"] == 1:
        return {"id": id, "status": 409 if found else 404, "state": None}
    row = found[0]
    wanted = SilenceRequest(
        site=None if row["charger"] else row["site"],
        charger=row["charger"],
        code=row["code"],
        severity=None,
        to_at=ask.now + timedelta(hours=int(hours) if hours in HOURS else 8),
        reason=reason,
    )
    planning.hush(wanted, ask)
    return {"id": id, "status": 200, "state": row["state"]}


@router.get("/silences")
def silences(request: Request, ask: Ask) -> Response:
    """What says nothing now, and until when."""
    demand(ask.caller, "read")
    found = staff.rows(ask, "current_silences", **scope(ask.caller))
    return staff.page(request, ask, "console/silences.html", silences=found)


@router.post("/silences/{id}/end")
def end_silence(id: Id, ask: Ask, csrf: Annotated[str, Form(max_length=100)] = "") -> Response:
    """It is over now: what was held back is sent."""
    check_csrf(ask.csrf, csrf)
    planning.unhush(id, ask)
    return RedirectResponse("/console/silences", 303)
