"""`/open311/v2/…`: GeoReport v2 (https://wiki.open311.org/GeoReport_v2/), in XML and JSON.

A ticket is a service request, a fault code a service. Words of people are taken and never told;
names, mail addresses and phone numbers are neither taken nor kept.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any
from xml.etree.ElementTree import Element
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Depends, FastAPI, Form, Path, Query, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from api.context import Ask, Asked
from api.idempotency import OnceRoute, once
from api.opendata import markup
from api.opendata.answers import documented, text
from api.pages.words import Speech, language_of
from api.people import caller_by_key
from pilewatch.faultcodes import FAULTS
from pilewatch.store import queries
from pilewatch.workflow.reports import file_report, report_by_receipt

_SQL = queries.load("open")
_DAYS = timedelta(days=90)
_WITHIN_M = 300.0
"""How far from a site a coordinate may be that is meant for it."""
_LONGEST = 4000
_NOTE = 2000
_CLOSED = frozenset({"verified", "closed", "rejected", "merged"})
_XML = "text/xml; charset=utf-8"
_PLAIN = markup.Vocabulary({})
Row = dict[str, Any]


class Format(StrEnum):
    """How the answer is written: the end of the address says it."""

    XML = "xml"
    JSON = "json"


class Refusal(Exception):
    """An error in the words of GeoReport."""

    def __init__(self, status: int, description: str, format: Format):
        super().__init__(description)
        self.status = status
        self.format = format


def install(app: FastAPI) -> None:
    """Errors of this module leave as GeoReport's lists of errors."""
    app.add_exception_handler(Refusal, lambda _, error: refused(error))


def refused(error: Exception) -> Response:
    """The answer to a `Refusal`."""
    assert isinstance(error, Refusal)
    row = {"code": str(error.status), "description": str(error)}
    return _answer("errors", "error", [row], error.format, error.status)


def _answer(root: str, item: str, rows: list[Row], format: Format, status: int = 200) -> Response:
    if format == Format.JSON:
        return JSONResponse(rows, status)
    document = _PLAIN.root(root)
    for row in rows:
        _write(_PLAIN.add(document, item), row)
    return markup.answer(document, _XML, status)


def _document(root: str, row: Mapping[str, Any]) -> Response:
    document = _PLAIN.root(root)
    _write(document, row)
    return markup.answer(document, _XML)


def _write(parent: Element, row: Mapping[str, Any]) -> None:
    """Members of a list are an element each, named in the singular, or what their one word says;
    nothing is an empty element."""
    for name, value in row.items():
        if isinstance(value, list):
            inner = _PLAIN.add(parent, name)
            word = name.removesuffix("s")
            for one in value:
                if set(one) == {word}:
                    _write(inner, one)
                else:
                    _write(_PLAIN.add(inner, word), one)
        else:
            said = str(value).lower() if isinstance(value, bool) else value
            _PLAIN.add(parent, name, said)


# --- what is asked


def _here(
    request: Request,
    ask: Ask,
    format: Annotated[Format, Path(description="xml or json")],
    jurisdiction_id: Annotated[
        str | None, Query(description="Ours, or none: there is only one here")
    ] = None,
) -> "Here":
    own = ask.context.settings.open311.jurisdiction_id
    if jurisdiction_id not in (None, "", own):
        raise Refusal(404, f"jurisdiction_id: this is {own}", format)
    return Here(ask, format, Speech(language_of(request), ZoneInfo("UTC"), ask.now))


@dataclass(frozen=True)
class Here:
    """A request for this jurisdiction."""

    ask: Asked
    format: Format
    t: Speech

    def refuse(self, status: int, description: str) -> Refusal:
        """An error in the format that was asked for."""
        return Refusal(status, description, self.format)

    def rows(self, name: str, **values: Any) -> list[Row]:
        """The rows of a named query."""
        return self.ask.db.execute(_SQL[name], {"now": self.ask.now, **values}).fetchall()


Asking = Annotated[Here, Depends(_here, scope="function")]
router = APIRouter(prefix="/open311/v2", tags=["Open311"])
orders = APIRouter(
    prefix="/open311/v2",
    tags=["Open311"],
    route_class=OnceRoute,
    dependencies=[Depends(once, scope="function")],
)
_ALWAYS = frozenset({"service_code", "service_name", "status", "requested_datetime"})
_OPEN: list[dict[str, list[str]]] = [{}]
_ERRORS = {
    "schema": {
        "type": "array",
        "items": {
            "type": "object",
            "required": ["code", "description"],
            "properties": {"code": {"type": "string"}, "description": {"type": "string"}},
        },
    },
    "example": [{"code": "404", "description": "there is no service x"}],
}
_ERRORS_XML = text(
    '<?xml version="1.0" encoding="UTF-8"?><errors><error><code>404</code>'
    "<description>there is no service x</description></error></errors>"
)


