"""The whole area at a glance: a plan of the sites, and each pile's days."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import pairwise
from math import cos, radians
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Query, Request, Response

from api.context import Ask, Asked
from api.pages import staff, views
from api.rights import demand, scope
from pilewatch.uptime.building import built_until
from pilewatch.uptime.measures import Layers, take_apart
from pilewatch.uptime.periods import Period, microseconds, period
from pilewatch.uptime.reading import Place, layers_of, places
from pilewatch.uptime.spans import Span, intersect, total

router = APIRouter(prefix="/console", include_in_schema=False)
WIDTH, HEIGHT, _EDGE = 1000, 560, 70
_PILES = 150
Word = Annotated[str, Query(max_length=64)]


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
    """Every site where it stands; it needs no tiles of anybody."""
    demand(ask.caller, "read")
    narrowed = scope(ask.caller)
    found = staff.rows(ask, "site_states", stopping=views.STOPPING, **narrowed)
    return staff.page(
        request,
        ask,
        "console/map.html",
        sites=found,
        spots=spots(found),
        width=WIDTH,
        height=HEIGHT,
    )


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


# --- the heat map


@dataclass(frozen=True)
class Days:
    """One pile's month: the share of each day in which its ports could be used; None: not known."""

    code: str
    label: str
    shares: list[float | None]
    whole: float | None


@router.get("/uptime")
def uptime(request: Request, ask: Ask, site: Word = "", month: Word = "") -> Response:
    """A site's piles by day. Plain uptime: unknown counts as down, nothing is left out."""
    demand(ask.caller, "read")
    narrowed = scope(ask.caller)
    sites = staff.rows(ask, "own_sites", **narrowed)
    chosen = next((s for s in sites if s["code"] == site), sites[0] if sites else None)
    try:
        asked = period(month)
        wrong = False
    except ValueError:
        asked, wrong = period(f"{ask.now:%Y-%m}"), month != ""
    days: list[Days] = []
    if chosen is not None:
        seen = {key: narrowed[key] for key in ("company_id", "grids")}
        days = _days(ask, places(ask.db, site=chosen["code"], **seen), asked)
    return staff.page(
        request,
        ask,
        "console/uptime.html",
        sites=sites,
        chosen=chosen,
        month=f"{asked.month:%Y-%m}",
        before=f"{asked.month - timedelta(days=1):%Y-%m}",
        after=f"{asked.after:%Y-%m}",
        wrong=wrong,
        dates=_dates(asked),
        days=days,
        until=built_until(ask.db),
    )


def _dates(asked: Period) -> list[date]:
    return [asked.first + timedelta(days=n) for n in range((asked.after - asked.first).days)]


def _days(ask: Asked, found: list[Place], asked: Period) -> list[Days]:
    if not found:
        return []
    piles: dict[str, list[list[int]]] = defaultdict(list)
    for place, layers in layers_of(ask.db, found, asked):
        piles[place.charger].append(_by_day(layers, asked, place.timezone))
    labels = {r["code"]: r["label"] for r in staff.rows(ask, "labels", codes=sorted(piles))}
    return [days_of(code, labels[code], ports) for code, ports in sorted(piles.items())][:_PILES]


def _by_day(layers: Layers, asked: Period, timezone: str) -> list[int]:
    """Of each day: microseconds in which it could be used, then those in service."""
    working = take_apart(layers).working
    counted = []
    for begins, ends in day_spans(asked, timezone):
        day = [(begins, ends)]
        counted += [total(intersect(working, day)), total(intersect([layers.window], day))]
    return counted


def day_spans(asked: Period, timezone: str) -> list[Span]:
    """The days of a period at a place, from midnight to midnight."""
    zone = ZoneInfo(timezone)
    edges = [
        microseconds(datetime(day.year, day.month, day.day, tzinfo=zone))
        for day in [*_dates(asked), asked.after]
    ]
    return list(pairwise(edges))


def days_of(code: str, label: str, ports: list[list[int]]) -> Days:
    """A pile's days from those of its ports (`_by_day`)."""
    sums = [sum(values) for values in zip(*ports, strict=True)]
    up, there = sums[0::2], sums[1::2]
    shares = [u / t if t else None for u, t in zip(up, there, strict=True)]
    return Days(code, label, shares, sum(up) / sum(there) if sum(there) else None)
