"""`/api/v1`: sites, chargers, connectors, incidents, tickets, reports, inspections."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Path, Query, Request, Response

from api import models, problems, ticketing
from api.context import Ask, Asked, Paged, Word, guard_cache, tag
from api.idempotency import OnceRoute, once
from api.limits import count_word
from api.models import Listed
from api.people import RESIDENT
from api.problems import Problem
from api.reporting import filed_answer, leave_contact
from api.rights import demand, scope
from pilewatch.workflow.inspections import record_inspection
from pilewatch.workflow.reports import Receipt, answer_receipt, file_report, report_by_receipt
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

router = APIRouter(prefix="/api/v1", dependencies=[Depends(guard_cache)])
orders = APIRouter(
    prefix="/api/v1",
    route_class=OnceRoute,
    dependencies=[Depends(guard_cache), Depends(once, scope="function")],
    responses=problems.documented([413]),
)
"""Every POST: each may carry an Idempotency-Key."""
Id = Annotated[int, Path(ge=1, le=models.Big, description="Its number")]
SiteWord = Annotated[Word, Query(description="Only of this site", examples=["wanhe-1a"])]
ChargerWord = Annotated[Word, Query(description="Only of this charger", examples=["WH-E01"])]
Port = Annotated[int, Path(ge=1, le=999, description="The connector's number on its charger")]
Token = Annotated[
    str, Path(min_length=1, max_length=200, description="The secret of the receipt's link")
]
_ALL = 2**63 - 1


# --- what stands where, and how it is


@router.get(
    "/sites",
    response_model=Listed[models.SiteAnswer],
    summary="Sites and free ports",
    tags=["state"],
    **problems.open_to_all(),
)
def sites(request: Request, response: Response, ask: Ask, page: Paged) -> Any:
    """Every charging place with its live counts."""
    rows = ask.rows("sites", code=None, after=page.after, limit=page.limit)
    return tag(request, response, rows) or page.answer(rows, rows)


@router.get(
    "/sites/{code}",
    response_model=models.SiteAnswer,
    summary="One site",
    tags=["state"],
    **problems.open_to_all(404),
)
def site(code: models.PathCode, ask: Ask) -> Any:
    """One charging place."""
    return _one(ask.rows("sites", code=code, after=0, limit=1), f"site {code}")


@router.get(
    "/chargers",
    response_model=Listed[models.ChargerAnswer],
    summary="Chargers",
    tags=["state"],
    **problems.open_to_all(),
)
def chargers(
    request: Request, response: Response, ask: Ask, page: Paged, site: SiteWord = None
) -> Any:
    """Every pile, or those of one site."""
    rows = ask.rows("chargers", site=site, code=None, after=page.after, limit=page.limit)
    return tag(request, response, rows) or page.answer(rows, rows)


@router.get(
    "/chargers/{code}",
    response_model=models.ChargerAnswer,
    summary="One charger",
    tags=["state"],
    **problems.open_to_all(404),
)
def charger(code: models.PathCode, ask: Ask) -> Any:
    """One pile."""
    rows = ask.rows("chargers", site=None, code=code, after=0, limit=1)
    return _one(rows, f"charger {code}")


@router.get(
    "/connectors",
    response_model=Listed[models.ConnectorAnswer],
    summary="Live state and its age",
    tags=["state"],
    **problems.open_to_all(),
)
def connectors(
    request: Request,
    response: Response,
    ask: Ask,
    page: Paged,
    site: SiteWord = None,
    charger: ChargerWord = None,
) -> Any:
    """How each connector stands now, and how old that knowledge is."""
    rows = ask.rows(
        "connectors",
        site=site,
        charger=charger,
        connector=None,
        after=page.after,
        limit=page.limit,
    )
    # The age grows by itself: it is no reason to send everything again.
    told = [{k: v for k, v in row.items() if k != "age_s"} for row in rows]
    return tag(request, response, told) or page.answer(rows, rows)


@router.get(
    "/chargers/{code}/connectors/{number}",
    response_model=models.ConnectorAnswer,
    summary="One connector",
    tags=["state"],
    **problems.open_to_all(404),
)
def connector(code: models.PathCode, number: Port, ask: Ask) -> Any:
    """How one connector stands now."""
    rows = ask.rows("connectors", site=None, charger=code, connector=number, after=0, limit=1)
    return _one(rows, f"connector {number} of charger {code}")


# --- incidents


@router.get(
    "/incidents",
    response_model=Listed[models.IncidentAnswer],
    summary="Incidents",
    tags=["incidents"],
    **problems.for_staff(),
)
def incidents(
    request: Request,
    response: Response,
    ask: Ask,
    page: Paged,
    phase: Annotated[Word, Query(description="Only of this phase", examples=["open"])] = None,
    site: SiteWord = None,
) -> Any:
    """Newest first."""
    demand(ask.caller, "read")
    rows = _incidents(ask, before=page.before, limit=page.limit, phase=phase, site=site)
    return tag(request, response, rows) or page.answer(rows, [_with_subject(row) for row in rows])


@router.get(
    "/incidents/{id}",
    response_model=models.IncidentAnswer,
    summary="One incident",
    tags=["incidents"],
    **problems.for_staff(404),
)
def incident(id: Id, ask: Ask) -> Any:
    """With its evidence."""
    demand(ask.caller, "read")
    return _with_subject(_one(_incidents(ask, id=id), f"incident {id}"))


def _incidents(ask: Asked, **wanted: Any) -> list[dict[str, Any]]:
    values = {"id": None, "phase": None, "site": None, "before": _ALL, "limit": 1, **wanted}
    return ask.rows("incidents", **values, **scope(ask.caller))


# --- tickets


@router.get(
    "/tickets",
    response_model=Listed[models.TicketAnswer],
    summary="Tickets",
    tags=["tickets"],
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
    tags=["tickets"],
    **problems.for_staff(404),
)
def ticket(id: Id, request: Request, response: Response, ask: Ask) -> Any:
    """With timeline and evidence; its ETag is its version, for If-Match."""
    demand(ask.caller, "read")
    return _show(ask, id, response)


def _tickets(ask: Asked, *, everyones: bool = False, **wanted: Any) -> list[dict[str, Any]]:
    nothing = dict.fromkeys(("id", "state", "site", "charger", "code"))
    values = {**nothing, "before": _ALL, "limit": 1, **wanted}
    narrowed = scope(RESIDENT if everyones else ask.caller)
    return ask.rows("tickets", **values, **narrowed)


def _show(ask: Asked, id: int, response: Response, *, done: bool = False) -> dict[str, Any]:
    # Whoever has just given a ticket away is still told how it stands.
    row = _one(_tickets(ask, id=id, everyones=done), f"ticket {id}")
    response.headers["ETag"] = f'"{row["version"]}"'
    return {**_ticket(row), "timeline": ask.rows("timeline", id=id)}


IfMatch = Annotated[str | None, Header(description="the ticket's ETag; 412 if it has changed")]


def _do(
    ask: Asked, id: int, word: str, action: Action, response: Response, if_match: str | None
) -> dict[str, Any]:
    ticketing.do(ask, id, word, action, seen_version(if_match))
    return _show(ask, id, response, done=True)


def seen_version(if_match: str | None) -> int | None:
    """The version that the asker has seen, if told. Raises `Problem` 412 for what is no ETag."""
    if if_match is None or if_match.strip() == "*":
        return None
    text = if_match.strip().strip('"')
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise Problem(412, "If-Match: use the ETag of the ticket")
    return int(text)


_TICKET = models.TicketAnswer


@orders.post(
    "/tickets/{id}/assign",
    response_model=_TICKET,
    summary="Assign",
    tags=["tickets"],
    **problems.for_staff(404, 409, 412),
)
def assign(
    id: Id, body: models.AssignRequest, response: Response, ask: Ask, if_match: IfMatch = None
) -> Any:
    """Give it to a company or a person."""
    demand(ask.caller, "assign")
    return _do(ask, id, "assign", ticketing.assignment(ask, body), response, if_match)


@orders.post(
    "/tickets/{id}/accept",
    response_model=_TICKET,
    summary="Accept",
    tags=["tickets"],
    **problems.for_staff(404, 409, 412),
)
def accept(id: Id, response: Response, ask: Ask, if_match: IfMatch = None) -> Any:
    """Take it on."""
    return _do(ask, id, "accept", Accept(), response, if_match)


@orders.post(
    "/tickets/{id}/start",
    response_model=_TICKET,
    summary="Start the repair",
    tags=["tickets"],
    **problems.for_staff(404, 409, 412),
)
def start(id: Id, response: Response, ask: Ask, if_match: IfMatch = None) -> Any:
    """Work begins."""
    return _do(ask, id, "start", Start(), response, if_match)


@orders.post(
    "/tickets/{id}/claim",
    response_model=_TICKET,
    summary="Claim the repair",
    tags=["tickets"],
    **problems.for_staff(404, 409, 412),
)
def claim(
    id: Id, body: models.ClaimRequest, response: Response, ask: Ask, if_match: IfMatch = None
) -> Any:
    """Repaired, says the repairer; evidence is awaited."""
    return _do(ask, id, "claim", ticketing.claim(body), response, if_match)


@orders.post(
    "/tickets/{id}/reject",
    response_model=_TICKET,
    summary="Reject with a reason",
    tags=["tickets"],
    **problems.for_staff(404, 409, 412),
)
def reject(
    id: Id, body: models.ReasonRequest, response: Response, ask: Ask, if_match: IfMatch = None
) -> Any:
    """No fault, or not ours."""
    return _do(ask, id, "reject", Reject(body.reason), response, if_match)


@orders.post(
    "/tickets/{id}/reopen",
    response_model=_TICKET,
    summary="Reopen with a reason",
    tags=["tickets"],
    **problems.for_staff(404, 409, 412),
)
def reopen(
    id: Id, body: models.ReasonRequest, response: Response, ask: Ask, if_match: IfMatch = None
) -> Any:
    """It does not work after all."""
    return _do(ask, id, "reopen", Reopen(body.reason), response, if_match)


@orders.post(
    "/tickets/{id}/merge",
    response_model=_TICKET,
    summary="Merge into another",
    tags=["tickets"],
    **problems.for_staff(404, 409, 412),
)
def merge(
    id: Id, body: models.MergeRequest, response: Response, ask: Ask, if_match: IfMatch = None
) -> Any:
    """The same matter as another live ticket."""
    return _do(ask, id, "merge", Merge(body.into), response, if_match)


@orders.post(
    "/tickets/{id}/comments",
    response_model=_TICKET,
    summary="Comment",
    tags=["tickets"],
    **problems.for_staff(404, 409, 412),
)
def comment(
    id: Id, body: models.CommentRequest, response: Response, ask: Ask, if_match: IfMatch = None
) -> Any:
    """A word on the timeline; residents read only what is meant for them."""
    return _do(ask, id, "comment", ticketing.comment(body), response, if_match)


@orders.post(
    "/tickets/{id}/pause",
    response_model=_TICKET,
    summary="Stop the clock with a reason",
    tags=["tickets"],
    **problems.for_staff(404, 409, 412),
)
def pause(
    id: Id, body: models.PauseRequest, response: Response, ask: Ask, if_match: IfMatch = None
) -> Any:
    """Nothing can be done until something comes; the deadlines stand still."""
    return _do(ask, id, "pause", Pause(body.reason, body.note), response, if_match)


@orders.post(
    "/tickets/{id}/resume",
    response_model=_TICKET,
    summary="Let the clock run again",
    tags=["tickets"],
    **problems.for_staff(404, 409, 412),
)
def resume(id: Id, response: Response, ask: Ask, if_match: IfMatch = None) -> Any:
    """Deadlines that were still to come move by the pause; the timeline tells old and new."""
    return _do(ask, id, "resume", Resume(), response, if_match)


# --- residents and grid workers


@orders.post(
    "/reports",
    status_code=201,
    response_model=models.FiledAnswer,
    summary="Report",
    tags=["residents"],
    **problems.open_to_all(429),
)
def report(body: models.ReportRequest, request: Request, ask: Ask) -> Any:
    """Say that a pile does not work; no account is needed. The receipt tells what became of it."""
    if body.site is None and body.charger is None:
        raise Problem(422, "a charger or a site is needed")
    if body.connector is not None and body.charger is None:
        raise Problem(422, "a connector needs its charger")
    count_word(request, ask)
    place = _place(ask, body.site, body.charger, body.connector)
    with ask.db.transaction():
        filed = file_report(
            ask.db,
            ask.policy,
            ask.now,
            source="page",
            site_id=place["site_id"],
            charger_id=place["charger_id"],
            connector_id=place["connector_id"],
            code=body.code,
            note=body.note,
            entered_by=ask.caller.id,
        )
        if body.contact is not None:
            leave_contact(ask, filed.report_id, filed.receipt_token, body.contact, body.language)
    return filed_answer(ask, filed)


@router.get(
    "/receipts/{token}",
    response_model=models.ReceiptAnswer,
    summary="A report's story",
    tags=["residents"],
    **problems.open_to_all(404),
)
def receipt(token: Token, ask: Ask) -> Any:
    """Each step of the ticket that the report came to."""
    return _receipt(report_by_receipt(ask.db, ask.now, token))


@orders.post(
    "/receipts/{token}/answer",
    response_model=models.ReceiptAnswer,
    summary="Does it charge now?",
    tags=["residents"],
    **problems.open_to_all(404, 409, 429),
)
def answer(token: Token, body: models.AnswerRequest, request: Request, ask: Ask) -> Any:
    """ "No" reopens."""
    count_word(request, ask)
    with ask.db.transaction():
        found = answer_receipt(ask.db, ask.policy, ask.now, token, charges_now=body.charges_now)
    return _receipt(found)


def _receipt(found: Receipt | None) -> dict[str, Any]:
    if found is None:
        raise Problem(404, "there is no such receipt")
    return {
        "code": found.code,
        "reported_at": found.reported_at,
        "ticket_id": found.ticket_id,
        "state": found.state,
        "waits": found.waits,
        "dismissed": found.dismissed,
        "others": found.others,
        "photos": found.photos,
        "contact": found.contact,
        "asking": found.asking and vars(found.asking),
        "steps": [
            {
                "at": line["at"],
                "action": line["action"],
                "state": line["to_state"],
                "text": line["note"],
            }
            for line in found.timeline
        ],
    }


@orders.post(
    "/inspections",
    status_code=201,
    response_model=models.InspectionAnswer,
    summary="Inspect",
    tags=["inspections"],
    **problems.for_staff(),
)
def inspect(body: models.InspectionRequest, ask: Ask) -> Any:
    """A check on the spot: passed with a test charge it proves a claimed repair."""
    demand(ask.caller, "inspect")
    place = _place(ask, None, body.charger, body.connector)
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
        if done.created:
            said = {"charger": body.charger, "connector": body.connector, "passed": body.passed}
            ask.record("inspection.add", f"inspection/{body.id}", None, said)
    return done


# --- operators


@router.get(
    "/quarantine",
    response_model=Listed[models.QuarantineAnswer],
    summary="Messages that could not be used",
    tags=["operation"],
    **problems.for_staff(),
)
def quarantine(ask: Ask, page: Paged) -> Any:
    """Newest first, each with its reason."""
    demand(ask.caller, "quarantine")
    rows = ask.rows("quarantine", before=page.before, limit=page.limit, **scope(ask.caller))
    return page.answer(rows, rows)


@router.get(
    "/unknown-chargers",
    response_model=Listed[models.UnknownChargerAnswer],
    summary="Chargers that nobody has registered",
    tags=["operation"],
    **problems.for_staff(),
)
def unknown_chargers(ask: Ask) -> dict[str, Any]:
    """Latest first."""
    demand(ask.caller, "quarantine")
    return {"items": ask.rows("unknown_chargers", limit=500), "next_cursor": None}


@router.get(
    "/me",
    response_model=models.MeAnswer,
    summary="Who am I",
    tags=["operation"],
    **problems.open_to_all(),
)
def me(ask: Ask) -> dict[str, Any]:
    """The caller's role and login."""
    return {"role": ask.caller.role, "login": ask.caller.login}


# --- shapes


def _place(
    ask: Asked, site: str | None, charger: str | None, connector: int | None
) -> dict[str, Any]:
    rows = ask.rows("find_place", site=site, charger=charger, connector=connector)
    return _one(rows, "such place: see site, charger and connector", 422)


def _one(rows: list[dict[str, Any]], what: str, status: int = 404) -> dict[str, Any]:
    if not rows:
        raise Problem(status, f"there is no {what}")
    return rows[0]


def _with_subject(row: dict[str, Any]) -> dict[str, Any]:
    keys = ("site", "gateway", "charger", "connector")
    subject = {"kind": row["subject_kind"], **{key: row[key] for key in keys}}
    return {**{k: v for k, v in row.items() if k not in keys}, "subject": subject}


def _ticket(row: dict[str, Any]) -> dict[str, Any]:
    can = possible(TicketState(row["state"]), paused=row["paused_at"] is not None)
    return {**_with_subject(row), "actions": can}
