"""Logging in and out."""

from typing import Annotated

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import RedirectResponse

from api.context import SESSION_COOKIE, Ask, check_csrf
from api.limits import address_of
from api.pages.render import show, speech
from api.people import TooManyAttempts, log_in, log_out

router = APIRouter(include_in_schema=False)
_HOME = "/console"


@router.get("/login")
def form(request: Request, ask: Ask, next: str = _HOME) -> Response:
    """The form; whoever is logged in already goes on."""
    if ask.caller.id is not None:
        return RedirectResponse(_own(next), 303)
    t = speech(request, ask.now)
    return show(request, t, "login.html", private=True, next=_own(next), login="", problem=None)


@router.post("/login")
def enter(
    request: Request,
    ask: Ask,
    login: Annotated[str, Form(max_length=100)] = "",
    password: Annotated[str, Form(max_length=1000)] = "",
    next: Annotated[str, Form(max_length=500)] = _HOME,
) -> Response:
    """A new session, or the form again with what was wrong."""
    api = ask.context.settings.api
    address = address_of(request, ask)
    problem, status, token = "login.wrong", 401, None
    try:
        if "\0" not in login:
            token = log_in(
                ask.db, login, password, address=address, now=ask.now, hours=api.session_hours
            )
    except TooManyAttempts:
        problem, status = "login.too-many", 429
    if token is None:
        t = speech(request, ask.now)
        return show(
            request, t, "login.html", status=status, private=True, next=_own(next), login=login,
            problem=problem,
        )  # fmt: skip
    if old := request.cookies.get(SESSION_COOKIE):
        log_out(ask.db, old)
    answer = RedirectResponse(_own(next), 303)
    answer.set_cookie(
        SESSION_COOKIE,
        token,
        max_age=api.session_hours * 3600,
        httponly=True,
        samesite="strict",
        secure=api.secure_cookies,
    )
    return answer


@router.post("/logout")
def leave(request: Request, ask: Ask, csrf: Annotated[str, Form(max_length=100)] = "") -> Response:
    """The session ends."""
    if ask.csrf is not None:
        check_csrf(ask.csrf, csrf)
        log_out(ask.db, request.cookies[SESSION_COOKIE])
    answer = RedirectResponse("/login", 303)
    answer.delete_cookie(SESSION_COOKIE)
    return answer


def _own(path: str) -> str:
    """A path of this site, whatever was asked: never another host."""
    safe = path.startswith("/") and not path.startswith("//") and path.isprintable()
    return path if safe and "\\" not in path else _HOME
