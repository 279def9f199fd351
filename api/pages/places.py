"""Each pile's days: the share of each in which its ports could be used."""

from collections import defaultdict
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import pairwise
from typing import Annotated
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Query, Request, Response

from api.context import Ask, Asked
from api.pages import staff
from api.rights import demand, scope
from pilewatch.uptime.building import built_until
from pilewatch.uptime.measures import Layers, take_apart
from pilewatch.uptime.periods import Period, microseconds, period
from pilewatch.uptime.reading import Place, layers_of, places
from pilewatch.uptime.spans import Span, intersect, total

router = APIRouter(prefix="/console", include_in_schema=False)
_PILES = 150
Word = Annotated[str, Query(max_length=64)]


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
