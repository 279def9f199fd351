"""Logging in at the organisation's own login."""

from typing import Annotated

import structlog
from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import RedirectResponse

from api import oidc
from api.attempts import TooManyAttempts
from api.context import SESSION_COOKIE, Context
from api.limits import address_of
from api.oidc import NotLoggedIn, Organisation
from api.pages.login import HOME, begin_session, own_path, set_session, show_login
from api.pages.render import show, speech
from api.people import log_out, note_login

router = APIRouter(include_in_schema=False)
_LOG = structlog.get_logger()
_COOKIE = "pilewatch_organisation"
Word = Annotated[str, Query(max_length=4000)]


@router.get("/login/organisation")
def begin(request: Request, next: Word = HOME) -> Response:
    """Off to the organisation."""
    context, organisation = _parts(request)
    now = context.clock()
    try:
        organisation.known(now)
    except NotLoggedIn as error:
        return _failed(request, error)
    try:
        with context.pool.connection() as db:
            begun = organisation.begin(db, now, own_path(next), address_of(request, context))
    except TooManyAttempts:
        _LOG.warning("too many logins at the organisation begin")
        return show_login(request, context, status=429, next=HOME, problem="login.too-many")
    answer = RedirectResponse(begun.address, 303)
    answer.set_cookie(
        _COOKIE, begun.cookie, max_age=600, path=oidc.BACK, httponly=True,
        # The way back starts at another site; Strict would keep the cookie at home.
        samesite="lax", secure=context.settings.api.behind_tls,
    )  # fmt: skip
    return answer


@router.get(oidc.BACK)
def back(request: Request, state: Word = "", code: Word = "", error: Word = "") -> Response:
    """Back from there, with a code for who it is."""
    context, organisation = _parts(request)
    now = context.clock()
    try:
        with context.pool.connection() as db:
            underway = oidc.come_back(db, state, request.cookies.get(_COOKIE), now)
        if error or not code:
            raise NotLoggedIn("login.organisation-refused", "the issuer refused")
        claims = organisation.claims(underway, code, now)
        with context.pool.connection() as db:
            person = oidc.person_of(
                db, organisation.issuer, claims,
                by_email=context.settings.people.oidc_link_by_email,
                address=address_of(request, context), now=now,
            )  # fmt: skip
            if old := request.cookies.get(SESSION_COOKIE):
                log_out(db, old)
            note_login(db, person["id"], "organisation", now, succeeded=True)
            token, step = begin_session(db, context, person, underway.next)
    except NotLoggedIn as failure:
        return _failed(request, failure)
    # A redirect would still count as coming from the other site, and the session's strict cookie
    # would not be sent along; a page of our own that leads on is a step of this site.
    answer = show(request, speech(request, now), "login_done.html", private=True, next=step)
    set_session(answer, context.settings.api, token)
    answer.delete_cookie(_COOKIE, path=oidc.BACK)
    return answer


def _failed(request: Request, error: NotLoggedIn) -> Response:
    _LOG.warning("login at the organisation failed", reason=str(error))
    context, _ = _parts(request)
    page = show_login(request, context, status=401, next=HOME, problem=error.word)
    page.delete_cookie(_COOKIE, path=oidc.BACK)
    return page


def _parts(request: Request) -> tuple[Context, Organisation]:
    return request.app.state.context, request.app.state.organisation
