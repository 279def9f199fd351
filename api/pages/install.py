"""The pages' place in the application: routes, headers, and errors as pages."""

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from fastapi import Depends, FastAPI, Request, Response
from fastapi.responses import RedirectResponse

from api.admission import admitted
from api.pages import (
    account,
    board,
    charger,
    console,
    login,
    organisation,
    places,
    policies,
    quarantine,
    render,
    repair,
    resident,
    shifts,
    sitemap,
    start,
    waiting,
    wall,
    worker,
)
from api.pages.shield import HEADERS, Shield

_PROGRAMS = (
    *("/api/", "/ocpi/", "/open/", "/open311/"),
    *("/healthz", "/readyz", "/metrics", "/openapi.json", "/docs", "/redoc"),
)
_TOLD = (401, 403, 404, 405, 409, 412, 413, 422, 429, 503)
"""Statuses that have words of their own; others are told as 500."""


def install(app: FastAPI) -> None:
    """Add the pages to an application whose error handlers are installed already.

    Raises `BadSettings` where the map's plan is no picture.
    """
    app.state.site_plan = sitemap.read_picture(app.state.context.settings.map)
    residents = (render, resident, waiting, wall, login)
    for module in (
        *residents,
        account,
        start,
        board,
        shifts,
        console,
        charger,
        quarantine,
        places,
        sitemap,
        policies,
        repair,
        worker,
    ):
        app.include_router(module.router, dependencies=[Depends(admitted, scope="function")])
    # It asks the organisation, and holds neither place nor connection meanwhile.
    app.include_router(organisation.router)
    app.add_middleware(Shield)
    for kind, handler in list(app.exception_handlers.items()):
        app.exception_handlers[kind] = _as_page(handler)


def _as_page(handler: Callable[..., Any]) -> Callable[..., Any]:
    """The same error, told to a person where a page was asked for."""

    def told(request: Request, error: Exception) -> Response:
        document: Response = handler(request, error)
        path = request.url.path
        if path.startswith(_PROGRAMS):
            return document
        status = document.status_code
        if status == 401 and request.method == "GET":
            return RedirectResponse(f"/login?next={quote(path)}", 303)
        word = status if status in _TOLD else 500
        now = request.app.state.context.clock()
        t = render.speech(request, now)
        page = render.show(request, t, "error.html", status=status, private=True, word=word)
        page.headers.update(HEADERS)  # the answer to an unforeseen error leaves outside the shield
        if "retry-after" in document.headers:
            page.headers["Retry-After"] = document.headers["retry-after"]
        return page

    return told
