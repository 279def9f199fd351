"""`/api/v1/persons`: whom an admin lets in, and where they may act."""

import secrets
from typing import Annotated, Any

import psycopg
from fastapi import Path, Query, Request, Response

from api import people, problems, second_factor
from api import people_models as models
from api.context import Ask, Asked, IfMatch, Paged
from api.models import Big, Listed
from api.people import Reach
from api.problems import Problem
from api.rights import demand, own_areas
from api.routers import ordering, reading
from pilewatch.store import queries

router, orders = reading("people"), ordering("people")
_SQL = queries.load("people")
Id = Annotated[int, Path(ge=1, le=Big, description="The person's number")]
KeyId = Annotated[int, Path(ge=1, le=Big, description="The key's number")]
_TOLD = ("role", "company", "grids", "areas", "active")
"""What the audit tells of a person; of name and address only that they changed."""


@router.get(
    "/persons",
    response_model=Listed[models.PersonAnswer],
    summary="People",
    **problems.for_staff(),
)
def persons(
    ask: Ask,
    page: Paged,
    role: Annotated[people.Role | None, Query(description="Only of this role")] = None,
    active: Annotated[bool | None, Query(description="Only who may log in; or the others")] = None,
) -> Any:
    """Oldest first; an admin of areas sees whoever acts only there."""
    demand(ask.caller, "see-people")
    wanted = {"role": role, "active": active, "areas": own_areas(ask.caller)}
    rows = people.persons(ask.db, after=page.after, limit=page.limit, **wanted)
    return page.answer(rows, rows)


@router.get(
    "/persons/{id}",
    response_model=models.PersonAnswer,
    summary="One person",
    **problems.for_staff(404),
)
def person(id: Id, response: Response, ask: Ask) -> Any:
    """Its ETag is the version, for If-Match."""
    demand(ask.caller, "see-people")
    return _show(ask, id, response)


@orders.post(
    "/persons",
    status_code=201,
    response_model=models.PersonAnswer,
    summary="Let a person in",
    **problems.for_staff(409),
)
def add(body: models.PersonRequest, response: Response, ask: Ask) -> Any:
    """They log in once a password is set, or an organisation's login is linked."""
    demand(ask.caller, "people")
    with ask.db.transaction():
        try:
            id = people.add_person(
                ask.db,
                body.login,
                body.name,
                body.role,
                company=body.company,
                grids=body.grids,
                areas=body.areas,
                email=body.email,
            )
        except ValueError as error:
            raise Problem(422, str(error)) from error
        except psycopg.errors.UniqueViolation as error:
            raise _taken(error) from error
        after = _answered_for(ask, id, response)
        ask.record("person.add", f"person/{id}", None, _told(after))
    return after


@router.patch(
    "/persons/{id}",
    response_model=models.PersonAnswer,
    summary="Change a person",
    **problems.for_staff(404, 409, 412),
)
def change(
    id: Id, body: models.PersonChange, response: Response, ask: Ask, if_match: IfMatch = None
) -> Any:
    """Another role, company, grid, area or name, or in and out. Their sessions end. Nobody
    changes the own role or reach."""
    demand(ask.caller, "people")
    said = {name: getattr(body, name) for name in body.model_fields_set}
    if id == ask.caller.id and said.keys() - {"name", "email"}:
        raise Problem(403, "another admin has to change your role or reach")
    with ask.db.transaction():
        before = _lock(ask, id, response, if_match)
        wanted = {**before, **said}
        for name in ("name", "role", "active", "grids", "areas"):
            if wanted[name] is None:
                raise Problem(422, f"{name}: leave it out to keep it")
        try:
            people.change_person(
                ask.db,
                id,
                name=wanted["name"],
                role=wanted["role"],
                reach=Reach(wanted["company"], tuple(wanted["grids"]), tuple(wanted["areas"])),
                email=wanted["email"],
                active=wanted["active"],
            )
        except ValueError as error:
            raise Problem(422, str(error)) from error
        except psycopg.errors.UniqueViolation as error:
            raise _taken(error) from error
        after = _answered_for(ask, id, response)
        hidden = {n: "changed" for n in ("name", "email") if before[n] != after[n]}
        ask.record("person.change", f"person/{id}", _told(before), {**_told(after), **hidden})
    return after


