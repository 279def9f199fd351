"""Sampled values of OCPP as the meter values of our contract (SI units, one figure a quantity)."""

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

_REGISTER = "Energy.Active.Import.Register"
_NOMINAL_V = 230.0
_BOUND = 1e12
_PHASES = frozenset({"L1", "L2", "L3", "L1-N", "L2-N", "L3-N"})
_BETWEEN = frozenset({"L1-L2", "L2-L3", "L3-L1"})
_FACTOR = {"kWh": 1000.0, "kW": 1000.0, "mA": 0.001, "mV": 0.001}


class _Value(NamedTuple):
    amount: float
    unit: str
    phase: str | None
    location: str


def sample(values: Iterable[dict[str, Any]]) -> dict[str, float]:
    """The fields of a `meter` message; empty where nothing of it is known to us.

    Takes `sampledValue` of 1.6 (texts, `unit`) and 2.0.1 (numbers, `unitOfMeasure`). What is not a
    finite number is left out. Of several phases power is the sum, current the greatest, voltage
    the one furthest from nominal, so that a dead phase is not averaged away.
    """
    groups: dict[str, list[_Value]] = {}
    for value in values:
        if (read := _read(value)) is not None:
            groups.setdefault(str(value.get("measurand", _REGISTER)), []).append(read)
    found = {
        "energyWh": _total(groups.get(_REGISTER, [])),
        "powerW": _total(groups.get("Power.Active.Import", [])),
        "voltageV": _voltage(groups.get("Voltage", [])),
        "currentA": _greatest(groups.get("Current.Import", [])),
        "temperatureC": _temperature(groups.get("Temperature", [])),
        "soc": _share(groups.get("SoC", [])),
    }
    return {name: amount for name, amount in found.items() if amount is not None}


def _read(value: dict[str, Any]) -> _Value | None:
    if value.get("format") == "SignedData":
        return None
    unit, power = value.get("unit"), 0
    if isinstance(measure := value.get("unitOfMeasure"), dict):
        unit, power = measure.get("unit"), measure.get("multiplier", 0)
    try:
        amount = float(value.get("value", "")) * 10.0 ** int(power)
    except (TypeError, ValueError, OverflowError):
        return None
    amount *= _FACTOR.get(str(unit), 1.0)
    if not math.isfinite(amount) or abs(amount) > _BOUND:
        return None
    phase, place = value.get("phase"), value.get("location")
    return _Value(amount, str(unit), None if phase is None else str(phase), str(place or "Outlet"))


def _here(values: list[_Value]) -> list[_Value]:
    """At the outlet, where it is measured there; else wherever it is."""
    return [v for v in values if v.location == "Outlet"] or values


def _total(values: list[_Value]) -> float | None:
    values = _here(values)
    whole = [v.amount for v in values if v.phase is None]
    if whole:
        return whole[-1]
    phases = {v.phase[:2]: v.amount for v in values if v.phase in _PHASES}
    return sum(phases.values()) if phases else None


def _greatest(values: list[_Value]) -> float | None:
    amounts = [v.amount for v in _here(values) if v.phase is None or v.phase in _PHASES]
    return max(amounts, key=abs) if amounts else None


def _voltage(values: list[_Value]) -> float | None:
    values = _here(values)
    plain = [v.amount for v in values if v.phase is None]
    amounts = [v.amount for v in values if v.phase in _PHASES]
    amounts = amounts or [v.amount / math.sqrt(3) for v in values if v.phase in _BETWEEN]
    if not amounts:
        return plain[-1] if plain else None
    return max(amounts, key=lambda volts: abs(volts - _NOMINAL_V))


def _temperature(values: list[_Value]) -> float | None:
    """The hottest place of the pile; the car's own battery is not the pile."""
    own = [v for v in values if v.location != "EV"]
    near = [v for v in own if v.location != "Body"] or own
    found = [c for v in near if -273 <= (c := _celsius(v)) <= 2000]
    return max(found) if found else None


def _celsius(value: _Value) -> float:
    if value.unit == "K":
        return value.amount - 273.15
    return (value.amount - 32) / 1.8 if value.unit == "Fahrenheit" else value.amount


def _share(values: list[_Value]) -> float | None:
    amount = values[-1].amount if values else None
    return amount if amount is not None and 0 <= amount <= 100 else None
