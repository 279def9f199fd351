"""For residents: the usual busy hours of a site, and "tell me when a port is free"."""

import hashlib
import secrets
from datetime import datetime, timedelta
from typing import Annotated, Any

from fastapi import Path, Request
from pydantic import BaseModel, ConfigDict, Field

from api import models, problems
from api.context import Ask, Asked
from api.limits import count_word
from api.problems import Problem
from api.routers import ordering, reading
from pilewatch.faultcodes import FAULTS
from pilewatch.model import Effect
from pilewatch.store import queries

router, orders = reading("residents"), ordering("residents")
_SQL = queries.load("open")
_WEEKS = 8
_HOUR = timedelta(hours=1)
_PATIENCE = timedelta(hours=24)
_STOPPING = sorted(code for code, fault in FAULTS.items() if fault.effect == Effect.OUT_OF_ORDER)
Token = Annotated[
    str, Path(min_length=1, max_length=200, description="The secret of the waiting page")
]


class BusyHour(BaseModel):
    """One hour of the local week; Monday is 1. `busy` is the share of port time in use."""

    weekday: int
    hour: int
    weeks: int
    busy: float


class BusyHoursAnswer(BaseModel):
    """What is usual at a site; no hours where nothing has been seen for a whole hour yet."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "site": "wanhe-1a",
                    "from_at": "2026-03-06T08:00:00Z",
                    "to_at": "2026-05-01T08:00:00Z",
                    "hours": [{"weekday": 1, "hour": 18, "weeks": 8, "busy": 0.83}],
                }
            ]
        }
    )

    site: str
    from_at: datetime | None
    to_at: datetime
    hours: list[BusyHour]


class WaitAnswer(BaseModel):
    """Somebody waits: `waiting`, `free` (told once, then it stays so) or `over` (24 h are gone).
    `token` and `url` come with the answer to POST only."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "state": "waiting",
                    "site": "wanhe-1a",
                    "free": 0,
                    "since": "2026-05-01T08:00:00Z",
                    "expires_at": "2026-05-02T08:00:00Z",
                    "free_at": None,
                    "token": "q7…",
                    "url": "https://piles.example/w/q7…",
                }
            ]
        }
    )

    state: str
    site: str
    free: int = Field(description="Ports that are free now")
    since: datetime
    expires_at: datetime
    free_at: datetime | None
    token: str | None = None
    url: str | None = None


@router.get(
    "/sites/{code}/busy-hours",
    response_model=BusyHoursAnswer,
    summary="When it is usually busy",
    **problems.open_to_all(404),
)
def busy_hours(code: models.PathCode, ask: Ask) -> Any:
    """From the sessions of the last eight weeks, by the hour of the site's own week."""
    if not ask.rows("site_exists", code=code):
        raise Problem(404, f"there is no site {code}")
    to_at = ask.now.replace(minute=0, second=0, microsecond=0)
    from_at = to_at - timedelta(weeks=_WEEKS)
    begins = _rows(ask, "history_begins", code=code)[0]["at"]
    hours: list[dict[str, Any]] = []
    if begins is not None:
        # The hour in which the history begins was not seen whole.
        first = begins.replace(minute=0, second=0, microsecond=0) + _HOUR
        from_at = max(from_at, first)
        if from_at < to_at:
            hours = _rows(ask, "busy_hours", code=code, from_at=from_at, to_at=to_at)
    return {
        "site": code,
        "from_at": from_at if hours else None,
        "to_at": to_at,
        "hours": hours,
    }


@orders.post(
    "/sites/{code}/waits",
    status_code=201,
    response_model=WaitAnswer,
    summary="Tell me when a port is free",
    **problems.open_to_all(404, 429),
)
def wait(code: models.PathCode, request: Request, ask: Ask) -> Any:
    """No account, no name, no number: the page that `url` names tells it. It ends with the first
    free port, or after 24 hours."""
    count_word(request, ask)
    token = begin_wait(ask, code)
    base = ask.context.settings.api.public_url.rstrip("/")
    return {**look(ask, token), "token": token, "url": f"{base}/w/{token}"}


@router.get(
    "/waits/{token}",
    response_model=WaitAnswer,
    summary="Is a port free?",
    **problems.open_to_all(404),
)
def waiting(token: Token, ask: Ask) -> Any:
    """How it stands. A page need not ask often: `/live?site=…` tells when to ask again."""
    return look(ask, token)


@router.delete(
    "/waits/{token}",
    response_model=WaitAnswer,
    summary="Wait no longer",
    **problems.open_to_all(404),
)
def stop_waiting(token: Token, ask: Ask) -> Any:
    """It is forgotten at once."""
    with ask.db.transaction():
        found = look(ask, token)
        _rows(ask, "end_waiter", hash=_hash(token))
    return found


def begin_wait(ask: Asked, site: str) -> str:
    """Somebody waits at this site from now on; gives the secret. Raises `Problem` 404."""
    token = secrets.token_urlsafe(18)
    values = {"hash": _hash(token), "code": site, "expires_at": ask.now + _PATIENCE}
    if not _rows(ask, "add_waiter", **values):
        raise Problem(404, f"there is no site {site}")
    return token


def look(ask: Asked, token: str) -> dict[str, Any]:
    """How a wait stands; the first free port ends it. Raises `Problem` 404."""
    rows = _rows(ask, "waiter", hash=_hash(token), stopping=_STOPPING)
    if not rows:
        raise Problem(404, "there is nobody waiting by this token")
    row = rows[0]
    if row["free_at"] is None and not row["expired"] and row["free"]:
        hit = _rows(ask, "waiter_hit", hash=_hash(token))
        row["free_at"] = hit[0]["free_at"] if hit else ask.now
    state = "over" if row["expired"] else "waiting"
    return {**row, "state": "free" if row["free_at"] is not None else state}


def _rows(ask: Asked, name: str, **values: Any) -> list[dict[str, Any]]:
    return ask.db.execute(_SQL[name], {"now": ask.now, **values}).fetchall()


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "replace")).digest()
