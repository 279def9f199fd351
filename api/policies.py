"""`/api/v1/policies`: drafts of the policy, tried on history before one of them is in force."""

from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

from fastapi import Path
from pydantic import BaseModel, ConfigDict, Field

from api import problems
from api.context import Ask, Asked, Paged
from api.models import Big, Listed
from api.problems import Problem
from api.rights import demand, scope
from api.routers import ordering, reading
from pilewatch.policy import BadPolicy
from pilewatch.store.policies import add_draft, drafts, save

router, orders = reading("policy"), ordering("policy")
LONGEST = 50_000
_ID = Annotated[int, Path(ge=1, le=Big, description="Its number")]
_DRAFT: dict[str, Any] = {
    "id": 3, "text": "[debounce]\nreported_s = 30\n", "written_at": "2026-11-25T01:00:00Z",
    "from_at": "2026-11-18T01:00:00Z", "to_at": "2026-11-25T01:00:00Z", "state": "running",
    "progress": 0.4, "result": None, "problem": None, "saved_at": None, "writer": "Wang",
    "saver": None,
}  # fmt: skip


class PolicyRequest(BaseModel):
    """A policy as TOML, and how many days of history it is to be tried on."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"text": "[debounce]\nreported_s = 30\n", "days": 7}]},
    )

    text: str = Field(max_length=LONGEST, pattern=r"^[^\x00]*$")
    days: int = Field(1, ge=1, le=31)


class PolicyAnswer(BaseModel):
    """A draft and its trial. `result` has the summary and the tickets that would be missing or
    extra (200 of each at most) once `state` is done; in force is what has the latest `saved_at`."""

    model_config = ConfigDict(json_schema_extra={"examples": [_DRAFT]})

    id: int
    text: str
    written_at: datetime
    from_at: datetime
    to_at: datetime
    state: Literal["queued", "running", "done", "failed"]
    progress: float
    result: dict[str, Any] | None
    problem: str | None
    saved_at: datetime | None
    writer: str
    saver: str | None


@router.get(
    "/policies",
    response_model=Listed[PolicyAnswer],
    summary="Drafts of the policy",
    **problems.for_staff(),
)
def policies(ask: Ask, page: Paged) -> Any:
    """Newest first."""
    decides(ask)
    rows = drafts(ask.db, before=page.before, limit=page.limit)
    return page.answer(rows, rows)


@router.get(
    "/policies/{id}",
    response_model=PolicyAnswer,
    summary="One draft of the policy",
    **problems.for_staff(404),
)
def policy(id: _ID, ask: Ask) -> Any:
    """How far its trial has come, or what it would have changed."""
    decides(ask)
    return one(ask, id)


@orders.post(
    "/policies",
    status_code=201,
    response_model=PolicyAnswer,
    summary="Write a policy, to be tried on history",
    **problems.for_staff(),
)
def write(body: PolicyRequest, ask: Ask) -> Any:
    """Nothing changes yet. It is tried by the process `pilewatch trials`."""
    decides(ask)
    try:
        with ask.db.transaction():
            begins = ask.now - timedelta(days=body.days)
            id = add_draft(ask.db, ask.now, body.text, ask.person_id, begins, ask.now)
            ask.record("policy.write", f"policy/{id}")
    except BadPolicy as error:
        raise Problem(422, str(error)) from error
    return one(ask, id)


@orders.post(
    "/policies/{id}/save",
    response_model=PolicyAnswer,
    summary="Put a tried policy in force",
    **problems.for_staff(404, 409),
)
def put_in_force(id: _ID, ask: Ask) -> Any:
    """For everybody, at once. 409 while its trial is not over, and for what was saved before."""
    decides(ask)
    one(ask, id)
    with ask.db.transaction():
        if not save(ask.db, ask.now, id, ask.person_id):
            raise Problem(409, "its trial is not over, or it was saved before")
        ask.record("policy.save", f"policy/{id}")
    return one(ask, id)


def decides(ask: Asked) -> None:
    """A policy holds for everybody: whoever sees only a part does not decide about the whole.

    Raises `Problem` 403.
    """
    demand(ask.caller, "policy")
    narrowed = scope(ask.caller)
    if narrowed["company_id"] is not None or narrowed["grids"] is not None:
        raise Problem(403, "only whoever answers for the whole installation may change its policy")


def one(ask: Asked, id: int) -> dict[str, Any]:
    """The draft of this number. Raises `Problem` 404."""
    found = drafts(ask.db, id=id, limit=1)
    if not found:
        raise Problem(404, f"there is no policy {id}")
    return found[0]
