"""Errors as RFC 9457 problem documents: what was wrong, where, and what would be right."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import psycopg
import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from psycopg_pool import PoolTimeout
from starlette.exceptions import HTTPException

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
    """One problem document. `word` names its kind within `urn:pilewatch:problem:`."""
    title = HTTPStatus(status).phrase
    kind = word or title.lower().replace(" ", "-")
    body = {
        "type": f"urn:pilewatch:problem:{kind}",
        "title": title,
        "status": status,
        "detail": detail,
        **more,
    }
    return JSONResponse(
        body, status, media_type="application/problem+json", headers=dict(headers or {})
    )


def install(app: FastAPI) -> None:
    """Every error of the application leaves as a problem document, never as a traceback."""

    @app.exception_handler(Problem)
    def _problem(_: Request, error: Problem) -> JSONResponse:
        return answer(error.status, error.detail, **error.more)

    @app.exception_handler(Refused)
    def _refused(_: Request, error: Refused) -> JSONResponse:
        return answer(
            409, str(error), word="refused", state=error.state.value, allowed=error.allowed
        )

    @app.exception_handler(VersionConflict)
    def _conflict(_: Request, error: VersionConflict) -> JSONResponse:
        return answer(412, str(error), word="changed-meanwhile", version=error.version)

    @app.exception_handler(NotFound)
    def _missing(_: Request, error: NotFound) -> JSONResponse:
        return answer(404, f"there is no {error}")

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
