"""Plans, rounds, stops and checklists as the caller may see them."""

from typing import Any

from api.context import Asked
from api.models import Big
from api.rights import scope
from pilewatch.store import queries

_SQL = queries.load("patrols")


def plans_seen(ask: Asked, **wanted: Any) -> list[dict[str, Any]]:
    """Patrol plans, newest first."""
    values = {
        "id": None,
        "before": Big,
        "limit": 1,
        "current": False,
        **scope(ask.caller),
        **wanted,
    }
    return ask.db.execute(_SQL["plans"], values).fetchall()


def rounds_seen(ask: Asked, **wanted: Any) -> list[dict[str, Any]]:
    """Rounds, newest first."""
    values = {"id": None, "plan": None, "state": None, "mine": False, "before": Big, "limit": 1}
    return ask.db.execute(_SQL["rounds"], {**values, **scope(ask.caller), **wanted}).fetchall()


def stops_seen(ask: Asked, ids: list[int], **wanted: Any) -> list[dict[str, Any]]:
    """The stops of these rounds, in the order of the way."""
    values = {"round_ids": ids, "after": 0, **scope(ask.caller), **wanted}
    return ask.db.execute(_SQL["stops"], values).fetchall()


def checklists_seen(ask: Asked, **wanted: Any) -> list[dict[str, Any]]:
    """Versions of checklists, newest first; all staff see them."""
    values = {"id": None, "ids": None, "before": Big, "limit": 1, **wanted}
    rows = ask.db.execute(_SQL["checklists"], values).fetchall()
    return [
        {**row, "name": row["content"]["name"], "items": row["content"]["items"]} for row in rows
    ]
