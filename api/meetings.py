"""`/api/v1/meetings` and `/api/v1/matters`: bench meetings, what was raised, what became of it."""

import base64
import binascii
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal
from uuid import UUID
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Depends, Header, Path, Query, Response

from api import meetings_models as shapes
from api import problems
from api.context import Ask, Asked, Word, guard_cache
from api.idempotency import OnceRoute, once
from api.models import Listed
from api.pages.words import Speech
from api.papers import meeting as papers
from api.problems import Problem
from api.reporting import place_of
from api.rights import demand, scope
from pilewatch.store import queries
from pilewatch.workflow import audit
from pilewatch.workflow.matters import (
    Answer,
    Correct,
    HandOn,
    Kind,
    Owner,
    Refused,
    Settle,
    State,
    Step,
    possible,
)
from pilewatch.workflow.meetings import (
    Changed,
    Closed,
    Conflict,
    Place,
    change_meeting,
    close_meeting,
    enter_meeting,
    move_matter,
    raise_matter,
)
from pilewatch.workflow.receipts import in_groups, spoken_receipt

router = APIRouter(prefix="/api/v1", tags=["meetings"], dependencies=[Depends(guard_cache)])
orders = APIRouter(
    prefix="/api/v1",
    tags=["meetings"],
    route_class=OnceRoute,
    dependencies=[Depends(guard_cache), Depends(once, scope="function")],
    responses=problems.documented([413]),
)
_SQL = queries.load("meetings")
_FAST_CLOCK = timedelta(minutes=10)
"""How far a phone's clock may be ahead."""
_ALL = 10_000
Id = Annotated[UUID, Path(description="The id that the phone has made")]
IfMatch = Annotated[str | None, Header(description="its ETag; 412 if it has changed")]
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
    return _tagged(response, _meeting(ask, id))


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
    with _transaction(ask):
        said = body.model_dump(exclude={"id", "grid"})
        grid_id = _own_grid(ask, body.grid)
        if enter_meeting(ask.db, ask.now, body.id, grid_id=grid_id, person_id=_person(ask), **said):
            plain = body.model_dump(mode="json", exclude={"id"})
            _audit(ask, "meeting.enter", f"meeting/{body.id}", None, plain)
        return _tagged(response, _meeting(ask, body.id))


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
    with _transaction(ask):
        _meeting(ask, id)
        changes = body.model_dump(exclude_none=True)
        before = change_meeting(ask.db, ask.now, id, changes, _version(if_match))
        _audit(ask, "meeting.change", f"meeting/{id}", _plain(before, changes), _plain(changes))
        return _tagged(response, _meeting(ask, id))


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
    with _transaction(ask):
        known = _meeting(ask, id)
        changes = body.model_dump(exclude_none=True)
        if "attendees" not in changes and known["attendees"] is None:
            raise Problem(422, "attendees: how many came is needed")
        if (body.starts_at or known["starts_at"]) > ask.now + _FAST_CLOCK:
            raise Problem(409, "the meeting has not begun yet")
        before = close_meeting(ask.db, ask.now, id, changes, _version(if_match))
        _audit(ask, "meeting.close", f"meeting/{id}", _plain(before, changes), _plain(changes))
        return _tagged(response, _meeting(ask, id))


@router.get(
    "/meetings/{id}/minutes.pdf",
    response_class=Pdf,
    summary="The minutes, to print",
    **problems.for_staff(404),
)
def minutes_pdf(id: Id, ask: Ask, language: Language = "zh-CN") -> Any:
    """A4: agenda, what was said, every matter with owner and deadline."""
    demand(ask.caller, "read")
    found = _meeting(ask, id)
    rows = _matters(ask, meeting=id, limit=_ALL)
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
    found = _meeting(ask, id)
    rows = _matters(ask, grid=found["grid"], met_before=found["starts_at"], limit=_ALL)
    last = ask.db.execute(_SQL["meeting_before"], found).fetchone()
    since = None if last is None else last["starts_at"]
    t = _speech(ask, found, language)
    return _paper(papers.feedback(t, found, rows, since, ask.now), f"feedback-{id}")


def _speech(ask: Asked, found: dict[str, Any], language: str) -> Speech:
    return Speech("en" if language == "en" else "zh", ZoneInfo(found["timezone"]), ask.now)


def _paper(made: bytes, name: str) -> Pdf:
    shown = {"Content-Disposition": f'inline; filename="{name}.pdf"', "Cache-Control": "no-store"}
    return Pdf(made, headers=shown)


# --- matters


