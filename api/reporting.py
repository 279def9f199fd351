"""`/api/v1/reports` for staff, and a receipt's photos and contact for its owner."""

from typing import Annotated, Any, Literal

from fastapi import Depends, Path, Query, Request, Response

from api import models, problems
from api import reporting_models as shapes
from api.context import Ask, Asked, Paged, one
from api.limits import count_word
from api.models import Id, Listed, Token
from api.problems import Problem
from api.rights import demand, scope
from api.routers import ordering, reading
from pilewatch.store import queries
from pilewatch.workflow.contacts import (
    BadContact,
    Contact,
    Kind,
    Language,
    erase_contact,
    keep_contact,
    read_contact,
)
from pilewatch.workflow.photos import BadPhoto, clean_photo, keep_photo, photo_of
from pilewatch.workflow.receipts import digest, in_groups, one_at_a_time, spoken_receipt
from pilewatch.workflow.reports import Filed, Reviewed, file_report, review_report

router, orders = reading(), ordering()
_SQL = queries.load("reports")
Number = Annotated[int, Path(ge=1, le=9, description="The photo's number")]
_WORDS = {"large": 413, "broken": 422, "many": 409}
PICTURE_POLICY = "default-src 'none'; sandbox"
"""What a browser may do with a photo: show it."""


class Jpeg(Response):
    """A photo, which no cache keeps."""

    media_type = "image/jpeg"

    def __init__(self, content: bytes = b"", status_code: int = 200):
        super().__init__(content, status_code)
        self.headers["Content-Security-Policy"] = PICTURE_POLICY
        self.headers["X-Content-Type-Options"] = "nosniff"
        self.headers["Cache-Control"] = "private, no-store"


async def _body(request: Request) -> bytes:
    return await request.body()


# --- a report that is kept


def leave_contact(ask: Asked, report_id: int, token: str, contact: str, language: Language) -> Kind:
    """Keep how the reporter may be reached, and tell of which kind that is. Raises `Problem` 422
    where it cannot be kept."""
    seal = ask.context.settings.sealing.seal()
    if not seal:
        raise Problem(422, "contact: this installation keeps none")
    try:
        kind, to = read_contact(contact)
    except BadContact as error:
        raise Problem(422, f"contact: {error}") from error
    keep_contact(ask.db, seal, ask.now, report_id, Contact(kind, to, token, language))
    return kind


def filed_answer(ask: Asked, filed: Filed) -> dict[str, Any]:
    """A kept report with the address of its receipt."""
    base = ask.context.settings.api.public_url.rstrip("/")
    return {
        "receipt": filed.receipt_token,
        "receipt_url": f"{base}/r/{filed.receipt_token}",
        "ticket_id": filed.ticket_id,
        "joined": filed.joined,
        "others": filed.others,
    }


@orders.post(
    "/reports/phone",
    status_code=201,
    response_model=shapes.PhoneAnswer,
    summary="Report for a caller",
    tags=["residents"],
    **problems.for_staff(409),
)
def report_by_phone(body: shapes.PhoneRequest, ask: Ask) -> Any:
    """Enter what somebody said on the phone, and read the receipt's sixteen digits to them. The
    same id again gives the same receipt; with another content it is refused (409)."""
    demand(ask.caller, "report")
    place = place_of(ask, body.site, body.charger, body.connector)
    with ask.db.transaction():
        one_at_a_time(ask.db, body.id)
        token = spoken_receipt(ask.db, "phone", body.id)
        said: dict[str, Any] = {**place, "code": body.code, "note": body.note}
        filed = _filed_before(ask, token, said) or _file_call(ask, token, body, said)
    return {**filed_answer(ask, filed), "read_out": in_groups(token)}


def _file_call(ask: Asked, token: str, body: shapes.PhoneRequest, said: dict[str, Any]) -> Filed:
    who = ask.caller.id
    filed = file_report(
        ask.db, ask.policy, ask.now, source="phone", **said, entered_by=who, token=token
    )
    if body.contact is not None:
        leave_contact(ask, filed.report_id, token, body.contact, body.language)
    about = {"ticket": filed.ticket_id, "code": body.code}
    ask.record("report.phone", f"report/{filed.report_id}", None, about)
    return filed


