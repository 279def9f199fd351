"""Metering plugs, Shelly and Tasmota: a pile without a brain, seen by its power alone.

Source: the makers' public MQTT documentation (Tasmota: commands and MQTT; Shelly: generation 1
API, generation 2 component Switch). More than `charging_w` watts is charging.
"""

import re
from typing import Any

import msgspec

from ingest.dialects.heard import Heard, Make, fault, make
from pilewatch.model import Observation, Status
from pilewatch.wire import BadMessage

SHELLY_BASES = ("{charger:shelly*}",)
SHELLY_1_BASES = ("shellies/{charger}",)
TASMOTA_BASES = ("tele/{charger}",)
_SHELLY_HEARTBEAT_S = 120
_TASMOTA_HEARTBEAT_S = 300
"""Its default TelePeriod."""
_FAULTS = {
    "overtemp": "over-temperature",
    "overpower": "overload-port",
    "overvoltage": "over-voltage",
    "undervoltage": "under-voltage",
    "overcurrent": "over-current",
}
_WAS_CHARGING = frozenset({Status.CHARGING, Status.UNKNOWN})
_WAS_OFF = frozenset({Status.UNAVAILABLE, Status.UNKNOWN, Status.FAULTED})
_PORT = re.compile(r"[0-9]{1,3}")
_UPTIME = re.compile(r"(?:([0-9]{1,6})T)?([0-9]{1,2}):([0-9]{2}):([0-9]{2})")
Values = float | list[float | None] | None


class _Switch(msgspec.Struct):
    output: bool | None = None
    apower: float | None = None
    voltage: float | None = None
    current: float | None = None
    aenergy: dict[str, Any] = {}
    temperature: dict[str, Any] | None = None
    errors: list[str] = []


class _Energy(msgspec.Struct, rename="pascal"):
    total: Values = None
    power: Values = None
    voltage: Values = None
    current: Values = None


class _Sensor(msgspec.Struct):
    energy: _Energy | None = msgspec.field(default=None, name="ENERGY")


class Plugs:
    """The readers of both makes; they share when a pile counts as charging."""

    def __init__(self, charging_w: float):
        self._charging_w = charging_w

    def shelly(self, bases: tuple[str, ...] = SHELLY_BASES) -> Make:
        """Generation 2 and later: one JSON document for each switch."""
        topics = ("online", "status/switch:{switch}")
        return make(
            "shelly",
            "Shelly plugs of generation 2 and later",
            bases,
            topics,
            self._gen2,
            page="plugs",
        )

    def shelly_1(self, bases: tuple[str, ...] = SHELLY_1_BASES) -> Make:
        """Generation 1: each value by itself."""
        topics = (
            *("online", "temperature", "overtemperature", "relay/{switch}"),
            *("relay/{switch}/power", "relay/{switch}/energy"),
        )
        return make(
            "shelly-1", "Shelly plugs of generation 1", bases, topics, self._gen1, page="plugs"
        )

    def tasmota(self, bases: tuple[str, ...] = TASMOTA_BASES) -> Make:
        """Telemetry of any plug that runs Tasmota."""
        topics = ("LWT", "SENSOR", "STATE")
        return make(
            "tasmota", "metering plugs with Tasmota", bases, topics, self._tasmota, page="plugs"
        )

    def _by_power(self, heard: Heard, connector: int, watts: float | None) -> list[Observation]:
        if watts is None:
            return []
        if watts > self._charging_w:
            return [heard.status(Status.CHARGING, connector)]
        return [heard.status(Status.AVAILABLE, connector, only_from=_WAS_CHARGING)]

    # --- Shelly, generation 2

    def _gen2(self, heard: Heard) -> list[Observation]:
        if heard.path == "online":
            return heard.online(heard.flag(), vendor="Shelly", heartbeatS=_SHELLY_HEARTBEAT_S)
        said = _read(heard, _Switch)
        connector = _switch(heard)
        errors = tuple(fault(_FAULTS.get(e), e) for e in said.errors[:32])
        status = Status.CHARGING
        if errors and not said.output:
            status = Status.FAULTED
        elif said.output is False:
            status = Status.UNAVAILABLE
        elif (said.apower or 0) <= self._charging_w:
            status = Status.AVAILABLE
        return [
            heard.status(status, connector, errors=errors),
            *heard.meter(
                connector,
                power_w=said.apower,
                voltage_v=said.voltage,
                current_a=said.current,
                energy_wh=_plain(said.aenergy.get("total"), heard.path),
                temperature_c=_plain((said.temperature or {}).get("tC"), heard.path),
            ),
        ]

    # --- Shelly, generation 1

    def _gen1(self, heard: Heard) -> list[Observation]:
        name = heard.path
        if "/" in name:
            return self._gen1_switch(heard, _switch(heard))
        if name == "online":
            return heard.online(heard.flag(), vendor="Shelly", heartbeatS=_SHELLY_HEARTBEAT_S)
        if name == "temperature":
            return heard.meter(temperature_c=heard.number())
        hot = (fault("over-temperature", "overtemperature 1", name),)
        if heard.flag():
            return [heard.status(Status.FAULTED, 0, errors=hot, source=name)]
        return [heard.status(connector=0, errors=(), source=name)]

    def _gen1_switch(self, heard: Heard, connector: int) -> list[Observation]:
        if heard.path.endswith("/power"):
            watts = heard.number()
            return [
                *self._by_power(heard, connector, watts),
                *heard.meter(connector, power_w=watts),
            ]
        if heard.path.endswith("/energy"):
            minutes = heard.number()  # watt-minutes
            return heard.meter(connector, energy_wh=None if minutes is None else minutes / 60)
        return [_relay(heard, connector)]

    # --- Tasmota

    def _tasmota(self, heard: Heard) -> list[Observation]:
        if heard.path == "LWT":
            promised = _TASMOTA_HEARTBEAT_S
            return heard.online(heard.flag(), heartbeatS=promised, meterS=promised)
        if heard.path == "STATE":
            return _tasmota_state(heard)
        energy = _read(heard, _Sensor).energy
        if energy is None:
            return []  # a sensor of something else
        found: list[Observation] = []
        columns = [_listed(v) for v in (energy.power, energy.total, energy.voltage, energy.current)]
        channels = max(len(columns[0]), len(columns[1]), 1)
        for place in range(min(channels, 32)):
            power, total, volts, amps = (_at(column, place) for column in columns)
            found += self._by_power(heard, place + 1, power)
            found += heard.meter(
                place + 1,
                power_w=power,
                energy_wh=None if total is None else total * 1000,
                voltage_v=volts,
                current_a=amps,
            )
        return found


