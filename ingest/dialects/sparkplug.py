"""Sparkplug B: births tell metrics and their aliases, data their changes, deaths the end.

Source: the Eclipse Sparkplug specification 3.0. A device is a charger, and so is an edge node that
has charger's metrics of its own. Metric names are the words of the native contract (`status`,
`powerW`, …), alone or below `Connector N/`; other names need a mapping file.
"""

import math
import re
from collections import OrderedDict
from collections.abc import Iterable
from typing import Any

from ingest.dialects.heard import Heard, Make, make
from ingest.dialects.protobuf import Metric, metrics
from pilewatch.faultcodes import FAULTS, UNMAPPED
from pilewatch.model import Observation, ReportedError, Status
from pilewatch.wire import BadMessage

BASES = ("spBv1.0",)
_MEASURES = {
    "powerW": "power_w",
    "energyWh": "energy_wh",
    "voltageV": "voltage_v",
    "currentA": "current_a",
    "temperatureC": "temperature_c",
    "soc": "soc",
    "residualCurrentMa": "residual_current_ma",
}
_TOLD = ("firmware", "vendor", "model")
_NAME = re.compile(r"(?:Connector ([1-9][0-9]{0,2})/)?([A-Za-z]{1,40})")
_MOST_DEVICES = 20_000
_MOST_CONNECTORS = 64
_KINDS = ("NBIRTH", "NDATA", "NDEATH", "DBIRTH", "DDATA", "DDEATH")


class Births:
    """What births told: names of aliases, devices of nodes. Bounded; lost with the process, and
    then data without names are refused until the next birth."""

    def __init__(self) -> None:
        self._aliases: OrderedDict[tuple[str, ...], dict[int, str]] = OrderedDict()
        self._devices: OrderedDict[tuple[str, ...], dict[str, None]] = OrderedDict()
        self._sequence: dict[tuple[str, ...], Any] = {}

    def note(self, whose: tuple[str, ...], born: Iterable[Metric]) -> None:
        """A birth replaces what was known."""
        self._aliases[whose] = {m.alias: m.name for m in born if m.alias is not None and m.name}
        self._aliases.move_to_end(whose)
        if len(self._aliases) > _MOST_DEVICES:
            self._aliases.popitem(last=False)
        node = whose[:2]
        if len(whose) == 2:
            self._sequence[node] = _sequence(born)
            self._devices[node] = {}
            if len(self._devices) > _MOST_DEVICES:
                self._sequence.pop(self._devices.popitem(last=False)[0], None)
        else:
            devices = self._devices.setdefault(node, {})
            if len(devices) < _MOST_DEVICES:
                devices[whose[2]] = None

    def named(self, whose: tuple[str, ...], said: Iterable[Metric]) -> list[Metric]:
        """With each alias's name. Raises `BadMessage`."""
        known = self._aliases.get(whose, {})
        found = []
        for metric in said:
            name = metric.name or known.get(-1 if metric.alias is None else metric.alias)
            if not name:
                raise BadMessage(
                    f"alias {metric.alias} of {'/'.join(whose)} is in no birth that was heard; "
                    "ask the node for a rebirth, or let it send names"
                )
            found.append(metric._replace(name=name))
        return found

    def die(self, node: tuple[str, ...], said: Iterable[Metric]) -> list[str]:
        """The node's devices; none where an earlier session's death comes late."""
        sequence, known = _sequence(said), self._sequence.get(node)
        if sequence is not None and known is not None and sequence != known:
            return []
        return [*self._devices.get(node, {}), *self._own(node)]

    def _own(self, node: tuple[str, ...]) -> list[str]:
        """The node itself, unless it is known to be only a gateway."""
        known = self._aliases.get(node)
        only_gateway = known is not None and bool(self._devices.get(node))
        return [] if only_gateway else [node[1]]


