"""Tells on a terminal, one line each, what the engine and the people decide."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from pilewatch.model import Severity
from pilewatch.store import queries
from pilewatch.store.pool import Db

_SQL = queries.load("deploy")
_OVERLAP = 50
_DANGER = {
    Severity.PEOPLE: "danger to people",
    Severity.EQUIPMENT: "danger to equipment",
    Severity.NOTICE: "notice",
}


class Narrator:
    """Remembers what it has told. Times are shown in the machine's own zone."""

    def __init__(self, db: Db):
        self.db = db
        row = db.execute(_SQL["last_notification"]).fetchone()
        self._first = self._last = 0 if row is None else int(row["id"])
        self._told: set[int] = set()

    def news(self) -> list[str]:
        """What was decided since the last call, in order."""
        after = max(self._first, self._last - _OVERLAP)
        rows = self.db.execute(_SQL["notifications_since"], {"after": after}).fetchall()
        fresh = [row for row in rows if row["id"] not in self._told]
        self._told = {row["id"] for row in rows}
        if rows:
            self._last = rows[-1]["id"]
        # A ticket is opened just before its incident is told of, in one decision.
        fresh.sort(key=lambda row: (row["created_at"], row["topic"] != "incident.opened"))
        return [line(row) for row in fresh if row["topic"] not in _UNTOLD]


def line(row: dict[str, Any]) -> str:
    """One decision as a line: when, what about, where, what happened."""
    kind, _, word = row["topic"].partition(".")
    said = row["payload"]
    what = f"{kind} #{said[kind]}"
    tell = _HAPPENED.get(row["topic"])
    happened = word if tell is None else tell(row)
    return f"{_clock(row['created_at'])}  {what:<14} {place(row):<24} {happened}"


def place(row: dict[str, Any]) -> str:
    """The subject as people call it."""
    if row["connector"] is not None:
        return f"{row['charger']} port {row['connector']}"
    if row["charger"] is not None:
        return str(row["charger"])
    return f"gateway {row['gateway']}" if row["gateway"] is not None else f"site {row['site']}"


def _clock(at: datetime) -> str:
    return f"{at.astimezone():%H:%M:%S}"


def _severity(row: dict[str, Any]) -> str:
    return _DANGER[Severity(row["payload"]["severity"])]


def _opened(row: dict[str, Any]) -> str:
    by = f", repair promised by {row['deadline_at'].astimezone():%d.%m. %H:%M}"
    return f"opened for {row['payload']['code']}{by}"


def _reset(row: dict[str, Any]) -> str:
    return f"reset #{row['payload']['command']}"


def _claimed(row: dict[str, Any]) -> str:
    said = row["data"] or {}
    return f"repair claimed: {said.get('cause')}; {said.get('remedy')} - evidence is awaited"


def _proved(row: dict[str, Any]) -> str:
    return f"proved by {evidence((row['data'] or {}).get('evidence') or row['evidence'] or {})}"


def evidence(found: dict[str, Any]) -> str:
    """What showed the repair, in words."""
    match found.get("kind"):
        case "session":
            return f"a session that delivered {found['energy_wh']:.0f} Wh"
        case "idle":
            return f"{found['seconds']} s of healthy idle time"
        case "online":
            return f"{found['seconds']} s on line"
        case "inspection":
            return "a grid worker's test charge on the spot"
        case other:
            return str(other)


_UNTOLD = frozenset({"ticket.incident-cleared", "ticket.joined", "ticket.inspected"})
"""Beside them another line says the same."""
_HAPPENED: dict[str, Callable[[dict[str, Any]], str]] = {
    "incident.reset": lambda row: f"{row['payload']['code']}: {_reset(row)} ordered, no ticket yet",
    "incident.cured": lambda row: f"{_reset(row)} cured {row['payload']['code']}, nobody had to go",
    "ticket.reset-tried": lambda row: f"reset #{row['data']['command']} did not help",
    "incident.opened": lambda row: f"{row['payload']['code']} detected, {_severity(row)}",
    "incident.cleared": lambda row: f"{row['payload']['code']} is no longer seen",
    "ticket.opened": _opened,
    "ticket.claimed": _claimed,
    "ticket.verified": _proved,
    "ticket.recovered": _proved,
    "ticket.closed": lambda _: "CLOSED, with its evidence",
    "ticket.claim-returned": lambda row: f"claim returned to the repairer: {row['note']}",
    "ticket.reopened": lambda row: f"reopened: {row['note']}",
    "ticket.reported-too": lambda _: "a resident reports it too",
}
