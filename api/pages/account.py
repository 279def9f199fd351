"""One's own account: password, second factor, sessions and keys."""

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Form, Path, Request, Response
from fastapi.responses import RedirectResponse

from api import people, second_factor
from api.attempts import TooManyAttempts
from api.context import Ask, Asked, check_csrf
from api.limits import address_of
from api.pages.render import show, speech
from api.pages.setup import set_up, show_secret
from api.people import SHORTEST_PASSWORD
from api.problems import Problem
from api.rights import SCOPES, demand, may

router = APIRouter(prefix="/account", include_in_schema=False)
_NEWEST = 2**63 - 1
_SHOWN = 100
_LONGEST_DAYS = 3650
Id = Annotated[int, Path(ge=1, le=_NEWEST)]
Csrf = Annotated[str, Form(max_length=100)]
Secret = Annotated[str, Form(max_length=1000)]


@router.get("")
def account(request: Request, ask: Ask) -> Response:
    """What there is, and what can be done."""
    return _show(request, ask)


def _show(
    request: Request,
    ask: Asked,
    *,
    status: int = 200,
    problem: str = "",
    done: str = "",
    key: str = "",
) -> Response:
    me = _me(ask)
    rows = people.keys_of(ask.db, me, ask.now, before=_NEWEST, limit=_SHOWN)
    return show(
        request, speech(request, ask.now), "account.html", status=status, private=True,
        caller=ask.caller, csrf=ask.csrf, problem=problem, done=done, key=key,
        person=people.persons(ask.db, id=me)[0],
        codes_left=second_factor.recovery_codes_left(ask.db, me),
        required=_required(ask), sessions=people.sessions_of(
            ask.db, me, ask.now, ask.caller.session_id),
        keys=[row for row in rows if row["valid"]],
        scopes=_scopes(ask), shortest=SHORTEST_PASSWORD,
    )  # fmt: skip


@router.post("/password")
def password(
    request: Request,
    ask: Ask,
    old: Secret = "",
    new: Secret = "",
    again: Secret = "",
    csrf: Csrf = "",
) -> Response:
    """A new one; the other sessions end."""
    me = _changing(ask, csrf)
    if new != again:
        return _show(request, ask, status=422, problem="account.not-the-same")
    if len(new) < SHORTEST_PASSWORD:
        return _show(request, ask, status=422, problem="account.too-short")
    try:
        right = people.is_password(
            ask.db, me, old, address=address_of(request, ask.context), now=ask.now
        )
    except TooManyAttempts:
        return _show(request, ask, status=429, problem="login.too-many")
    if not right:
        return _show(request, ask, status=401, problem="account.wrong-old")
    with ask.db.transaction():
        people.set_password(ask.db, str(ask.caller.login), new, but=ask.caller.session_id)
        ask.record("person.password", f"person/{me}")
    return _show(request, ask, done="account.password-changed")


@router.get("/second-factor")
def offer(request: Request, ask: Ask) -> Response:
    """A QR for the authenticator app."""
    return show_secret(request, ask, _me(ask), str(ask.caller.login), ask.csrf)


@router.post("/second-factor")
def begin(
    request: Request, ask: Ask, code: Annotated[str, Form(max_length=40)] = "", csrf: Csrf = ""
) -> Response:
    """From now on a code is asked for."""
    me, login = _changing(ask, csrf), str(ask.caller.login)
    return set_up(request, ask, me, login, ask.csrf, code, "/account")[0]


@router.post("/second-factor/end")
def end(
    request: Request, ask: Ask, code: Annotated[str, Form(max_length=40)] = "", csrf: Csrf = ""
) -> Response:
    """No code any more; for a fresh one, and not where the role must have it."""
    me = _changing(ask, csrf)
    if _required(ask):
        raise Problem(403, "your role must have a second factor")
    try:
        seal, address = ask.context.settings.sealing.seal(), address_of(request, ask.context)
        if not second_factor.passes(ask.db, me, code, seal, address=address, now=ask.now):
            return _show(request, ask, status=401, problem="login.wrong-code")
    except TooManyAttempts:
        return _show(request, ask, status=429, problem="login.too-many-codes")
    with ask.db.transaction():
        second_factor.end(ask.db, me)
        ask.record("person.second-factor.end", f"person/{me}")
    return _show(request, ask, done="account.second-factor-ended")


@router.post("/sessions/end")
def log_out_everywhere(ask: Ask, csrf: Csrf = "") -> Response:
    """All sessions end, this one too."""
    me = _changing(ask, csrf)
    with ask.db.transaction():
        people.end_sessions(ask.db, me)
        ask.record("session.end-all", f"person/{me}")
    return RedirectResponse("/login", 303)


@router.post("/keys")
def add_key(
    request: Request,
    ask: Ask,
    label: Annotated[str, Form(max_length=100)] = "",
    scope: Annotated[list[str] | None, Form()] = None,
    days: Annotated[str, Form(max_length=5)] = "",
    csrf: Csrf = "",
) -> Response:
    """A new key, on this page once."""
    me = _changing(ask, csrf)
    said = label.strip()
    lasts = int(days) if days.isascii() and days.isdigit() else 0
    known = not set(scope or ()) - set(SCOPES)
    if not said or "\0" in said or not known or not 0 < lasts <= _LONGEST_DAYS:
        return _show(request, ask, status=422, problem="account.key-wrong")
    expires_at = ask.now + timedelta(days=lasts)
    with ask.db.transaction():
        id, key = people.add_key(
            ask.db, me, said, ask.now, scopes=scope or None, expires_at=expires_at
        )
        told = {"key": id, "label": said, "scopes": scope, "expires_at": expires_at.isoformat()}
        ask.record("key.add", f"person/{me}", None, told)
    return _show(request, ask, key=key)


@router.post("/keys/{id}/revoke")
def revoke_key(id: Id, ask: Ask, csrf: Csrf = "") -> Response:
    """It opens nothing from now on."""
    me = _changing(ask, csrf)
    with ask.db.transaction():
        if people.revoke_key(ask.db, me, id, ask.now):
            ask.record("key.revoke", f"person/{me}", {"key": id})
    return RedirectResponse("/account", 303)


def _me(ask: Asked) -> int:
    demand(ask.caller, "account")
    assert ask.caller.id is not None
    return ask.caller.id


def _scopes(ask: Asked) -> list[str]:
    """Those that are of any use to this role."""
    return [word for word, reach in SCOPES.items() if any(may(ask.caller, op) for op in reach)]


def _changing(ask: Asked, csrf: str) -> int:
    me = _me(ask)
    check_csrf(ask.csrf, csrf)
    return me


def _required(ask: Asked) -> bool:
    return ask.caller.role in ask.context.settings.people.totp_roles
