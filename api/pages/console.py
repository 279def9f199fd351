"""Staff pages: a ticket, the quarantine."""

from collections.abc import Mapping
from typing import Annotated, Any, get_args

from fastapi import APIRouter, Depends, Form, Path, Query, Request, Response
from fastapi.responses import RedirectResponse

from api import ticketing
from api.context import Ask, Asked, check_csrf
from api.pages import staff, views
from api.problems import Problem
from api.rights import RIGHTS, demand
from pilewatch.store.explanation import explain
from pilewatch.workflow.desk import VersionConflict
from pilewatch.workflow.proving import unproved
from pilewatch.workflow.tickets import (
    Accept,
    Action,
    Assign,
    Claim,
    Comment,
    Pause,
    PauseReason,
    Refused,
    Reject,
    Reopen,
    Resume,
    Start,
    TicketState,
)

router = APIRouter(prefix="/console", include_in_schema=False)
_FIELD = 2000
_PICTURES = 2
_NEWEST = 2**63 - 1
Id = Annotated[int, Path(ge=1, le=_NEWEST)]
Text = Annotated[str, Query(max_length=64)]


def _form(
    csrf: Annotated[str, Form(max_length=100)] = "",
    version: Annotated[str, Form(max_length=9)] = "",
    company: Annotated[str, Form(max_length=64)] = "",
    assignee: Annotated[str, Form(max_length=100)] = "",
    cause: Annotated[str, Form(max_length=_FIELD)] = "",
    remedy: Annotated[str, Form(max_length=_FIELD)] = "",
    part: Annotated[str, Form(max_length=_FIELD)] = "",
    note: Annotated[str, Form(max_length=_FIELD)] = "",
    reason: Annotated[str, Form(max_length=20)] = "",
    audience: Annotated[str, Form(max_length=20)] = "",
) -> dict[str, str]:
    fields = {
        **{"csrf": csrf, "version": version, "company": company, "assignee": assignee},
        **{"cause": cause, "remedy": remedy, "part": part, "note": note, "reason": reason},
        "audience": audience,
    }
    if any("\0" in text for text in fields.values()):
        raise Problem(422, "the character NUL cannot be kept")
    return {name: text.strip() for name, text in fields.items()}


Fields = Annotated[dict[str, str], Depends(_form)]


@router.get("/tickets/{id}")
def ticket(id: Id, request: Request, ask: Ask) -> Response:
    """One ticket: its story, its evidence, what can be done now."""
    demand(ask.caller, "read")
    return _ticket(request, ask, id)


@router.post("/tickets/{id}/{word}")
def act(id: Id, word: str, request: Request, ask: Ask, fields: Fields) -> Response:
    """Do one thing; where that is not possible any more, the page says what happened."""
    demand(ask.caller, "read")
    check_csrf(ask.csrf, fields["csrf"])
    version = int(fields["version"]) if fields["version"].isdecimal() else 0
    try:
        ticketing.do(ask, id, word, _action(ask, word, fields), version)
    except VersionConflict:
        return _ticket(request, ask, id, status=409, given=fields, version=version)
    except Refused:
        return _ticket(request, ask, id, status=409, given=fields, refused=True)
    return RedirectResponse(f"/console/tickets/{id}", 303)


def _action(  # noqa: PLR0911 - one case for each action
    ask: Asked, word: str, fields: Mapping[str, str]
) -> Action:
    note = fields["note"]
    match word:
        case "assign":
            company = _known(staff.rows(ask, "companies"), "code", fields["company"])
            assignee = _known(staff.rows(ask, "repairers"), "login", fields["assignee"])
            return Assign(company, assignee)
        case "accept":
            return Accept()
        case "start":
            return Start()
        case "claim":
            return Claim(fields["cause"], fields["remedy"], fields["part"] or None, note or None)
        case "reject":
            return Reject(note)
        case "reopen":
            return Reopen(note)
        case "pause":
            for known in get_args(PauseReason):
                if known == fields["reason"]:
                    return Pause(known, note or None)
            raise Problem(422, "reason: part, access, weather or other")
        case "resume":
            return Resume()
        case "comment" if note:
            return Comment(note, "announced" if fields["audience"] == "residents" else "commented")
    raise Problem(404 if word != "comment" else 422, "there is no such action")


def _known(rows: list[dict[str, Any]], key: str, wanted: str) -> int | None:
    if not wanted:
        return None
    for row in rows:
        if row[key] == wanted:
            return int(row["id"])
    raise Problem(422, f"{wanted} is not known")


def _ticket(
    request: Request,
    ask: Asked,
    id: int,
    *,
    status: int = 200,
    given: Mapping[str, str] | None = None,
    version: int | None = None,
    refused: bool = False,
) -> Response:
    found = staff.tickets(ask, id=id)
    if not found:
        raise Problem(404, f"there is no ticket {id}")
    row = found[0]
    incidents = staff.incidents(ask, [id])
    timeline = staff.rows(ask, "timeline", id=id)
    rights = [word for word, roles in RIGHTS.items() if ask.caller.role in roles]
    can = views.actions(row, rights, TicketState(row["state"]))
    empty = dict.fromkeys(("company", "assignee", "cause", "remedy", "part", "note"), "")
    return staff.page(
        request,
        ask,
        "console/ticket.html",
        status=status,
        ticket=row,
        late=views.overdue(row, ask.now),
        claim=unproved(ask.db, ask.policy, ask.now, id),
        incidents=[i for i in incidents if i["parent_id"] is None],
        members=[i for i in incidents if i["parent_id"] is not None],
        pictures=_pictures(ask, incidents),
        photos=staff.rows(ask, "photos", ticket=id),
        timeline=timeline,
        # Each change is one version and one line, so these came after what the caller saw.
        missed=timeline[version:] if version is not None else [],
        conflict=version is not None,
        refused=refused,
        given={**empty, **(given or {})},
        actions=can,
        pause_reasons=get_args(PauseReason),
        companies=staff.rows(ask, "companies") if "assign" in can else [],
        repairers=staff.rows(ask, "repairers") if "assign" in can else [],
    )


def _pictures(ask: Asked, incidents: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The measures in which the latest incidents of a ticket show."""
    found = []
    for incident in [i for i in incidents if i["parent_id"] is None][:_PICTURES]:
        explained = explain(ask.db, incident["id"], ask.now)
        chart = None if explained is None else explained.chart
        drawn = None if chart is None else views.limit_curve(chart)
        if chart is not None and drawn is not None:
            found.append({"measure": chart.measure, "unit": chart.unit, "drawn": drawn})
    return found
