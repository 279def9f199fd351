"""The fault taxonomy as data: what each code means, how bad it is and what proves its repair.

Source: the project's fault taxonomy page. Severity 1 people, 2 equipment, 3 notice.
"""

from typing import NamedTuple


class Fault(NamedTuple):
    """One row of the taxonomy.

    `family` groups codes that speak of the same broken thing: a connector has at most one open
    incident per family. `idle_proves` says whether a healthy idle state after the repair is
    evidence; where it is False (the fault was invisible in the idle state) only a session that
    delivers energy or an inspection is.
    """

    code: str
    family: str
    severity: int
    effect: str
    idle_proves: bool = True


_O, _D, _N = "out-of-order", "degraded", "none"

_ROWS: tuple[Fault, ...] = (
    Fault("ground-fault", "leakage", 1, _O),
    Fault("no-earth", "earth", 1, _O),
    Fault("leakage-test-failed", "leakage", 1, _O),
    Fault("relay-welded", "relay", 1, _O, idle_proves=False),
    Fault("relay-open", "relay", 2, _O, idle_proves=False),
    Fault("over-temperature", "thermal", 1, _O, idle_proves=False),
    Fault("thermal-drift", "thermal", 2, _D, idle_proves=False),
    Fault("smoke-fire", "fire", 1, _O),
    Fault("water-ingress", "water", 1, _O),
    Fault("tilt-impact", "housing", 1, _O),
    Fault("over-voltage", "supply", 2, _O),
    Fault("under-voltage", "supply", 3, _D),
    Fault("phase-loss", "supply", 2, _D),
    Fault("over-current", "load", 2, _O, idle_proves=False),
    Fault("short-circuit", "load", 1, _O),
    Fault("overload-port", "load", 2, _D, idle_proves=False),
    Fault("diode-pilot", "pilot", 2, _O),
    Fault("proximity-invalid", "pilot", 2, _O),
    Fault("ev-comms", "vehicle", 3, _D, idle_proves=False),
    Fault("connector-lock", "lock", 2, _O),
    Fault("plug-broken", "contact", 2, _O, idle_proves=False),
    Fault("jammed-socket", "contact", 2, _O, idle_proves=False),
    Fault("no-output", "contact", 2, _O, idle_proves=False),
    Fault("derated", "derated", 3, _D, idle_proves=False),
    Fault("dead-available", "contact", 2, _O, idle_proves=False),
    Fault("meter-failure", "meter", 3, _D, idle_proves=False),
    Fault("meter-backwards", "meter", 3, _D, idle_proves=False),
    Fault("meter-mismatch", "meter", 3, _D, idle_proves=False),
    Fault("reader-failure", "reader", 3, _D),
    Fault("auth-refused", "authorisation", 3, _O, idle_proves=False),
    Fault("payment-terminal", "payment", 3, _D),
    Fault("display-failure", "display", 3, _D),
    Fault("emergency-stop", "emergency-stop", 1, _O),
    Fault("power-loss", "silence", 2, _O),
    Fault("offline-gateway", "silence", 3, _O),
    Fault("offline-charger", "silence", 3, _O),
    Fault("silent-port", "silence", 3, _D),
    Fault("weak-signal", "signal", 3, _N),
    Fault("flapping", "flapping", 3, _D),
    Fault("reboot-loop", "controller", 2, _O),
    Fault("clock-wrong", "clock", 3, _N),
    Fault("firmware-fault", "controller", 3, _D),
    Fault("internal-error", "controller", 2, _O),
    Fault("cable-theft", "cable", 2, _O),
    Fault("vandalism", "housing", 2, _O, idle_proves=False),
    Fault("plug-sensor", "contact", 2, _O, idle_proves=False),
    Fault("controller-memory", "controller", 2, _D),
    Fault("insulation", "leakage", 1, _O),
    Fault("blocked", "blocked", 3, _N),
)

WHOLE_CHARGER = frozenset(
    {
        *("smoke-fire", "water-ingress", "tilt-impact", "emergency-stop", "reader-failure"),
        *("payment-terminal", "display-failure", "controller-memory", "reboot-loop"),
        *("over-voltage", "under-voltage", "phase-loss", "clock-wrong", "weak-signal"),
    }
)
"""Faults of the cabinet: reported by each of its ports, they are one fault, not twenty."""

FAULTS: dict[str, Fault] = {row.code: row for row in _ROWS}
"""Every fault by its code."""

UNMAPPED = "internal-error"
"""The code that stands for a maker's own code without a mapping: shown, never dropped."""

_VAGUE = frozenset(
    {"no-output", "dead-available", "jammed-socket", "plug-sensor", "internal-error"}
)
_SYMPTOM = frozenset({"plug-broken", "auth-refused", "derated", "relay-open", "over-current"})
_DISTURBING = frozenset(
    {"phase-loss", "under-voltage", "flapping", "firmware-fault", "blocked", "reader-failure",
     "meter-failure", "meter-backwards", "ev-comms"}
)  # fmt: skip
"""Faults that spoil sessions although the port is not out of order."""


def explains(cause: str, symptom: str) -> bool:
    """Whether a ticket about `cause`, at the same place or above, speaks of `symptom` too.

    Vague words (nothing comes out, nobody comes) are explained by everything more precise that
    stops or spoils sessions; symptoms by all but vague words and other symptoms. Danger to people
    is explained by nothing but fire, which heats everything.
    """
    if FAULTS[cause].family == FAULTS[symptom].family and cause != symptom:
        return symptom in _VAGUE and cause not in _VAGUE
    if (cause, symptom) == ("smoke-fire", "over-temperature"):
        return True
    if symptom not in _VAGUE | _SYMPTOM or cause in _VAGUE:
        return False
    if symptom in _SYMPTOM and cause in _SYMPTOM:
        return False
    return FAULTS[cause].effect == "out-of-order" or cause in _DISTURBING
