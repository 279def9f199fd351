"""The quarantine: what could not be used, and unknown chargers, which can be adopted."""

from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import RedirectResponse

from api.context import Ask, Asked, check_csrf
from api.pages import staff
from api.problems import Problem
from api.rights import demand, scope
from pilewatch.store.registry import adopt

router = APIRouter(prefix="/console", include_in_schema=False)
_NEWEST = 2**63 - 1
_LABEL = 200
Short = Annotated[str, Form(max_length=64)]


@router.get("/quarantine")
def quarantine(request: Request, ask: Ask) -> Response:
    """Messages that could not be used, and chargers that nobody registered."""
    demand(ask.caller, "quarantine")
    return _show(request, ask)


def _show(
    request: Request, ask: Asked, *, status: int = 200, problem: str = "", code: str = ""
) -> Response:
    return staff.page(
        request,
        ask,
        "console/quarantine.html",
        status=status,
        messages=ask.rows("quarantine", before=_NEWEST, limit=100, **scope(ask.caller)),
        unknown=staff.rows(ask, "unknown_chargers"),
        sites=staff.rows(ask, "own_sites", **scope(ask.caller)),
        problem=problem,
        code=code,
    )


@router.post("/quarantine/adopt")
def adopt_charger(
    request: Request,
    ask: Ask,
    csrf: Annotated[str, Form(max_length=100)] = "",
    code: Short = "",
    site: Short = "",
    kind: Short = "",
    label: Annotated[str, Form(max_length=_LABEL)] = "",
    connectors: Annotated[str, Form(max_length=3)] = "",
) -> Response:
    """Register it at one of the own sites; from its next word on it counts."""
    demand(ask.caller, "adopt")
    check_csrf(ask.csrf, csrf)
    said, number = label.strip(), int(connectors) if _is_number(connectors) else 0
    if "\0" in code + site + said:
        raise Problem(422, "the character NUL cannot be kept")
    found = [row for row in staff.rows(ask, "own_sites", **scope(ask.caller))
             if row["code"] == site]  # fmt: skip
    if not found or kind not in ("ebike", "car") or not said or number < 1:
        return _show(request, ask, status=422, problem="incomplete", code=code)
    with ask.db.transaction():
        id = adopt(ask.db, code, site_id=found[0]["id"], kind=kind, label=said, connectors=number)
        if id is not None:
            after = {"site": site, "kind": kind, "label": said, "connectors": number}
            ask.record("charger.adopt", f"charger/{code}", None, after)
    if id is None:
        return _show(request, ask, status=409, problem="gone", code=code)
    return RedirectResponse(f"/console/chargers/{quote(code)}", 303)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()
