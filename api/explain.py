"""Why there is an incident."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import Path, Query
from pydantic import BaseModel

from api import problems
from api.context import Ask
from api.history import Bin
from api.models import Big, example
from api.problems import Problem
from api.rights import demand, scope
from api.routers import reading
from pilewatch.store.explanation import explain

router = reading()


class Measured(BaseModel):
    """A measure around an incident: `limit` is what it was judged against."""

    measure: str
    unit: str
    connector: int
    limit: float | None
    step_s: float
    bins: list[Bin]


class ExplanationAnswer(BaseModel):
    """Why there is an incident: what was seen first and last, and the measure around it."""

    model_config = example(
        incident=5,
        code="over-temperature",
        detector="metering",
        phase="open",
        started_at="2026-05-01T08:00:00Z",
        opened_at="2026-05-01T08:00:02Z",
        ended_at=None,
        first={"at": "2026-05-01T08:00:00+00:00", "value": 91.0, "limit": 80},
        latest={"at": "2026-05-01T08:00:00+00:00", "value": 91.0, "limit": 80},
        ports=[],
        ticket=7,
        parent=None,
        members=[],
        chart={
            "measure": "temperature_c",
            "unit": "°C",
            "connector": 3,
            "limit": 80,
            "step_s": 60,
            "bins": [
                {"at": "2026-05-01T08:00:00Z", "samples": 2, "min": 90, "avg": 90.5, "max": 91}
            ],
        },
    )

    incident: int
    code: str
    detector: str
    phase: str
    started_at: datetime
    opened_at: datetime | None
    ended_at: datetime | None
    first: dict[str, Any] | None
    latest: dict[str, Any] | None
    ports: list[int]
    ticket: int | None
    parent: int | None
    members: list[int]
    chart: Measured | None


@router.get(
    "/incidents/{id}/explanation",
    response_model=ExplanationAnswer,
    summary="Why there is an incident",
    tags=["incidents"],
    **problems.for_staff(404),
)
def explanation(
    id: Annotated[int, Path(ge=1, le=Big, description="Its number")],
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
