"""The quarantine: what could not be used, and unknown chargers, which can be adopted."""

from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import RedirectResponse
from pydantic import ValidationError

from api.adoption import AdoptRequest, take_in
from api.context import Ask, Asked, check_csrf
from api.pages import staff
from api.problems import Problem
from api.rights import demand, scope

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
    """Register it at one of the own sites; ingesters hear of it at once."""
    demand(ask.caller, "adopt")
    check_csrf(ask.csrf, csrf)
    try:
        wanted = AdoptRequest.model_validate(
            {"site": site, "kind": kind, "label": label.strip(), "connectors": connectors}
        )
        take_in(ask, code.replace("\0", ""), wanted)
    except ValidationError:
        return _show(request, ask, status=422, problem="incomplete", code=code)
    except Problem as problem:
        if problem.status not in (404, 409):
            raise
        return _show(request, ask, status=409, problem="gone", code=code)
    return RedirectResponse(f"/console/chargers/{quote(code)}", 303)
