"""A charger's page: how it is, what it said, what was wrong with it, what it can be told."""

from collections.abc import Mapping
from typing import Annotated
from urllib.parse import quote
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Depends, Form, Query, Request, Response
from fastapi.responses import RedirectResponse

from api.context import Ask, Asked, check_csrf
from api.pages import commanding, staff
from api.pages.past import PRESETS, past, wished
from api.pages.words import script_words
from api.problems import Problem
from api.rights import demand, scope
from pilewatch.model import Kind

router = APIRouter(prefix="/console", include_in_schema=False)
_FIELD = 2000
_SHOWN = 10
_TOLD = ("chart.closer", "chart.wider", "chart.keys")
"""Words that the live charts show."""
Word = Annotated[str, Query(max_length=40)]


def _range(
    hours: Word = "",
    begins: Annotated[str, Query(alias="from", max_length=40)] = "",
    ends: Annotated[str, Query(alias="to", max_length=40)] = "",
    port: Word = "",
) -> dict[str, str]:
    return {"hours": hours, "from": begins, "to": ends, "port": port}


@router.get("/chargers/{code}")
def charger(
    code: str, request: Request, ask: Ask, said: Annotated[dict[str, str], Depends(_range)]
) -> Response:
    """One pile: how it is, what it said, what was wrong with it, what it can be told."""
    demand(ask.caller, "read")
    return _charger(request, ask, code, said=said)


def _wanted(
    csrf: Annotated[str, Form(max_length=100)] = "",
    order: Annotated[str, Form(max_length=20)] = "",
    port: Annotated[str, Form(max_length=3)] = "",
    reason: Annotated[str, Form(max_length=_FIELD)] = "",
    on_site: Annotated[str, Form(max_length=1)] = "",
) -> dict[str, str]:
    fields = {"csrf": csrf, "order": order, "port": port, "reason": reason, "on_site": on_site}
    if any("\0" in text for text in fields.values()):
        raise Problem(422, "the character NUL cannot be kept")
    return {name: text.strip() for name, text in fields.items()}


@router.post("/chargers/{code}/commands")
def command(
    code: str, request: Request, ask: Ask, wanted: Annotated[dict[str, str], Depends(_wanted)]
) -> Response:
    """Tell the pile something; what is missing or in the way is said on its page."""
    demand(ask.caller, "read")
    check_csrf(ask.csrf, wanted["csrf"])
    code = "" if "\0" in code else code[:64]
    problem = commanding.press(ask, code, wanted)
    if problem is not None:
        status = 409 if problem == "under-way" else 422
        return _charger(request, ask, code, status=status, problem=problem, given=wanted)
    return RedirectResponse(f"/console/chargers/{quote(code)}#commands", 303)


def _charger(
    request: Request,
    ask: Asked,
    code: str,
    *,
    status: int = 200,
    problem: str | None = None,
    given: Mapping[str, str] | None = None,
    said: Mapping[str, str] | None = None,
) -> Response:
    word = "" if "\0" in code else code[:64]
    places = staff.rows(ask, "charger", code=word)
    if not places or not ask.rows("charger_for", code=word, connector=None, **scope(ask.caller)):
        raise Problem(404, "there is no such charger")
    place = places[0]
    asked = wished(ask.now, ZoneInfo(place["timezone"]), said or _range())
    return staff.page(
        request,
        ask,
        "console/charger.html",
        status=status,
        zone=place["timezone"],
        place=place,
        state=staff.rows(ask, "charger_state", id=place["id"])[0],
        connectors=staff.rows(ask, "connectors", id=place["id"]),
        tickets=staff.tickets(ask, charger=place["code"], limit=_SHOWN),
        observations=staff.rows(ask, "observations", id=place["id"]),
        kinds={kind.value: kind.name.lower().replace("_", "-") for kind in Kind},
        past=past(ask, place["id"], asked),
        presets=PRESETS,
        told=script_words(request, _TOLD),
        commands=commanding.panel(ask, place["code"], problem),
        given={**dict.fromkeys(("port", "reason"), ""), **(given or {})},
    )