def _shown(
    root: str, item: str | None, example: Row, *statuses: int, success: int = 200
) -> dict[str, Any]:
    document = _PLAIN.root(root)
    _write(document if item is None else _PLAIN.add(document, item), example)
    one: dict[str, Any] = {"type": "object", "required": sorted(_ALWAYS & set(example))}
    schema = one if item is None else {"type": "array", "items": one}
    media = {
        "application/json": {"schema": schema, "example": example if item is None else [example]},
        "text/xml": text(bytes(markup.answer(document, _XML).body).decode()),
    }
    shown = documented(media, security=_OPEN)
    shown["responses"][success] = shown["responses"].pop(200)
    for status, cause in {400: "Wrong", 403: "No known key", 404: "No such thing"}.items():
        if status in {404, *statuses}:
            content = {"application/json": _ERRORS, "text/xml": _ERRORS_XML}
            shown["responses"][status] = {"description": cause, "content": content}
    return {"response_class": Response, **shown}


_FORMATS = ("text/xml", "application/json")


def _discovery(base: str, format: Format) -> Row:
    endpoint = {
        "specification": "http://wiki.open311.org/GeoReport_v2",
        "url": f"{base}/open311/v2",
        "changeset": "2026-05-01T08:00:00Z",
        "type": "production",
        "formats": [one if format == Format.JSON else {"format": one} for one in _FORMATS],
    }
    found = {"changeset": endpoint["changeset"], "contact": base, "key_service": base}
    return {**found, "endpoints": [endpoint]}


discovery_router = APIRouter(prefix="/open311", tags=["Open311"])


@discovery_router.get(
    "/discovery.{format}",
    summary="Service discovery",
    **_shown("discovery", None, _discovery("https://piles.example", Format.XML)),
)
def discovery(here: Asking) -> Response:
    """Where GeoReport is, and in which formats (https://wiki.open311.org/Service_Discovery/)."""
    found = _discovery(here.ask.context.settings.api.public_url.rstrip("/"), here.format)
    return JSONResponse(found) if here.format == Format.JSON else _document("discovery", found)


_SERVICE = {
    "service_code": "no-output",
    "service_name": "充不进电",
    "description": "充不进电",
    "metadata": True,
    "type": "realtime",
    "keywords": "charging",
    "group": "out-of-order",
}


@router.get("/services.{format}", summary="Services", **_shown("services", "service", _SERVICE))
def services(here: Asking) -> Response:
    """Every fault that can be reported."""
    rows = [_service(code, here.t) for code in FAULTS]
    return _answer("services", "service", rows, here.format)


def _service(code: str, t: Speech) -> Row:
    name = t(f"fault.{code}")
    return {
        **_SERVICE,
        "service_code": code,
        "service_name": name,
        "description": name,
        "group": str(FAULTS[code].effect),
    }


_ATTRIBUTES = (
    ("charger", "string", "桩身编号 (code on the pile)"),
    ("connector", "number", "端口号 (number of the port)"),
)
_DEFINITION = {
    "service_code": "no-output",
    "attributes": [
        {
            "variable": True,
            "code": "charger",
            "datatype": "string",
            "required": False,
            "datatype_description": "",
            "order": 1,
            "description": "桩身编号 (code on the pile)",
            "values": [],
        }
    ],
}


@router.get(
    "/services/{code}.{format}",
    summary="One service",
    **_shown("service_definition", None, _DEFINITION),
)
def definition(
    code: Annotated[str, Path(description="A service's code")], here: Asking
) -> Response:
    """What may be said beside the place: which pile, and which of its ports."""
    if code not in FAULTS:
        raise here.refuse(404, f"there is no service {code}")
    attributes = [
        {
            "variable": True,
            "code": name,
            "datatype": kind,
            "required": False,
            "datatype_description": "",
            "order": order,
            "description": words,
            "values": [],
        }
        for order, (name, kind, words) in enumerate(_ATTRIBUTES, 1)
    ]
    row = {"service_code": code, "attributes": attributes}
    return JSONResponse(row) if here.format == Format.JSON else _document("service_definition", row)


# --- what was reported

_REQUEST = {
    "service_request_id": "7",
    "status": "open",
    "status_notes": "师傅已接单，在路上",
    "service_name": "充不进电",
    "service_code": "no-output",
    "description": "充不进电",
    "agency_responsible": "信阳充电运营",
    "service_notice": "",
    "requested_datetime": "2026-05-01T08:00:00Z",
    "updated_datetime": "2026-05-01T08:20:00Z",
    "expected_datetime": "2026-05-03T08:00:00Z",
    "address": "万和路 1 号 东门 1 号 3",
    "address_id": "WH-E01",
    "zipcode": "464000",
    "lat": 32.13,
    "long": 114.07,
    "media_url": "",
}


