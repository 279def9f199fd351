"""One thing done with a ticket by a caller: right, scope, transition and audit together."""

from typing import Any

from api.context import Asked
from api.problems import Problem
from api.rights import demand, scope
from pilewatch.workflow.desk import Actor, act
from pilewatch.workflow.tickets import Action, Merge, Ticket

_NOTHING = dict.fromkeys(("state", "site", "charger", "code"))


def do(ask: Asked, id: int, word: str, action: Action, version: int | None) -> Ticket:
    """The ticket afterwards. `version` is the one that the caller has seen.

    Raises `Problem` without the right or outside the caller's scope, and what `desk.act` raises.
    """
    demand(ask.caller, word)
    with ask.db.transaction():
        seen = _seen(ask, id)
        if isinstance(action, Merge):
            _seen(ask, action.into)
        actor = Actor("person", ask.caller.id)
        after = act(ask.db, ask.policy, ask.now, id, action, actor, expected_version=version)
        ask.record(
            f"ticket.{word}",
            f"ticket/{id}",
            {"state": seen["state"], "version": seen["version"]},
            {"state": after.state.value, "version": after.version},
        )
    return after


def _seen(ask: Asked, id: int) -> dict[str, Any]:
    """The ticket, where the caller sees it. Raises `Problem` 404."""
    rows = ask.rows("tickets", **_NOTHING, id=id, before=id + 1, limit=1, **scope(ask.caller))
    if not rows:
        raise Problem(404, f"there is no ticket {id}")
    return rows[0]
