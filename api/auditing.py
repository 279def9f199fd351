"""`/api/v1/audit`: who changed what."""

from typing import Annotated, Any

from fastapi import Query
from pydantic import AwareDatetime

from api import people_models as models
from api import problems
from api.context import Ask, Paged, Word
from api.models import Listed
from api.rights import demand, own_areas
from api.routers import reading
from pilewatch.store import queries

router = reading("people")
_SQL = queries.load("audit")
_WILD = str.maketrans({"\\": r"\\", "%": r"\%", "_": r"\_"})


@router.get(
    "/audit",
    response_model=Listed[models.AuditAnswer],
    summary="Who changed what",
    **problems.for_staff(),
)
def audit(
    ask: Ask,
    page: Paged,
    person: Annotated[Word, Query(description="Only by this login", examples=["li"])] = None,
    action: Annotated[
        Word, Query(description="Only this action, or all of a kind", examples=["ticket"])
    ] = None,
    object: Annotated[
        Word, Query(description="Only about this object", examples=["ticket/12"])
    ] = None,
    begins: Annotated[
        AwareDatetime | None, Query(alias="from", description="Not before this moment")
    ] = None,
    ends: Annotated[
        AwareDatetime | None, Query(alias="to", description="Before this moment")
    ] = None,
) -> Any:
    """Newest first. An admin of areas sees what people of theirs did, and what was done with
    tickets there."""
    demand(ask.caller, "audit")
    values = {
        **{"person": person, "action": action, "object": object, "from_at": begins, "to_at": ends},
        "action_in": None if action is None else f"{action.translate(_WILD)}.%",
        **{"areas": own_areas(ask.caller), "before": page.before, "limit": page.limit},
    }
    rows = ask.db.execute(_SQL["entries"], values).fetchall()
    return page.answer(rows, rows)
