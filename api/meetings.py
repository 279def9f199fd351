"""`/api/v1/meetings`: bench meetings, their minutes and feedback sheets."""

import base64
import binascii
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal
from uuid import UUID
from zoneinfo import ZoneInfo

from fastapi import Depends, Path, Query, Response

from api import meetings_models as shapes
from api import problems
from api.context import Ask, Asked, IfMatch, Word, seen_version
from api.models import Listed
from api.pages.words import Speech
from api.papers import meeting as papers
from api.problems import Problem
from api.rights import demand, scope
from api.routers import ordering, reading
from pilewatch.store import queries
from pilewatch.workflow.matters import Refused
from pilewatch.workflow.meetings import (
    Changed,
    Closed,
    Conflict,
    change_meeting,
    close_meeting,
    enter_meeting,
)

router, orders = reading("meetings"), ordering("meetings")
SQL = queries.load("meetings")
FAST_CLOCK = timedelta(minutes=10)
"""How far a phone's clock may be ahead."""
_ALL = 10_000
Id = Annotated[UUID, Path(description="The id that the phone has made")]
Language = Annotated[Literal["zh-CN", "en"], Query(description="The language of the paper")]


class Pdf(Response):
    """A document to print."""

    media_type = "application/pdf"


@dataclass(frozen=True)
class Piece:
    """A piece of a list that is in order of a moment and an id."""

    limit: int
    at: datetime | None
    at_id: UUID | None

    def answer(self, rows: list[dict[str, Any]], key: str, items: list[Any]) -> dict[str, Any]:
        """The list's document; a cursor where there may be more."""
        if len(rows) < self.limit:
            return {"items": items, "next_cursor": None}
        last = f"{rows[-1][key].isoformat()} {rows[-1]['id']}"
        return {"items": items, "next_cursor": base64.urlsafe_b64encode(last.encode()).decode()}


def _piece(
    limit: Annotated[int, Query(ge=1, le=500, description="Rows of one page")] = 100,
    cursor: Annotated[
        str | None, Query(max_length=200, description="`next_cursor` of the page before")
    ] = None,
) -> Piece:
    if cursor is None:
        return Piece(limit, None, None)
    try:
        at, id = base64.urlsafe_b64decode(cursor.encode("ascii")).decode("ascii").split(" ")
        return Piece(limit, datetime.fromisoformat(at).astimezone(UTC), UUID(id))
    except (ValueError, OverflowError, binascii.Error) as error:
        raise Problem(422, "cursor: use the next_cursor of the page before") from error


Pieces = Annotated[Piece, Depends(_piece)]
GridWord = Annotated[Word, Query(description="Only of this grid", examples=["wanhe-1"])]


# --- meetings


@router.get(
    "/meetings",
    response_model=Listed[shapes.MeetingAnswer],
    summary="Bench meetings",
    **problems.for_staff(),
)
def meetings(ask: Ask, piece: Pieces, grid: GridWord = None) -> Any:
    """The latest first."""
    demand(ask.caller, "read")
    rows = _meetings(ask, grid=grid, at=piece.at, at_id=piece.at_id, limit=piece.limit)
    return piece.answer(rows, "starts_at", rows)


@router.get(
    "/meetings/{id}",
    response_model=shapes.MeetingAnswer,
    summary="One bench meeting",
    **problems.for_staff(404),
)
def meeting(id: Id, response: Response, ask: Ask) -> Any:
    """Its ETag is its version, for If-Match."""
    demand(ask.caller, "read")
    return tagged(response, meeting_seen(ask, id))


@orders.post(
    "/meetings",
    status_code=201,
    response_model=shapes.MeetingAnswer,
    summary="Enter a bench meeting",
    **problems.for_staff(409),
)
def enter(body: shapes.MeetingRequest, response: Response, ask: Ask) -> Any:
    """Before or after it is held. The same order again changes nothing; another one with the same
    id is refused (409), and what is stored stays."""
    demand(ask.caller, "meet")
    with transaction(ask):
        said = body.model_dump(exclude={"id", "grid"})
        grid_id = _own_grid(ask, body.grid)
        if enter_meeting(
            ask.db, ask.now, body.id, grid_id=grid_id, person_id=ask.person_id, **said
        ):
            plain = body.model_dump(mode="json", exclude={"id"})
            ask.record("meeting.enter", f"meeting/{body.id}", None, plain)
        return tagged(response, meeting_seen(ask, body.id))


@router.patch(
    "/meetings/{id}",
    response_model=shapes.MeetingAnswer,
    summary="Change a bench meeting",
    **problems.for_staff(404, 409, 412),
)
def change(
    id: Id,
    body: shapes.MeetingChange,
    response: Response,
    ask: Ask,
    if_match: IfMatch = None,
) -> Any:
    """Place, time, agenda, how many came, minutes, the next one; until it is closed."""
    demand(ask.caller, "meet")
    with transaction(ask):
        meeting_seen(ask, id)
        changes = body.model_dump(exclude_none=True)
        before = change_meeting(ask.db, ask.now, id, changes, seen_version(if_match))
        ask.record("meeting.change", f"meeting/{id}", plain(before, changes), plain(changes))
        return tagged(response, meeting_seen(ask, id))


