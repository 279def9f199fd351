"""Residents' pages: which port works, how to charge, report a fault, follow the receipt."""

from io import BytesIO
from typing import Annotated, Any
from urllib.parse import quote

import segno
from fastapi import APIRouter, File, Form, Query, Request, Response, UploadFile
from fastapi.responses import RedirectResponse

from api.context import Ask, Asked
from api.limits import count_word
from api.pages import views
from api.pages.render import show, speech
from api.pages.words import language_of
from api.problems import Problem
from api.reporting import Jpeg, leave_contact
from pilewatch.store import queries
from pilewatch.workflow.contacts import BadContact, Language, erase_contact, read_contact
from pilewatch.workflow.doubt import Form as Shown
from pilewatch.workflow.firststeps import admin_can_log_in
from pilewatch.workflow.photos import (
    MOST_BYTES,
    MOST_PHOTOS,
    BadPhoto,
    Photo,
    clean_photo,
    keep_photo,
    photo_of,
)
from pilewatch.workflow.receipts import form_age_s, form_stamp, typed_receipt
from pilewatch.workflow.reports import Receipt, answer_receipt, file_report, report_by_receipt

router = APIRouter(include_in_schema=False)
_SQL = queries.load("pages")
_NOTE = 500
Text = Annotated[str, Query(max_length=64)]


@router.get("/")
def home(request: Request, ask: Ask) -> Response:
    """Every site with its free ports."""
    rows = _rows(ask, "site_list", stopping=views.STOPPING)
    if not rows and not admin_can_log_in(ask.db):
        return RedirectResponse("/setup", 303)
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
    contact: Annotated[str, Form()] = "",
    photo: Annotated[list[UploadFile] | None, File()] = None,
    shown: Annotated[str, Form()] = "",
    homepage: Annotated[str, Form()] = "",
) -> Response:
    """Keep the report; the receipt's address is the answer. A photo that cannot be used, or a
    doubt, does not stop it. `homepage` is a field that no person sees."""
    place = _charger(ask, code)
    ports = _ports(ask, charger=place["code"])
    connector = views.chosen(ports, port)
    said = note.replace("\r\n", "\n").strip()
    if connector is views.NOT_CHOSEN or fault not in views.SAYINGS:
        return _ask_on(request, ask, place, port, fault, status=422)
    wrong = _wrong(ask, said, contact)
    if wrong:
        told = {"note": said[:_NOTE].replace("\0", ""), "contact": contact[:120]}
        return _ask_on(request, ask, place, port, fault, status=422, wrong=wrong, **told)
    count_word(request, ask)
    cleaned, refused = _cleaned(photo or [])
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
            entered_by=ask.caller.id,
            form=Shown(homepage, form_age_s(ask.db, ask.now, place["code"], shown)),
        )
        language: Language = "en" if language_of(request) == "en" else "zh-CN"
        if contact.strip():
            leave_contact(ask, filed.report_id, filed.receipt_token, contact, language)
        _keep(ask, filed.report_id, cleaned)
    return RedirectResponse(f"/r/{filed.receipt_token}{_told_of(refused)}", 303)


def _wrong(ask: Asked, note: str, contact: str) -> str | None:
    """Which field has to be written anew, by its word."""
    if len(note) > _NOTE or "\0" in note:
        return "note"
    if not contact.strip():
        return None
    try:
        read_contact(contact)
    except BadContact:
        return "contact"
    return None if ask.context.settings.sealing.keys else "contact"


def _cleaned(sent: list[UploadFile]) -> tuple[list[tuple[bytes, Photo]], str | None]:
    """What can be used, and the word for what cannot."""
    bodies = [body for file in sent if (body := file.file.read(MOST_BYTES + 1))]
    refused = "many" if len(bodies) > MOST_PHOTOS else None
    cleaned = []
    for body in bodies[:MOST_PHOTOS]:
        try:
            cleaned.append((body, clean_photo(body)))
        except BadPhoto as error:
            refused = error.word
    return cleaned, refused


def _keep(ask: Asked, report_id: int, cleaned: list[tuple[bytes, Photo]]) -> str | None:
    try:
        for body, photo in cleaned:
            keep_photo(ask.db, ask.now, report_id, body, photo)
    except BadPhoto as error:
        return error.word
    return None


def _told_of(refused: str | None) -> str:
    return f"?photo={refused}" if refused else ""


def _ask_on(
    request: Request,
    ask: Asked,
    place: dict[str, Any],
    port: str | None,
    fault: str | None,
    *,
    status: int = 200,
    wrong: str | None = None,
    note: str = "",
    contact: str = "",
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
        contact=contact,
        wrong=wrong,
        note_limit=_NOTE,
        photo_limit=MOST_PHOTOS,
        takes_contact=ask.context.settings.sealing.keys is not None,
        shown=form_stamp(ask.db, ask.now, place["code"]) if step == "send" else "",
    )


@router.get("/r")
def find_receipt(
    request: Request, ask: Ask, number: Annotated[str, Query(max_length=200)] = ""
) -> Response:
    """Where a receipt that was read out is typed in."""
    token = typed_receipt(number)
    if token and report_by_receipt(ask.db, ask.now, token) is not None:
        return RedirectResponse(f"/r/{quote(token, safe='')}", 303)
    t = speech(request, ask.now)
    return show(request, t, "receipt_find.html", private=True, number=number, unknown=bool(token))


@router.get("/r/{token}")
def receipt(token: str, request: Request, ask: Ask, photo: Text | None = None) -> Response:
    """What became of a report. `photo` is why the one that was just sent cannot be used."""
    found = _receipt(ask, token)
    place = _one(_rows(ask, "receipt_place", id=found.report_id))
    t = speech(request, ask.now, place["timezone"])
    story = views.receipt_story(found, place, ask.now)
    page = show(
        request,
        t,
        "receipt.html",
        private=True,
        place=place,
        story=story,
        token=token,
        refused=photo if photo in views.PHOTO_WORDS else None,
        photo_limit=MOST_PHOTOS,
    )
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
        if _receipt(ask, token).asking is None:
            raise Problem(409, "there is no repair to confirm now")
        answer_receipt(ask.db, ask.policy, ask.now, token, charges_now=charges == "yes")
    return RedirectResponse(f"/r/{token}", 303)


@router.post("/r/{token}/photos")
def add_photos(
    token: str,
    request: Request,
    ask: Ask,
    photo: Annotated[list[UploadFile] | None, File()] = None,
) -> Response:
    """More pictures of the same fault."""
    count_word(request, ask)
    found = _receipt(ask, token)
    cleaned, refused = _cleaned(photo or [])
    with ask.db.transaction():
        refused = _keep(ask, found.report_id, cleaned) or refused
    return RedirectResponse(f"/r/{token}{_told_of(refused)}", 303)


@router.get("/r/{token}/photos/{number}")
def own_photo(token: str, number: int, ask: Ask) -> Response:
    """A picture that the reporter sent."""
    found = _receipt(ask, token)
    jpeg = photo_of(ask.db, found.report_id, number) if number in found.photos else None
    if jpeg is None:
        raise Problem(404, "there is no such photo")
    return Jpeg(jpeg)


@router.post("/r/{token}/forget")
def forget(token: str, ask: Ask) -> Response:
    """The reporter does not want to be reached any more."""
    erase_contact(ask.db, _receipt(ask, token).report_id)
    return RedirectResponse(f"/r/{token}", 303)


def _receipt(ask: Asked, token: str) -> Receipt:
    found = report_by_receipt(ask.db, ask.now, token)
    if found is None:
        raise Problem(404, "there is no such receipt")
    return found


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
