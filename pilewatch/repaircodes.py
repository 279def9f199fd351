"""The small catalogues of a repair as data: causes, remedies, parts, whose duty it is, who pays.

Their names are phrases of the catalogues (`cause.…`, `remedy.…`, `part.…`, `duty.…`, `payer.…`).
"""

from typing import Literal, NamedTuple, get_args

Duty = Literal["power", "operator", "property", "community"]
"""Whose responsibility a piece of work is: 供电, 运营, 物业, 社区."""
DUTIES: tuple[Duty, ...] = get_args(Duty)
Payer = Literal["power", "operator", "property", "community", "warrantor", "user"]
PAYERS: tuple[Payer, ...] = get_args(Payer)
CostKind = Literal["part", "labour", "travel", "other"]

CAUSES = frozenset(
    {
        *("worn", "loose-contact", "water", "overheating", "impact", "vandalism", "theft"),
        *("foreign-body", "breaker-tripped", "mains", "wiring", "firmware", "settings"),
        *("radio", "sim-card", "meter-fault", "maker-defect", "installation", "misuse"),
        *("blocked", "no-fault-found", "other"),
    }
)
REMEDIES = frozenset(
    {
        *("part-replaced", "part-repaired", "cleaned", "tightened", "dried", "rewired"),
        *("breaker-reset", "restarted", "firmware-updated", "settings-corrected"),
        *("sim-card-replaced", "antenna-moved", "mains-restored", "charger-replaced"),
        *("access-cleared", "secured", "user-informed", "no-action", "other"),
    }
)


class Part(NamedTuple):
    """A part that can be replaced, and the fault families in which its failure shows."""

    code: str
    families: frozenset[str]


def _part(code: str, *families: str) -> Part:
    return Part(code, frozenset(families))


PARTS: dict[str, Part] = {
    part.code: part
    for part in (
        _part("socket", "contact", "thermal", "load"),
        _part("plug", "contact", "thermal", "pilot", "lock"),
        _part("cable", "cable", "thermal", "pilot", "leakage"),
        _part("lock", "lock"),
        _part("relay", "relay", "contact"),
        _part("rcd", "leakage"),
        _part("breaker", "load", "supply"),
        _part("earthing", "earth", "leakage"),
        _part("meter", "meter"),
        _part("controller", "controller", "clock", "flapping", "silence"),
        _part("radio-module", "silence", "signal"),
        _part("sim-card", "silence", "signal"),
        _part("reader", "reader", "authorisation"),
        _part("payment-terminal", "payment"),
        _part("screen", "display"),
        _part("power-module", "derated", "load", "thermal"),
        _part("fan", "thermal"),
        _part("emergency-button", "emergency-stop"),
        _part("sensor", "fire", "water", "housing", "contact"),
        _part("housing", "housing", "water"),
        _part("other"),
    )
}
"""Every part by its code."""
