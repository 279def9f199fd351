"""Residents' page "tell me when a port is free": no account, one secret address."""

from typing import Annotated

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import RedirectResponse

from api.availability import begin_wait, look, stop_waiting
from api.context import Ask
from api.limits import count_word
from api.pages.render import show, speech

router = APIRouter(include_in_schema=False)


@router.post("/s/{code}/wait")
def begin(code: str, request: Request, ask: Ask) -> Response:
    """From now on; the page's address is the answer."""
    count_word(request, ask)
    site = "" if "\0" in code or len(code) > 64 else code
    return RedirectResponse(f"/w/{begin_wait(ask, site)}", 303)


@router.get("/w/{token}")
def waiting(token: str, request: Request, ask: Ask) -> Response:
    """How it stands; the page asks again by itself when something changes at the site."""
    found = look(ask, token)
    t = speech(request, ask.now, found["timezone"])
    page = show(request, t, "waiting.html", private=True, wait=found, token=token)
    page.headers["X-Robots-Tag"] = "noindex"
    return page


@router.post("/w/{token}")
def end(token: str, ask: Ask, stop: Annotated[str, Form()] = "") -> Response:
    """Wait no longer: back to the site."""
    found = stop_waiting(token, ask) if stop else look(ask, token)
    return RedirectResponse(f"/s/{found['site']}" if stop else f"/w/{token}", 303)
