"""`/api/v1/tickets/bulk`: one order for many tickets, each with its own transaction and result."""

import json
from collections.abc import Callable
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends
from psycopg.types.json import Jsonb
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from api import models, problems, ticket_models, ticketing
from api.context import SQL, Ask, Asked, guard_cache
from api.idempotency import IdempotencyKey, caller_name, fingerprint
from api.problems import Problem
from api.rights import demand
from pilewatch.workflow.tickets import (
    Accept,
    Action,
    Merge,
    Pause,
    Reject,
    Reopen,
    Resume,
    Start,
)

orders = APIRouter(
    prefix="/api/v1",
    tags=["tickets"],
    dependencies=[Depends(guard_cache)],
    responses=problems.documented([413]),
)
Make = Callable[[Asked, Any], Action]
_ACTIONS: dict[str, tuple[type[BaseModel] | None, Make]] = {
    "assign": (ticket_models.AssignRequest, ticketing.assignment),
    "accept": (None, lambda *_: Accept()),
    "start": (None, lambda *_: Start()),
    "claim": (ticket_models.ClaimRequest, lambda _, body: ticketing.claim(body)),
    "reject": (ticket_models.ReasonRequest, lambda _, body: Reject(body.reason)),
    "reopen": (ticket_models.ReasonRequest, lambda _, body: Reopen(body.reason)),
    "merge": (ticket_models.MergeRequest, lambda _, body: Merge(body.into)),
    "comment": (ticket_models.CommentRequest, lambda _, body: ticketing.comment(body)),
    "pause": (ticket_models.PauseRequest, lambda _, body: Pause(body.reason, body.note)),
    "resume": (None, lambda *_: Resume()),
}


class BulkTicket(BaseModel):
    """One ticket, and the version of it that was seen (as If-Match: another one is refused)."""

    model_config = ConfigDict(extra="forbid")

    id: int = Field(ge=1, le=models.Big)
    version: int | None = Field(None, ge=1, le=2**31 - 1)


class BulkRequest(BaseModel):
    """The same order for each of these tickets. `body` is what the single order's body would be."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "action": "assign",
                    "tickets": [{"id": 12, "version": 1}, {"id": 13}],
                    "body": {"company": "xinchong"},
                }
            ]
        },
    )

    action: Literal[
        "assign",
        "accept",
        "start",
        "claim",
        "reject",
        "reopen",
        "merge",
        "comment",
        "pause",
        "resume",
    ]
    tickets: list[BulkTicket] = Field(min_length=1, max_length=200)
    body: dict[str, Any] = {}

    @field_validator("tickets")
    @classmethod
    def _each_once(cls, tickets: list[BulkTicket]) -> list[BulkTicket]:
        if len({ticket.id for ticket in tickets}) < len(tickets):
            raise ValueError("each ticket once")
        return tickets


class BulkResult(BaseModel):
    """What became of one ticket: `status` is the single order's, `problem` why it was refused."""

    id: int
    status: int
    state: str | None
    version: int | None
    problem: dict[str, Any] | None = None


class BulkAnswer(BaseModel):
    """The results in the order of the request."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "done": 1,
                    "refused": 1,
                    "results": [
                        {
                            "id": 12,
                            "status": 200,
                            "state": "assigned",
                            "version": 2,
                            "problem": None,
                        },
                        {
                            "id": 13,
                            "status": 409,
                            "state": "closed",
                            "version": 7,
                            "problem": {
                                "type": "urn:pilewatch:problem:refused",
                                "title": "Conflict",
                                "status": 409,
                                "detail": "assign is not possible while the ticket is closed",
                            },
                        },
                    ],
                }
            ]
        }
    )

    done: int
    refused: int
    results: list[BulkResult]


@orders.post(
    "/tickets/bulk",
    response_model=BulkAnswer,
    summary="One order for many tickets",
    **problems.for_staff(),
)
def bulk(
    body: BulkRequest,
    ask: Ask,
    digest: Annotated[bytes, Depends(fingerprint)],
    idempotency_key: IdempotencyKey = None,
) -> Any:
    """Each ticket by itself: what one refuses does not hold up the others. Sent again with its
    Idempotency-Key, also after an interruption, it goes on where it was and repeats nothing."""
    demand(ask.caller, body.action)
    action = _action(ask, body)
    if idempotency_key is not None:
        _claim(ask, idempotency_key, digest)
    results = []
    for ticket in body.tickets:
        # A key of ours beside the client's: no client's key has a space.
        key = None if idempotency_key is None else f"{idempotency_key} {ticket.id}"
        results.append(_once(ask, key, digest, body.action, action, ticket))
    done = sum(result["status"] == 200 for result in results)
    return {"done": done, "refused": len(results) - done, "results": results}


def _action(ask: Asked, body: BulkRequest) -> Action:
    model, make = _ACTIONS[body.action]
    if model is None:
        if body.body:
            raise Problem(422, f"body: {body.action} needs none")
        return make(ask, None)
    try:
        return make(ask, model.model_validate(body.body))
    except ValidationError as error:
        wrong = [
            {"pointer": "/" + "/".join(["body", "body", *map(str, e["loc"])]), "detail": e["msg"]}
            for e in error.errors()
        ]
        raise Problem(422, "the request does not fit; see errors", errors=wrong) from error


def _claim(ask: Asked, key: str, digest: bytes) -> None:
    """The order's own row: the key cannot come with another order. Raises `Problem` 422."""
    name = {"caller": caller_name(ask), "key": key}
    if ask.rows("claim_key", **name, request=digest):
        return
    if ask.rows("kept_answer", **name)[0]["request"] != digest:
        raise Problem(422, "Idempotency-Key: it came before with another request")


def _once(
    ask: Asked, key: str | None, digest: bytes, word: str, action: Action, ticket: BulkTicket
) -> dict[str, Any]:
    if key is None:
        return do_one(ask, word, action, ticket)
    name = {"caller": caller_name(ask), "key": key}
    with ask.db.transaction():
        if not ask.rows("claim_key", **name, request=digest):
            kept: dict[str, Any] = ask.rows("kept_answer", **name)[0]["response"]
            return kept
        result = do_one(ask, word, action, ticket)
        kept_answer = {"status": result["status"], "response": Jsonb(result)}
        ask.db.execute(SQL["keep_answer"], {**name, **kept_answer})
    return result


def do_one(ask: Asked, word: str, action: Action, ticket: BulkTicket) -> dict[str, Any]:
    """The order for one of them: what became of it, a refusal included."""
    try:
        after = ticketing.do(ask, ticket.id, word, action, ticket.version)
    except problems.REFUSALS as error:
        problem = json.loads(bytes(problems.refusal(error).body))
        now = {key: problem.get(key) for key in ("state", "version")}
        return {"id": ticket.id, "status": problem["status"], **now, "problem": problem}
    return {"id": ticket.id, "status": 200, "state": after.state.value, "version": after.version}