@router.get(
    "/requests.{format}",
    summary="Service requests",
    **_shown("service_requests", "request", _REQUEST, 400),
)
def requests(
    here: Asking,
    service_request_id: Annotated[
        str | None, Query(description="Only these, comma separated; the rest is not looked at")
    ] = None,
    service_code: Annotated[
        str | None, Query(description="Only of these services, comma separated")
    ] = None,
    start_date: Annotated[str | None, Query(description="Asked then or later")] = None,
    end_date: Annotated[str | None, Query(description="Asked then or before")] = None,
    status: Annotated[str | None, Query(description="open, closed, or both by comma")] = None,
) -> Response:
    """Newest first: 90 days and 1,000 requests at most; without dates the last 90 days."""
    if service_request_id:
        ids = [_id(here, word) for word in service_request_id.split(",")[:1000]]
        return _told(here, ids=ids)
    begins, ends = _span(here, start_date, end_date)
    words = set((status or "open,closed").split(","))
    if not words <= {"open", "closed"}:
        raise here.refuse(400, "status: open, closed, or open,closed")
    closed = None if len(words) == 2 else words == {"closed"}
    codes = None if not service_code else service_code.replace("\0", "").split(",")[:100]
    return _told(here, from_at=begins, to_at=ends, codes=codes, closed=closed)


def _span(here: Here, begins: str | None, ends: str | None) -> tuple[datetime, datetime]:
    """At most 90 days: with one end given, from or until there."""
    first, last = _moment(here, "start_date", begins), _moment(here, "end_date", ends)
    try:
        if last is None:
            last = here.ask.now if first is None else min(here.ask.now, first + _DAYS)
        if first is None or last - first > _DAYS:
            first = last - _DAYS
    except OverflowError as error:
        raise here.refuse(400, "start_date, end_date: out of range") from error
    return first, last


def _moment(here: Here, name: str, said: str | None) -> datetime | None:
    if not said:
        return None
    try:
        # A plus sign that a client did not encode arrives as a space.
        found = datetime.fromisoformat(said.replace(" ", "+"))
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise here.refuse(400, f"{name}: right would be as 2026-05-01T00:00:00Z") from error


@router.get(
    "/requests/{id}.{format}",
    summary="One service request",
    **_shown("service_requests", "request", _REQUEST, 400),
)
def request(id: Annotated[str, Path(description="Its number")], here: Asking) -> Response:
    """A list of one."""
    return _told(here, ids=[_id(here, id)], one=id)


def _id(here: Here, word: str) -> int:
    number = word.strip()
    if not (number.isascii() and number.isdigit() and len(number) < 19):
        raise here.refuse(404, f"there is no request {word[:40]}")
    return int(number)


def _told(here: Here, *, one: str | None = None, **wanted: Any) -> Response:
    nothing = dict.fromkeys(("ids", "from_at", "to_at", "codes", "closed"))
    rows = here.rows("service_requests", **{**nothing, **wanted})
    if one is not None and not rows:
        raise here.refuse(404, f"there is no request {one[:40]}")
    told = [_request(row, here.t) for row in rows]
    return _answer("service_requests", "request", told, here.format)


def _request(row: Row, t: Speech) -> Row:
    name = t(f"fault.{row['code']}")
    place = [row["address"] or row["site_name"], row["label"], row["number"]]
    return {
        "service_request_id": str(row["id"]),
        "status": "closed" if row["state"] in _CLOSED else "open",
        "status_notes": t(f"mend.{row['state']}"),
        "service_name": name,
        "service_code": row["code"],
        "description": name,
        "agency_responsible": row["company"] or "",
        "service_notice": "",
        "requested_datetime": markup.fit(row["opened_at"]),
        "updated_datetime": markup.fit(row["updated_at"]),
        "expected_datetime": markup.fit(row["deadline_at"]),
        "address": " ".join(str(word) for word in place if word is not None),
        "address_id": row["charger"] or row["site"],
        "zipcode": row["postal_code"] or "",
        "lat": row["latitude"],
        "long": row["longitude"],
        "media_url": "",
    }


_TOKEN = {"service_request_id": "7", "token": "q7…"}


@router.get(
    "/tokens/{token}.{format}",
    summary="The service request of a token",
    **_shown("service_requests", "request", _TOKEN),
)
def token(token: Annotated[str, Path(description="As POST gave it")], here: Asking) -> Response:
    """A token is the secret of a report's receipt."""
    found = report_by_receipt(here.ask.db, here.ask.now, token)
    if found is None:
        raise here.refuse(404, "there is no such token")
    row: Row = {"token": token}
    if found.ticket_id is not None:
        row["service_request_id"] = str(found.ticket_id)
    return _answer("service_requests", "request", [row], here.format)


