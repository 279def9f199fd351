"""Staff pages: the board, a ticket, a charger, the quarantine."""

from collections.abc import Mapping
from typing import Annotated, Any, get_args
from urllib.parse import quote

from fastapi import APIRouter, Depends, Form, Path, Query, Request, Response
from fastapi.responses import RedirectResponse

from api import ticketing
from api.context import Ask, Asked, check_csrf
from api.pages import commanding, views
from api.pages.evidence import proof, seen
from api.pages.render import show, speech
from api.pages.words import Speech
from api.problems import Problem
from api.rights import RIGHTS, demand, scope
from pilewatch.model import Kind
from pilewatch.store import queries
from pilewatch.store.explanation import explain
from pilewatch.workflow.desk import VersionConflict
from pilewatch.workflow.tickets import (
    LIVE,
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
_SQL = queries.load("pages")
_SHOWN = 500
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


@router.get("")
def board(
    request: Request,
    ask: Ask,
    site: Text = "",
    severity: Text = "",
    state: Text = "",
    late: Text = "",
) -> Response:
    """Open incidents and live tickets by urgency."""
    demand(ask.caller, "read")
    wanted = views.Wanted(
        site=site.replace("\0", "") or None,
        severity=int(severity) if severity in ("1", "2", "3") else None,
        state=state if state in frozenset(LIVE) else None,
        late=late == "1",
    )
    found = views.board(_tickets(ask, live=True), _incidents(ask, live=True), wanted, ask.now)
    return _show(
        request,
        ask,
        "console/board.html",
        board=found,
        wanted=wanted,
        sites=_rows(ask, "site_names"),
        states=[state.value for state in TicketState if state in LIVE],
    )


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
            company = _known(_rows(ask, "companies"), "code", fields["company"])
            assignee = _known(_rows(ask, "repairers"), "login", fields["assignee"])
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
    found = _tickets(ask, id=id)
    if not found:
        raise Problem(404, f"there is no ticket {id}")
    row = found[0]
    incidents = _incidents(ask, ticket=id)
    timeline = _rows(ask, "timeline", id=id)
    rights = [word for word, roles in RIGHTS.items() if ask.caller.role in roles]
    can = views.actions(row, rights, TicketState(row["state"]))
    empty = dict.fromkeys(("company", "assignee", "cause", "remedy", "part", "note"), "")
    return _show(
        request,
        ask,
        "console/ticket.html",
        status=status,
        ticket=row,
        late=views.overdue(row, ask.now),
        incidents=[i for i in incidents if i["parent_id"] is None],
        members=[i for i in incidents if i["parent_id"] is not None],
        pictures=_pictures(ask, incidents),
        photos=_rows(ask, "photos", ticket=id),
        timeline=timeline,
        # Each change is one version and one line, so these came after what the caller saw.
        missed=timeline[version:] if version is not None else [],
        conflict=version is not None,
        refused=refused,
        given={**empty, **(given or {})},
        actions=can,
        pause_reasons=get_args(PauseReason),
        companies=_rows(ask, "companies") if "assign" in can else [],
        repairers=_rows(ask, "repairers") if "assign" in can else [],
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


@router.get("/chargers/{code}")
def charger(code: str, request: Request, ask: Ask) -> Response:
    """One pile: how it is, what it said, what was wrong with it, what it can be told."""
    demand(ask.caller, "read")
    return _charger(request, ask, code)


def _wanted(
    csrf: Annotated[str, Form(max_length=100)] = "",
    order: Annotated[str, Form(max_length=20)] = "",
    port: Annotated[str, Form(max_length=3)] = "",
    reason: Annotated[str, Form(max_length=_FIELD)] = "",
    on_site: Annotated[str, Form(max_length=1)] = "",
) -> dict[str, str]:
    fields = {"csrf": csrf, "order": order, "port": port, "reason": reason, "on_site": on_site}
    if any("\0" in text for text in fields.values()):
        raise Problem(422, "the character NUL cannot be kept")
    return {name: text.strip() for name, text in fields.items()}


@router.post("/chargers/{code}/commands")
def command(
    code: str, request: Request, ask: Ask, wanted: Annotated[dict[str, str], Depends(_wanted)]
) -> Response:
    """Tell the pile something; what is missing or in the way is said on its page."""
    demand(ask.caller, "read")
    check_csrf(ask.csrf, wanted["csrf"])
    code = "" if "\0" in code else code[:64]
    problem = commanding.press(ask, code, wanted)
    if problem is not None:
        status = 409 if problem == "under-way" else 422
        return _charger(request, ask, code, status=status, problem=problem, given=wanted)
    return RedirectResponse(f"/console/chargers/{quote(code)}#commands", 303)


def _charger(
    request: Request,
    ask: Asked,
    code: str,
    *,
    status: int = 200,
    problem: str | None = None,
    given: Mapping[str, str] | None = None,
) -> Response:
    word = "" if "\0" in code else code[:64]
    places = _rows(ask, "charger", code=word)
    if not places or not ask.rows("charger_for", code=word, connector=None, **scope(ask.caller)):
        raise Problem(404, "there is no such charger")
    place = places[0]
    bins = _rows(ask, "curve", id=place["id"])
    return _show(
        request,
        ask,
        "console/charger.html",
        status=status,
        zone=place["timezone"],
        place=place,
        state=_rows(ask, "charger_state", id=place["id"])[0],
        connectors=_rows(ask, "connectors", id=place["id"]),
        tickets=_tickets(ask, charger=place["code"], limit=10),
        incidents=_incidents(ask, charger=place["code"], limit=10),
        observations=_rows(ask, "observations", id=place["id"]),
        kinds={kind.value: kind.name.lower().replace("_", "-") for kind in Kind},
        power=views.curve(bins, "power_w"),
        temperature=views.curve(bins, "temperature_c"),
        commands=commanding.panel(ask, place["code"], problem),
        given={**dict.fromkeys(("port", "reason"), ""), **(given or {})},
    )


@router.get("/quarantine")
def quarantine(request: Request, ask: Ask) -> Response:
    """Messages that could not be used, and chargers that nobody registered."""
    demand(ask.caller, "quarantine")
    return _show(
        request,
        ask,
        "console/quarantine.html",
        messages=ask.rows("quarantine", before=_NEWEST, limit=100, **scope(ask.caller)),
        unknown=_rows(ask, "unknown_chargers"),
    )


def _show(
    request: Request,
    ask: Asked,
    template: str,
    *,
    status: int = 200,
    zone: str | None = None,
    **values: Any,
) -> Response:
    if zone is None:
        zones = _rows(ask, "zone")
        zone = zones[0]["timezone"] if zones else None
    t: Speech = speech(request, ask.now, zone)
    return show(
        request, t, template, status=status, caller=ask.caller, csrf=ask.csrf, private=True,
        seen=seen, proof=proof, overdue=views.overdue, next_due=views.next_due,
        sees_quarantine=ask.caller.role in RIGHTS["quarantine"], **values,
    )  # fmt: skip


def _tickets(ask: Asked, **wanted: Any) -> list[dict[str, Any]]:
    values = {"id": None, "live": False, "charger": None, "limit": _SHOWN, **wanted}
    return _rows(ask, "tickets", **values, **scope(ask.caller))


def _incidents(ask: Asked, **wanted: Any) -> list[dict[str, Any]]:
    values = {"ticket": None, "live": False, "charger": None, "limit": _SHOWN, **wanted}
    return _rows(ask, "incidents", **values, **scope(ask.caller))


def _rows(ask: Asked, name: str, **values: Any) -> list[dict[str, Any]]:
    return ask.db.execute(_SQL[name], {"now": ask.now, **values}).fetchall()
