"""One thing done with a ticket by a caller: right, scope, transition and audit together."""

from typing import Any

from api import ticket_models as models
from api.context import Asked
from api.problems import Problem
from api.rights import demand, scope
from pilewatch.workflow.desk import Actor, act
from pilewatch.workflow.tickets import Action, Assign, Claim, Comment, Merge, Ticket

_NOTHING = dict.fromkeys(("state", "site", "charger", "code"))


def assignment(ask: Asked, body: models.AssignRequest) -> Assign:
    """Whom the ticket is given to. Raises `Problem` 422 for an unknown company or person."""
    return Assign(company_id(ask, body.company), person_id(ask, body.assignee))


def company_id(ask: Asked, code: str | None) -> int | None:
    """The company of this code, if one is named. Raises `Problem` 422 where there is none."""
    return _id(ask.rows("company_id", code=code), f"company {code}") if code else None


def person_id(ask: Asked, login: str | None) -> int | None:
    """The person of this login, if one is named. Raises `Problem` 422 where there is none."""
    return _id(ask.rows("person_id", login=login), f"person {login}") if login else None


def claim(body: models.ClaimRequest) -> Claim:
    """What the repairer says to have found and done."""
    return Claim(body.cause, body.remedy, body.part, body.note, body.cause_code, body.remedy_code)


def comment(body: models.CommentRequest) -> Comment:
    """A word for the inside, or one that the reporters' receipts show."""
    return Comment(body.text, "announced" if body.audience == "residents" else "commented")


def _id(rows: list[dict[str, Any]], what: str) -> int:
    if not rows:
        raise Problem(422, f"there is no {what}")
    return int(rows[0]["id"])


def check_seen(ask: Asked, id: int) -> dict[str, Any]:
    """The ticket as this caller may see it. Raises `Problem` 404."""
    rows = ask.rows("tickets", **_NOTHING, id=id, before=id + 1, limit=1, **scope(ask.caller))
    if not rows:
        raise Problem(404, f"there is no ticket {id}")
    return rows[0]


def do(ask: Asked, id: int, word: str, action: Action, version: int | None) -> Ticket:
    """The ticket afterwards. `version` is the one that the caller has seen.

    Raises `Problem` without the right or outside the caller's scope, and what `desk.act` raises.
    """
    demand(ask.caller, word)
    with ask.db.transaction():
        seen = check_seen(ask, id)
        if isinstance(action, Merge):
            check_seen(ask, action.into)
        actor = Actor("person", ask.caller.id)
        after = act(ask.db, ask.policy, ask.now, id, action, actor, expected_version=version)
        ask.record(
            f"ticket.{word}",
            f"ticket/{id}",
            {"state": seen["state"], "version": seen["version"]},
            {"state": after.state.value, "version": after.version},
        )
    return after
