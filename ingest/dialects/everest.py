"""EVerest's API module: JSON documents of each connector, once a second.

Source: EVerest/everest-core, modules/API/README.md and errors/*.yaml.
"""

import re
from typing import Any

import msgspec

from ingest.dialects.heard import Heard, Make, fault, make, word
from pilewatch.model import Observation, ReportedError, Status
from pilewatch.wire import BadMessage

BASES = ("everest_api",)
_STATES = {
    "Unknown": Status.UNKNOWN,
    "Unplugged": Status.AVAILABLE,
    "Disabled": Status.UNAVAILABLE,
    "Preparing": Status.PREPARING,
    "Reserved": Status.RESERVED,
    "AuthRequired": Status.PREPARING,
    "AuthTimeout": Status.PREPARING,
    "WaitingForEnergy": Status.SUSPENDED,
    "Charging": Status.CHARGING,
    "ChargingPausedEV": Status.SUSPENDED,
    "ChargingPausedEVSE": Status.SUSPENDED,
    "Finished": Status.FINISHING,
    "FinishedEV": Status.FINISHING,
    "FinishedEVSE": Status.FINISHING,
}
_MREC = {
    1: "connector-lock",
    2: "ground-fault",
    3: "over-temperature",
    4: "over-current",
    5: "over-voltage",
    6: "under-voltage",
    8: "emergency-stop",
    9: "auth-refused",
    10: "ev-comms",
    11: "insulation",
    14: "diode-pilot",
    15: "power-loss",
    17: "relay-welded",
    18: "over-temperature",
    19: "over-temperature",
    20: "proximity-invalid",
    22: "insulation",
    23: "proximity-invalid",
    24: "over-voltage",
    25: "connector-lock",
    26: "cable-theft",
}
_NAMED = {
    "DiodeFault": "diode-pilot",
    "BrownOut": "under-voltage",
    "VentilationNotAvailable": "ev-comms",
    "WaterIngressDetected": "water-ingress",
    "Water": "water-ingress",
    "TiltDetected": "tilt-impact",
    "Tilted": "tilt-impact",
    "EnclosureOpen": "tilt-impact",
    "DoorOpen": "tilt-impact",
    "ac_rcd/AC": "ground-fault",
    "ac_rcd/DC": "ground-fault",
    "ac_rcd/Selftest": "leakage-test-failed",
    "powermeter/CommunicationFault": "meter-failure",
}
_INTERFACES = {
    "payment_terminal": "payment-terminal",
    "connector_lock": "connector-lock",
    "isolation_monitor": "insulation",
}
_NUMBER = re.compile(r"MREC([0-9]{1,2})(?![0-9])")
_LAST_DIGITS = re.compile(r"([0-9]{1,3})$")
_MOST_ERRORS = 32
_STATION = "active_errors"
_SESSION = "session_info"


class _Error(msgspec.Struct):
    type: str
    sub_type: str = ""
    message: str = ""
    description: str = ""
    origin: dict[str, Any] = {}


class _Session(msgspec.Struct):
    state: str
    permanent_fault: bool = False
    # Older versions send a text here, which says nothing.
    active_permanent_faults: list[_Error] | str | None = None
    active_errors: list[_Error] | str | None = None


class _Telemetry(msgspec.Struct):
    temperature: float | None = None
    rcd_current: float | None = None


class _Powermeter(msgspec.Struct, rename={"energy": "energy_Wh_import", "power": "power_W",
                                          "volts": "voltage_V", "amps": "current_A"}):  # fmt: skip
    energy: dict[str, float | None] = {}
    power: dict[str, float | None] = {}
    volts: dict[str, float | None] = {}
    amps: dict[str, float | None] = {}


