"""Notifications on their way, and those that were given up."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query

from api import models, problems
from api.context import Ask, Paged, guard_cache
from api.rights import demand, scope
from pilewatch.store import queries

router = APIRouter(prefix="/api/v1", dependencies=[Depends(guard_cache)])
_SQL = queries.load("notify")


@router.get(
    "/deliveries",
    response_model=models.Listed[models.DeliveryAnswer],
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
