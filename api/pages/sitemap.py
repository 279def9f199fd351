"""The sites where they stand: as a picture that needs no script, and as data for the live map."""

import gzip
from collections.abc import Iterable
from dataclasses import dataclass
from io import BytesIO
from math import cos, radians
from typing import Any

import msgspec
from fastapi import APIRouter, Request, Response
from PIL import Image

from api.context import Ask, Asked
from api.pages import staff, views
from api.pages.datum import to_gcj02
from api.pages.render import unpacks
from api.pages.shield import policy
from api.pages.words import script_words
from api.problems import Problem
from api.rights import demand, scope
from pilewatch.settings import BadSettings, Map

router = APIRouter(prefix="/console", include_in_schema=False)
WIDTH, HEIGHT, _EDGE = 1000, 560, 70
WORDS = ("danger", "bad", "unknown", "some", "good")
"""What is said of a site or a pile, the worst first."""
_TOLD = (
    *(f"map.{word}" for word in (*WORDS, "usable", "sites", "together", "board", "north")),
    *("map.loading", "map.failed", "map.close", "chart.closer", "chart.wider"),
)
"""Words that the live map shows."""
_COUNTS = ("ports", "usable", "tickets", "danger")
_LISTED, _DRAWN, _PILES = 500, 20_000, 300
_PICTURES = {"PNG": "image/png", "JPEG": "image/jpeg", "WEBP": "image/webp"}
_BIGGEST = 20_000_000


@dataclass(frozen=True)
class Picture:
    """The plan that an installation lays under its map."""

    body: bytes
    media_type: str


def read_picture(settings: Map) -> Picture | None:
    """The picture of `plan_file`. Raises `BadSettings` for what is none."""
    if settings.plan_file is None:
        return None
    try:
        body = settings.plan_file.read_bytes()
        with Image.open(BytesIO(body), formats=list(_PICTURES)) as image:
            image.verify()
            kind = str(image.format)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise BadSettings(f"map.plan_file: {settings.plan_file}: {error}") from error
    if len(body) > _BIGGEST:
        raise BadSettings(f"map.plan_file: {settings.plan_file} is larger than 20 MB")
    return Picture(body, _PICTURES[kind])


@dataclass(frozen=True)
class Spot:
    """A site on the plan: where its mark stands, how big it is, and what it says."""

    x: float
    y: float
    radius: float
    word: str
    site: dict[str, Any]


@router.get("/map")
def plan(request: Request, ask: Ask) -> Response:
    """Every site where it stands; tiles only where the settings name some."""
    demand(ask.caller, "read")
    found = _sites(ask, _LISTED)
    settings = ask.context.settings.map
    page = staff.page(
        request,
        ask,
        "console/map.html",
        sites=found,
        spots=spots(found),
        width=WIDTH,
        height=HEIGHT,
        words=WORDS,
        told=script_words(request, _TOLD),
        map=settings,
        bounds=_bounds(settings),
    )
    if settings.tile_origin is not None:
        page.headers["Content-Security-Policy"] = policy(settings.tile_origin)
    return page


@router.get("/map/picture")
def picture(request: Request, ask: Ask) -> Response:
    """The installation's own plan."""
    demand(ask.caller, "read")
    found: Picture | None = request.app.state.site_plan
    if found is None:
        raise Problem(404, "this installation has no plan of its own")
    return Response(found.body, media_type=found.media_type,
                    headers={"Cache-Control": "private, max-age=3600"})  # fmt: skip


@router.get("/map/sites")
def sites(request: Request, ask: Ask) -> Response:
    """All sites that have a place, the most urgent first, in the datum of the map."""
    demand(ask.caller, "read")
    shifted = ask.context.settings.map.datum == "gcj02"
    told = []
    for row in _sites(ask, _DRAWN):
        if row["latitude"] is None or row["longitude"] is None:
            continue
        at = row["latitude"], row["longitude"]
        latitude, longitude = to_gcj02(*at) if shifted else at
        own = {key: row[key] for key in ("code", "name", "grid", "grid_code", *_COUNTS)}
        place = {"lat": round(latitude, 6), "lon": round(longitude, 6)}
        told.append({**own, **place, "word": condition(row)})
    return _json(request, told)


@router.get("/map/sites/{code}")
def piles(code: str, request: Request, ask: Ask) -> Response:
    """A site's piles, the most urgent first."""
    demand(ask.caller, "read")
    word = "" if "\0" in code else code[:64]
    rows = staff.rows(ask, "site_piles", code=word, stopping=views.STOPPING, limit=_PILES,
                      **scope(ask.caller))  # fmt: skip
    told = [{**{key: row[key] for key in ("code", "label", *_COUNTS)}, "word": condition(row)}
            for row in rows]  # fmt: skip
    return _json(request, sorted(told, key=lambda pile: WORDS.index(pile["word"])))


def _sites(ask: Asked, limit: int) -> list[dict[str, Any]]:
    return staff.rows(ask, "site_states", stopping=views.STOPPING, limit=limit,
                      **scope(ask.caller))  # fmt: skip


def _bounds(settings: Map) -> list[list[float]] | None:
    """The corners of the picture, south-west and north-east, in the datum of the map."""
    if settings.plan_bounds is None:
        return None
    south, west, north, east = settings.plan_bounds
    corners = ((south, west), (north, east))
    shifted = settings.datum == "gcj02"
    return [list(to_gcj02(*corner) if shifted else corner) for corner in corners]


def _json(request: Request, told: Any) -> Response:
    """Packed: unlike a page it holds no secret that its length could tell of."""
    headers = {"Cache-Control": "no-store", "Vary": "Accept-Encoding"}
    body = msgspec.json.encode(told)
    if unpacks(request):
        body, headers["Content-Encoding"] = gzip.compress(body, 5), "gzip"
    return Response(body, media_type="application/json", headers=headers)


def spots(sites: Iterable[dict[str, Any]]) -> list[Spot]:
    """Coordinates as a plan with north above, both ways to the same scale; what is near another
    is drawn later where it is more urgent."""
    known = [s for s in sites if s["latitude"] is not None and s["longitude"] is not None]
    if not known:
        return []
    east = cos(radians(sum(s["latitude"] for s in known) / len(known)))
    xs = [s["longitude"] * east for s in known]
    ys = [-s["latitude"] for s in known]
    scale = min(
        (WIDTH - 2 * _EDGE) / max(max(xs) - min(xs), 1e-6),
        (HEIGHT - 2 * _EDGE) / max(max(ys) - min(ys), 1e-6),
    )
    left = WIDTH / 2 - scale * (max(xs) + min(xs)) / 2
    top = HEIGHT / 2 - scale * (max(ys) + min(ys)) / 2
    found = [
        Spot(
            round(left + scale * x, 1),
            round(top + scale * y, 1),
            round(12 + min(s["ports"], 200) ** 0.5 * 1.6, 1),
            condition(s),
            s,
        )
        for s, x, y in zip(known, xs, ys, strict=True)
    ]
    return found[::-1]


def condition(site: dict[str, Any]) -> str:
    """One word for a site: danger, bad (less than 80 % can be used), unknown, some, or good."""
    if site["danger"]:
        return "danger"
    if not site["ports"] or site["unknown"] * 2 > site["ports"]:
        return "unknown"
    if site["usable"] < 0.8 * site["ports"]:
        return "bad"
    return "some" if site["tickets"] else "good"
