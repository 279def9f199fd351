"""The scenario file: which community, how it is used, what breaks. Checked whole, by line."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import yaml
from msgspec import Meta, Struct

from pilewatch.faultcodes import FAULTS
from pilewatch.store.registry_file import Registry, read_registry
from simulator.community import Community, build, give_devices
from simulator.habits import Habits

MAX_BYTES = 5_000_000
_MAX_DEPTH = 12
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_RIGHT_DURATION = "right would be seconds, or text such as 90s, 5m, 2h, 1.5d"


class BadScenario(ValueError):
    """The file cannot be used. `problems` are lines of `FILE:LINE: what is wrong`."""

    def __init__(self, problems: list[str]):
        super().__init__("\n".join(problems))
        self.problems = problems


class Seconds(float):
    """A duration; in the file a number of seconds, or text such as `90s`, `5m`, `2h`, `1d`."""


Share = Annotated[float, Meta(ge=0, le=1)]
Positive = Annotated[float, Meta(gt=0, le=1e6)]
Rate = Annotated[float, Meta(ge=0, le=1e6)]
Code = Annotated[str, Meta(min_length=1, max_length=64)]
Hours = Annotated[tuple[Rate, ...], Meta(min_length=24, max_length=24)]


class Use(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How people use the connectors of one kind of charger."""

    per_day: Annotated[float, Meta(ge=0, le=500)] = 2.0
    """Visits per connector and day, those included who find it taken."""
    hours: Hours = (1.0,) * 24
    """Relative weight of each local hour."""
    energy_wh: tuple[Positive, Positive] = (300, 900)
    power_w: tuple[Positive, Positive] = (120, 420)
    stay: tuple[Seconds, Seconds] = (Seconds(120), Seconds(3600))
    """How long the plug stays in after the session."""
    quiet_days: tuple[Annotated[int, Meta(ge=0)], ...] = ()
    """Local days since the start's on which only `quiet_share` of the visits happen: holidays."""
    quiet_share: Annotated[float, Meta(gt=0, le=1)] = 1.0


_EVENING = [3, 2, 1, 1, 1, 1, 2, 4, 5, 4, 3, 3, 4, 4, 3, 3, 4, 6, 9, 12, 12, 10, 8, 5]
_OFFICE = [2, 1, 1, 1, 1, 1, 2, 4, 7, 8, 7, 6, 6, 6, 5, 5, 5, 6, 7, 8, 8, 6, 4, 3]


