"""Whether all of a scope (area, grid, site, gateway, charger, connector) is the caller's own."""

from api.context import Asked
from api.problems import Problem
from api.rights import scope
from pilewatch.store import queries

_SQL = queries.load("planning")


def demand_own(ask: Asked, kind: str | None, id: int | None) -> None:
    """Raises `Problem` 403 where somebody reaches beyond the own sites; no `kind` is everything."""
    own = scope(ask.caller)
    if own["company_id"] is None and own["grids"] is None:
        return
    values = {**own, "scope_kind": kind, "scope_id": id}
    others = ask.db.execute(_SQL["others_in_scope"], values).fetchone()
    if kind is None or others is None or others["others"]:
        raise Problem(403, "only for sites, gateways and chargers of your own")
