"""The places and numbers of a mapping file, compiled; a mistake is told with its line."""

import math
from collections.abc import Callable, Mapping
from typing import Any

from ingest.dialects.heard import LIMITS
from ingest.dialects.rules import Numbers, When
from ingest.dialects.toml_lines import Table
from ingest.dialects.values import (
    SENSIBLE,
    UNITS,
    BadValue,
    Get,
    Here,
    Reading,
    key_of,
    place,
    unit_named,
)
from pilewatch.wire import BadMessage

_MOST = 16
_TOGETHER: dict[str, Callable[[list[float]], float]] = {
    "sum": math.fsum,
    "max": max,
    "min": min,
    "mean": lambda values: math.fsum(values) / len(values),
    "product": math.prod,
}
_PLAIN = (float, int)
_WAYS = ("from", *_TOGETHER)


class Places:
    """Compiles places of a topic with these named parts."""

    def __init__(self, names: tuple[str, ...]):
        self.names = names
        self.asked: set[str] = set()
        """All places as they are written."""
        self.pointed: tuple[Table, str] | None = None
        """The first place that looks into the payload, if some does."""

    def get(self, table: Table, key: str) -> Get | None:
        """A place: a text, or a list of which the first that is there counts."""
        value = table.raw(key)
        return None if value is None else self.place(table, key, value)

    def need(self, table: Table, key: str = "from") -> Get:
        """The same where it must be there."""
        found = self.get(table, key)
        if found is None:
            raise table.wrong(f"{key!r} is missing; right would be a place")
        return found

    def place(self, table: Table, key: str, value: Any) -> Get:
        """What stands for a place, compiled."""
        if isinstance(value, list) and value and len(value) <= _MOST:
            gets = [self.place(table, key, one) for one in value]
            return lambda here: next((v for get in gets if (v := get(here)) is not None), None)
        if not isinstance(value, str):
            raise table.wrong('right would be a place such as "/power", or a list of some', key)
        if value[:1] in ("/", "$", "^") and self.pointed is None:
            self.pointed = table, key
        self.asked.add(value)
        try:
            return place(value, self.names)
        except BadValue as error:
            raise table.wrong(str(error), key) from error

    def when(self, table: Table) -> When:
        """Conditions: places and the values that they must have."""
        found = []
        for inner in table.tables("when"):
            for key in inner.values:
                wanted = inner.raw(key)
                listed = wanted if isinstance(wanted, list) else [wanted]
                found.append(
                    (self.place(inner, key, key), frozenset(key_of(one) for one in listed))
                )
        return tuple(found)

    def number(self, table: Table, key: str, kind: str) -> Numbers | None:
        """A number: a place, or a table with one of `_WAYS`, and how it is read."""
        return self._number(table, key, table.raw(key), kind) if table.has(key) else None

    def _number(self, table: Table, key: str, value: Any, kind: str) -> Numbers:
        if isinstance(value, str | list):
            return read_number(self.place(table, key, value), Reading(kind), key)
        if not isinstance(value, dict):
            raise table.wrong('right would be a place such as "/power" or a table', key)
        inner = Table(value, table.file, (*table.path, key))
        reading = Reading(
            kind,
            _unit(inner, kind),
            _finite(inner, "scale", 1.0),
            _finite(inner, "offset", 0.0),
            frozenset(key_of(v) for v in inner.take("absent", list, []) or ()),
            _signed(inner),
        )
        default = inner.take("default", float)
        ways = [way for way in _WAYS if inner.has(way)]
        if len(ways) != 1:
            raise inner.wrong(f"right would be one of {', '.join(_WAYS)}")
        found = self._together(inner, ways[0], reading, key)
        inner.finish()
        if default is None:
            return found
        return lambda here: default if (value := found(here)) is None else value

    def _together(self, table: Table, way: str, reading: Reading, where: str) -> Numbers:
        """A number of one place, or of several together; absent ones do not count."""
        listed = table.raw(way)
        if way == "from":
            return read_number(self.place(table, way, listed), reading, where)
        if not isinstance(listed, list) or not 1 <= len(listed) <= _MOST:
            raise table.wrong(f"right would be a list of 1 to {_MOST} places", way)
        # A product's parts are of other kinds: its unit is the whole's.
        of = Reading("count", absent=reading.absent) if way == "product" else reading
        parts = [
            self._number(table, way, one, of.kind)
            if isinstance(one, dict)
            else read_number(self.place(table, way, one), of, where)
            for one in listed
        ]
        combine = _TOGETHER[way]

        def together(here: Here) -> float | None:
            values = [v for part in parts if (v := part(here)) is not None]
            if not values or (way == "product" and len(values) < len(parts)):
                return None
            found = combine(values)
            return reading.number(found, where) if way == "product" else found

        return together


def read_number(get: Get, reading: Reading, where: str) -> Numbers:
    """A number of one place."""
    factor = reading.factor

    def read(here: Here) -> float | None:
        value = get(here)
        if factor is not None and type(value) in _PLAIN and -SENSIBLE <= value <= SENSIBLE:
            return round(float(value) * factor, 9)
        return reading.number(value, where)

    return read


def _unit(table: Table, kind: str) -> str | None:
    written = table.take("unit", str)
    if written is None:
        return None
    found = unit_named(kind, written)
    if found is None:
        known = ", ".join(UNITS[kind]) or "none"
        raise table.wrong(f"{written!r} is unknown; right would be one of {known}", "unit")
    return found


def _finite(table: Table, key: str, default: float) -> float:
    value = table.take(key, float, default)
    assert value is not None
    if not -1e12 <= value <= 1e12:
        raise table.wrong("right would be a number of at most 1e12", key)
    return value


def _signed(table: Table) -> int | None:
    bits = table.take("signed", int)
    if bits not in (None, 8, 16, 32):
        raise table.wrong("right would be 8, 16 or 32, a register's bits", "signed")
    return bits


def limited(name: str, get: Numbers) -> Numbers:
    """The number, refused where this measure cannot be so."""
    low, high = LIMITS.get(name, (-1e12, 1e12))

    def within(here: Here) -> float | None:
        value = get(here)
        if value is not None and not low <= value <= high:
            raise BadMessage(f"{name} is {value:g}; right would be {low:g} to {high:g}")
        return value

    return within


def known_values(table: Table, key: str, kind: type[Any]) -> dict[str, Any]:
    """A map of the file: every value of this kind, the keys as `key_of` makes them."""
    values = table.need(key, dict)
    for name, value in values.items():
        if type(value) is not kind:
            raise Table(values, table.file, (*table.path, key)).wrong(
                {str: "right would be a text", int: "right would be a whole number",
                 bool: "right would be true or false"}[kind], name
            )  # fmt: skip
    return {key_of(name): value for name, value in values.items()}


def looked_up(get: Get, known: Mapping[str, Any], where: str) -> Callable[[Here], Any]:
    """What a map says of a value; one that is not in it is refused."""

    def found(here: Here) -> Any:
        value = get(here)
        if value is None:
            return None
        if (meaning := known.get(key_of(value))) is None:
            raise BadMessage(
                f"{where}: {str(value)[:40]!r} is not in the map; known are {', '.join(known)}"
            )
        return meaning

    return found
