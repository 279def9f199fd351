"""`/api/v1/patrol-intervals` and `/api/v1/harsh-days`: how often, and what makes it oftener."""

from datetime import timedelta
from typing import Annotated, Any

from fastapi import Query

from api import problems
from api.context import Ask, Paged, Word
from api.fieldwork import patrol_models as shapes
from api.fieldwork.words import interval_text
from api.models import Listed
from api.ownership import own_scope, scope_id
from api.problems import Problem
from api.rights import demand, scope
from api.routers import ordering, reading
from pilewatch.checklist import Purpose
from pilewatch.store import queries
from pilewatch.workflow.patrols import interval_of, read_piles, reasons_of

router, orders = reading("patrols"), ordering("patrols")
_SQL = queries.load("patrols")


@router.get(
    "/patrol-intervals",
    response_model=Listed[shapes.IntervalAnswer],
    summary="How often each pile is inspected, and why",
    **problems.for_staff(),
)
def intervals(
    ask: Ask,
    page: Paged,
    purpose: Annotated[Purpose, Query(description="patrol, or electrical test")] = "patrol",
    site: Annotated[Word, Query(description="Only of this site", examples=["wanhe-1a"])] = None,
    language: Annotated[str, Query(description="zh or en", pattern="^(zh|en)$")] = "zh",
) -> Any:
    """The rules' interval, and what evidence makes of it; a plan may be tighter still."""
    demand(ask.caller, "read")
    rule = ask.policy.patrols
    narrowed = {**scope(ask.caller), "site": site, "after": page.after, "limit": page.limit}
    piles = read_piles(ask.db, rule, ask.now, purpose=purpose, **narrowed)
    items = []
    for pile in piles:
        found = interval_of(rule, purpose, rule.longest_days(purpose), pile)
        due = None if pile.last_at is None else pile.last_at + timedelta(days=found.days)
        items.append(
            {
                "charger": pile.place.charger,
                "site": pile.place.site,
                "purpose": purpose,
                "days": found.days,
                "instead_of": found.instead_of,
                "last_at": pile.last_at,
                "due_at": due,
                "reasons": reasons_of(found),
                "text": interval_text(language, found, rule.look_back_days),
            }
        )
    return page.answer([{"id": pile.id} for pile in piles], items)


@router.get(
    "/harsh-days",
    response_model=Listed[shapes.HarshDayAnswer],
    summary="Days of harsh weather",
    **problems.for_staff(),
)
def harsh_days(
    ask: Ask, area: Annotated[str, Query(max_length=64, description="Its code")]
) -> dict[str, Any]:
    """Those that count at present, latest first."""
    demand(ask.caller, "read")
    since = ask.now - timedelta(days=ask.policy.patrols.look_back_days)
    values = {"area_id": scope_id(ask, "area", area), "since": since}
    rows = ask.db.execute(_SQL["harsh_days"], values).fetchall()
    return {"items": rows, "next_cursor": None}


@orders.post(
    "/harsh-days",
    status_code=201,
    response_model=shapes.HarshDayAnswer,
    summary="Enter a day of harsh weather",
    **problems.for_staff(),
)
def enter_harsh_day(body: shapes.HarshDayRequest, ask: Ask) -> Any:
    """From a weather service's program or by hand; once more for a day replaces its kind."""
    demand(ask.caller, "plan")
    if abs((body.day - ask.now.date()).days) > 366:
        raise Problem(422, "day: within a year from today")
    with ask.db.transaction():
        area = scope_id(ask, "area", body.area)
        own_scope(ask, "area", area)
        values = {**vars(body), "area_id": area, "person_id": ask.person_id, "now": ask.now}
        ask.db.execute(_SQL["add_harsh_day"], values)
        after = body.model_dump(mode="json")
        ask.record("harsh-day.enter", f"area/{body.area}", None, after)
    return body.model_dump()
