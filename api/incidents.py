"""`/api/v1/incidents`: what machines have found."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import Query, Request, Response
from pydantic import BaseModel

from api import problems
from api.context import Ask, Asked, Paged, SiteWord, Word, one, tag
from api.models import Big, Id, Listed, Subject, example, with_subject
from api.rights import demand, scope
from api.routers import reading

router = reading("incidents")


class IncidentAnswer(BaseModel):
    """A machine-detected problem with its evidence.

    `planned_by` is the downtime that explains it, without a ticket while `planned_until` is set;
    `silenced_by` is the silence that holds its notifications back at present.
    """

    model_config = example(
        id=4,
        code="relay-open",
        family="relay",
        severity=2,
        effect="out-of-order",
        detector="reported",
        phase="open",
        subject={
            "kind": "connector",
            "site": "wanhe-1a",
            "gateway": None,
            "charger": "WH-E01",
            "connector": 3,
        },
        parent_id=None,
        ticket_id=7,
        started_at="2026-05-01T07:59:50Z",
        opened_at="2026-05-01T08:00:00Z",
        quiet_since=None,
        ended_at=None,
        evidence={"first": {"status": "faulted"}},
        planned_by=None,
        planned_until=None,
        silenced_by=None,
    )

    id: int
    code: str
    family: str
    severity: int
    effect: str
    detector: str
    phase: str
    subject: Subject
    parent_id: int | None
    ticket_id: int | None
    started_at: datetime
    opened_at: datetime | None
    quiet_since: datetime | None
    ended_at: datetime | None
    evidence: dict[str, Any]
    planned_by: int | None
    planned_until: datetime | None
    silenced_by: int | None


@router.get(
    "/incidents",
    response_model=Listed[IncidentAnswer],
    summary="Incidents",
    **problems.for_staff(),
)
def incidents(
    request: Request,
    response: Response,
    ask: Ask,
    page: Paged,
    phase: Annotated[Word, Query(description="Only of this phase", examples=["open"])] = None,
    site: SiteWord = None,
) -> Any:
    """Newest first."""
    demand(ask.caller, "read")
    rows = _incidents(ask, before=page.before, limit=page.limit, phase=phase, site=site)
    return tag(request, response, rows) or page.answer(rows, [with_subject(row) for row in rows])


@router.get(
    "/incidents/{id}",
    response_model=IncidentAnswer,
    summary="One incident",
    **problems.for_staff(404),
)
def incident(id: Id, ask: Ask) -> Any:
    """With its evidence."""
    demand(ask.caller, "read")
    return with_subject(one(_incidents(ask, id=id), f"incident {id}"))


def _incidents(ask: Asked, **wanted: Any) -> list[dict[str, Any]]:
    values = {"id": None, "phase": None, "site": None, "before": Big, "limit": 1, **wanted}
    return ask.rows("incidents", **values, **scope(ask.caller))
