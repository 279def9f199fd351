"""Who may do what, in one place: operation -> roles, operation -> scope of a key, and which
objects a person sees."""

from typing import Any

from api.people import Caller
from api.problems import Problem

_STAFF = frozenset({"grid_worker", "repairer", "operator", "admin"})
_READERS = _STAFF | {"auditor"}
RIGHTS: dict[str, frozenset[str]] = {
    "read": _READERS,
    "assign": frozenset({"operator", "admin"}),
    "accept": frozenset({"repairer", "operator", "admin"}),
    "start": frozenset({"repairer", "operator", "admin"}),
    "claim": frozenset({"repairer", "operator", "admin"}),
    "reject": frozenset({"operator", "admin"}),
    "reopen": frozenset({"grid_worker", "operator", "admin"}),
    "merge": frozenset({"operator", "admin"}),
    "split": frozenset({"operator", "admin"}),
    "order": _STAFF,
    "cost": frozenset({"repairer", "operator", "admin"}),
    "comment": _STAFF,
    "ledger": _READERS,
    "pause": frozenset({"repairer", "operator", "admin"}),
    "resume": frozenset({"repairer", "operator", "admin"}),
    "plan": frozenset({"operator", "admin"}),
    "silence": frozenset({"operator", "admin"}),
    "shift": frozenset({"operator", "admin"}),
    "exclude": frozenset({"operator", "admin"}),
    "report": frozenset({"grid_worker", "operator", "admin"}),
    "review": frozenset({"grid_worker", "operator", "admin"}),
    "meet": frozenset({"grid_worker", "operator", "admin"}),
    "answer": _STAFF,
    "inspect": frozenset({"grid_worker", "admin"}),
    "quarantine": frozenset({"operator", "admin", "auditor"}),
    "adopt": frozenset({"operator", "admin"}),
    "policy": frozenset({"operator", "admin"}),
    "deliveries": frozenset({"operator", "admin", "auditor"}),
    "alertmanager": frozenset({"operator", "admin", "device"}),
    "account": _READERS,
    "see-people": frozenset({"admin", "auditor"}),
    "people": frozenset({"admin"}),
    "audit": frozenset({"admin", "auditor"}),
    "command.reset": frozenset({"repairer", "operator", "admin"}),
    "command.unlock": frozenset({"repairer", "operator", "admin"}),
    "command.setAvailability": frozenset({"repairer", "operator", "admin"}),
    "command.triggerStatus": _STAFF,
    "command.getLog": frozenset({"repairer", "operator", "admin"}),
    "command.startTest": frozenset({"grid_worker", "repairer"}),
    "webhooks": frozenset({"operator", "admin"}),
    "ocpi": frozenset({"admin"}),
}

SCOPES: dict[str, frozenset[str]] = {
    "read": frozenset({"read", "ledger", "quarantine", "deliveries"}),
    "tickets": frozenset(
        {"assign", "accept", "start", "claim", "reject", "reopen", "merge"}
        | {"comment", "pause", "resume", "split", "order", "cost"}
    ),
    "inspections": frozenset({"inspect"}),
    "commands": frozenset(word for word in RIGHTS if word.startswith("command.")),
    "reports": frozenset({"report", "review"}),
    "meetings": frozenset({"meet", "answer"}),
    "planning": frozenset({"plan", "silence", "shift", "exclude", "adopt", "policy"}),
    "alerts": frozenset({"alertmanager"}),
    "webhooks": frozenset({"webhooks", "ocpi"}),
    "account": frozenset({"account"}),
    "people": frozenset({"see-people", "people"}),
    "audit": frozenset({"audit"}),
}
"""What a narrow key may be used for; every operation is in exactly one."""

_NOBODYS = 0
"""A company that no row has: whoever must have one and has none sees nothing of it."""


def may(caller: Caller, operation: str) -> bool:
    """Whether the role has this right, and the key reaches it."""
    return caller.role in RIGHTS[operation] and _reaches(caller, operation)


def demand(caller: Caller, operation: str) -> None:
    """Raises `Problem` 401 for a stranger, 403 for a known person without this right."""
    if may(caller, operation):
        return
    if caller.id is None:
        raise Problem(401, "a key is needed: Authorization: Bearer pw_…")
    if caller.role in RIGHTS[operation]:
        wanted = next((word for word, reach in SCOPES.items() if operation in reach), "all")
        raise Problem(403, f"this key has not the scope {wanted}")
    raise Problem(403, f"{caller.role} may not {operation}")


def _reaches(caller: Caller, operation: str) -> bool:
    scopes = caller.scopes
    return scopes is None or any(operation in SCOPES.get(word, ()) for word in scopes)


def within(narrowed: dict[str, Any], owners: dict[str, Any]) -> bool:
    """Whether a matter of these owners is inside a scope, by the rule of the queries.

    `owners`: `companies` and `people` that have to do with it, `site_company_id`, `grid_id`.
    """
    company, owner, grids = (narrowed[key] for key in ("company_id", "owner_id", "grids"))
    own = company is None or company in owners["companies"]
    own = own or (owner is not None and owner == owners["site_company_id"])
    mine = narrowed["person_id"] is not None and narrowed["person_id"] in owners["people"]
    return (own or mine) and (grids is None or owners["grid_id"] in grids)


def scope(caller: Caller) -> dict[str, Any]:
    """What narrows the lists of this caller; None means: all.

    A repairer, and a device of a company, see the company's; an operator also what happens at the
    company's sites (`owner_id`). An operator without a company, an admin or auditor without an
    area see all; a grid worker without a grid sees nothing, a repairer without a company only what
    is assigned to them. An area is its grids.
    """
    company = owner = grids = None
    match caller.role:
        case "repairer":
            company = caller.company_id or _NOBODYS
        case "operator":
            company = owner = caller.company_id
        case "device" if caller.grids and caller.company_id is None:
            grids = list(caller.grids)
        case "device":
            company = caller.company_id or _NOBODYS
        case "grid_worker":
            grids = list(caller.grids)
        case "admin" | "auditor" if caller.areas:
            grids = list(caller.grids)
    return {"company_id": company, "owner_id": owner, "person_id": caller.id, "grids": grids}


def own_areas(caller: Caller) -> list[int] | None:
    """The areas for whose people an admin or auditor answers; None: for everyone."""
    return list(caller.areas) or None
