"""What operators of an installation ask: messages that could not be used, who they are, health."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel

from api import problems
from api.context import Ask, Paged
from api.models import Listed, example
from api.rights import demand, scope
from api.routers import reading

router = reading("operation")


class QuarantineAnswer(BaseModel):
    """A message that could not be used, and why."""

    model_config = example(
        id=3,
        received_at="2026-05-01T08:00:00Z",
        topic="pilewatch/v1/WH-E01/up/status/3",
        size=2,
        reason="not JSON",
        charger="WH-E01",
    )

    id: int
    received_at: datetime
    topic: str
    size: int
    reason: str
    charger: str | None


class UnknownChargerAnswer(BaseModel):
    """A charger that speaks but is not registered."""

    model_config = example(
        code="WH-E99",
        first_seen_at="2026-05-01T08:00:00Z",
        last_seen_at="2026-05-01T09:00:00Z",
        messages=61,
    )

    code: str
    first_seen_at: datetime
    last_seen_at: datetime
    messages: int


class MeAnswer(BaseModel):
    """Who asks."""

    model_config = example(role="operator", login="li")

    role: str
    login: str | None


class HealthAnswer(BaseModel):
    """All is well."""

    model_config = example(status="ok")

    status: str


@router.get(
    "/quarantine",
    response_model=Listed[QuarantineAnswer],
    summary="Messages that could not be used",
    **problems.for_staff(),
)
def quarantine(ask: Ask, page: Paged) -> Any:
    """Newest first, each with its reason."""
    demand(ask.caller, "quarantine")
    rows = ask.rows("quarantine", before=page.before, limit=page.limit, **scope(ask.caller))
    return page.answer(rows, rows)


@router.get(
    "/unknown-chargers",
    response_model=Listed[UnknownChargerAnswer],
    summary="Chargers that nobody has registered",
    **problems.for_staff(),
)
def unknown_chargers(ask: Ask, page: Paged) -> Any:
    """Those that spoke first most recently come first."""
    demand(ask.caller, "quarantine")
    rows = ask.rows("unknown_chargers", before=page.before, limit=page.limit)
    return page.answer(rows, rows)


@router.get(
    "/me",
    response_model=MeAnswer,
    summary="Who am I",
    **problems.open_to_all(),
)
def me(ask: Ask) -> dict[str, Any]:
    """The caller's role and login."""
    return {"role": ask.caller.role, "login": ask.caller.login}