@router.get(
    "/matters",
    response_model=Listed[shapes.MatterAnswer],
    summary="Matters",
    **problems.for_staff(),
)
def matters(
    ask: Ask,
    piece: Pieces,
    meeting: Annotated[UUID | None, Query(description="Only of this meeting")] = None,
    grid: GridWord = None,
    state: Annotated[State | None, Query(description="Only in this state")] = None,
    kind: Annotated[Kind | None, Query(description="Only of this kind")] = None,
    overdue: Annotated[bool | None, Query(description="Only what is (not) late")] = None,
) -> Any:
    """In the order in which they were raised. A company sees those that it owns."""
    demand(ask.caller, "read")
    wanted: dict[str, Any] = {"meeting": meeting, "grid": grid, "state": state, "kind": kind}
    wanted["overdue"] = overdue
    rows = _matters(ask, **wanted, at=piece.at, at_id=piece.at_id, limit=piece.limit)
    return piece.answer(rows, "raised_at", [_shown(row) for row in rows])


@router.get(
    "/matters/{id}",
    response_model=shapes.MatterAnswer,
    summary="One matter",
    **problems.for_staff(404),
)
def matter(id: Id, response: Response, ask: Ask) -> Any:
    """Its ETag is its version, for If-Match."""
    demand(ask.caller, "read")
    return _tagged(response, _shown(_matter(ask, id)))


@orders.post(
    "/meetings/{id}/matters",
    status_code=201,
    response_model=shapes.MatterAnswer,
    summary="Enter what was raised",
    **problems.for_staff(404, 409),
)
def raise_(id: Id, body: shapes.MatterRequest, response: Response, ask: Ask) -> Any:
    """About charging it becomes a report and so a ticket; whoever raised it gets the receipt. The
    same order again changes nothing; another one with the same id is refused (409)."""
    demand(ask.caller, "meet")
    with _transaction(ask):
        _meeting(ask, id)
        if body.raised_at is not None and body.raised_at > ask.now + _FAST_CLOCK:
            raise Problem(422, "raised_at: is in the future")
        about = _about(ask, body)
        created = raise_matter(
            ask.db,
            ask.policy,
            ask.now,
            body.id,
            meeting_id=id,
            kind=body.kind,
            text=body.text,
            raised_at=body.raised_at,
            owner=_owner(ask, body.company, body.person) or Owner(person_id=_person(ask)),
            deadline_at=body.deadline_at,
            about=about,
            person_id=_person(ask),
        )
        if created:
            # The words of residents stay in the matter, where they can be corrected.
            said = body.model_dump(mode="json", exclude={"id", "text"}, exclude_none=True)
            _audit(ask, "matter.raise", f"matter/{body.id}", None, said)
        shown = _shown(_matter(ask, body.id, everyones=True))
        receipt = in_groups(spoken_receipt(ask.db, body.id)) if about is not None else None
        return _tagged(response, {**shown, "receipt": receipt})


def _about(ask: Asked, body: shapes.MatterRequest) -> Place | None:
    named = [k for k in ("site", "charger", "connector", "code") if getattr(body, k) is not None]
    owed = [k for k in ("company", "person", "deadline_at") if getattr(body, k) is not None]
    if body.kind != "charging":
        if named:
            raise Problem(422, f"{named[0]}: only for a matter about charging")
        return None
    if owed:
        raise Problem(422, f"{owed[0]}: a matter about charging has those of its ticket")
    if body.code is None:
        raise Problem(422, "code: a matter about charging needs a fault code")
    place = place_of(ask, body.site, body.charger, body.connector)
    return Place(**place, code=body.code)


@router.patch(
    "/matters/{id}",
    response_model=shapes.MatterAnswer,
    summary="Correct a matter",
    **problems.for_staff(404, 409, 412),
)
def correct(
    id: Id, body: shapes.MatterChange, response: Response, ask: Ask, if_match: IfMatch = None
) -> Any:
    """Other words, another kind or deadline, until it is done."""
    demand(ask.caller, "meet")
    return _move(ask, id, "correct", Correct(body.text, body.kind, body.deadline_at),
                 response, if_match)  # fmt: skip


@orders.post(
    "/matters/{id}/hand-on",
    response_model=shapes.MatterAnswer,
    summary="Hand a matter on",
    **problems.for_staff(404, 409, 412),
)
def hand_on(
    id: Id, body: shapes.HandOnRequest, response: Response, ask: Ask, if_match: IfMatch = None
) -> Any:
    """Another one owes the answer from now on; also where an answer did not help."""
    demand(ask.caller, "meet")
    owner = _owner(ask, body.company, body.person)
    if owner is None:
        raise Problem(422, "company or person: one is needed")
    if body.deadline_at <= ask.now:
        raise Problem(422, "deadline_at: is over already")
    return _move(ask, id, "hand-on", HandOn(owner, body.deadline_at), response, if_match)


@orders.post(
    "/matters/{id}/answer",
    response_model=shapes.MatterAnswer,
    summary="Answer a matter",
    **problems.for_staff(404, 409, 412),
    operation_id="answer_matter",
)
def answer(
    id: Id, body: shapes.AnswerMatterRequest, response: Response, ask: Ask, if_match: IfMatch = None
) -> Any:
    """What was done, or why not: the words that the feedback sheet shows."""
    demand(ask.caller, "answer")
    return _move(ask, id, "answer", Answer(body.text), response, if_match)


