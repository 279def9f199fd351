"""Commands on a charger's page: a button for each that the caller may give, and the latest ones."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from api.commands import CommandRequest, allowed, commandable, give, listed
from api.context import Asked
from api.problems import Problem
from pilewatch.wire import CommandName

_LATEST = 5
_NAMES: dict[str, CommandName] = {
    "reset": "reset",
    "unlock": "unlock",
    "service-off": "setAvailability",
    "service-on": "setAvailability",
    "trigger-status": "triggerStatus",
    "start-test": "startTest",
}
"""What each button orders."""
_WHOLE = frozenset({"reset"})
_TOLD = frozenset({"connector", "on_site", "reason"})
"""Fields whose lack the page explains in words."""


@dataclass(frozen=True)
class Panel:
    """The buttons, and the latest orders by whomever."""

    buttons: list[str]
    latest: list[dict[str, Any]]
    problem: str | None = None


def panel(ask: Asked, code: str, problem: str | None = None) -> Panel | None:
    """What this caller sees of a charger's commands; None outside the caller's scope."""
    if not commandable(ask, code):
        return None
    names = allowed(ask)
    buttons = [button for button, name in _NAMES.items() if name in names]
    latest = [{**row, "button": _button(row)} for row in listed(ask, charger=code, limit=_LATEST)]
    return Panel(buttons, latest, problem)


def press(ask: Asked, code: str, fields: Mapping[str, str]) -> str | None:
    """Order what the button says; gives the word for what is missing or in the way, if anything.

    Raises `Problem` for what the page does not offer.
    """
    button, port = fields["order"], fields["port"]
    if button not in _NAMES:
        raise Problem(404, "there is no such command")
    if not fields["reason"]:
        return "reason"
    whole = button in _WHOLE or not (port.isdecimal() and 1 <= int(port) <= 999)
    wanted = CommandRequest(
        name=_NAMES[button],
        connector=None if whole else int(port),
        args={"available": button == "service-on"} if button.startswith("service") else {},
        reason=fields["reason"],
        on_site=fields["on_site"] == "1",
    )
    try:
        give(ask, code, wanted)
    except Problem as problem:
        if "command" in problem.more:
            return "under-way"
        word = problem.detail.partition(":")[0]
        if problem.status in (409, 422) and word in _TOLD:
            return word.replace("_", "-")
        raise
    return None


def _button(row: Mapping[str, Any]) -> str:
    if row["name"] == "setAvailability":
        return "service-on" if row["args"].get("available") else "service-off"
    return next(button for button, name in _NAMES.items() if name == row["name"])
