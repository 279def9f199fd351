"""`/open311/v2/…`: GeoReport v2 (https://wiki.open311.org/GeoReport_v2/), in XML and JSON.

A ticket is a service request, a fault code a service. Words of people are taken and never told;
names, mail addresses and phone numbers are neither taken nor kept.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any
from xml.etree.ElementTree import Element
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Depends, FastAPI, Path, Query, Request, Response
from fastapi.responses import JSONResponse

from api.context import Ask, Asked
from api.opendata import markup
from api.opendata.answers import documented, text
from api.pages.words import Speech, language_of
from pilewatch.faultcodes import FAULTS
from pilewatch.store import queries

_SQL = queries.load("open")
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
    return answer("errors", "error", [row], error.format, error.status)


def answer(root: str, item: str, rows: list[Row], format: Format, status: int = 200) -> Response:
    """A list of rows in the format that was asked for."""
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


def shown(
    root: str, item: str | None, example: Row, *statuses: int, success: int = 200
) -> dict[str, Any]:
    """What the OpenAPI document says of such an answer, in both formats."""
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
    **shown("discovery", None, _discovery("https://piles.example", Format.XML)),
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


@router.get("/services.{format}", summary="Services", **shown("services", "service", _SERVICE))
def services(here: Asking) -> Response:
    """Every fault that can be reported."""
    rows = [_service(code, here.t) for code in FAULTS]
    return answer("services", "service", rows, here.format)


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
    **shown("service_definition", None, _DEFINITION),
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
