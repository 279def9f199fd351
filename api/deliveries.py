"""Notifications on their way, and those that were given up."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import Query
from pydantic import BaseModel

from api import problems
from api.context import Ask, Paged
from api.models import Listed, example
from api.rights import demand, scope
from api.routers import reading
from pilewatch.store import queries

router = reading()
_SQL = queries.load("notify")


class DeliveryAnswer(BaseModel):
    """One notification to one receiver; those with one key are one message."""

    model_config = example(
        id=9,
        receiver="repair-wecom",
        key="ticket/7/31",
        topic="ticket.opened",
        created_at="2026-05-01T08:00:00Z",
        due_at="2026-05-01T08:00:00Z",
        attempts=12,
        sent_at=None,
        dead_at="2026-05-01T14:00:00Z",
        last_error="answered 500",
    )

    id: int
    receiver: str
    key: str
    topic: str
    created_at: datetime
    due_at: datetime
    attempts: int
    sent_at: datetime | None
    dead_at: datetime | None
    last_error: str | None


@router.get(
    "/deliveries",
    response_model=Listed[DeliveryAnswer],
    summary="Notifications and what became of them",
    tags=["operation"],
    **problems.for_staff(),
)
def deliveries(
    ask: Ask,
    page: Paged,
    dead: Annotated[
        bool | None, Query(description="Only those given up; or only the others")
    ] = None,
) -> Any:
    """Newest first. Receivers are named as in the file of receivers; addresses are never told."""
    demand(ask.caller, "deliveries")
    values = {"before": page.before, "limit": page.limit, "dead": dead, **scope(ask.caller)}
    rows = ask.db.execute(_SQL["deliveries"], values).fetchall()
    return page.answer(rows, rows)
