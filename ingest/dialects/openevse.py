"""OpenEVSE's ESP32 firmware: each value by itself under `{base}/{field}`, and a retained announce.

Source: OpenEVSE/openevse_esp32_firmware, src/mqtt.cpp and models/Status.yaml.
"""

import msgspec

from ingest.dialects.heard import Heard, Make, fault, finite, make
from pilewatch.model import Observation, Status
from pilewatch.wire import BadMessage

BASES = ("{charger:openevse*}",)
_STATES = {
    0: Status.UNKNOWN,
    1: Status.AVAILABLE,
    2: Status.PREPARING,
    3: Status.CHARGING,
    4: Status.SUSPENDED,  # the vehicle asks for ventilation
    255: Status.UNAVAILABLE,
}
_FAULTS = {
    5: "diode-pilot",
    6: "ground-fault",
    7: "no-earth",
    8: "relay-welded",
    9: "leakage-test-failed",
    10: "over-temperature",
    11: "over-current",
}
_SLEEPING = 254
_NOT_IDLE = frozenset(Status) - {Status.AVAILABLE}
_MEASURES = {
    "amp": ("current_a", 0.001),
    "voltage": ("voltage_v", 1.0),
    "power": ("power_w", 1.0),
    "temp": ("temperature_c", 0.1),
    "total_energy": ("energy_wh", 1000.0),
}
_COUNTERS = ("gfcicount", "nogndcount", "stuckcount")
_HEARTBEAT_S = 60


class _Announce(msgspec.Struct):
    state: str
    name: str


def openevse(bases: tuple[str, ...] = BASES) -> Make:
    """The dialect of chargers below these bases."""
    values = ("state", "vehicle", "srssi", "uptime", *_MEASURES, *_COUNTERS)
    told = make("openevse", "OpenEVSE, ESP32 firmware", bases, values, _read)
    announced = make("openevse", "", ("openevse",), ("announce/{name}",), _read)
    return told._replace(listens=told.listens + announced.listens)


def _read(heard: Heard) -> list[Observation]:
    field = heard.path
    if field.startswith("announce/"):
        return _announced(heard)
    if field == "state":
        return _state(heard)
    value = heard.number()
    return [] if value is None else _value(heard, field, value)


def _value(heard: Heard, field: str, value: float) -> list[Observation]:
    if field in _MEASURES:
        name, scale = _MEASURES[field]
        return heard.meter(**{name: round(value * scale, 6)})
    if field == "vehicle":
        return [_vehicle(heard, present=bool(value))]
    told = {"srssi": "rssiDbm", "uptime": "uptimeS"}.get(field, field)
    return heard.heartbeat(**{told: value})


def _state(heard: Heard) -> list[Observation]:
    state = heard.whole()
    if state is None:
        return []
    if state == _SLEEPING:
        # Asleep without a car it is free to be used: "vehicle" tells.
        return [heard.status(Status.SUSPENDED, errors=(), only_from=_NOT_IDLE)]
    if state in _STATES:
        return [heard.status(_STATES[state], errors=())]
    finite(state, heard.path)
    return [heard.status(Status.FAULTED, errors=(fault(_FAULTS.get(state), f"state {state}"),))]


def _vehicle(heard: Heard, *, present: bool) -> Observation:
    if present:
        return heard.status(Status.PREPARING, only_from=frozenset({Status.AVAILABLE}))
    gone = frozenset({Status.SUSPENDED, Status.PREPARING, Status.FINISHING})
    return heard.status(Status.AVAILABLE, only_from=gone)


def _announced(heard: Heard) -> list[Observation]:
    """The host's name is the base topic unless somebody changed it."""
    try:
        said = msgspec.json.decode(heard.payload, type=_Announce)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadMessage(f"announce: {error}; right would be an object with state and name") from (
            error
        )
    if said.state not in ("connected", "disconnected"):
        raise BadMessage(
            f"announce: state {said.state[:40]!r}; right would be connected or disconnected"
        )
    told = heard._replace(charger=said.name)
    return told.online(said.state == "connected", vendor="OpenEVSE", heartbeatS=_HEARTBEAT_S)