@router.delete(
    "/persons/{id}",
    response_model=models.PersonAnswer,
    summary="Shut a person out",
    **problems.for_staff(404, 412),
)
def shut_out(id: Id, response: Response, ask: Ask, if_match: IfMatch = None) -> Any:
    """Nothing opens for them from now on; kept, because the audit names them. `active` lets them
    in again."""
    return change(id, models.PersonChange(active=False), response, ask, if_match)


@orders.post(
    "/persons/{id}/password",
    response_model=models.PasswordAnswer,
    summary="Give a person a new password",
    **problems.for_staff(404, 409),
)
def reset_password(id: Id, request: Request, response: Response, ask: Ask) -> Any:
    """A random one, shown once; they should change it. Their sessions end."""
    demand(ask.caller, "people")
    password = secrets.token_urlsafe(12)
    request.state.secret = password
    with ask.db.transaction():
        found = _lock(ask, id, response)
        try:
            people.set_password(ask.db, found["login"], password)
        except ValueError as error:
            raise Problem(409, str(error)) from error
        ask.record("person.password", f"person/{id}")
    return {"password": password}


@router.delete(
    "/persons/{id}/second-factor",
    response_model=models.PersonAnswer,
    summary="Take a lost second factor away",
    **problems.for_staff(404, 412),
)
def reset_totp(id: Id, response: Response, ask: Ask, if_match: IfMatch = None) -> Any:
    """With its recovery codes. Their sessions end."""
    demand(ask.caller, "people")
    with ask.db.transaction():
        _lock(ask, id, response, if_match)
        second_factor.end(ask.db, id)
        people.end_sessions(ask.db, id)
        ask.record("person.second-factor.end", f"person/{id}")
        return _show(ask, id, response)


@orders.post(
    "/persons/{id}/identities",
    status_code=201,
    response_model=models.PersonAnswer,
    summary="Link an organisation's login",
    **problems.for_staff(404, 409),
)
def link(id: Id, body: models.IdentityRequest, response: Response, ask: Ask) -> Any:
    """Whoever is `subject` there is this person here."""
    demand(ask.caller, "people")
    with ask.db.transaction():
        if _lock(ask, id, response)["role"] == "device":
            raise Problem(409, "a device does not log in")
        issuer = body.issuer.rstrip("/")
        values = {"issuer": issuer, "subject": body.subject, "person_id": id, "now": ask.now}
        if ask.db.execute(_SQL["link"], values).fetchone() is None:
            raise Problem(409, "this identity is somebody's already")
        ask.record("person.link", f"person/{id}", None, {"issuer": issuer})
        return _show(ask, id, response)


@router.delete(
    "/persons/{id}/identities",
    response_model=models.PersonAnswer,
    summary="Unlink organisations' logins",
    **problems.for_staff(404, 412),
)
def unlink(id: Id, response: Response, ask: Ask, if_match: IfMatch = None) -> Any:
    """All of them. Their sessions end."""
    demand(ask.caller, "people")
    with ask.db.transaction():
        _lock(ask, id, response, if_match)
        ask.db.execute(_SQL["unlink"], {"person_id": id})
        people.end_sessions(ask.db, id)
        ask.record("person.unlink", f"person/{id}")
        return _show(ask, id, response)


# --- keys of others


@router.get(
    "/persons/{id}/keys",
    response_model=Listed[models.KeyAnswer],
    summary="A person's keys",
    **problems.for_staff(404),
)
def keys(id: Id, response: Response, ask: Ask, page: Paged) -> Any:
    """Newest first, without themselves."""
    demand(ask.caller, "see-people")
    _show(ask, id, response)
    rows = people.keys_of(ask.db, id, ask.now, before=page.before, limit=page.limit)
    return page.answer(rows, rows)


