"""go-e Charger, API v2: each key by itself under `{base}/{key}` as JSON, retained, on change.

Source: goecharger/go-eCharger-API-v2, API_KEYS_FIRMWARE/apikeys-en.md and mqtt-en.md.
"""

from typing import Any

from ingest.dialects.heard import Heard, Make, fault, finite, make
from pilewatch.model import Observation, Status
from pilewatch.wire import BadMessage

BASES = ("go-eCharger/{charger}", "/go-eCharger/{charger}")
_CARS = {
    None: Status.UNKNOWN,
    0: Status.UNKNOWN,
    1: Status.AVAILABLE,
    2: Status.CHARGING,
    3: Status.PREPARING,
    4: Status.FINISHING,
    5: Status.FAULTED,
}
_FAULTS = {
    1: "ground-fault",
    2: "ground-fault",
    3: "phase-loss",
    4: "over-voltage",
    5: "over-current",
    6: "diode-pilot",
    7: "proximity-invalid",
    8: "no-earth",
    9: "relay-welded",
    10: "relay-open",
    11: "ground-fault",
    13: "over-temperature",
    15: "connector-lock",
    16: "connector-lock",
}
_LOCK_FAILED = (2, 4)
_LIVE_V = 50.0
"""Below it a phase is not connected."""
_HEARTBEAT_S = 120


def go_e(bases: tuple[str, ...] = BASES) -> Make:
    """The dialect of chargers below these bases."""
    return make("go-e", "go-e Charger, API v2", bases, ("{key}",), _read)


def _read(heard: Heard) -> list[Observation]:
    read = _READERS.get(heard.path)
    if read is None:
        return []
    value = heard.json()
    return [] if value is None and heard.path != "car" else read(heard, value)


def _car(heard: Heard, value: Any) -> list[Observation]:
    car = None if value is None else _whole(value, "car")
    if car not in _CARS:
        raise BadMessage(f"car: {str(car)[:20]} is unknown; right would be null or 0 to 5")
    return [heard.status(_CARS[car])]


def _err(heard: Heard, value: Any) -> list[Observation]:
    err = _whole(value, "err")
    errors = (fault(_FAULTS.get(err), f"err {err}", "err"),) if err else ()
    return [heard.status(errors=errors, source="err")]


def _lock(heard: Heard, value: Any) -> list[Observation]:
    cus = _whole(value, "cus")
    errors = (fault("connector-lock", f"cus {cus}", "cus"),) if cus in _LOCK_FAILED else ()
    return [heard.status(errors=errors, source="cus")]


def _energy(heard: Heard, value: Any) -> list[Observation]:
    """U L1-3, N; I L1-3; P L1-3, N, total; power factors."""
    numbers = _numbers(value, "nrg", 12)
    live = [volts for volts in numbers[:3] if volts > _LIVE_V]
    return heard.meter(
        voltage_v=sum(live) / len(live) if live else 0.0,
        current_a=max(numbers[4:7]),
        power_w=numbers[11],
    )


def _total(heard: Heard, value: Any) -> list[Observation]:
    return heard.meter(energy_wh=_number(value, "eto"))


def _temperatures(heard: Heard, value: Any) -> list[Observation]:
    return heard.meter(temperature_c=max(_numbers(value, "tma", 1)))


# It tells each change at once, so a sign of life confirms what it said last.
def _booted(heard: Heard, value: Any) -> list[Observation]:
    return heard.heartbeat(True, uptimeS=_number(value, "rbt") / 1000)


def _signal(heard: Heard, value: Any) -> list[Observation]:
    return heard.heartbeat(True, rssiDbm=_number(value, "rssi"))


def _online(heard: Heard, value: Any) -> list[Observation]:
    if not isinstance(value, bool):
        raise BadMessage("online: right would be true or false")
    return heard.online(value, heartbeatS=_HEARTBEAT_S)


def _firmware(heard: Heard, value: Any) -> list[Observation]:
    if not isinstance(value, str) or len(value) > 200 or "\0" in value:
        raise BadMessage("fwv: right would be a text of at most 200 characters")
    return heard.online(firmware=value, vendor="go-e", heartbeatS=_HEARTBEAT_S)


_READERS = {
    "car": _car,
    "err": _err,
    "cus": _lock,
    "nrg": _energy,
    "eto": _total,
    "tma": _temperatures,
    "rbt": _booted,
    "rssi": _signal,
    "online": _online,
    "fwv": _firmware,
}


def _whole(value: Any, key: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) > 1e12:
        raise BadMessage(f"{key}: right would be a whole number")
    return value


def _number(value: Any, key: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadMessage(f"{key}: right would be a number")
    return finite(value, key)


def _numbers(value: Any, key: str, least: int) -> list[float]:
    if not isinstance(value, list):
        raise BadMessage(f"{key}: right would be a list of numbers")
    numbers = [_number(v, key) for v in value if v is not None]
    if len(numbers) < least:
        raise BadMessage(f"{key}: {len(numbers)} numbers; right would be at least {least}")
    return numbers
