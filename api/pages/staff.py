"""What every page of staff shares: its frame, and the lists that each sees the own part of."""

from typing import Any

from fastapi import Request, Response

from api.context import Asked
from api.pages import views
from api.pages.evidence import proof, seen
from api.pages.render import show, speech
from api.rights import RIGHTS, may, scope
from pilewatch.store import queries

SQL = queries.load("pages") | queries.load("console")
_SHOWN = 500


def page(
    request: Request,
    ask: Asked,
    template: str,
    *,
    status: int = 200,
    zone: str | None = None,
    **values: Any,
) -> Response:
    """A page of staff, in the time of its place (`zone`) or of the first area."""
    if zone is None:
        zone = own_zone(ask)
    return show(
        request, speech(request, ask.now, zone), template, status=status, caller=ask.caller,
        csrf=ask.csrf, private=True, seen=seen, proof=proof, overdue=views.overdue,
        next_due=views.next_due, rights={word for word in RIGHTS if may(ask.caller, word)},
        **values,
    )  # fmt: skip


def own_zone(ask: Asked) -> str | None:
    """The time zone of the first area, if there is one."""
    zones = rows(ask, "zone")
    return str(zones[0]["timezone"]) if zones else None


def tickets(ask: Asked, **wanted: Any) -> list[dict[str, Any]]:
    """Tickets that the caller sees: one (`id`), a charger's, or live ones by urgency."""
    values = {
        **dict.fromkeys(("id", "charger", "site", "severity", "state", "since")),
        **{"live": False, "late": False, "limit": _SHOWN, "offset": 0},
    }
    return rows(ask, "tickets", **{**values, **wanted}, **scope(ask.caller))


def incidents(ask: Asked, tickets: list[int], *, live: bool = False) -> list[dict[str, Any]]:
    """Incidents of these tickets, with the members of what they are about."""
    values = {"tickets": tickets, "live": live, "limit": _SHOWN}
    return rows(ask, "incidents", **values, **scope(ask.caller))


def rows(ask: Asked, name: str, **values: Any) -> list[dict[str, Any]]:
    """The rows of a named query of the pages."""
    return ask.db.execute(SQL[name], {"now": ask.now, **values}).fetchall()