@orders.post(
    "/persons/{id}/keys",
    status_code=201,
    response_model=models.NewKeyAnswer,
    summary="Make a key for a device",
    **problems.for_staff(404, 409),
)
def add_key(id: Id, body: models.KeyRequest, request: Request, response: Response, ask: Ask) -> Any:
    """Shown once. People make their own keys."""
    demand(ask.caller, "people")
    with ask.db.transaction():
        if _lock(ask, id, response)["role"] != "device":
            raise Problem(409, "people make their own keys: POST /me/keys")
        return new_key(request, ask, id, body)


@router.delete(
    "/persons/{id}/keys/{key}",
    response_model=models.KeyAnswer,
    summary="Revoke a person's key",
    **problems.for_staff(404),
)
def revoke(id: Id, key: KeyId, response: Response, ask: Ask) -> Any:
    """It opens nothing from now on."""
    demand(ask.caller, "people")
    with ask.db.transaction():
        _lock(ask, id, response)
        return end_key(ask, id, key)


def new_key(request: Request, ask: Asked, person_id: int, body: models.KeyRequest) -> Any:
    """A new key, told once and written into the audit."""
    if body.expires_at is not None and body.expires_at <= ask.now:
        raise Problem(422, "expires_at: must be in the future")
    id, key = people.add_key(
        ask.db,
        person_id,
        body.label,
        ask.now,
        scopes=body.scopes,
        expires_at=body.expires_at,
    )
    request.state.secret = key
    said = body.model_dump(mode="json")
    ask.record("key.add", f"person/{person_id}", None, {"key": id, **said})
    return {**_key(ask, person_id, id), "key": key}


def end_key(ask: Asked, person_id: int, id: int) -> Any:
    """The key, revoked. Raises `Problem` 404."""
    shown = _key(ask, person_id, id)
    if people.revoke_key(ask.db, person_id, id, ask.now):
        ask.record("key.revoke", f"person/{person_id}", {"key": id, "label": shown["label"]})
    return _key(ask, person_id, id)


def _key(ask: Asked, person_id: int, id: int) -> dict[str, Any]:
    rows = people.keys_of(ask.db, person_id, ask.now, id=id, before=Big, limit=1)
    if not rows:
        raise Problem(404, f"there is no key {id}")
    return rows[0]


# --- shapes


def _show(ask: Asked, id: int, response: Response) -> dict[str, Any]:
    rows = people.persons(ask.db, id=id, areas=own_areas(ask.caller))
    if not rows:
        raise Problem(404, f"there is no person {id}")
    response.headers["ETag"] = f'"{rows[0]["version"]}"'
    return rows[0]


def _lock(ask: Asked, id: int, response: Response, if_match: str | None = None) -> dict[str, Any]:
    """The person, whom nobody else changes meanwhile. Raises `Problem` 404 or 412."""
    ask.db.execute(_SQL["lock_person"], {"id": id, "areas": own_areas(ask.caller)})
    found = _show(ask, id, response)
    if if_match not in (None, "*", f'"{found["version"]}"'):
        raise Problem(412, "the person has been changed meanwhile", version=found["version"])
    return found


def _answered_for(ask: Asked, id: int, response: Response) -> dict[str, Any]:
    """The person as written. Raises `Problem` 403 where an admin reaches beyond the own areas."""
    rows = people.persons(ask.db, id=id, areas=own_areas(ask.caller))
    if not rows:
        raise Problem(403, "whoever acts beyond your areas is not yours to let in")
    return _show(ask, id, response)


def _taken(error: psycopg.errors.UniqueViolation) -> Problem:
    what = "e-mail" if error.diag.constraint_name == "person_email" else "login"
    return Problem(409, f"this {what} is somebody's already")


def _told(person: dict[str, Any]) -> dict[str, Any]:
    return {name: person[name] for name in _TOLD}
