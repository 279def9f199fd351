"""The repairer's page: what is to be repaired, by deadline or by way, and what a claim lacks."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from api.context import Ask
from api.pages import staff
from api.rights import demand
from pilewatch.route import Place, nearest_order
from pilewatch.workflow.proving import unproved

router = APIRouter(include_in_schema=False)


@router.get("/repair")
def repair(request: Request, ask: Ask, by: Annotated[str, Query(max_length=10)] = "") -> Response:
    """The own tickets; `by=way` walks from site to nearest site, danger to people first."""
    demand(ask.caller, "claim")
    who = {"person_id": ask.caller.id, "company_id": ask.caller.company_id}
    found = staff.rows(ask, "own_repairs", **who)
    to_do = [row for row in found if row["state"] != "repaired"]
    claims = {row["id"]: unproved(ask.db, ask.policy, ask.now, row["id"])
              for row in found if row["state"] in ("repaired", "repairing")}  # fmt: skip
    return staff.page(
        request,
        ask,
        "repair.html",
        by="way" if by == "way" else "deadline",
        to_do=by_way(to_do) if by == "way" else to_do,
        claimed=[row for row in found if row["state"] == "repaired"],
        claims=claims,
    )


def by_way(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Where people are in danger first, then from site to nearest site."""
    urgent = [row for row in rows if row["severity"] == 1]
    rest = [row for row in rows if row["severity"] != 1]
    places = {
        str(row["id"]): Place(str(row["id"]), row["site"], row["latitude"], row["longitude"])
        for row in rest
    }
    order = {place.charger: at for at, place in enumerate(nearest_order(list(places.values())))}
    return urgent + sorted(rest, key=lambda row: order[str(row["id"])])
