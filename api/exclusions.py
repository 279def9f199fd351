"""`/api/v1/exclusions` and opening hours: what uptime's figures leave out, and when they count."""

from typing import Any

from fastapi import Response

from api import problems
from api import uptime_models as answers
from api.context import Ask, Asked, IfMatch, Paged, check_match, etag_of, one
from api.models import Big, Id, Listed, PathCode
from api.ownership import own_scope, scope_id
from api.problems import Problem
from api.rights import demand, scope
from api.routers import ordering, reading
from pilewatch.store import queries
from pilewatch.uptime.exclusions import (
    Exclusion,
    change_exclusion,
    enter_exclusion,
    lock_exclusion,
    set_opening_hours,
    withdraw_exclusion,
)

router, orders = reading("uptime"), ordering("uptime")
_SQL = queries.load("uptime")


@router.get(
    "/exclusions",
    response_model=Listed[answers.ExclusionAnswer],
    summary="Time that is left out",
    **problems.for_staff(),
)
def exclusions(ask: Ask, page: Paged) -> Any:
    """Newest first, withdrawn ones too."""
    demand(ask.caller, "read")
    rows = _rows(
        ask, "exclusions", id=None, before=page.before, limit=page.limit, **scope(ask.caller)
    )
    return page.answer(rows, rows)


@router.get(
    "/exclusions/{id}",
    response_model=answers.ExclusionAnswer,
    summary="One exclusion",
    **problems.for_staff(404),
)
def exclusion(id: Id, ask: Ask, response: Response) -> Any:
    """With its reason and document; its ETag is its version."""
    demand(ask.caller, "read")
    return _shown(ask, id, response)


@orders.post(
    "/exclusions",
    status_code=201,
    response_model=answers.ExclusionAnswer,
    summary="Leave time out",
    **problems.for_staff(),
)
def exclude(body: answers.ExclusionRequest, ask: Ask, response: Response) -> Any:
    """With the document that proves it. Published figures that it touches get a new version."""
    demand(ask.caller, "exclude")
    if (body.connector is not None) != (body.scope == "connector"):
        raise Problem(422, "connector: its number is needed with scope connector, and only there")
    with ask.all_or_nothing():
        place = scope_id(ask, body.scope, body.code, body.connector)
        own_scope(ask, body.scope, place)
        what = Exclusion(body.reason, body.document, body.from_at, body.to_at, body.note)
        id = enter_exclusion(ask.db, ask.now, (body.scope, place), what, ask.person_id)
        ask.record("exclusion.enter", f"exclusion/{id}", None, body.model_dump(mode="json"))
        return _shown(ask, id, response)


@router.patch(
    "/exclusions/{id}",
    response_model=answers.ExclusionAnswer,
    summary="Change an exclusion",
    **problems.for_staff(404, 409, 412),
)
def reexclude(
    id: Id,
    body: answers.ExclusionChange,
    ask: Ask,
    response: Response,
    if_match: IfMatch = None,
) -> Any:
    """Another reason, document, note or time."""
    demand(ask.caller, "exclude")
    with ask.all_or_nothing():
        before = _locked(ask, id, if_match)
        said = body.model_dump(exclude_none=True)
        names = ("reason", "document", "from_at", "to_at", "note")
        change_exclusion(
            ask.db, ask.now, id, Exclusion(**{n: said.get(n, before[n]) for n in names})
        )
        was = {name: before[name] and str(before[name]) for name in said}
        told = body.model_dump(mode="json", exclude_none=True)
        ask.record("exclusion.change", f"exclusion/{id}", was, told)
        return _shown(ask, id, response)


@router.delete(
    "/exclusions/{id}",
    response_model=answers.ExclusionAnswer,
    summary="Withdraw an exclusion",
    **problems.for_staff(404, 409, 412),
)
def withdraw(id: Id, ask: Ask, response: Response, if_match: IfMatch = None) -> Any:
    """It leaves nothing out any more, also of the past. Kept for the record."""
    demand(ask.caller, "exclude")
    with ask.all_or_nothing():
        _locked(ask, id, if_match)
        withdraw_exclusion(ask.db, ask.now, id)
        ask.record("exclusion.withdraw", f"exclusion/{id}", None, None)
        return _shown(ask, id, response)


@router.get(
    "/sites/{code}/hours",
    response_model=answers.HoursAnswer,
    summary="A site's opening hours",
    **problems.for_staff(404),
)
def hours(code: PathCode, response: Response, ask: Ask) -> Any:
    """By which NEVI and the UK's figure measure; the ETag is for If-Match."""
    demand(ask.caller, "read")
    return _site(ask, code, response)


@router.put(
    "/sites/{code}/hours",
    response_model=answers.HoursAnswer,
    summary="Set a site's opening hours",
    **problems.for_staff(404, 412),
)
def set_hours(
    code: PathCode,
    body: answers.HoursRequest,
    response: Response,
    ask: Ask,
    if_match: IfMatch = None,
) -> Any:
    """From a day on, until the next ones begin; those of the same day are replaced. Published
    figures that they touch get a new version."""
    demand(ask.caller, "exclude")
    with ask.all_or_nothing():
        _rows(ask, "lock_site", site=code)
        before = _site(ask, code, response)
        check_match(if_match, response.headers["ETag"])
        week = {str(day): pieces for day, pieces in body.week.items()}
        set_opening_hours(ask.db, before["id"], code, body.from_on, week)
        was = [h for h in before["hours"] if h["from_on"] == str(body.from_on)]
        about = f"site/{code}/hours"
        ask.record("hours.set", about,
            was[0] if was else None, body.model_dump(mode="json"),
        )  # fmt: skip
        return _site(ask, code, response)


# --- shapes


def _rows(ask: Asked, name: str, **values: Any) -> list[dict[str, Any]]:
    return ask.db.execute(_SQL[name], values).fetchall()


def _seen(ask: Asked, id: int) -> list[dict[str, Any]]:
    return _rows(ask, "exclusions", id=id, before=Big, limit=1, **scope(ask.caller))


def _shown(ask: Asked, id: int, response: Response) -> dict[str, Any]:
    row = one(_seen(ask, id), f"exclusion {id}")
    response.headers["ETag"] = f'"{row["version"]}"'
    return row


def _locked(ask: Asked, id: int, if_match: str | None) -> dict[str, Any]:
    """One that the caller may change, and has seen as it is."""
    row = lock_exclusion(ask.db, id)
    if row is None or not _seen(ask, id):
        raise Problem(404, f"there is no exclusion {id}")
    own_scope(ask, row["scope_kind"], row["scope_id"])
    if if_match not in (None, "*", f'"{row["version"]}"'):
        raise Problem(412, "the exclusion has been changed meanwhile", version=row["version"])
    if row["withdrawn_at"] is not None:
        raise Problem(409, "it has been withdrawn; enter a new one")
    return row


def _site(ask: Asked, code: str, response: Response) -> dict[str, Any]:
    found = one(_rows(ask, "site_with_hours", site=code, **scope(ask.caller)), f"site {code}")
    response.headers["ETag"] = etag_of(found["hours"])
    return found
