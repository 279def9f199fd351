"""Scopes by their kind (area, grid, site, gateway, charger, connector): which one it is, and
whether all of it is the caller's own."""

from api.context import Asked
from api.problems import Problem
from api.rights import scope
from pilewatch.store import queries

_SQL = queries.load("planning")


def scope_id(ask: Asked, kind: str, code: str, connector: int | None = None) -> int:
    """The number of a place by its kind and code. Raises `Problem` 422 where there is none."""
    values = {"kind": kind, "code": code, "connector": connector}
    row = None if "\0" in code else ask.db.execute(_SQL["scope_of"], values).fetchone()
    if row is None:
        raise Problem(422, f"there is no such {kind}: see code and connector")
    return int(row["id"])


def own_scope(ask: Asked, kind: str | None, id: int | None) -> None:
    """Raises `Problem` 403 where somebody reaches beyond the own sites; no `kind` is everything."""
    own = scope(ask.caller)
    if own["company_id"] is None and own["grids"] is None:
        return
    values = {**own, "scope_kind": kind, "scope_id": id}
    others = ask.db.execute(_SQL["others_in_scope"], values).fetchone()
    if kind is None or others is None or others["others"]:
        raise Problem(403, "only for sites, gateways and chargers of your own")
