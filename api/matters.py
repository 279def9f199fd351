"""`/api/v1/matters`: what was raised at a bench meeting, who owes the answer, what it was."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import Query, Response

from api import meetings_models as shapes
from api import problems
from api.context import Ask, Asked, IfMatch, seen_version
from api.meetings import (
    FAST_CLOCK,
    SQL,
    GridWord,
    Id,
    Pieces,
    matter_rows,
    meeting_seen,
    plain,
    tagged,
    transaction,
)
from api.models import Listed
from api.problems import Problem
from api.reporting import place_of
from api.rights import demand
from api.routers import ordering, reading
from pilewatch.workflow.matters import (
    Answer,
    Correct,
    HandOn,
    Kind,
    Owner,
    Settle,
    State,
    Step,
    possible,
)
from pilewatch.workflow.meetings import Place, move_matter, raise_matter
from pilewatch.workflow.receipts import in_groups, spoken_receipt

router, orders = reading("meetings"), ordering("meetings")


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
    rows = matter_rows(ask, **wanted, at=piece.at, at_id=piece.at_id, limit=piece.limit)
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
    return tagged(response, _shown(_matter(ask, id)))


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
    with transaction(ask):
        meeting_seen(ask, id)
        if body.raised_at is not None and body.raised_at > ask.now + FAST_CLOCK:
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
            owner=_owner(ask, body.company, body.person) or Owner(person_id=ask.person_id),
            deadline_at=body.deadline_at,
            about=about,
            person_id=ask.person_id,
        )
        if created:
            # The words of residents stay in the matter, where they can be corrected.
            said = body.model_dump(mode="json", exclude={"id", "text"}, exclude_none=True)
            ask.record("matter.raise", f"matter/{body.id}", None, said)
        shown = _shown(_matter(ask, body.id, everyones=True))
        receipt = (
            in_groups(spoken_receipt(ask.db, "matter", body.id)) if about is not None else None
        )
        return tagged(response, {**shown, "receipt": receipt})


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
    with transaction(ask):
        _matter(ask, id)
        before = move_matter(ask.db, ask.now, id, action, seen_version(if_match))
        # Whoever has just given it away is still told how it stands.
        after = _matter(ask, id, everyones=True)
        keys = dict.fromkeys(("state", "owner_company_id", "owner_person_id", "version"))
        told = {"state": after["state"], "company": after["company"], "person": after["person"]}
        ask.record(f"matter.{word}", f"matter/{id}", plain(before, keys), told)
        return tagged(response, _shown(after))


# --- shapes


def _owner(ask: Asked, company: str | None, person: str | None) -> Owner | None:
    if company is not None and person is not None:
        raise Problem(422, "company or person: only one owes the answer")
    if company is not None:
        row = ask.db.execute(SQL["owner_company"], {"code": company}).fetchone()
        if row is None:
            raise Problem(422, f"company: there is no company {company}")
        return Owner(company_id=row["id"])
    if person is not None:
        row = ask.db.execute(SQL["owner_person"], {"login": person}).fetchone()
        if row is None:
            raise Problem(422, f"person: there is no person {person}")
        return Owner(person_id=row["id"])
    return None


def _matter(ask: Asked, id: UUID, *, everyones: bool = False) -> dict[str, Any]:
    rows = matter_rows(ask, id=id, everyones=everyones)
    if not rows:
        raise Problem(404, f"there is no matter {id}")
    return rows[0]


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    return {**row, "actions": [] if row["ticket_id"] is not None else possible(row["state"])}