# --- to report


class ServiceRequest(BaseModel):
    """The fields of a POST that are looked at; all others are thrown away unread. A place is
    `address_id` (a charger's code, or a site's), `lat` and `long`, or a charger."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "service_code": "no-output",
                    "api_key": "pw_…",
                    "address_id": "WH-E01",
                    "attribute[connector]": "3",
                    "description": "插上没反应",
                }
            ]
        }
    )

    service_code: str = ""
    api_key: str = ""
    jurisdiction_id: str = ""
    lat: str = ""
    long: str = ""
    address_id: str = ""
    address_string: str = ""
    description: str = ""
    charger: str = Field("", alias="attribute[charger]")
    connector: str = Field("", alias="attribute[connector]")


_FILED = {
    "service_request_id": "7",
    "service_notice": "https://piles.example/r/q7…",
    "account_id": "",
}


@orders.post(
    "/requests.{format}",
    status_code=201,
    summary="Report by Open311",
    **_shown("service_requests", "request", _FILED, 400, 403, success=201),
)
def file(filing: Annotated[ServiceRequest, Form()], here: Asking) -> Response:
    """Form-encoded. It joins the live ticket of the same matter, or opens one; `service_notice` is
    the address of its story. What waits for a review has a `token` and no number yet."""
    ask = here.ask
    own = ask.context.settings.open311.jurisdiction_id
    if filing.jurisdiction_id not in ("", own):
        raise here.refuse(404, f"jurisdiction_id: this is {own}")
    if not filing.api_key or caller_by_key(ask.db, filing.api_key, ask.now) is None:
        raise here.refuse(403, "api_key: a known key is needed")
    if filing.service_code not in FAULTS:
        raise here.refuse(400 if not filing.service_code else 404, "service_code: see services")
    if len(filing.description) > _LONGEST or "\0" in filing.description:
        raise here.refuse(400, f"description: {_LONGEST} characters at most, and no NUL")
    place = _find(here, filing)
    with ask.db.transaction():
        filed = file_report(
            ask.db,
            ask.policy,
            ask.now,
            source="open311",
            site_id=place["site_id"],
            charger_id=place["charger_id"],
            connector_id=place["connector_id"],
            code=filing.service_code,
            note=filing.description[:_NOTE].strip() or None,
        )
    base = ask.context.settings.api.public_url.rstrip("/")
    row: Row = {
        "service_notice": f"{base}/r/{filed.receipt_token}",
        "account_id": "",
    }
    if filed.ticket_id is None:
        row["token"] = filed.receipt_token
    else:
        row["service_request_id"] = str(filed.ticket_id)
    return _answer("service_requests", "request", [row], here.format, 201)


def _find(here: Here, filing: ServiceRequest) -> Row:
    site, charger = None, filing.charger or None
    if address := filing.address_id or filing.address_string:
        found = here.rows("address_id", code=_word(address))
        if not found:
            raise here.refuse(404, "address_id: there is no charger or site of this code")
        site, charger = found[0]["site"], charger or found[0]["charger"]
    elif filing.lat or filing.long:
        site = _near(here, filing)
    elif charger is None:
        raise here.refuse(400, "lat and long, address_id, or attribute[charger] are needed")
    port = filing.connector
    if port and not (port.isascii() and port.isdigit() and 1 <= len(port) <= 3):
        raise here.refuse(400, "attribute[connector]: a number from 1 to 999 is needed")
    if port and charger is None:
        raise here.refuse(400, "attribute[connector]: it needs attribute[charger]")
    places = here.ask.rows(
        "find_place",
        site=site,
        charger=None if charger is None else _word(charger),
        connector=int(port) if port else None,
    )
    if not places:
        raise here.refuse(404, "there is no such pile or port at this place")
    return places[0]


def _near(here: Here, filing: ServiceRequest) -> str:
    try:
        latitude, longitude = float(filing.lat), float(filing.long)
        if not (-90 <= latitude <= 90 and -180 <= longitude <= 180):
            raise ValueError("out of range")
    except ValueError as error:
        raise here.refuse(400, "lat, long: degrees are needed, as 32.13 and 114.07") from error
    position = {"latitude": latitude, "longitude": longitude, "within": _WITHIN_M}
    found = here.rows("nearest_site", **position)
    if not found:
        raise here.refuse(404, f"there is no site within {_WITHIN_M:.0f} m of lat and long")
    return str(found[0]["code"])


def _word(text: str) -> str:
    return "" if "\0" in text else text[:64]
