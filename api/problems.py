"""Errors as RFC 9457 problem documents: what was wrong, where, and what would be right."""

from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any

import psycopg
import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from psycopg_pool import PoolTimeout
from pydantic import BaseModel, ConfigDict
from starlette.exceptions import HTTPException

from api.problem_kinds import kind_of
from pilewatch.workflow.desk import NotFound, VersionConflict
from pilewatch.workflow.tickets import Refused

_LOG = structlog.get_logger()


class Problem(Exception):
    """An answer other than success; `more` are members of the problem document."""

    def __init__(self, status: int, detail: str, **more: Any):
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.more = more


def answer(
    status: int,
    detail: str,
    *,
    word: str | None = None,
    headers: Mapping[str, str] | None = None,
    **more: Any,
) -> JSONResponse:
    """One problem document. `word` names its kind among `problem_kinds.KINDS`."""
    kind = kind_of(status, word)
    body = {
        "type": "about:blank" if kind is None else kind.type,
        "title": HTTPStatus(status).phrase if kind is None else kind.title,
        "status": status,
        "detail": detail,
        **more,
    }
    return JSONResponse(
        body,
        status,
        media_type="application/problem+json",
        headers={"Cache-Control": "no-store", **(headers or {})},
    )


REFUSALS = (Problem, Refused, VersionConflict, NotFound)


def refusal(error: Exception) -> JSONResponse:
    """The answer to a request that was understood and not granted: one of `REFUSALS`."""
    match error:
        case Problem():
            return answer(error.status, error.detail, **error.more)
        case Refused():
            now: dict[str, Any] = {"state": error.state.value, "version": error.version}
            return answer(409, str(error), word="refused", **now, allowed=error.allowed)
        case VersionConflict():
            now = {"version": error.version}
            if error.state is not None:
                now["state"] = error.state.value
            return answer(412, str(error), word="changed-meanwhile", **now)
        case NotFound():
            return answer(404, f"there is no {error}")
    raise error


class ProblemAnswer(BaseModel):
    """A problem document (RFC 9457): what was wrong, where, and what would be right."""

    model_config = ConfigDict(extra="allow")

    type: str
    title: str
    status: int
    detail: str
    errors: list[dict[str, str]] | None = None
    state: str | None = None
    allowed: list[str] | None = None
    version: int | None = None


_CAUSES: dict[int, tuple[str, str, dict[str, Any]]] = {
    401: ("Not known who asks", "this key is unknown, revoked or expired", {}),
    403: ("This role may not", "repairer may not assign", {}),
    404: ("No such thing", "there is no ticket 12", {}),
    409: (
        "Not possible in the present state",
        "a ticket that is open cannot be claimed",
        {"state": "open", "version": 1, "allowed": ["assign", "accept"]},
    ),
    412: (
        "Changed meanwhile",
        "the ticket has been changed meanwhile; it is at version 3",
        {"state": "accepted", "version": 3},
    ),
    413: ("The body is too large", "a body has 262144 bytes at most", {}),
    422: (
        "The request does not fit",
        "the request does not fit; see errors",
        {"errors": [{"pointer": "/body/code", "detail": "no fault code; see the taxonomy"}]},
    ),
    429: ("Too many", "too many reports from this address; try again later", {}),
    503: ("The database is away, or too much is asked", "the database is away; try again", {}),
}


_WORDS = {409: "refused", 412: "changed-meanwhile", 422: "invalid", 503: "away"}


def documented(statuses: Iterable[int]) -> dict[int | str, dict[str, Any]]:
    """What the OpenAPI document says of these errors."""
    found: dict[int | str, dict[str, Any]] = {}
    for status in sorted(statuses):
        cause, detail, more = _CAUSES[status]
        kind = kind_of(status, _WORDS.get(status))
        assert kind is not None
        example = {
            "type": kind.type,
            "title": kind.title,
            "status": status,
            "detail": detail,
            **more,
        }
        schema = {"$ref": "#/components/schemas/ProblemAnswer"}
        content = {"application/problem+json": {"schema": schema, "example": example}}
        found[status] = {"description": cause, "content": content}
    return found


def open_to_all(*statuses: int) -> dict[str, Any]:
    """A public operation's documentation: errors that can happen, and that no key is needed."""
    security: list[dict[str, list[str]]] = [{}, {"key": []}, {"session": []}]
    responses = documented({401, 422, 429, 503, *statuses})
    return {"responses": responses, "openapi_extra": {"security": security}}


def for_staff(*statuses: int) -> dict[str, Any]:
    """The same for an operation that needs a key or a session."""
    security: list[dict[str, list[str]]] = [{"key": []}, {"session": []}]
    responses = documented({401, 403, 422, 429, 503, *statuses})
    return {"responses": responses, "openapi_extra": {"security": security}}


def install(app: FastAPI) -> None:
    """Every error of the application leaves as a problem document, never as a traceback."""

    for kind in REFUSALS:
        app.add_exception_handler(kind, lambda _, error: refusal(error))

    @app.exception_handler(RequestValidationError)
    def _invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        wrong = [
            {"pointer": "/" + "/".join(map(str, e["loc"])), "detail": e["msg"]}
            for e in error.errors()
        ]
        return answer(422, "the request does not fit; see errors", word="invalid", errors=wrong)

    @app.exception_handler(HTTPException)
    def _http(_: Request, error: HTTPException) -> JSONResponse:
        return answer(error.status_code, str(error.detail), headers=error.headers)

    @app.exception_handler(psycopg.OperationalError)
    @app.exception_handler(PoolTimeout)
    def _away(_: Request, __: Exception) -> JSONResponse:
        return answer(
            503, "the database is away; try again", word="away", headers={"Retry-After": "5"}
        )

    @app.exception_handler(Exception)
    def _broken(_: Request, error: Exception) -> JSONResponse:
        _LOG.error("request failed", error=repr(error))
        return answer(500, "something broke on our side; it has been logged")
