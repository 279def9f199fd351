"""Who may do what, in one place: operation -> roles, and which objects a role sees."""

from typing import Any

from api.people import Caller
from api.problems import Problem

_STAFF = frozenset({"grid_worker", "repairer", "operator", "admin"})
RIGHTS: dict[str, frozenset[str]] = {
    "read": _STAFF,
    "assign": frozenset({"operator", "admin"}),
    "accept": frozenset({"repairer", "operator", "admin"}),
    "start": frozenset({"repairer", "operator", "admin"}),
    "claim": frozenset({"repairer", "operator", "admin"}),
    "reject": frozenset({"operator", "admin"}),
    "reopen": frozenset({"grid_worker", "operator", "admin"}),
    "merge": frozenset({"operator", "admin"}),
    "comment": _STAFF,
    "pause": frozenset({"repairer", "operator", "admin"}),
    "resume": frozenset({"repairer", "operator", "admin"}),
    "plan": frozenset({"operator", "admin"}),
    "silence": frozenset({"operator", "admin"}),
    "inspect": frozenset({"grid_worker", "admin"}),
    "quarantine": frozenset({"operator", "admin"}),
    "deliveries": frozenset({"operator", "admin"}),
    "alertmanager": frozenset({"operator", "admin"}),
    "webhooks": frozenset({"operator", "admin"}),
    "ocpi": frozenset({"admin"}),
}


def demand(caller: Caller, operation: str) -> None:
    """Raises `Problem` 401 for a stranger, 403 for a known person without this right."""
    if caller.role in RIGHTS[operation]:
        return
    if caller.id is None:
        raise Problem(401, "a key is needed: Authorization: Bearer pw_…")
    raise Problem(403, f"{caller.role} may not {operation}")


def within(narrowed: dict[str, Any], owners: dict[str, Any]) -> bool:
    """Whether a matter of these owners is inside a scope, by the rule of the queries."""
    company, grids = narrowed["company_id"], narrowed["grids"]
    own = company is None or company == owners["company_id"]
    mine = owners["assignee_id"] is not None and owners["assignee_id"] == narrowed["person_id"]
    return (own or mine) and (grids is None or owners["grid_id"] in grids)


def scope(caller: Caller) -> dict[str, Any]:
    """What narrows the lists of this caller; None means: all."""
    company = caller.company_id if caller.role in ("repairer", "operator") else None
    grids = list(caller.grids) if caller.role == "grid_worker" and caller.grids else None
    return {"company_id": company, "person_id": caller.id, "grids": grids}