def _relay(heard: Heard, connector: int) -> Observation:
    said = heard.text()
    if said == "overpower":
        errors = (fault("overload-port", said, "relay"),)
        return heard.status(Status.FAULTED, connector, errors=errors, source="relay")
    if heard.flag():
        return heard.status(
            Status.AVAILABLE, connector, errors=(), source="relay", only_from=_WAS_OFF
        )
    return heard.status(Status.UNAVAILABLE, connector, errors=(), source="relay")


def _tasmota_state(heard: Heard) -> list[Observation]:
    said = heard.json()
    if not isinstance(said, dict):
        raise BadMessage("STATE: right would be an object")
    wifi = said.get("Wifi")
    signal = _plain(wifi.get("Signal") if isinstance(wifi, dict) else None, "STATE")
    uptime = _UPTIME.fullmatch(str(said.get("Uptime"))[:40])
    seconds = None
    if uptime is not None:
        days, hours, minutes, rest = (int(part or 0) for part in uptime.groups())
        seconds = ((days * 24 + hours) * 60 + minutes) * 60 + rest
    found = heard.heartbeat(uptimeS=seconds, rssiDbm=signal)
    for place in range(1, 33):
        power = said.get(f"POWER{place}", said.get("POWER") if place == 1 else None)
        if power == "OFF":
            found.append(heard.status(Status.UNAVAILABLE, place))
        elif power == "ON":
            found.append(heard.status(Status.AVAILABLE, place, only_from=_WAS_OFF))
    return found


def _read(heard: Heard, shape: type[Any]) -> Any:
    try:
        return msgspec.json.decode(heard.payload, type=shape)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadMessage(f"{heard.path}: {error}") from error


def _switch(heard: Heard) -> int:
    number = heard.names["switch"]
    if not _PORT.fullmatch(number) or int(number) > 998:
        raise BadMessage(f"{heard.path}: {number[:20]!r} is no number of a switch")
    return int(number) + 1


def _plain(value: Any, where: str) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadMessage(f"{where}: {str(value)[:40]!r} is no number")
    return value


def _listed(values: Values) -> list[float | None]:
    return values if isinstance(values, list) else [values]


def _at(column: list[float | None], place: int) -> float | None:
    """A plug of several channels measures one voltage for all."""
    if place < len(column):
        return column[place]
    return column[0] if len(column) == 1 and place else None
