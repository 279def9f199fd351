"""Templates, static files and the one function that makes a page of them."""

import gzip
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import distribution
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

import jinja2
from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse

from api.pages.words import LANGUAGE_COOKIE, LOCALES, Speech, language_of
from api.people import RESIDENT, Caller
from api.problems import Problem

FRAGMENT_HEADER = "x-fragment"
"""A page's script asks with it for the living part of the page only."""
_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_PACKAGES = {
    "xstatic-leaflet": ("xstatic/pkg/leaflet/data", ("leaflet.js", "leaflet.css")),
    "uplot-python": ("uplot/static", ("uPlot.iife.js", "uPlot.min.css")),
}
"""Wheels that ship other people's browser files: the folder and which. Read, never imported."""
_YEAR = 365 * 86400
_WORTH = 1024
"""Bytes below which packing saves no packet."""
_NEVER = frozenset({"0", "0.0", "0.00", "0.000"})
SIZE_COOKIE = "size"
SIZES = ("usual", "larger")
DEFAULT_ZONE = ZoneInfo("Asia/Shanghai")


@dataclass(frozen=True)
class StaticFile:
    """A file that ships with the pages; `version` changes with its content."""

    body: bytes
    packed: bytes
    media_type: str
    version: str


def _static_files() -> dict[str, StaticFile]:
    found = {}
    for entry in (*(files("api.pages") / "static").iterdir(), *_packaged()):
        media_type = _TYPES.get("." + entry.name.rpartition(".")[2])
        if media_type is not None:
            body = entry.read_bytes()
            version = hashlib.sha256(body).hexdigest()[:12]
            found[entry.name] = StaticFile(body, gzip.compress(body, mtime=0), media_type, version)
    return found


def _packaged() -> Iterator[Path]:
    for wheel, (folder, names) in _PACKAGES.items():
        yield from (Path(str(distribution(wheel).locate_file(folder))) / name for name in names)


STATIC = _static_files()
router = APIRouter(include_in_schema=False)


@router.get("/static/{name}")
def static(request: Request, name: str, v: str | None = None) -> Response:
    """A static file; kept for ever where the asker names its version."""
    file = STATIC.get(name)
    if file is None:
        raise Problem(404, "there is no such file")
    kept = f"public, max-age={_YEAR}, immutable" if v == file.version else "no-cache"
    headers = {"Cache-Control": kept, "Vary": "Accept-Encoding"}
    if not unpacks(request):
        return Response(file.body, media_type=file.media_type, headers=headers)
    headers["Content-Encoding"] = "gzip"
    return Response(file.packed, media_type=file.media_type, headers=headers)


def unpacks(request: Request) -> bool:
    """Whether the asker reads gzip."""
    said = request.headers.get("accept-encoding", "").lower().replace(" ", "").split(",")
    return any(word == "gzip" or (word.startswith("gzip;q=") and word[7:] not in _NEVER)
               for word in said)  # fmt: skip


def static_url(name: str) -> str:
    """The address of a static file, with its version."""
    return f"/static/{name}?v={STATIC[name].version}"


_ENVIRONMENT = jinja2.Environment(
    loader=jinja2.PackageLoader("api.pages"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_ENVIRONMENT.globals["static_url"] = static_url


def template_names() -> list[str]:
    """Every template."""
    return _ENVIRONMENT.list_templates(extensions=["html"])


def template_source(name: str) -> str:
    """A template's text."""
    return (files("api.pages") / "templates" / name).read_text(encoding="utf-8")


def speech(request: Request, now: datetime, zone: str | None = None) -> Speech:
    """How this request is spoken to."""
    return Speech(language_of(request), ZoneInfo(zone) if zone else DEFAULT_ZONE, now)


def show(
    request: Request,
    t: Speech,
    template: str,
    *,
    status: int = 200,
    caller: Caller = RESIDENT,
    csrf: str | None = None,
    private: bool = False,
    **values: Any,
) -> HTMLResponse:
    """A page, or its living part where the page's own script asks. `private` is never stored."""
    fragment = FRAGMENT_HEADER in request.headers
    text = _ENVIRONMENT.get_template(template).render(
        t=t,
        caller=caller,
        csrf=csrf,
        layout="fragment.html" if fragment else "page.html",
        path=request.url.path,
        other_languages=_other_languages(request, t.language),
        size=(size := size_of(request)),
        other_size=_other_size(request, size),
        **values,
    )
    headers = {
        "Cache-Control": "no-store" if private else "no-cache",
        "Vary": "Accept-Encoding, Cookie, Accept-Language, X-Fragment",
        "Content-Language": t.tag,
    }
    # A page that holds something secret is not packed: its length would tell of it (BREACH).
    body = text.encode()
    if not private and len(body) > _WORTH and unpacks(request):
        body, headers["Content-Encoding"] = gzip.compress(body, 5), "gzip"
    page = HTMLResponse(body, status, headers=headers)
    if request.query_params.get("lang") in LOCALES:
        page.set_cookie(LANGUAGE_COOKIE, t.language, max_age=_YEAR, samesite="lax", httponly=True)
    if request.query_params.get("size") in SIZES:
        page.set_cookie(SIZE_COOKIE, size, max_age=_YEAR, samesite="lax", httponly=True)
    return page


def size_of(request: Request) -> str:
    """How large everything is: `?size=`, else the cookie, else as usual."""
    asked = (request.query_params.get("size"), request.cookies.get(SIZE_COOKIE))
    return next((size for size in asked if size in SIZES), SIZES[0])


def _other_size(request: Request, current: str) -> tuple[str, str]:
    other = next(size for size in SIZES if size != current)
    return other, _address(request, "size", other)


def _other_languages(request: Request, current: str) -> Mapping[str, str]:
    return {
        language: _address(request, "lang", language) for language in LOCALES if language != current
    }


def _address(request: Request, key: str, value: str) -> str:
    """This page with one word of its query changed."""
    kept = [(k, v) for k, v in request.query_params.multi_items() if k != key]
    path = request.url.path if request.method == "GET" else "/"
    return f"{path}?{urlencode([*kept, (key, value)])}"
