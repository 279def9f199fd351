"""Shifts: who is on duty, what came in since mine began, and the hand-over."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Form, Path, Request, Response
from fastapi.responses import RedirectResponse

from api import models, shifts
from api.context import Ask, Asked, check_csrf
from api.pages import staff
from api.pages.render import DEFAULT_ZONE
from api.problems import Problem
from api.rights import demand, may
from pilewatch.workflow.shifts import NOTE_WITHIN, BadShift

router = APIRouter(prefix="/console/shifts", include_in_schema=False)
_BEFORE = timedelta(days=7)
_PLANNED = timedelta(days=30)
"""So long after the last shift the board still says that nobody is on duty."""
_NOTES = 3
_NOTE_LASTS = timedelta(hours=24)
_HOURS = timedelta(hours=8)
Id = Annotated[int, Path(ge=1, le=models.Big)]
Csrf = Annotated[str, Form(max_length=100)]
Word = Annotated[str, Form(max_length=100)]


@dataclass(frozen=True)
class Duty:
    """What the board says of it. `known`: shifts are planned here at all."""

    known: bool
    now: list[dict[str, Any]]
    mine: dict[str, Any] | None
    came_in: dict[str, Any] | None
    notes: list[dict[str, Any]]


def duty(ask: Asked) -> Duty:
    """Who is on duty now, among what the caller sees."""
    found = shifts.listed(ask, ends_after=ask.now - _PLANNED)
    mine = _mine(ask, found)
    noted = [one for one in found if one["noted_at"] and ask.now - one["noted_at"] < _NOTE_LASTS]
    return Duty(
        known=bool(found),
        now=[one for one in found if one["on_duty"]],
        mine=mine,
        came_in=None if mine is None else shifts.rows(ask, "came_in", **mine)[0],
        notes=sorted(noted, key=lambda one: one["noted_at"], reverse=True)[:_NOTES],
    )


def on_duty_now(ask: Asked) -> dict[str, Any] | None:
    """The caller's own shift that is on."""
    return _mine(ask, shifts.listed(ask, ends_after=ask.now))


def _mine(ask: Asked, found: list[dict[str, Any]]) -> dict[str, Any] | None:
    own = [one for one in found if one["on_duty"] and one["person_id"] == ask.caller.id]
    return min(own, key=lambda one: one["from_at"], default=None)


@router.get("")
def plan(request: Request, ask: Ask) -> Response:
    """The last week's shifts with their hand-overs, and those that are planned."""
    demand(ask.caller, "read")
    return _show(request, ask)


def _show(
    request: Request, ask: Asked, *, problem: str = "", given: dict[str, str] | None = None
) -> Response:
    plans = may(ask.caller, "shift")
    found = sorted(shifts.listed(ask, ends_after=ask.now - _BEFORE), key=lambda one: one["from_at"])
    hour = ask.now.replace(minute=0, second=0, microsecond=0)
    zone = _zone(ask)
    usual = {
        "person": ask.caller.login or "", "place": "",
        "from_at": f"{hour.astimezone(zone):%Y-%m-%dT%H:%M}",
        "to_at": f"{(hour + _HOURS).astimezone(zone):%Y-%m-%dT%H:%M}",
    }  # fmt: skip
    return staff.page(
        request, ask, "console/shifts.html", status=422 if problem else 200, problem=problem,
        given={**usual, **(given or {})},
        now=[one for one in found if one["on_duty"]],
        ahead=[one for one in found if one["from_at"] > ask.now],
        over=[one for one in reversed(found) if one["to_at"] <= ask.now],
        mine=[one for one in found if _can_hand_over(ask, one)] if plans else [],
        people=shifts.people(ask) if plans else [],
        places=shifts.rows(ask, "duty_places") if plans else [],
    )  # fmt: skip


def _can_hand_over(ask: Asked, one: dict[str, Any]) -> bool:
    own = one["person_id"] == ask.caller.id and one["from_at"] < ask.now
    fresh = one["to_at"] > ask.now or (one["note"] is None and ask.now < one["to_at"] + NOTE_WITHIN)
    return own and fresh


@router.post("")
def enter(
    request: Request, ask: Ask, csrf: Csrf = "", person: Word = "", place: Word = "",
    from_at: Word = "", to_at: Word = "",
) -> Response:  # fmt: skip
    """Put somebody on duty; the times are those of the place."""
    demand(ask.caller, "shift")
    check_csrf(ask.csrf, csrf)
    kind, _, code = place.partition(":")
    given = {"person": person, "place": place, "from_at": from_at, "to_at": to_at}
    try:
        wanted = shifts.ShiftRequest.model_validate(
            {
                **{"person": person, "scope": kind or None, "code": code or None},
                **{"from_at": _moment(ask, from_at), "to_at": _moment(ask, to_at)},
            }
        )
        shifts.put_on_duty(wanted, ask)
    except (ValueError, OverflowError):
        return _show(request, ask, problem="unreadable", given=given)
    except Problem as refused:
        if not isinstance(refused.__cause__, BadShift):
            raise
        return _show(request, ask, problem=refused.__cause__.word, given=given)
    return RedirectResponse("/console/shifts", 303)


@router.post("/{id}/hand-over")
def hand_over(
    id: Id, ask: Ask, csrf: Csrf = "", note: Annotated[str, Form(max_length=2000)] = ""
) -> Response:
    """It ends now, with a word for whoever follows."""
    check_csrf(ask.csrf, csrf)
    if "\0" in note:
        raise Problem(422, "the character NUL cannot be kept")
    said = note.replace("\r\n", "\n").strip()
    shifts.hand_over(id, shifts.HandOverRequest(note=said or None), ask)
    return RedirectResponse("/console/shifts", 303)


@router.post("/{id}/cancel")
def cancel(id: Id, ask: Ask, csrf: Csrf = "") -> Response:
    """It will not be."""
    check_csrf(ask.csrf, csrf)
    shifts.call_off(id, ask)
    return RedirectResponse("/console/shifts", 303)


def _zone(ask: Asked) -> ZoneInfo:
    zone = staff.own_zone(ask)
    return DEFAULT_ZONE if zone is None else ZoneInfo(zone)


def _moment(ask: Asked, text: str) -> datetime:
    found = datetime.fromisoformat(text)
    return (found if found.tzinfo else found.replace(tzinfo=_zone(ask))).astimezone(UTC)