@orders.post(
    "/matters/{id}/settle",
    response_model=shapes.MatterAnswer,
    summary="Settle a matter",
    **problems.for_staff(404, 409, 412),
)
def settle(id: Id, response: Response, ask: Ask, if_match: IfMatch = None) -> Any:
    """Whoever raised it has been told, and is content."""
    demand(ask.caller, "meet")
    return _move(ask, id, "settle", Settle(), response, if_match)


def _move(
    ask: Asked, id: UUID, word: str, action: Step, response: Response, if_match: str | None
) -> dict[str, Any]:
    with _transaction(ask):
        _matter(ask, id)
        before = move_matter(ask.db, ask.now, id, action, _version(if_match))
        # Whoever has just given it away is still told how it stands.
        after = _matter(ask, id, everyones=True)
        keys = dict.fromkeys(("state", "owner_company_id", "owner_person_id", "version"))
        told = {"state": after["state"], "company": after["company"], "person": after["person"]}
        _audit(ask, f"matter.{word}", f"matter/{id}", _plain(before, keys), told)
        return _tagged(response, _shown(after))


# --- shapes


@contextmanager
def _transaction(ask: Asked) -> Iterator[None]:
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
    row = ask.db.execute(_SQL["grid"], {"code": code}).fetchone()
    if row is None:
        raise Problem(422, f"grid: there is no grid {code}")
    mine = scope(ask.caller)
    if mine["company_id"] is not None or (mine["grids"] and row["id"] not in mine["grids"]):
        raise Problem(403, "this grid is not yours")
    return int(row["id"])


def _owner(ask: Asked, company: str | None, person: str | None) -> Owner | None:
    if company is not None and person is not None:
        raise Problem(422, "company or person: only one owes the answer")
    if company is not None:
        row = ask.db.execute(_SQL["owner_company"], {"code": company}).fetchone()
        if row is None:
            raise Problem(422, f"company: there is no company {company}")
        return Owner(company_id=row["id"])
    if person is not None:
        row = ask.db.execute(_SQL["owner_person"], {"login": person}).fetchone()
        if row is None:
            raise Problem(422, f"person: there is no person {person}")
        return Owner(person_id=row["id"])
    return None


def _meetings(ask: Asked, **wanted: Any) -> list[dict[str, Any]]:
    values = {**dict.fromkeys(("id", "grid", "at", "at_id")), "limit": 1, **wanted}
    return ask.db.execute(_SQL["meetings"], {**values, **scope(ask.caller)}).fetchall()


def _meeting(ask: Asked, id: UUID) -> dict[str, Any]:
    rows = _meetings(ask, id=id)
    if not rows:
        raise Problem(404, f"there is no meeting {id}")
    return rows[0]


def _matters(ask: Asked, *, everyones: bool = False, **wanted: Any) -> list[dict[str, Any]]:
    names = ("id", "meeting", "grid", "state", "kind", "overdue", "met_before", "at", "at_id")
    narrowed = scope(ask.caller)
    if everyones:
        narrowed = dict.fromkeys(narrowed)
    values = {**dict.fromkeys(names), "limit": 1, "now": ask.now, **wanted, **narrowed}
    return ask.db.execute(_SQL["matters"], values).fetchall()


def _matter(ask: Asked, id: UUID, *, everyones: bool = False) -> dict[str, Any]:
    rows = _matters(ask, id=id, everyones=everyones)
    if not rows:
        raise Problem(404, f"there is no matter {id}")
    return rows[0]


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    return {**row, "actions": [] if row["ticket_id"] is not None else possible(row["state"])}


def _tagged(response: Response, row: dict[str, Any]) -> dict[str, Any]:
    response.headers["ETag"] = f'"{row["version"]}"'
    return row


def _version(if_match: str | None) -> int | None:
    if if_match is None or if_match.strip() == "*":
        return None
    text = if_match.strip().strip('"')
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise Problem(412, "If-Match: use the ETag of what is changed")
    return int(text)


def _person(ask: Asked) -> int:
    assert ask.caller.id is not None
    return ask.caller.id


def _plain(row: dict[str, Any], keys: dict[str, Any] | None = None) -> dict[str, Any]:
    """For the record: people's own words stay in the minutes, where they can be corrected."""
    told = {key: row[key] and str(row[key]) for key in (row if keys is None else keys)}
    return told | ({"minutes": "…"} if "minutes" in told else {})


def _audit(
    ask: Asked, action: str, about: str, before: dict[str, Any] | None, after: dict[str, Any] | None
) -> None:
    audit.record(ask.db, ask.now, ask.caller.id, action, about, before, after)
