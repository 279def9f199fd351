"""Residents' pages: which port works, how to charge, report a fault, follow the receipt."""

from io import BytesIO
from typing import Annotated, Any
from urllib.parse import quote

import segno
from fastapi import APIRouter, Form, Query, Request, Response
from fastapi.responses import RedirectResponse

from api.context import Ask, Asked
from api.limits import count_about, count_word
from api.pages import views
from api.pages.render import show, speech
from api.problems import Problem
from pilewatch.store import queries
from pilewatch.workflow.reports import answer_receipt, file_report, report_by_receipt

router = APIRouter(include_in_schema=False)
_SQL = queries.load("pages")
_NOTE = 500
Text = Annotated[str, Query(max_length=64)]


@router.get("/")
def home(request: Request, ask: Ask) -> Response:
    """Every site with its free ports."""
    rows = _rows(ask, "site_list", stopping=views.STOPPING)
    t = speech(request, ask.now)
    return show(request, t, "home.html", grids=views.by_grid(rows))


@router.get("/s/{code}")
def site(code: str, request: Request, ask: Ask) -> Response:
    """Which port works now at this site."""
    place = _one(_rows(ask, "site", code=_word(code)))
    piles = views.piles(_ports(ask, site=code))
    t = speech(request, ask.now, place["timezone"])
    return show(request, t, "site.html", place=place, piles=piles, count=views.count(piles))


@router.get("/p/{code}")
def pile(code: str, request: Request, ask: Ask) -> Response:
    """What the pile's QR opens."""
    place = _charger(ask, code)
    piles = views.piles(_ports(ask, charger=place["code"]))
    t = speech(request, ask.now, place["timezone"])
    return show(request, t, "pile.html", place=place, piles=piles, count=views.count(piles))


@router.get("/p/{code}/qr.svg")
def qr(code: str, ask: Ask) -> Response:
    """The code to print and stick on the pile."""
    place = _charger(ask, code)
    address = f"{ask.context.settings.api.public_url.rstrip('/')}/p/{quote(place['code'])}"
    picture = BytesIO()
    segno.make(address, error="m").save(picture, kind="svg", scale=8, border=4)
    return Response(
        picture.getvalue(),
        media_type="image/svg+xml",
        headers={"Cache-Control": "public, max-age=3600"},
    )


@router.get("/report/{code}")
def report(
    code: str, request: Request, ask: Ask, port: Text | None = None, fault: Text | None = None
) -> Response:
    """The next question: which port, what is wrong, send."""
    return _ask_on(request, ask, _charger(ask, code), port, fault)


@router.post("/report/{code}")
def send(
    code: str,
    request: Request,
    ask: Ask,
    port: Annotated[str, Form()] = "",
    fault: Annotated[str, Form()] = "",
    note: Annotated[str, Form()] = "",
) -> Response:
    """Keep the report; the receipt's address is the answer."""
    place = _charger(ask, code)
    ports = _ports(ask, charger=place["code"])
    connector = views.chosen(ports, port)
    said = note.replace("\r\n", "\n").strip()
    if connector is views.NOT_CHOSEN or fault not in views.SAYINGS:
        return _ask_on(request, ask, place, port, fault, status=422)
    if len(said) > _NOTE or "\0" in said:
        return _ask_on(request, ask, place, port, fault, status=422, note=said[:_NOTE])
    count_word(request, ask)
    count_about(ask, place["id"])
    with ask.db.transaction():
        filed = file_report(
            ask.db,
            ask.policy,
            ask.now,
            source="page",
            site_id=place["site_id"],
            charger_id=place["id"],
            connector_id=connector["connector_id"] if connector else None,
            code=fault,
            note=said or None,
        )
    return RedirectResponse(f"/r/{filed.receipt_token}", 303)


def _ask_on(
    request: Request,
    ask: Asked,
    place: dict[str, Any],
    port: str | None,
    fault: str | None,
    *,
    status: int = 200,
    note: str = "",
) -> Response:
    ports = _ports(ask, charger=place["code"])
    if port is None and len(ports) == 1:
        port = str(ports[0]["number"])
    connector = views.chosen(ports, port)
    t = speech(request, ask.now, place["timezone"])
    step = "port"
    if connector is not views.NOT_CHOSEN:
        step = "send" if fault in views.SAYINGS else "fault"
    about = [connector] if connector else ports
    known = next((p for p in about if p and p["ticket_code"]), None) if step != "port" else None
    return show(
        request,
        t,
        f"report_{step}.html",
        status=status,
        place=place,
        ports=ports,
        port=connector["number"] if connector else 0,
        fault=fault,
        sayings=views.SAYINGS,
        known=known,
        note=note,
        too_long=status == 422 and bool(note),
        note_limit=_NOTE,
    )


@router.get("/r/{token}")
def receipt(token: str, request: Request, ask: Ask) -> Response:
    """What became of a report."""
    found = report_by_receipt(ask.db, token)
    if found is None:
        raise Problem(404, "there is no such receipt")
    place = _one(_rows(ask, "receipt_place", id=found.report_id))
    t = speech(request, ask.now, place["timezone"])
    story = views.receipt_story(found, place, ask.now)
    page = show(request, t, "receipt.html", private=True, place=place, story=story, token=token)
    page.headers["X-Robots-Tag"] = "noindex"
    return page


@router.post("/r/{token}/answer")
def answer(
    token: str, request: Request, ask: Ask, charges: Annotated[str, Form()] = ""
) -> Response:
    """ "Does it charge now?" """
    if charges not in ("yes", "no"):
        raise Problem(422, "charges: yes or no")
    count_word(request, ask)
    with ask.db.transaction():
        found = report_by_receipt(ask.db, token)
        if found is None:
            raise Problem(404, "there is no such receipt")
        if found.state is None or found.state.value not in views.ASKABLE:
            raise Problem(409, "there is no repair to confirm now")
        answer_receipt(ask.db, ask.policy, ask.now, token, charges_now=charges == "yes")
    return RedirectResponse(f"/r/{token}", 303)


def _rows(ask: Asked, name: str, **values: Any) -> list[dict[str, Any]]:
    return ask.db.execute(_SQL[name], {"now": ask.now, **values}).fetchall()


def _ports(
    ask: Asked, *, site: str | None = None, charger: str | None = None
) -> list[dict[str, Any]]:
    return _rows(ask, "ports", site=site, charger=charger, stopping=views.STOPPING)


def _charger(ask: Asked, code: str) -> dict[str, Any]:
    return _one(_rows(ask, "charger", code=_word(code)))


def _one(rows: list[dict[str, Any]]) -> dict[str, Any]:
    if not rows:
        raise Problem(404, "there is no such place")
    return rows[0]


def _word(text: str) -> str:
    return "" if "\0" in text or len(text) > 64 else text
