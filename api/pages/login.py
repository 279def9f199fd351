"""Logging in and out: password, then the second factor where there is one."""

from typing import Annotated, Any

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import RedirectResponse

from api import second_factor
from api.attempts import TooManyAttempts
from api.context import SESSION_COOKIE, Ask, Asked, Context, check_csrf
from api.limits import address_of
from api.pages.render import show, speech
from api.pages.setup import set_up, show_secret
from api.people import HalfSession, first_stage, half_session, log_in, log_out, open_session
from api.problems import Problem
from pilewatch.settings import Api
from pilewatch.store.pool import Db

router = APIRouter(include_in_schema=False)
HOME = "/console"
_STEPS = {"code": "/login/code", "enrol": "/login/second-factor"}
Code = Annotated[str, Form(max_length=40)]
Csrf = Annotated[str, Form(max_length=100)]


@router.get("/login")
def form(request: Request, ask: Ask, next: str = HOME) -> Response:
    """The form; whoever is logged in already goes on."""
    if ask.caller.id is not None:
        return RedirectResponse(own_path(next), 303)
    return show_login(request, ask.context, next=own_path(next))


@router.post("/login")
def enter(
    request: Request,
    ask: Ask,
    login: Annotated[str, Form(max_length=100)] = "",
    password: Annotated[str, Form(max_length=1000)] = "",
    next: Annotated[str, Form(max_length=500)] = HOME,
) -> Response:
    """A new session or the next step, or the form again with what was wrong."""
    if request.headers.get("sec-fetch-site") == "cross-site":
        raise Problem(403, "log in from the page of this site")
    problem, status, person = "login.wrong", 401, None
    try:
        if "\0" not in login:
            address = address_of(request, ask.context)
            person = log_in(ask.db, login, password, address=address, now=ask.now)
    except TooManyAttempts:
        problem, status = "login.too-many", 429
    next = own_path(next)
    if person is None:
        return show_login(
            request, ask.context, status=status, next=next, login=login, problem=problem
        )
    if old := request.cookies.get(SESSION_COOKIE):
        log_out(ask.db, old)
    token, step = begin_session(ask.db, ask.context, person, next)
    answer = RedirectResponse(step, 303)
    set_session(answer, ask.context.settings.api, token)
    return answer


def show_login(
    request: Request,
    context: Context,
    *,
    next: str,
    status: int = 200,
    login: str = "",
    problem: str | None = None,
) -> Response:
    """The login form."""
    organisation = context.settings.people.oidc_issuer is not None
    return show(
        request, speech(request, context.clock()), "login.html", status=status, private=True,
        next=next, login=login, problem=problem, organisation=organisation,
    )  # fmt: skip


def begin_session(db: Db, context: Context, person: dict[str, Any], next: str) -> tuple[str, str]:
    """A session for somebody whose first factor is proved: its token, and where to go on."""
    settings = context.settings
    stage = first_stage(person, settings.people.totp_roles)
    token = open_session(
        db, person["id"], stage=stage, now=context.clock(), hours=settings.api.session_hours,
        next=next,
    )  # fmt: skip
    return token, _STEPS.get(stage, next)


def set_session(answer: Response, api: Api, token: str) -> None:
    """Let the browser keep the session's token."""
    answer.set_cookie(
        SESSION_COOKIE,
        token,
        max_age=api.session_hours * 3600,
        httponly=True,
        samesite="strict",
        secure=api.behind_tls,
    )


@router.get("/login/code")
def code_form(request: Request, ask: Ask) -> Response:
    """Asks for the second factor."""
    half = _half(request, ask, "code")
    if half is None:
        return RedirectResponse("/login", 303)
    return _ask_for_code(request, ask, half)


@router.post("/login/code")
def code(request: Request, ask: Ask, code: Code = "", csrf: Csrf = "") -> Response:
    """The full session, for a fresh code or a recovery code."""
    half = _half(request, ask, "code")
    if half is None:
        return RedirectResponse("/login", 303)
    check_csrf(half.csrf, csrf)
    seal, address = ask.context.settings.sealing.seal(), address_of(request, ask.context)
    try:
        if second_factor.passes(ask.db, half.person_id, code, seal, address=address, now=ask.now):
            answer = RedirectResponse(half.next, 303)
            _complete(request, ask, half, answer)
            return answer
    except TooManyAttempts:
        return _ask_for_code(request, ask, half, status=429, problem="login.too-many-codes")
    return _ask_for_code(request, ask, half, status=401, problem="login.wrong-code")


def _ask_for_code(
    request: Request, ask: Asked, half: HalfSession, *, status: int = 200, problem: str = ""
) -> Response:
    return show(
        request, speech(request, ask.now), "login_code.html", status=status, private=True,
        csrf=half.csrf, problem=problem,
    )  # fmt: skip


@router.get("/login/second-factor")
def enrol_form(request: Request, ask: Ask) -> Response:
    """A role that must have a second factor sets it up before it comes in."""
    half = _half(request, ask, "enrol")
    if half is None:
        return RedirectResponse("/login", 303)
    return show_secret(request, ask, half.person_id, half.login, half.csrf)


@router.post("/login/second-factor")
def enrol(request: Request, ask: Ask, code: Code = "", csrf: Csrf = "") -> Response:
    """The full session and the recovery codes, for the first code."""
    half = _half(request, ask, "enrol")
    if half is None:
        return RedirectResponse("/login", 303)
    check_csrf(half.csrf, csrf)
    page, done = set_up(request, ask, half.person_id, half.login, half.csrf, code, half.next)
    if done:
        _complete(request, ask, half, page)
    return page


def _half(request: Request, ask: Asked, stage: str) -> HalfSession | None:
    found = half_session(ask.db, request.cookies.get(SESSION_COOKIE, ""), ask.now)
    return found if found is not None and found.stage == stage else None


def _complete(request: Request, ask: Asked, half: HalfSession, answer: Response) -> None:
    """A full session with a new token in place of the half one."""
    api = ask.context.settings.api
    log_out(ask.db, request.cookies[SESSION_COOKIE])
    token = open_session(
        ask.db, half.person_id, stage="full", now=ask.now, hours=api.session_hours, next=half.next
    )
    set_session(answer, api, token)


@router.post("/logout")
def leave(request: Request, ask: Ask, csrf: Csrf = "") -> Response:
    """The session ends."""
    if ask.csrf is not None:
        check_csrf(ask.csrf, csrf)
        log_out(ask.db, request.cookies[SESSION_COOKIE])
    answer = RedirectResponse("/login", 303)
    answer.delete_cookie(SESSION_COOKIE)
    return answer


def own_path(path: str) -> str:
    """A path of this site, whatever was asked: never another host."""
    safe = path.startswith("/") and not path.startswith("//") and path.isprintable()
    return path if safe and "\\" not in path else HOME
