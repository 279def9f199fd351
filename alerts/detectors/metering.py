"""What the latest meter values show against limits: volts, amperes, degrees, leakage, a relay."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from alerts.incidents import Finding, Key
from pilewatch.faultcodes import FAULTS, WHOLE_CHARGER
from pilewatch.model import Status, SubjectKind
from pilewatch.policy import Limits

METERING = "metering"
PHASES = "phases"
_NOT_IN_USE = frozenset({Status.AVAILABLE, Status.FINISHING, Status.RESERVED, Status.UNAVAILABLE})
_SETTLED = timedelta(seconds=3)
"""A meter value this much younger than the status no longer speaks of the session before it."""


@dataclass(frozen=True)
class Reading:
    """The latest values of one connector. Units are those of the names."""

    charger_id: int
    connector_id: int
    number: int
    status: str
    status_at: datetime | None
    meter_at: datetime
    power_w: float | None
    voltage_v: float | None
    current_a: float | None
    temperature_c: float | None
    residual_current_ma: float | None
    max_power_w: float | None
    rise_wh: float | None = None
    span_s: float | None = None
    """Register and time over which power has flowed since the status was said."""


def meter_faults(
    reading: Reading, live: Mapping[Key, str], at: datetime, limits: Limits
) -> list[Finding]:
    """What has changed: a limit newly broken, or kept again that this detector saw broken.

    `live` are the incidents now seen on this connector or its charger, with their detectors.
    """
    broken = {f.key: f for f in _broken(reading, at, limits)}
    new = [finding for key, finding in broken.items() if key not in live]
    kept = [
        Finding(_key(code, reading), METERING, code, present=False, at=at,
                port=_port(code, reading))
        for code, value in _JUDGED.items()
        if live.get(_key(code, reading)) == METERING
        and _key(code, reading) not in broken
        and getattr(reading, value) is not None
    ]  # fmt: skip
    return [*new, *kept]


def phase_loss(charger_id: int, at: datetime, *, lost: bool, ports: list[int]) -> Finding:
    """Ports of a site without voltage beside ports with it, and no port complains: a phase.

    Found by the sweep (`dead_phases`). May be wrong where two breakers tripped unsaid.
    """
    key = Key(SubjectKind.CHARGER, charger_id, FAULTS["phase-loss"].family)
    evidence = {"dead_ports": ports}
    return Finding(key, PHASES, "phase-loss", present=lost, at=at, evidence=evidence)


_JUDGED = {
    "relay-welded": "power_w",
    "over-voltage": "voltage_v",
    "over-current": "current_a",
    "over-temperature": "temperature_c",
    "ground-fault": "residual_current_ma",
}
"""One code of each family that is judged here, and the value without which it is not."""


def _broken(reading: Reading, at: datetime, limits: Limits) -> Iterator[Finding]:
    if _absurd(reading):
        return
    volts, amperes = reading.voltage_v, reading.current_a
    if volts is not None and volts > limits.nominal_v * (1 + limits.over_voltage):
        yield _said(
            "over-voltage", reading, at, volts, limits.nominal_v * (1 + limits.over_voltage)
        )
    lowest = limits.nominal_v * (1 - limits.under_voltage)
    if volts is not None and limits.nominal_v * 0.3 < volts < lowest:
        yield _said("under-voltage", reading, at, volts, lowest)
    if amperes is not None and reading.max_power_w is not None:
        most = reading.max_power_w / limits.nominal_v * (1 + limits.over_current)
        if amperes > most:
            yield _said("over-current", reading, at, amperes, most)
    degrees = reading.temperature_c
    if degrees is not None and degrees > limits.temperature_c:
        yield _said("over-temperature", reading, at, degrees, limits.temperature_c)
    leak = reading.residual_current_ma
    if leak is not None and leak >= limits.residual_current_ma:
        yield _said("ground-fault", reading, at, leak, limits.residual_current_ma)
    if _flows_unasked(reading, limits):
        assert reading.power_w is not None
        yield _said("relay-welded", reading, at, reading.power_w, limits.unasked_w)


def _flows_unasked(reading: Reading, limits: Limits) -> bool:
    """Power at an outlet that says it is not in use, measured after it has said so."""
    if reading.power_w is None or reading.power_w < limits.unasked_w or not reading.status_at:
        return False
    if reading.status not in _NOT_IN_USE or reading.meter_at < reading.status_at + _SETTLED:
        return False
    # One value may have overtaken the status of its session; a register that stands is frozen.
    return (reading.span_s or 0) >= limits.unasked_s and (reading.rise_wh or 0) > 0


def _absurd(reading: Reading) -> bool:
    """What no outlet can measure is the meter's fault, and `session_meter` says so."""
    most = 20 * (reading.max_power_w or 50_000)
    watts, amperes = reading.power_w or 0.0, reading.current_a or 0.0
    return watts < -50 or watts > most or amperes < -1 or amperes > most / 100


def _said(code: str, reading: Reading, at: datetime, value: float, limit: float) -> Finding:
    evidence: dict[str, Any] = {
        "value": value,
        "limit": round(limit, 2),
        "measured_at": reading.meter_at.isoformat(),
        "status": reading.status,
    }
    key, port = _key(code, reading), _port(code, reading)
    return Finding(key, METERING, code, present=True, at=at, port=port, evidence=evidence)


def _key(code: str, reading: Reading) -> Key:
    whole = code in WHOLE_CHARGER
    kind = SubjectKind.CHARGER if whole else SubjectKind.CONNECTOR
    subject = reading.charger_id if whole else reading.connector_id
    return Key(kind, subject, FAULTS[code].family)


def _port(code: str, reading: Reading) -> int | None:
    return reading.number if code in WHOLE_CHARGER else None
