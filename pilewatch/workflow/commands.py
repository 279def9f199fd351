"""Orders to chargers: what may be ordered, and the one row that each order is.

An order is `queued` here, `sent` once the broker has it, then what the charger answers: `accepted`,
`rejected`, `done`, `failed`; without an answer in time it is `expired`. An ingester sends (see
`ingest/sender.py`), results come in with the observations. Every function runs inside its caller's
transaction.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal, get_args

from psycopg.types.json import Jsonb

from pilewatch.faultcodes import FAULTS
from pilewatch.store import queries
from pilewatch.store.pool import Db
from pilewatch.wire import CommandName

_SQL = queries.load("commands")
NAMES: tuple[CommandName, ...] = get_args(CommandName)
CommandState = Literal["queued", "sent", "accepted", "rejected", "done", "failed", "expired"]
ANSWER = timedelta(seconds=30)
"""How long after its expiry the answer to an order that was sent is waited for."""
FINISH = timedelta(minutes=15)
"""How long an accepted order may take."""
DANGERS = sorted(code for code, fault in FAULTS.items() if fault.severity == 1)
_AT_PORT = frozenset({"unlock", "startTest"})
_WHOLE = frozenset({"reset", "getLog"})
_LOG_TO = re.compile(r"(?:https?|ftps?|sftp)://[^\s\x00-\x20@]{1,480}")


class BadOrder(ValueError):
    """Nothing that a charger could obey; `str()` says what is wrong and what would be right."""


@dataclass(frozen=True)
class Order:
    """One thing that a charger is to do. `person_id` None: the engine, by policy."""

    charger_id: int
    name: CommandName
    reason: str
    lasts: timedelta
    connector_id: int | None = None
    args: Mapping[str, Any] = field(default_factory=dict)
    person_id: int | None = None
    on_site: bool = False
    incident_id: int | None = None
    ticket_id: int | None = None


def check(name: CommandName, *, at_port: bool, args: Mapping[str, Any], on_site: bool) -> None:
    """Raises `BadOrder` for what the wire contract does not know or allow."""
    if name in _AT_PORT and not at_port:
        raise BadOrder(f"connector: {name} is for one connector; say which")
    if name in _WHOLE and at_port:
        raise BadOrder(f"connector: {name} is for the whole charger; leave it out")
    if name == "setAvailability":
        if set(args) != {"available"} or not isinstance(args["available"], bool):
            raise BadOrder('args: right would be {"available": true} or {"available": false}')
    elif name == "getLog":
        url = args.get("url") if len(args) == 1 else None
        if not isinstance(url, str) or not _LOG_TO.fullmatch(url):
            raise BadOrder(
                'args: right would be {"url": "https://…"}, where the charger may upload; ftp, '
                "ftps and sftp, too; no password in it, as it is kept in the audit"
            )
    elif args:
        raise BadOrder(f"args: {name} has none")
    if name == "startTest" and not on_site:
        raise BadOrder("on_site: a test charge is only for somebody who stands before the charger")


def needs_presence(name: CommandName, args: Mapping[str, Any]) -> bool:
    """Whether it may let current flow again: where people may be in danger, only by somebody
    who stands there."""
    return name in ("reset", "startTest") or bool(args.get("available"))


def order(db: Db, now: datetime, what: Order) -> int | None:
    """Queue it; gives its id, or None where the same is under way for this charger or connector."""
    expire(db, now)
    values = {**vars(what), "args": Jsonb(dict(what.args))}
    row = db.execute(
        _SQL["add_command"], {**values, "now": now, "expires_at": now + what.lasts}
    ).fetchone()
    if row is None:
        return None
    db.execute(_SQL["notify"], {"payload": str(row["id"])})
    return int(row["id"])


def under_way(db: Db, what: Order) -> int | None:
    """The order that stands in the way of this one."""
    row = db.execute(_SQL["under_way"], vars(what) | {"args": None}).fetchone()
    return None if row is None else int(row["id"])


def expire(db: Db, now: datetime) -> int:
    """End what is too old; whoever looks first does it. Gives how many."""
    values = {"now": now, "answer": ANSWER, "finish": FINISH}
    row = db.execute(_SQL["expire_commands"], values).fetchone()
    return 0 if row is None else int(row["ended"])
