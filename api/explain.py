"""Why there is an incident."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query

from api import models, problems
from api.context import Ask, guard_cache
from api.problems import Problem
from api.rights import demand, scope
from pilewatch.store.explanation import explain

router = APIRouter(prefix="/api/v1", dependencies=[Depends(guard_cache)])


@router.get(
    "/incidents/{id}/explanation",
    response_model=models.ExplanationAnswer,
    summary="Why there is an incident",
    tags=["incidents"],
    **problems.for_staff(404),
)
def explanation(
    id: Annotated[int, Path(ge=1, le=models.Big, description="Its number")],
    ask: Ask,
    points: Annotated[int, Query(ge=1, le=2000, description="Bins of the chart at most")] = 120,
) -> Any:
    """Which values, when, against which limit; with the measure around it, ready to be drawn."""
    demand(ask.caller, "read")
    found = explain(ask.db, id, ask.now, narrowed=scope(ask.caller), points=points)
    if found is None:
        raise Problem(404, f"there is no incident {id}")
    chart = found.chart
    return {
        **found.incident,
        "first": found.first,
        "latest": found.latest,
        "ports": found.ports,
        "chart": chart
        and {
            "measure": chart.measure,
            "unit": chart.unit,
            "connector": chart.connector,
            "limit": chart.limit,
            "step_s": chart.step.total_seconds(),
            "bins": chart.bins,
        },
    }
