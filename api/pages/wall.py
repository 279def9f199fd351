"""The community's wall screen: what was raised and settled this month, and what works now."""

from collections import Counter
from dataclasses import dataclass
from typing import Annotated
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Query, Request, Response

from api.context import Ask
from api.pages import staff, views
from api.pages.render import show, speech
from api.problems import Problem
from pilewatch.workflow.figures import Figures, Month, figures, read_lines

router = APIRouter(include_in_schema=False)
_EVERYTHING = dict.fromkeys(("company_id", "owner_id", "person_id", "grids"))


@dataclass(frozen=True)
class Bars:
    """One day of the month: its day, and the heights of raised and settled in per cent."""

    day: int
    raised: int
    settled: int
    raised_height: float
    settled_height: float


@router.get("/board")
def wall(request: Request, ask: Ask, area: Annotated[str, Query(max_length=64)] = "") -> Response:
    """Counts only: no matter, place of a matter, or person can be told from it."""
    word = area.replace("\0", "") or None
    found = ask.db.execute(staff.SQL["wall_area"], {"area": word}).fetchone()
    if found is None:
        raise Problem(404, "there is no such area")
    zone = ZoneInfo(found["timezone"])
    local = ask.now.astimezone(zone)
    month = Month(local.year, local.month, zone)
    lines = read_lines(ask.db, month, found["id"], _EVERYTHING)
    counted = figures(lines, month, ask.now)
    ports = Counter[str]()
    for row in staff.rows(ask, "wall_ports", area_id=found["id"], stopping=views.STOPPING):
        ports[row["shown"]] = row["ports"]
    return show(
        request,
        speech(request, ask.now, found["timezone"]),
        "wall.html",
        area=found["name"],
        figures=counted,
        on_time=_percent(counted.on_time, counted.on_time + counted.late),
        satisfied=_percent(counted.satisfied, counted.satisfied + counted.dissatisfied),
        usable=_percent(ports["free"] + ports["busy"], ports.total()),
        ports=ports,
        bars=bars(counted, local.day),
    )


def _percent(part: int, whole: int) -> int | None:
    """Whole per cent, and never 100 where something is missing; None of nothing."""
    return None if whole == 0 else part * 100 // whole


def bars(counted: Figures, until: int) -> list[Bars]:
    """The month's days so far."""
    days = counted.days[:until]
    most = max((max(raised, settled) for _, raised, settled in days), default=0) or 1
    return [
        Bars(day.day, raised, settled, 100 * raised / most, 100 * settled / most)
        for day, raised, settled in days
    ]
