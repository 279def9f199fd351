"""`/api/v1/chargers/{code}/commands`: what a charger is told to do, and what it answered."""

from datetime import datetime, timedelta
from typing import Annotated, Any

from fastapi import Path
from pydantic import BaseModel, ConfigDict, Field

from api import problems
from api.context import Ask, Asked, Paged
from api.models import Big, Code, Listed, PathCode, Port, Text
from api.problems import Problem
from api.rights import demand, may, scope
from api.routers import ordering, reading
from pilewatch.store import queries
from pilewatch.wire import CommandName
from pilewatch.workflow.commands import (
    DANGERS,
    NAMES,
    BadOrder,
    CommandState,
    Order,
    check,
    needs_presence,
    order,
    under_way,
)

router, orders = reading("commands"), ordering("commands")
_SQL = queries.load("commands")
_Url = Annotated[str, Field(max_length=500)]
_ID = Annotated[int, Path(ge=1, le=Big, description="Its number")]


class CommandRequest(BaseModel):
    """What to do. `args` of setAvailability: `{"available": true}`, or false; of getLog:
    `{"url": …}`, where the charger uploads its log.

    `on_site`: whoever orders it stands before the charger; a test charge needs it, and so does
    whatever may let current flow again where people may be in danger.
    """

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "name": "unlock",
                    "connector": 2,
                    "reason": "plug cannot leave",
                    "expires_in_s": 120,
                    "on_site": False,
                    "ticket": 12,
                }
            ]
        },
    )

    name: CommandName
    connector: Port | None = None
    args: dict[
        Annotated[str, Field(max_length=64)], bool | Annotated[str, Field(max_length=500)]
    ] = Field({}, max_length=8)
    reason: Text
    expires_in_s: Annotated[int, Field(ge=10, le=86400)] = 120
    on_site: bool = False
    ticket: Annotated[int, Field(ge=1, le=Big)] | None = None