def place_of(
    ask: Asked, site: str | None, charger: str | None, connector: int | None
) -> dict[str, Any]:
    """The ids of a place that this caller may speak of. Raises `Problem` 422, or 403 where it is
    none of the caller's own."""
    if site is None and charger is None:
        raise Problem(422, "a charger or a site is needed")
    if connector is not None and charger is None:
        raise Problem(422, "a connector needs its charger")
    place = find_place(ask, site, charger, connector)
    own = scope(ask.caller)
    if own["company_id"] not in (None, place["company_id"]):
        raise Problem(403, "this place is not your company's")
    if own["grids"] is not None and place["grid_id"] not in own["grids"]:
        raise Problem(403, "this place is not in your grids")
    return {key: place[key] for key in ("site_id", "charger_id", "connector_id")}


def find_place(
    ask: Asked, site: str | None, charger: str | None, connector: int | None
) -> dict[str, Any]:
    """The ids of a place, whoever asks. Raises `Problem` 422."""
    rows = ask.rows("find_place", site=site, charger=charger, connector=connector)
    return one(rows, "such place: see site, charger and connector", 422)


def _filed_before(ask: Asked, token: str, said: dict[str, Any]) -> Filed | None:
    """The report that this receipt already belongs to. Raises `Problem` 409 where it said
    something else."""
    row = ask.db.execute(_SQL["report_by_receipt"], {"receipt": digest(token)}).fetchone()
    if row is None:
        return None
    wrong = [key for key, value in said.items() if row[key] != value]
    if wrong:
        raise Problem(409, f"id: it came before with another {wrong[0].removesuffix('_id')}")
    reports = ask.db.execute(_SQL["reports_of_ticket"], row).fetchone()
    others = reports["reports"] - 1 if reports is not None else 0
    return Filed(row["id"], token, row["ticket_id"], others > 0, others)


# --- what staff see of reports


@router.get(
    "/reports",
    response_model=Listed[shapes.ReportAnswer],
    summary="Reports",
    tags=["tickets"],
    **problems.for_staff(),
)
def reports(
    ask: Ask,
    page: Paged,
    ticket: Annotated[
        int | None, Query(ge=1, le=models.Big, description="Only those of this ticket")
    ] = None,
    source: Annotated[
        Literal["page", "phone", "meeting", "open311"] | None,
        Query(description="Only those that came this way"),
    ] = None,
    to_review: Annotated[bool, Query(description="Only doubtful ones that wait")] = False,
) -> Any:
    """Newest first."""
    demand(ask.caller, "read")
    wanted: dict[str, Any] = {"ticket": ticket, "source": source, "to_review": to_review}
    rows = _rows(ask, **wanted, before=page.before, limit=page.limit)
    return page.answer(rows, rows)


@router.get(
    "/reports/{id}",
    response_model=shapes.ReportAnswer,
    summary="One report",
    tags=["tickets"],
    **problems.for_staff(404),
)
def report(id: Id, ask: Ask) -> Any:
    """With the signs of spam, if there are any."""
    demand(ask.caller, "read")
    return _seen(ask, id)


@router.get(
    "/reports/{id}/photos/{number}",
    response_class=Jpeg,
    summary="A report's photo",
    tags=["tickets"],
    **problems.for_staff(404),
)
def photo(id: Id, number: Number, ask: Ask) -> Any:
    """As a JPEG, made anew from what the resident sent."""
    demand(ask.caller, "read")
    return _picture(ask, _seen(ask, id)["id"], number)


