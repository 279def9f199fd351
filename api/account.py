"""`/api/v1/me`: one's own keys, sessions and password."""

from typing import Annotated, Any

from fastapi import Path, Request, Response

from api import people, problems
from api import people_models as models
from api.attempts import TooManyAttempts
from api.context import Ask, Asked, Paged
from api.limits import address_of
from api.models import Big, Listed
from api.persons import KeyId, end_key, new_key
from api.problems import Problem
from api.rights import demand
from api.routers import ordering, reading

router, orders = reading("people"), ordering("people")
SessionId = Annotated[int, Path(ge=1, le=Big, description="The session's number")]


@router.get(
    "/me/keys",
    response_model=Listed[models.KeyAnswer],
    summary="My keys",
    **problems.for_staff(),
)
def my_keys(ask: Ask, page: Paged) -> Any:
    """Newest first, without themselves."""
    id = _me(ask)
    rows = people.keys_of(ask.db, id, ask.now, before=page.before, limit=page.limit)
    return page.answer(rows, rows)


@orders.post(
    "/me/keys",
    status_code=201,
    response_model=models.NewKeyAnswer,
    summary="Make a key of mine",
    **problems.for_staff(),
)
def add_my_key(body: models.KeyRequest, request: Request, ask: Ask) -> Any:
    """Shown once. A narrow key makes no wider one, and none that outlives it."""
    id = _me(ask)
    mine = ask.caller.scopes
    if mine is not None and (body.scopes is None or set(body.scopes) - set(mine)):
        raise Problem(403, f"this key makes only keys of the scopes {', '.join(mine)}")
    with ask.db.transaction():
        _check_end(ask, id, body)
        return new_key(request, ask, id, body)


def _check_end(ask: Asked, id: int, body: models.KeyRequest) -> None:
    if ask.caller.key_id is None:
        return
    ends = people.keys_of(ask.db, id, ask.now, id=ask.caller.key_id, before=Big, limit=1)
    latest = ends[0]["expires_at"]
    if latest is not None and (body.expires_at is None or body.expires_at > latest):
        raise Problem(403, f"this key makes none that outlives it: {latest.isoformat()}")


@router.delete(
    "/me/keys/{id}",
    response_model=models.KeyAnswer,
    summary="Revoke a key of mine",
    **problems.for_staff(404),
)
def revoke_my_key(id: KeyId, ask: Ask) -> Any:
    """It opens nothing from now on."""
    me = _me(ask)
    with ask.db.transaction():
        return end_key(ask, me, id)


@router.get(
    "/me/sessions",
    response_model=Listed[models.SessionAnswer],
    summary="Where I am logged in",
    **problems.for_staff(),
)
def sessions(ask: Ask) -> Any:
    """Newest first."""
    rows = people.sessions_of(ask.db, _me(ask), ask.now, ask.caller.session_id)
    return {"items": rows, "next_cursor": None}


@router.delete(
    "/me/sessions",
    status_code=204,
    summary="Log out everywhere",
    **problems.for_staff(),
)
def end_sessions(ask: Ask) -> Response:
    """This session too."""
    id = _me(ask)
    with ask.db.transaction():
        people.end_sessions(ask.db, id)
        ask.record("session.end-all", f"person/{id}")
    return Response(status_code=204)


@router.delete(
    "/me/sessions/{id}",
    status_code=204,
    summary="Log out there",
    **problems.for_staff(404),
)
def end_session(id: SessionId, ask: Ask) -> Response:
    """One of my sessions ends."""
    me = _me(ask)
    with ask.db.transaction():
        if not people.end_sessions(ask.db, me, id=id):
            raise Problem(404, f"there is no session {id}")
        ask.record("session.end", f"person/{me}", {"session": id})
    return Response(status_code=204)


@router.put(
    "/me/password",
    status_code=204,
    summary="Change my password",
    **problems.for_staff(429),
)
def change_password(body: models.PasswordChange, request: Request, ask: Ask) -> Response:
    """My other sessions end. Wrong old passwords count as failed logins."""
    id = _me(ask)
    try:
        right = people.is_password(
            ask.db, id, body.old, address=address_of(request, ask.context), now=ask.now
        )
    except TooManyAttempts as error:
        raise Problem(
            429,
            "too many wrong passwords; try again later",
            headers={"Retry-After": str(int(error.wait.total_seconds()))},
        ) from error
    if not right:
        raise Problem(422, "old: this is not your password")
    with ask.db.transaction():
        people.set_password(ask.db, str(ask.caller.login), body.new, but=ask.caller.session_id)
        ask.record("person.password", f"person/{id}")
    return Response(status_code=204)


def _me(ask: Asked) -> int:
    demand(ask.caller, "account")
    assert ask.caller.id is not None
    return ask.caller.id