class CommandAnswer(BaseModel):
    """A command and what became of it. `ordered_by` null: the engine, by policy."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": 7,
                    "command_id": "0b9f6f0e-3a0c-4c27-9a35-6d1d1b0c6a52",
                    "charger": "WH-E01",
                    "connector": 2,
                    "site": "wanhe-1a",
                    "name": "unlock",
                    "args": {},
                    "state": "done",
                    "reason": "plug cannot leave",
                    "detail": None,
                    "ordered_by": "wang",
                    "on_site": False,
                    "incident": None,
                    "ticket": 12,
                    "issued_at": "2026-05-01T08:00:00Z",
                    "expires_at": "2026-05-01T08:02:00Z",
                    "sent_at": "2026-05-01T08:00:00Z",
                    "accepted_at": None,
                    "ended_at": "2026-05-01T08:00:02Z",
                }
            ]
        }
    )

    id: int
    command_id: str
    charger: Code
    connector: int | None
    site: str
    name: CommandName
    args: dict[str, Any]
    state: CommandState
    reason: str
    detail: str | None
    ordered_by: str | None
    on_site: bool
    incident: int | None
    ticket: int | None
    issued_at: datetime
    expires_at: datetime
    sent_at: datetime | None
    accepted_at: datetime | None
    ended_at: datetime | None


@orders.post(
    "/chargers/{code}/commands",
    status_code=201,
    response_model=CommandAnswer,
    summary="Tell a charger what to do",
    **problems.for_staff(404, 409),
)
def command(code: PathCode, body: CommandRequest, ask: Ask) -> Any:
    """Queued for the charger, and never obeyed after its time. 409 where the same is under way,
    or where people may be in danger and nobody stands there. What became of it: `/commands/{id}`,
    or `command` on `/live`."""
    return _one(ask, give(ask, code, body))


@router.get(
    "/chargers/{code}/commands",
    response_model=Listed[CommandAnswer],
    summary="What a charger was told to do",
    **problems.for_staff(404),
)
def commands(code: PathCode, ask: Ask, page: Paged) -> Any:
    """Newest first."""
    demand(ask.caller, "read")
    _charger(ask, code, None)
    rows = listed(ask, charger=code, before=page.before, limit=page.limit)
    return page.answer(rows, rows)


@router.get(
    "/commands/{id}",
    response_model=CommandAnswer,
    summary="One command",
    **problems.for_staff(404),
)
def one_command(id: _ID, ask: Ask) -> Any:
    """With what the charger answered."""
    demand(ask.caller, "read")
    return _one(ask, id)


def give(ask: Asked, code: str, wanted: CommandRequest) -> int:
    """Order it: right, scope, rules and audit together; gives the command's id.

    Raises `Problem`.
    """
    demand(ask.caller, f"command.{wanted.name}")
    with ask.db.transaction():
        place = _charger(ask, code, wanted.connector)
        if wanted.connector is not None and place["connector_id"] is None:
            raise Problem(422, f"connector: {code} has no connector {wanted.connector}")
        try:
            check(
                wanted.name,
                at_port=wanted.connector is not None,
                args=wanted.args,
                on_site=wanted.on_site,
            )
        except BadOrder as error:
            raise Problem(422, str(error)) from error
        if place["danger"] and not wanted.on_site and needs_presence(wanted.name, wanted.args):
            raise Problem(
                409,
                "on_site: people may be in danger there; only somebody who stands before the "
                "charger may order this",
            )
        if wanted.ticket is not None and not _rows(
            ask, "ticket_on_charger", ticket_id=wanted.ticket, **place
        ):
            raise Problem(422, f"ticket: {wanted.ticket} is no live ticket of this charger")
        what = Order(
            charger_id=place["charger_id"],
            connector_id=place["connector_id"],
            name=wanted.name,
            args=wanted.args,
            reason=wanted.reason,
            lasts=timedelta(seconds=wanted.expires_in_s),
            person_id=ask.caller.id,
            on_site=wanted.on_site,
            ticket_id=wanted.ticket,
        )
        id = order(ask.db, ask.now, what)
        if id is None:
            other = under_way(ask.db, what)
            raise Problem(409, f"{wanted.name} is under way there already", command=other)
        said = {"charger": code, **wanted.model_dump(mode="json", exclude={"reason"})}
        ask.record(
            f"command.{wanted.name}",
            f"command/{id}",
            None,
            said,
        )
    return id


def listed(ask: Asked, *, charger: str, limit: int, before: int = Big) -> list[dict[str, Any]]:
    """The latest commands of a charger within the caller's scope."""
    return _rows(ask, "commands", ids=None, charger=charger, before=before, limit=limit)


def allowed(ask: Asked) -> list[CommandName]:
    """What this caller may order."""
    return [name for name in NAMES if may(ask.caller, f"command.{name}")]


def commandable(ask: Asked, code: str) -> bool:
    """Whether the charger is within the caller's scope."""
    return bool(_places(ask, code, None))


def _charger(ask: Asked, code: str, connector: int | None) -> dict[str, Any]:
    rows = _places(ask, code, connector)
    if not rows:
        raise Problem(404, f"there is no charger {code}")
    return rows[0]


def _places(ask: Asked, code: str, connector: int | None) -> list[dict[str, Any]]:
    values = {"code": code, "connector": connector, "dangers": DANGERS}
    return _rows(ask, "charger_for_command", **values)


def _one(ask: Asked, id: int) -> dict[str, Any]:
    rows = _rows(ask, "commands", ids=[id], charger=None, before=Big, limit=1)
    if not rows:
        raise Problem(404, f"there is no command {id}")
    return rows[0]


def _rows(ask: Asked, name: str, **values: Any) -> list[dict[str, Any]]:
    values = {"now": ask.now, **scope(ask.caller), **values}
    return ask.db.execute(_SQL[name], values).fetchall()