class Everest:
    """The reader; `numbers` tells the connector of a name that does not end with its number."""

    def __init__(self, numbers: dict[str, int]):
        self._numbers = numbers

    def make(self, bases: tuple[str, ...] = BASES) -> Make:
        """The dialect of stations below these bases."""
        topics = (
            *("{connector}/var/session_info", "{connector}/var/telemetry"),
            *("{connector}/var/powermeter", "errors/var/active_errors"),
        )
        return make("everest", "EVerest's API module", bases, topics, self._read)

    def _read(self, heard: Heard) -> list[Observation]:
        if heard.path == "errors/var/active_errors":
            return self._station_errors(heard)
        connector = self._connector(heard.names["connector"])
        if heard.path.endswith("/session_info"):
            return _session(heard, connector)
        if heard.path.endswith("/telemetry"):
            said = _decode(heard, _Telemetry)
            return heard.meter(
                connector, temperature_c=said.temperature, residual_current_ma=said.rcd_current
            )
        meter = _decode(heard, _Powermeter)
        live = [volts for volts in _phases(meter.volts) if volts > 50]
        amps = _phases(meter.amps)
        return heard.meter(
            connector,
            energy_wh=meter.energy.get("total"),
            power_w=meter.power.get("total"),
            voltage_v=sum(live) / len(live) if live else None,
            current_a=max(amps) if amps else None,
        )

    def _connector(self, name: str) -> int:
        if name in self._numbers:
            return self._numbers[name]
        digits = _LAST_DIGITS.search(name)
        number = int(digits[1]) if digits else 1
        if not 1 <= number <= 999:
            raise BadMessage(
                f"connector {name[:60]!r} has no number from 1 to 999 at its end; "
                "ingest.connector_numbers may give it one"
            )
        return number

    def _station_errors(self, heard: Heard) -> list[Observation]:
        """All active errors of the station: of one module's connector, or of them all."""
        listed: list[_Error] = _decode(heard, list[_Error])[:_MOST_ERRORS]
        of: dict[int, list[ReportedError]] = {0: []}
        for error in listed:
            of.setdefault(self._whose(error), []).append(_reported(error, _STATION))
        return [
            heard.status(
                connector=number,
                errors=tuple(errors if number == 0 else of[0] + errors),
                source=_STATION,
            )
            for number, errors in of.items()
        ]

    def _whose(self, error: _Error) -> int:
        mapping = error.origin.get("mapping")
        evse = mapping.get("evse") if isinstance(mapping, dict) else error.origin.get("evse")
        if isinstance(evse, int) and not isinstance(evse, bool) and 1 <= evse <= 999:
            return evse
        module = error.origin.get("module_id")
        return self._numbers.get(module, 0) if isinstance(module, str) else 0


def _session(heard: Heard, connector: int) -> list[Observation]:
    said = _decode(heard, _Session)
    permanent = _errors(said.active_permanent_faults)
    warnings = _errors(said.active_errors)
    broken = said.permanent_fault or bool(permanent)
    status = Status.FAULTED if broken else word(said.state, _STATES, "session_info: state")
    if permanent is None and warnings is None:
        return [heard.status(status, connector)]  # active_errors tells why
    told = tuple(_reported(e, _SESSION) for e in [*(permanent or ()), *(warnings or ())])
    return [heard.status(status, connector, errors=told[:_MOST_ERRORS], source=_SESSION)]


def _errors(listed: list[_Error] | str | None) -> list[_Error] | None:
    return listed if isinstance(listed, list) else None


def _reported(error: _Error, source: str) -> ReportedError:
    interface, _, name = error.type.rpartition("/")
    code = _NAMED.get(error.type) or _NAMED.get(name) or _INTERFACES.get(interface)
    if (number := _NUMBER.match(name)) is not None:
        code = _MREC.get(int(number[1]), code)
    vendor = f"{error.type}/{error.sub_type}" if error.sub_type else error.type
    info = (error.message or error.description)[:1000] or None
    return ReportedError(fault(code, vendor).code, vendor[:200], info, source)


def _phases(values: dict[str, float | None]) -> list[float]:
    return [v for k in ("L1", "L2", "L3", "DC") if (v := values.get(k)) is not None]


def _decode(heard: Heard, shape: Any) -> Any:
    try:
        return msgspec.json.decode(heard.payload, type=shape)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadMessage(f"{heard.path}: {error}") from error