class Demand(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Visits by kind of charger."""

    ebike: Use = Use(per_day=1.6, hours=tuple(map(float, _EVENING)))
    car: Use = Use(
        per_day=3.0,
        hours=tuple(map(float, _OFFICE)),
        energy_wh=(6_000, 35_000),
        power_w=(3_300, 7_000),
        stay=(Seconds(180), Seconds(5400)),
    )


class Weather(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Outdoor temperature in °C, and the share of days with rain."""

    mean_c: Annotated[float, Meta(ge=-40, le=50)] = 16.0
    season_c: Annotated[float, Meta(ge=0, le=40)] = 12.0
    daily_c: Annotated[float, Meta(ge=0, le=30)] = 5.0
    rain: Share = 0.3


class Scripted(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One fault at a set time. What is left out is drawn; `pace` runs its course faster."""

    at: Seconds
    code: Code
    site: Code | None = None
    gateway: Code | None = None
    charger: Code | None = None
    connector: Annotated[int, Meta(ge=1, le=999)] | None = None
    lasts: Seconds | None = None
    """It goes away by itself after so long; without it somebody has to repair it."""
    pace: Annotated[float, Meta(ge=1, le=1e6)] = 1.0
    soft: bool | None = None
    """Whether a reset cures it."""
    used: bool = False
    """Somebody plugs in just before, so that the fault meets a running session."""


class Repair(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How long until a crew has repaired a fault, where nobody plays the people."""

    min: Seconds = Seconds(2 * 3600)
    max: Seconds = Seconds(48 * 3600)


class Faults(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`rates` are per charger and year by code, `mtbf_days` the mean days between two of them.

    Where neither is given every fault has its typical rate; `scale` multiplies all rates.
    """

    rates: dict[str, Rate] | None = None
    mtbf_days: dict[str, Positive] = {}
    scale: Annotated[float, Meta(ge=0, le=1e6)] = 1.0
    scripted: list[Scripted] = []
    repair: Repair = Repair()


class Network(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the radio does to messages. A lost message of QoS 1 is one that comes late, twice."""

    loss: Share = 0.0
    delay: tuple[Seconds, Seconds] = (Seconds(0), Seconds(0))
    duplicates: Share = 0.0
    reorder: Share = 0.0


class Scenario(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A whole scenario; everything but the community has a default."""

    registry: str | None = None
    community: Community | None = None
    protocol: Literal["native", "dny"] = "native"
    """What e-bike cabinets speak; see docs/dialects/ebike-dny.md."""
    heartbeat_s: Annotated[int, Meta(ge=1, le=86400)] = 60
    meter_s: Annotated[int, Meta(ge=1, le=3600)] = 30
    idle_meter_s: Annotated[int, Meta(ge=0, le=86400)] = 300
    """How often an idle connector still tells voltage, register and temperature; 0: never."""
    demand: Demand = Demand()
    weather: Weather = Weather()
    faults: Faults = Faults()
    network: Network = Network()
    people: Habits = Habits()


def read_scenario(path: Path) -> tuple[Scenario, Registry]:
    """Read and check a scenario and its community. Raises `BadScenario` or `BadRegistry`."""
    values, lines = _Reader(path).read()
    try:
        scenario = msgspec.convert(values, Scenario, dec_hook=_duration)
    except msgspec.ValidationError as error:
        text, _, place = str(error).partition(" - at ")
        where = place.strip("`").removeprefix("$.")
        line = _line(lines, where, text)
        raise BadScenario([f"{path}:{line}: {f'{where}: ' if where else ''}{text}"]) from error
    problems = list(_contradictions(scenario))
    if not problems:
        registry = _community(scenario, path)
        if scenario.protocol == "dny":
            give_devices(registry)
        problems = list(_strangers(scenario, registry))
    if problems:
        told = [
            f"{path}:{_line(lines, where)}: {f'{where}: ' if where else ''}{text}"
            for where, text in problems
        ]
        raise BadScenario(told)
    return scenario, registry


def _community(scenario: Scenario, path: Path) -> Registry:
    if scenario.community is not None:
        return build(scenario.community)
    return read_registry(path.parent / str(scenario.registry))


def _duration(kind: type, value: Any) -> Any:
    if kind is not Seconds:
        raise NotImplementedError(kind)
    if isinstance(value, str):
        text = value.strip()
        unit = next((u for u in _UNITS if text.endswith(u)), "")  # `ms` is asked before `s`
        try:
            number = float(text.removesuffix(unit))
        except ValueError:
            raise ValueError(f"{value[:40]!r} is no duration; {_RIGHT_DURATION}") from None
        value = number * _UNITS.get(unit, 1.0)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"no duration; {_RIGHT_DURATION}")
    if not 0 <= value <= 1e9:
        raise ValueError(f"{value} s is outside of 0 to 1000000000 s")
    return Seconds(value)


def _contradictions(scenario: Scenario) -> Iterator[tuple[str, str]]:
    if (scenario.registry is None) == (scenario.community is None):
        yield "", "give either `registry` (a file) or `community` (generated), one of the two"
    faults = scenario.faults
    for section, table in (("rates", faults.rates or {}), ("mtbf_days", faults.mtbf_days)):
        for code in table:
            if code not in FAULTS:
                yield f"faults.{section}.{code}", _no_code(code)
    for code in sorted(set(faults.rates or {}) & set(faults.mtbf_days)):
        yield f"faults.mtbf_days.{code}", "is already given in faults.rates"
    if faults.repair.min > faults.repair.max:
        yield "faults.repair.min", "must not be longer than max"
    for kind in ("ebike", "car"):
        if not any(getattr(scenario.demand, kind).hours):
            yield f"demand.{kind}.hours", "one hour at least must weigh more than 0"
    for where, (low, high) in _ranges(scenario):
        if low > high:
            yield where, f"[{low:g}, {high:g}]: the smaller comes first"
    if scenario.community is not None and scenario.community.ports[0] > scenario.community.ports[1]:
        yield "community.ports", "the smaller comes first"


def _ranges(scenario: Scenario) -> Iterator[tuple[str, tuple[float, float]]]:
    for kind in ("ebike", "car"):
        for name in ("energy_wh", "power_w", "stay"):
            yield f"demand.{kind}.{name}", getattr(getattr(scenario.demand, kind), name)
    for name in ("operator_s", "repairer_s", "inspector_s", "resident_s"):
        yield f"people.{name}", getattr(scenario.people, name)
    yield "network.delay", scenario.network.delay


def _strangers(scenario: Scenario, registry: Registry) -> Iterator[tuple[str, str]]:
    """Scripted faults at things which the community does not have."""
    for number, fault in enumerate(scenario.faults.scripted):
        where = f"faults.scripted[{number}]"
        if fault.code not in FAULTS:
            yield f"{where}.code", _no_code(fault.code)
        for name, known in (
            ("site", registry.sites),
            ("gateway", registry.gateways),
            ("charger", registry.chargers),
        ):
            code = getattr(fault, name)
            if code is not None and code not in known:
                yield f"{where}.{name}", f"{code!r} is not in the community"
        charger = registry.chargers.get(fault.charger or "")
        if fault.connector is not None:
            if fault.charger is None:
                yield f"{where}.connector", "needs its charger"
            elif charger and fault.connector not in {p.number for p in charger.plugs()}:
                yield f"{where}.connector", f"{fault.charger!r} has no connector {fault.connector}"


def _no_code(code: str) -> str:
    near = [c for c in FAULTS if c[:4] == code[:4]] or sorted(FAULTS)
    return f"{code!r} is no fault code; right would be one of {', '.join(near)}"


def _line(lines: dict[str, int], where: str, text: str = "") -> int:
    """The line of this place, or of the nearest thing around it."""
    if "unknown field" in text:
        name = text.split("`")[1]
        found = lines.get(f"{where}.{name}" if where else name)
        if found:
            return found
    while where and where not in lines:
        where = where[: max(where.rfind("."), where.rfind("["), 0)]
    return lines.get(where, 1)


class _Reader:
    """YAML as plain values, and the line of each place."""

    def __init__(self, path: Path):
        self.path = path
        self.lines: dict[str, int] = {}

    def fail(self, line: int, text: str) -> BadScenario:
        return BadScenario([f"{self.path}:{line}: {text}"])

    def read(self) -> tuple[Any, dict[str, int]]:
        try:
            if self.path.stat().st_size > MAX_BYTES:
                raise self.fail(1, f"larger than {MAX_BYTES // 1_000_000} MB")
            text = self.path.read_bytes().decode("utf-8-sig")
        except OSError as error:
            raise BadScenario([f"{self.path}: {error.strerror}"]) from error
        except UnicodeDecodeError as error:
            line = error.object[: error.start].count(b"\n") + 1
            raise self.fail(line, "not UTF-8") from error
        loader = yaml.SafeLoader(text) if "\0" not in text else None
        if loader is None:
            raise self.fail(text[: text.index("\0")].count("\n") + 1, "NUL byte")
        try:
            node = loader.get_single_node()
            if not isinstance(node, yaml.MappingNode):
                fields = ", ".join(Scenario.__struct_fields__)
                raise self.fail(1, f"right would be a mapping with some of {fields}")
            return self._plain(loader, node, "", 0), self.lines
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            said = getattr(error, "problem", None) or str(error)
            raise self.fail(mark.line + 1 if mark else 1, f"not YAML: {said}") from error
        except RecursionError as error:
            raise self.fail(1, "nested too deeply") from error

    def _plain(self, loader: yaml.SafeLoader, node: yaml.Node, where: str, depth: int) -> Any:
        line = node.start_mark.line + 1
        self.lines.setdefault(where, line)
        if depth > _MAX_DEPTH:
            raise self.fail(line, "nested too deeply")
        if isinstance(node, yaml.SequenceNode):
            return [
                self._plain(loader, item, f"{where}[{n}]", depth + 1)
                for n, item in enumerate(node.value)
            ]
        if isinstance(node, yaml.MappingNode):
            return self._mapping(loader, node, where, depth)
        try:
            return loader.construct_object(node, deep=True)
        except ValueError as error:
            raise self.fail(line, f"{where}: {error}") from error

    def _mapping(
        self, loader: yaml.SafeLoader, node: yaml.MappingNode, where: str, depth: int
    ) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for key, value in node.value:
            name, line = str(key.value), key.start_mark.line + 1
            inner = f"{where}.{name}" if where else name
            if name in values:
                raise self.fail(line, f"{inner} is already given on line {self.lines[inner]}")
            self.lines[inner] = line
            values[name] = self._plain(loader, value, inner, depth + 1)
        return values