class Sparkplug:
    """The reader and what it remembers of births."""

    def __init__(self) -> None:
        self.births = Births()

    def make(self, bases: tuple[str, ...] = BASES) -> Make:
        """The dialect below these namespaces."""
        topics = ("{group}/{kind}/{charger}", "{group}/{kind}/{node}/{charger}")
        told = make("sparkplug-b", "Sparkplug B devices", bases, topics, self._read)
        return told._replace(listens=tuple(one._replace(charger=None) for one in told.listens))

    def _read(self, heard: Heard) -> list[Observation]:
        names = heard.names
        kind = names["kind"]
        if kind not in _KINDS or (kind[0] == "D") != ("node" in names):
            return []  # commands, and the host's own state
        whose: tuple[str, ...] = (names["group"], heard.charger)
        if "node" in names:
            whose = (names["group"], names["node"], heard.charger)
        return observe(heard, kind, self.meaning(whose, kind, heard.payload), self.births, whose)

    def meaning(self, whose: tuple[str, ...], kind: str, payload: bytes) -> list[Metric]:
        """The metrics with their names. Raises `BadMessage`."""
        said = metrics(payload)
        if kind.endswith("BIRTH"):
            self.births.note(whose, said)
        return said if kind.endswith("DEATH") else self.births.named(whose, said)


def observe(
    heard: Heard, kind: str, said: list[Metric], births: Births, whose: tuple[str, ...]
) -> list[Observation]:
    """What one message says of its charger, or of all chargers of its node."""
    if kind == "DDEATH":
        return heard.online(False)
    if kind == "NDEATH":
        dead = births.die(whose, said)
        return [heard._replace(charger=d).online(False)[0] for d in dead]
    ports: dict[int, dict[str, Any]] = {}
    for metric in said:
        found = _NAME.fullmatch(metric.name)
        if metric.historical or metric.value is None or found is None:
            continue
        value = metric.value
        if isinstance(value, float) and not math.isfinite(value):
            continue
        if found[2] in _MEASURES or found[2] in ("status", "errors", *_TOLD):
            ports.setdefault(int(found[1] or 1), {})[found[2]] = value
    if len(ports) > _MOST_CONNECTORS:
        raise BadMessage(f"{len(ports)} connectors in one payload; at most {_MOST_CONNECTORS}")
    observations: list[Observation] = []
    if kind.endswith("BIRTH") and (ports or kind == "DBIRTH"):
        told = {key: _text(key, v) for key in _TOLD if (v := ports.get(1, {}).get(key)) is not None}
        observations += heard.online(**told)
    for number, values in ports.items():
        observations += _port(heard, number, values)
    if kind == "DDATA" and not observations:
        return heard.heartbeat()
    return observations


def _port(heard: Heard, number: int, values: dict[str, Any]) -> list[Observation]:
    status = errors = None
    if "status" in values:
        said = _text("status", values["status"])
        if said not in Status.__members__.values():
            raise BadMessage(f"status {said[:40]!r}; right would be one of {', '.join(Status)}")
        status = Status(said)
    if "errors" in values:
        words = [w.strip() for w in _text("errors", values["errors"]).split(",")[:32]]
        errors = tuple(_error(w) for w in words if w)
    found = (
        [] if status is None and errors is None else [heard.status(status, number, errors=errors)]
    )
    return found + heard.meter(
        number, **{_MEASURES[k]: _number(k, v) for k, v in values.items() if k in _MEASURES}
    )


def _error(said: str) -> ReportedError:
    return ReportedError(said) if said in FAULTS else ReportedError(UNMAPPED, said[:200])


def _text(key: str, value: Any) -> str:
    if not isinstance(value, str) or len(value) > 1000 or "\0" in value:
        raise BadMessage(f"{key}: right would be a text of at most 1000 characters")
    return value[:200] if key in _TOLD else value


def _number(key: str, value: Any) -> float:
    if isinstance(value, str):
        raise BadMessage(f"{key}: {value[:40]!r}; right would be a number")
    return float(value)


def _sequence(said: Iterable[Metric]) -> Any:
    return next((m.value for m in said if m.name == "bdSeq"), None)