@orders.post(
    "/meetings/{id}/close",
    response_model=shapes.MeetingAnswer,
    summary="Close a bench meeting",
    **problems.for_staff(404, 409, 412),
)
def close(
    id: Id,
    body: shapes.MeetingChange,
    response: Response,
    ask: Ask,
    if_match: IfMatch = None,
) -> Any:
    """From now on its minutes stay as they are. How many came must be known. Matters that a phone
    brings later are still taken."""
    demand(ask.caller, "meet")
    with transaction(ask):
        known = meeting_seen(ask, id)
        changes = body.model_dump(exclude_none=True)
        if "attendees" not in changes and known["attendees"] is None:
            raise Problem(422, "attendees: how many came is needed")
        if (body.starts_at or known["starts_at"]) > ask.now + FAST_CLOCK:
            raise Problem(409, "the meeting has not begun yet")
        before = close_meeting(ask.db, ask.now, id, changes, seen_version(if_match))
        ask.record("meeting.close", f"meeting/{id}", plain(before, changes), plain(changes))
        return tagged(response, meeting_seen(ask, id))


@router.get(
    "/meetings/{id}/minutes.pdf",
    response_class=Pdf,
    summary="The minutes, to print",
    **problems.for_staff(404),
)
def minutes_pdf(id: Id, ask: Ask, language: Language = "zh-CN") -> Any:
    """A4: agenda, what was said, every matter with owner and deadline."""
    demand(ask.caller, "read")
    found = meeting_seen(ask, id)
    rows = matter_rows(ask, meeting=id, limit=_ALL)
    return _paper(papers.minutes(_speech(ask, found, language), found, rows), f"minutes-{id}")


@router.get(
    "/meetings/{id}/feedback.pdf",
    response_class=Pdf,
    summary="The feedback sheet, to print",
    **problems.for_staff(404),
)
def feedback_pdf(id: Id, ask: Ask, language: Language = "zh-CN") -> Any:
    """A4, big type: what became of every matter that this grid's earlier meetings raised. What was
    done before the last meeting is counted only: its residents have been told there."""
    demand(ask.caller, "read")
    found = meeting_seen(ask, id)
    rows = matter_rows(ask, grid=found["grid"], met_before=found["starts_at"], limit=_ALL)
    last = ask.db.execute(SQL["meeting_before"], found).fetchone()
    since = None if last is None else last["starts_at"]
    t = _speech(ask, found, language)
    return _paper(papers.feedback(t, found, rows, since, ask.now), f"feedback-{id}")


def _speech(ask: Asked, found: dict[str, Any], language: str) -> Speech:
    return Speech("en" if language == "en" else "zh", ZoneInfo(found["timezone"]), ask.now)


def _paper(made: bytes, name: str) -> Pdf:
    shown = {"Content-Disposition": f'inline; filename="{name}.pdf"', "Cache-Control": "no-store"}
    return Pdf(made, headers=shown)


# --- shapes


@contextmanager
def transaction(ask: Asked) -> Iterator[None]:
    """All or nothing; what cannot be done is told as a problem."""
    try:
        with ask.db.transaction():
            yield
    except Conflict as error:
        raise Problem(409, str(error)) from error
    except Closed as error:
        raise Problem(409, "the meeting is closed: its minutes stay as they are") from error
    except Changed as error:
        raise Problem(412, str(error), word="changed-meanwhile", version=error.version) from error
    except Refused as error:
        more = {"state": error.state, "allowed": error.allowed}
        raise Problem(409, str(error), word="refused", **more) from error


def _own_grid(ask: Asked, code: str) -> int:
    row = ask.db.execute(SQL["grid"], {"code": code}).fetchone()
    if row is None:
        raise Problem(422, f"grid: there is no grid {code}")
    mine = scope(ask.caller)
    own = mine["grids"] is None or row["id"] in mine["grids"]
    if mine["company_id"] is not None or not own:
        raise Problem(403, "this grid is not yours")
    return int(row["id"])


def _meetings(ask: Asked, **wanted: Any) -> list[dict[str, Any]]:
    values = {**dict.fromkeys(("id", "grid", "at", "at_id")), "limit": 1, **wanted}
    return ask.db.execute(SQL["meetings"], {**values, **scope(ask.caller)}).fetchall()


def meeting_seen(ask: Asked, id: UUID) -> dict[str, Any]:
    """The meeting as this caller may see it. Raises `Problem` 404."""
    rows = _meetings(ask, id=id)
    if not rows:
        raise Problem(404, f"there is no meeting {id}")
    return rows[0]


def tagged(response: Response, row: dict[str, Any]) -> dict[str, Any]:
    """The same row, whose version is the answer's ETag."""
    response.headers["ETag"] = f'"{row["version"]}"'
    return row


def plain(row: dict[str, Any], keys: dict[str, Any] | None = None) -> dict[str, Any]:
    """For the record: people's own words stay in the minutes, where they can be corrected."""
    told = {key: row[key] and str(row[key]) for key in (row if keys is None else keys)}
    return told | ({"minutes": "…"} if "minutes" in told else {})


def matter_rows(ask: Asked, *, everyones: bool = False, **wanted: Any) -> list[dict[str, Any]]:
    """Matters as this caller may see them, or as everyone's."""
    names = ("id", "meeting", "grid", "state", "kind", "overdue", "met_before", "at", "at_id")
    narrowed = scope(ask.caller)
    if everyones:
        narrowed = dict.fromkeys(narrowed)
    values = {**dict.fromkeys(names), "limit": 1, "now": ask.now, **wanted, **narrowed}
    return ask.db.execute(SQL["matters"], values).fetchall()
