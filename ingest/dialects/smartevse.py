"""SmartEVSE 3.5: each value by itself under `{base}/{name}`, in words.

Source: dingo35/SmartEVSE-3.5, SmartEVSE-3/src/esp32.cpp.
"""

from ingest.dialects.heard import Heard, Make, fault, make, word
from pilewatch.model import Observation, ReportedError, Status

BASES = ("SmartEVSE/{charger}", "{charger:SmartEVSE-*}")
_STATES = {
    "Ready to Charge": Status.AVAILABLE,
    "Connected to EV": Status.PREPARING,
    "Charging": Status.CHARGING,
    "D": Status.CHARGING,
    "Request State B": Status.PREPARING,
    "State B OK": Status.PREPARING,
    "Request State C": Status.PREPARING,
    "State C OK": Status.PREPARING,
    "Activate": Status.PREPARING,
    "Charging Stopped": Status.SUSPENDED,
    "Stop Charging": Status.SUSPENDED,
    "NOSTATE": Status.UNKNOWN,
}
_NO_FAULTS = ("None", "", "No Power Available")
"""The last is load balancing at work."""
_FAULTS = {
    "Temperature High": "over-temperature",
    "EV Meter Comm Error": "meter-failure",
    "RCM Tripped": "ground-fault",
    "RCM Test": "leakage-test-failed",
    "Flash Error": "controller-memory",
}
_MEASURES = {
    "EVChargePower": ("power_w", 1.0),
    "EVCurrentL1": ("current_a", 0.1),
    "EVImportActiveEnergy": ("energy_wh", 1.0),
    "ESPTemp": ("temperature_c", 1.0),
}
_LIFE = {"ESPUptime": "uptimeS", "WiFiRSSI": "rssiDbm"}
_HEARTBEAT_S = 60


def smartevse(bases: tuple[str, ...] = BASES) -> Make:
    """The dialect of chargers below these bases."""
    topics = ("connected", "State", "Error", *_LIFE, *_MEASURES)
    return make("smartevse", "SmartEVSE 3.5", bases, topics, _read)


def _read(heard: Heard) -> list[Observation]:
    name = heard.path
    if name == "State":
        said = heard.text()
        known = Status.PREPARING if said.startswith("Modem ") else word(said, _STATES, name)
        return [heard.status(known)]
    if name == "Error":
        return [heard.status(errors=_errors(heard.text()), source=name)]
    if name == "connected":
        return heard.online(heard.flag(), vendor="SmartEVSE", heartbeatS=_HEARTBEAT_S)
    value = heard.number()
    return [] if value is None else _value(heard, name, value)


def _value(heard: Heard, name: str, value: float) -> list[Observation]:
    if name in _MEASURES:
        measure, scale = _MEASURES[name]
        return heard.meter(**{measure: round(value * scale, 6)})
    # State and Error are published when they change: a sign of life confirms them.
    return heard.heartbeat(True, **{_LIFE[name]: value})


def _errors(said: str) -> tuple[ReportedError, ...]:
    return () if said in _NO_FAULTS else (fault(_FAULTS.get(said), said, "Error"),)