@orders.post(
    "/reports/{id}/review",
    response_model=shapes.ReportAnswer,
    summary="Review a doubtful report",
    tags=["tickets"],
    **problems.for_staff(404, 409),
)
def review(id: Id, body: shapes.ReviewRequest, ask: Ask) -> Any:
    """Accepted, it goes its way to a ticket; else it stays without one. Nothing is deleted."""
    demand(ask.caller, "review")
    with ask.db.transaction():
        _seen(ask, id)
        assert ask.caller.id is not None
        try:
            review_report(
                ask.db, ask.policy, ask.now, id, person_id=ask.caller.id, accept=body.accept
            )
        except Reviewed as error:
            raise Problem(409, "there is nothing to review: see doubt and reviewed_at") from error
        ask.record("report.review", f"report/{id}", None,
            {"accepted": body.accept},
        )  # fmt: skip
        # Whoever has just accepted it is still told where it went, even to another company.
        return _rows(ask, id=id, everyones=True)[0]


# --- for the owner of a receipt


@orders.post(
    "/receipts/{token}/photos",
    status_code=201,
    response_model=shapes.PhotoAnswer,
    summary="Add a photo",
    tags=["residents"],
    responses=problems.open_to_all(404, 409, 429)["responses"],
    openapi_extra={
        **problems.open_to_all()["openapi_extra"],
        "requestBody": {
            "required": True,
            "content": {
                kind: {"schema": {"type": "string", "format": "binary"}}
                for kind in ("image/jpeg", "image/png", "image/webp")
            },
        },
    },
)
def add_photo(
    token: Token, request: Request, ask: Ask, sent: Annotated[bytes, Depends(_body)]
) -> Any:
    """The picture's bytes are the body. Place, time and maker are taken out of it."""
    count_word(request, ask)
    report_id = report_of(ask, token)
    try:
        cleaned = clean_photo(sent)
        with ask.db.transaction():
            return {"number": keep_photo(ask.db, ask.now, report_id, sent, cleaned)}
    except BadPhoto as error:
        raise Problem(_WORDS[error.word], str(error)) from error


@router.get(
    "/receipts/{token}/photos/{number}",
    response_class=Jpeg,
    summary="A photo of one's own report",
    tags=["residents"],
    **problems.open_to_all(404),
)
def own_photo(token: Token, number: Number, ask: Ask) -> Any:
    """As a JPEG, as staff see it."""
    return _picture(ask, report_of(ask, token), number)


@router.put(
    "/receipts/{token}/contact",
    response_model=shapes.ContactAnswer,
    summary="Say how to reach me",
    tags=["residents"],
    **problems.open_to_all(404, 429),
)
def set_contact(token: Token, body: shapes.ContactRequest, request: Request, ask: Ask) -> Any:
    """Sealed, seen by no staff, and erased some weeks after the matter is closed."""
    count_word(request, ask)
    kind = leave_contact(ask, report_of(ask, token), token, body.contact, body.language)
    return {"kind": kind}


@router.delete(
    "/receipts/{token}/contact",
    response_model=shapes.ContactAnswer,
    summary="Forget how to reach me",
    tags=["residents"],
    **problems.open_to_all(404),
)
def forget_contact(token: Token, ask: Ask) -> Any:
    """At once and for good."""
    erase_contact(ask.db, report_of(ask, token))
    return {"kind": None}


def report_of(ask: Asked, token: str) -> int:
    """The id of the report that this receipt belongs to. Raises `Problem` 404."""
    row = ask.db.execute(_SQL["report_by_receipt"], {"receipt": digest(token)}).fetchone()
    if row is None:
        raise Problem(404, "there is no such receipt")
    return int(row["id"])


# --- shapes


def _rows(ask: Asked, *, everyones: bool = False, **wanted: Any) -> list[dict[str, Any]]:
    nothing = {"id": None, "ticket": None, "source": None, "to_review": False}
    values = {**nothing, "before": models.Big, "limit": 1, **wanted}
    narrowed = scope(ask.caller)
    if everyones:
        narrowed = dict.fromkeys(narrowed)
    return ask.db.execute(_SQL["reports"], {**values, **narrowed}).fetchall()


def _seen(ask: Asked, id: int) -> dict[str, Any]:
    rows = _rows(ask, id=id)
    if not rows:
        raise Problem(404, f"there is no report {id}")
    return rows[0]


def _picture(ask: Asked, report_id: int, number: int) -> Jpeg:
    found = photo_of(ask.db, report_id, number)
    if found is None:
        raise Problem(404, "there is no such photo")
    return Jpeg(found)
