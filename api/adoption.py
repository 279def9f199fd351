"""`/api/v1/unknown-chargers/{code}/adopt`: a charger that spoke unregistered is registered."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from api import problems
from api.context import Ask, Asked
from api.models import Code, PathCode, Port, Text
from api.problems import Problem
from api.rights import demand, scope
from api.routers import ordering
from pilewatch.store import queries
from pilewatch.store.registry import adopt, is_registered

orders = ordering("operation")
_SQL = queries.load("console")
_EXAMPLE: dict[str, Any] = {
    "site": "wanhe-1a",
    "kind": "ebike",
    "label": "东门 9 号柜",
    "connectors": 10,
}


class AdoptRequest(BaseModel):
    """Where it stands and what it is; its ports are numbered from 1."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [_EXAMPLE]})

    site: Code
    kind: Literal["ebike", "car"]
    label: Text
    connectors: Port


class AdoptAnswer(AdoptRequest):
    """What is registered now."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"code": "WH-E99", **_EXAMPLE}]}
    )

    code: Code


@orders.post(
    "/unknown-chargers/{code}/adopt",
    status_code=201,
    response_model=AdoptAnswer,
    summary="Register a charger that spoke without being registered",
    **problems.for_staff(404, 409),
)
def adopt_charger(code: PathCode, body: AdoptRequest, ask: Ask) -> Any:
    """Ingesters hear of it at once, and store what was kept of it. 409 where it is registered."""
    take_in(ask, code, body)
    return {"code": code, **body.model_dump()}


def take_in(ask: Asked, code: str, body: AdoptRequest) -> None:
    """Right, scope, registry and audit together. Raises `Problem`."""
    demand(ask.caller, "adopt")
    with ask.db.transaction():
        narrowed = {**scope(ask.caller), "now": ask.now}
        found = [row for row in ask.db.execute(_SQL["own_sites"], narrowed)
                 if row["code"] == body.site]  # fmt: skip
        if not found:
            raise Problem(403, f"site: {body.site} is none of yours")
        said = body.model_dump()
        said["site_id"] = found[0]["id"]
        del said["site"]
        if adopt(ask.db, code, **said) is None:
            if is_registered(ask.db, code):
                raise Problem(409, f"charger {code} is registered already")
            raise Problem(404, f"no unknown charger {code} has spoken")
        ask.record("charger.adopt", f"charger/{code}", None, body.model_dump())
