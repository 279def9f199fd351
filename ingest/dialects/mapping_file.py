"""Compiling a mapping file's tables; each mistake is told with its line and what would be right."""

import math
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from ingest.dialects.heard import LIMITS, finite
from ingest.dialects.rules import MOST_ERRORS, Numbers, Port, Rule, Said, Session, a_word
from ingest.dialects.toml_lines import Table
from ingest.dialects.topics import BadPattern, Pattern
from ingest.dialects.values import (
    UNITS,
    BadValue,
    Get,
    Here,
    Reading,
    key_of,
    moment,
    place,
    unit_named,
    zone_named,
)
from pilewatch.faultcodes import FAULTS, UNMAPPED
from pilewatch.model import Kind, ReportedError, Status
from pilewatch.wire import BadMessage

MEASURES = {
    "energy_wh": "energy",
    "power_w": "power",
    "voltage_v": "voltage",
    "current_a": "current",
    "temperature_c": "temperature",
    "soc": "share",
    "residual_current_ma": "leakage",
}
_NOTHING = frozenset({"0", "", "null", "none", "ok", "normal", "no", "false", "[]", "{}"})
_PHASES = {
    "started": Kind.SESSION_STARTED,
    "ended": Kind.SESSION_ENDED,
    "refused": Kind.SESSION_REFUSED,
}
_ONLINE = {"online": True, "connected": True, "true": True, "1": True, "on": True,
           "offline": False, "disconnected": False, "false": False, "0": False,
           "off": False}  # fmt: skip


def promises(top: Table) -> dict[str, str | int | None]:
    """What the file promises of each charger, as an `online` message would."""
    return {
        "heartbeatS": _seconds(top, "heartbeat_s"),
        "meterS": _seconds(top, "meter_s"),
        "vendor": _short(top, "vendor"),
        "model": _short(top, "model"),
    }


def _seconds(table: Table, key: str) -> int | None:
    value = table.take(key, int)
    if value is not None and not 1 <= value <= 86400:
        raise table.wrong("right would be 1 to 86400 seconds", key)
    return value


def _short(table: Table, key: str) -> str | None:
    value = table.take(key, str)
    if value is not None and not (0 < len(value) <= 200 and "\0" not in value):
        raise table.wrong("right would be 1 to 200 characters", key)
    return value


class Compiler:
    """Turns one `[[topic]]` table into a rule; every mistake is raised with its line."""

    def __init__(self, table: Table):
        self.table = table
        self.names: tuple[str, ...] = ()
        self.pointed = False
        """Whether some place looks into the payload."""

    def rule(self) -> Rule:
        table = self.table
        try:
            pattern = Pattern(table.need("topic", str))
        except BadPattern as error:
            raise table.wrong(str(error), "topic") from error
        self.names = (*pattern.names, "key") if table.has("each") else pattern.names
        form = table.take("payload", str)
        if form not in (None, "json", "text", "sparkplug-b"):
            raise table.wrong("right would be json, text or sparkplug-b", "payload")
        charger = self.get(table, "charger")
        if charger is None and "charger" not in pattern.names:
            raise table.wrong(
                "neither {charger} in the topic nor charger = a place in the payload", "topic"
            )
        found = Rule(
            pattern=pattern,
            format="",
            when=self.when(table),
            charger=charger,
            each=self.each(),
            at=self.at(),
            seq=self.number(table, "seq", "count"),
            port=self.port(),
            heartbeat=self.heartbeat(),
            online=self.online(),
            told=self.told,
            line=table.file.line(table.path),
        )
        table.finish()
        return found._replace(format=form or ("json" if self.pointed else "text"))

    # --- places and numbers

    def get(self, table: Table, key: str) -> Get | None:
        """A place: a text, or a list of which the first that is there counts."""
        value = table.raw(key)
        return None if value is None else self.place(table, key, value)

    def place(self, table: Table, key: str, value: Any) -> Get:
        if isinstance(value, list) and value and len(value) <= 16:
            gets = [self.place(table, key, one) for one in value]
            return lambda here: next((v for get in gets if (v := get(here)) is not None), None)
        if not isinstance(value, str):
            raise table.wrong('right would be a place such as "/power", or a list of some', key)
        if value[:1] in ("/", "$", "^"):
            self.pointed = True
        try:
            return place(value, self.names)
        except BadValue as error:
            raise table.wrong(str(error), key) from error

    def number(self, table: Table, key: str, kind: str) -> Numbers | None:
        """A number: a place, or a table with from, unit, scale, offset, absent, default."""
        if not table.has(key):
            return None
        value = table.raw(key)
        if isinstance(value, str | list):
            return _numbers([self.place(table, key, value)], "from", Reading(kind), None, key)
        if not isinstance(value, dict):
            raise table.wrong('right would be a place such as "/power" or a table', key)
        inner = Table(value, table.file, (*table.path, key))
        reading = Reading(
            kind,
            self.unit(inner, kind),
            _finite(inner, "scale", 1.0),
            _finite(inner, "offset", 0.0),
            frozenset(key_of(v) for v in inner.take("absent", list, []) or ()),
        )
        default = inner.take("default", float)
        ways = [way for way in _WAYS if inner.has(way)]
        if len(ways) != 1:
            raise inner.wrong(f"right would be one of {', '.join(_WAYS)}")
        listed = inner.raw(ways[0])
        if ways[0] == "from":
            gets = [self.place(inner, "from", listed)]
        elif not isinstance(listed, list) or not 1 <= len(listed) <= 16:
            raise inner.wrong("right would be a list of 1 to 16 places", ways[0])
        else:
            gets = [self.place(inner, ways[0], one) for one in listed]
        inner.finish()
        return _numbers(gets, ways[0], reading, default, key)

    def unit(self, table: Table, kind: str) -> str | None:
        written = table.take("unit", str)
        if written is None:
            return None
        found = unit_named(kind, written)
        if found is None:
            known = ", ".join(UNITS[kind]) or "none"
            raise table.wrong(f"{written!r} is unknown; right would be one of {known}", "unit")
        return found

    # --- the parts of a rule

    def when(self, table: Table) -> tuple[tuple[Get, frozenset[str]], ...]:
        found = []
        for inner in table.tables("when"):
            for key in inner.values:
                wanted = inner.raw(key)
                listed = wanted if isinstance(wanted, list) else [wanted]
                found.append(
                    (self.place(inner, key, key), frozenset(key_of(one) for one in listed))
                )
        return tuple(found)

    def each(self) -> tuple[Get, ...]:
        value = self.table.raw("each")
        if value is None:
            return ()
        listed = value if isinstance(value, list) else [value]
        if not 1 <= len(listed) <= 4:
            raise self.table.wrong("right would be 1 to 4 pointers, outermost first", "each")
        return tuple(self.place(self.table, "each", one) for one in listed)

    def at(self) -> Callable[[Here], datetime | None] | None:
        table = self.table
        value = table.raw("at")
        if value is None:
            return None
        inner = Table(value if isinstance(value, dict) else {"from": value}, table.file,
                      (*table.path, "at"))  # fmt: skip
        get = self.get(inner, "from")
        if get is None:
            raise inner.wrong("'from' is missing; right would be a place")
        form = inner.take("format", str, "auto") or "auto"
        if form not in ("auto", "iso", "s", "ms", "us"):
            raise inner.wrong("right would be auto, iso, s, ms or us", "format")
        written = inner.take("zone", str)
        try:
            zone = None if written is None else zone_named(written)
        except BadValue as error:
            raise inner.wrong(str(error), "zone") from error
        inner.finish()
        return lambda here: moment(get(here), form, zone, "at")

    def port(self) -> Port:
        table = self.table
        connector, fixed = self.connector()
        faults = tuple(self.fault(inner) for inner in table.tables("faults"))
        statuses = tuple(self.status(inner) for inner in table.tables("status"))
        measures: tuple[tuple[str, Numbers], ...] = ()
        session_id = None
        for inner in table.tables("meter"):
            session_id = self.get(inner, "session_id")
            found = ((name, self.number(inner, name, kind)) for name, kind in MEASURES.items())
            measures = tuple((n, _limited(n, get)) for n, get in found if get is not None)
            inner.finish()
        session = None
        for inner in table.tables("session"):
            session = self.session(inner)
        source = table.take("source", str) or table.need("topic", str)
        return Port(connector, fixed, statuses, faults, source, measures, session, session_id)

    def connector(self) -> tuple[Numbers | None, int | None]:
        table = self.table
        value = table.raw("connector")
        if value is None:
            if "connector" in self.names:
                get = self.place(table, "connector", "{connector}")
                return _numbers([get], "from", Reading("count"), None, "connector"), None
            if table.has("each"):
                return (lambda here: here.position + 1.0), None
            return None, 1
        if type(value) is int:
            if not 0 <= value <= 999:
                raise table.wrong("right would be 1 to 999, or 0 for each connector", "connector")
            return None, value
        if isinstance(value, dict) and "map" in value:
            inner = Table(value, table.file, (*table.path, "connector"))
            got = self.get(inner, "from")
            if got is None:
                raise inner.wrong("'from' is missing; right would be a place")
            numbers = _looked_up(got, _map(inner, "map", int), "connector")
            inner.finish()
            return numbers, None
        return self.number(table, "connector", "count"), None

    def status(self, table: Table) -> Callable[[Here], Said | None]:
        when = self.when(table)
        get = self.get(table, "from")
        default = table.take("default", str)
        if default is not None:
            _status_named(table, "default", default)
        only_from = {
            _status_named(inner, key, key): frozenset(
                _status_named(inner, key, str(one)) for one in inner.take(key, list, []) or ()
            )
            for inner in table.tables("only_from")
            for key in inner.values
        }
        meaning = self.meaning(table, get)
        table.finish()

        def said(here: Here) -> Said | None:
            if not all(key_of(got(here)) in wanted for got, wanted in when):
                return None
            found = meaning(here) or (None if default is None else Status(default))
            return None if found is None else Said(found, only_from.get(found))

        return said

    def meaning(self, table: Table, get: Get | None) -> Callable[[Here], Status | None]:
        """What a status's value means: by map, bits or steps, or it is one of our words."""
        ways = [way for way in ("map", "bits", "steps") if table.has(way)]
        lenient = table.has("default")
        if get is None:
            if ways or not lenient:
                raise table.wrong("'from' is missing; right would be a place")
            return lambda _: None
        if len(ways) > 1:
            raise table.wrong("right would be one of map, bits and steps", ways[1])
        if not ways:
            words = {status.value: status for status in Status}
            return _of_map(get, words, lenient=lenient)
        if ways == ["steps"]:
            return _of_steps(get, _steps(table))
        known = {
            key: _status_named(table, ways[0], word)
            for key, word in _map(table, ways[0], str).items()
        }
        if ways == ["map"]:
            return _of_map(get, known, lenient=lenient)
        bits = [(_bit(table, key), status) for key, status in known.items()]

        def first(here: Here) -> Status | None:
            value = _whole(get(here), "status")
            if value is None:
                return None
            return next((status for bit, status in bits if value >> bit & 1), None)

        return first

    def fault(self, table: Table) -> Callable[[Here], list[ReportedError] | None]:
        when = self.when(table)
        get = self.get(table, "from")
        ways = [way for way in ("bits", "map", "flags") if table.has(way)]
        if len(ways) != 1:
            raise table.wrong("right would be one of bits, map and flags")
        label = table.take("label", str)
        if ways == ["flags"]:
            read = self.flags(table)
        elif get is None:
            raise table.wrong("'from' is missing; right would be a place")
        else:
            codes = {
                key: _fault_named(table, ways[0], code)
                for key, code in _map(table, ways[0], str).items()
            }
            ignored = frozenset(key_of(v) for v in table.take("ignore", list, []) or ())
            read = (
                _of_bits(get, {_bit(table, k): c for k, c in codes.items()}, ignored, label)
                if ways == ["bits"]
                else self.codes(table, get, codes, ignored)
            )
        table.finish()

        def told(here: Here) -> list[ReportedError] | None:
            if not all(key_of(got(here)) in wanted for got, wanted in when):
                return None
            return read(here)

        return told

    def flags(self, table: Table) -> Callable[[Here], list[ReportedError] | None]:
        """Each fault under a place of its own, active where it is true."""
        listed: list[tuple[str, Get, str]] = []
        for inner in table.tables("flags"):
            for key in inner.values:
                code = _fault_named(inner, key, inner.take(key, str) or "")
                listed.append((key, self.place(inner, key, key), code))

        def read(here: Here) -> list[ReportedError] | None:
            values = [(key, get(here), code) for key, get, code in listed]
            if all(value is None for _, value, _ in values):
                return None
            return [
                ReportedError(code, key[:200])
                for key, value, code in values
                if key_of(value) not in _NOTHING
            ]

        return read

    def codes(
        self, table: Table, get: Get, known: Mapping[str, str], ignored: frozenset[str]
    ) -> Callable[[Here], list[ReportedError] | None]:
        """One code, or a list of them, of objects, or a text that is to be split."""
        split = table.take("split", str)
        of = self.get(table, "code")
        info = self.get(table, "info")
        none = frozenset(key_of(v) for v in table.take("none", list, []) or ()) | _NOTHING
        silent = none | ignored

        def read(here: Here) -> list[ReportedError] | None:
            value = get(here)
            if value is None:
                return None
            if split and isinstance(value, str):
                value = value.split(split)
            found = []
            for one in value if isinstance(value, list) else [value]:
                inner = here._replace(element=one, parent=here.element)
                code = one if of is None else of(inner)
                if isinstance(code, dict | list):
                    raise BadMessage("faults: a code is a list or an object; code may point in it")
                if key_of(code) in silent:
                    continue
                said = a_word(None if info is None else info(inner), "faults: info")
                found.append(
                    ReportedError(known.get(key_of(code), UNMAPPED), a_word(code, "faults"), said)
                )
                if len(found) >= MOST_ERRORS:
                    break
            return found

        return read

    def session(self, table: Table) -> Callable[[Here], Session | None]:
        get = self.get(table, "phase")
        if get is None:
            raise table.wrong("'phase' is missing; right would be a place")
        known = {phase: phase for phase in _PHASES}
        if table.has("map"):
            known = _map(table, "map", str)
            for phase in known.values():
                if phase not in _PHASES:
                    raise table.wrong(f"{phase!r}; right would be {', '.join(_PHASES)}", "map")
        identity, reason = self.get(table, "id"), self.get(table, "reason")
        energy = self.number(table, "energy_wh", "energy")
        table.finish()

        def read(here: Here) -> Session | None:
            phase = known.get(key_of(get(here)))
            if phase is None:
                return None
            watt_hours = None if energy is None else energy(here)
            return Session(
                _PHASES[phase],
                None if identity is None else a_word(identity(here), "session: id"),
                None if watt_hours is None else finite(watt_hours, "session: energy_wh"),
                None if reason is None else a_word(reason(here), "session: reason"),
            )

        return read

    def heartbeat(self) -> tuple[tuple[tuple[str, Numbers], ...], bool] | None:
        for table in self.table.tables("heartbeat"):
            kinds = {"uptime_s": ("uptimeS", "time"), "rssi_dbm": ("rssiDbm", "signal")}
            found = [
                (told, _limited(name, get))
                for name, (told, kind) in kinds.items()
                if (get := self.number(table, name, kind)) is not None
            ]
            confirms = table.take("confirms_ports", bool, False) or False
            table.finish()
            return tuple(found), confirms
        return None

    told: tuple[tuple[str, Get], ...] = ()

    def online(self) -> Callable[[Here], bool | None] | None:
        for table in self.table.tables("online"):
            get = self.get(table, "from")
            names = {"firmware": "firmware", "vendor": "vendor", "model": "model",
                     "boot_id": "bootId"}  # fmt: skip
            self.told = tuple(
                (told, place) for name, told in names.items() if (place := self.get(table, name))
            )
            known = _map(table, "map", bool) if table.has("map") else _ONLINE
            table.finish()
            return None if get is None else _looked_up(get, known, "online")
        return None


_TOGETHER: dict[str, Callable[[list[float]], float]] = {
    "sum": math.fsum,
    "max": max,
    "min": min,
    "mean": lambda values: math.fsum(values) / len(values),
    "product": math.prod,
}
_WAYS = ("from", *_TOGETHER)


def _numbers(
    gets: list[Get], way: str, reading: Reading, default: float | None, where: str
) -> Numbers:
    """A number of one place, or of several together; absent ones do not count."""
    if way == "from":
        get = gets[0]

        def one(here: Here) -> float | None:
            value = reading.number(get(here), where)
            return default if value is None else value

        return one
    # A product's parts are of other kinds: its unit is the whole's.
    part = Reading("count", absent=reading.absent) if way == "product" else reading

    def together(here: Here) -> float | None:
        values = [v for get in gets if (v := part.number(get(here), where)) is not None]
        if not values or (way == "product" and len(values) < len(gets)):
            return default
        found = _TOGETHER[way](values)
        return reading.number(found, where) if way == "product" else found

    return together


def _limited(name: str, get: Numbers) -> Numbers:
    low, high = LIMITS.get(name, (-1e12, 1e12))

    def within(here: Here) -> float | None:
        value = get(here)
        if value is not None and not low <= value <= high:
            raise BadMessage(f"{name} is {value:g}; right would be {low:g} to {high:g}")
        return value

    return within


def _finite(table: Table, key: str, default: float) -> float:
    value = table.take(key, float, default)
    assert value is not None
    if not -1e12 <= value <= 1e12:
        raise table.wrong("right would be a number of at most 1e12", key)
    return value


def _map(table: Table, key: str, kind: type[Any]) -> dict[str, Any]:
    values = table.need(key, dict)
    for name, value in values.items():
        if type(value) is not kind:
            raise Table(values, table.file, (*table.path, key)).wrong(
                {str: "right would be a text", int: "right would be a whole number",
                 bool: "right would be true or false"}[kind], name
            )  # fmt: skip
    return {key_of(name): value for name, value in values.items()}


def _looked_up(get: Get, known: Mapping[str, Any], where: str) -> Callable[[Here], Any]:
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


def _of_map(
    get: Get, known: Mapping[str, Status], *, lenient: bool
) -> Callable[[Here], Status | None]:
    def found(here: Here) -> Status | None:
        value = get(here)
        if value is None:
            return None
        status = known.get(key_of(value))
        if status is None and not lenient:
            raise BadMessage(
                f"status: {str(value)[:40]!r} is not in the map; known are {', '.join(known)}"
            )
        return status

    return found


def _of_steps(get: Get, steps: list[tuple[float, Status]]) -> Callable[[Here], Status | None]:
    reading = Reading("count")

    def found(here: Here) -> Status | None:
        value = reading.number(get(here), "status")
        if value is None:
            return None
        return next((status for limit, status in steps if value >= limit), None)

    return found


def _of_bits(
    get: Get, known: Mapping[int, str], ignored: frozenset[str], label: str | None
) -> Callable[[Here], list[ReportedError] | None]:
    named = f"{label} bit" if label else "bit"

    def read(here: Here) -> list[ReportedError] | None:
        value = _whole(get(here), "faults")
        if value is None:
            return None
        return [
            ReportedError(known.get(bit, UNMAPPED), f"{named} {bit}")
            for bit in range(value.bit_length())
            if value >> bit & 1 and str(bit) not in ignored
        ]

    return read


def _whole(value: Any, where: str) -> int | None:
    """A whole number of at most 64 bits, also as text: 12, 0x0C, 0b1100."""
    if value is None or value == "":
        return None
    found = value
    if isinstance(value, str):
        text = value[:80].strip()
        try:
            found = int(text, 10) if text.isdigit() else int(text, 0)
        except ValueError:
            found = None
    elif isinstance(value, float) and value.is_integer():
        found = int(value)
    if isinstance(found, bool) or not isinstance(found, int) or not 0 <= found < 2**64:
        raise BadMessage(f"{where}: {str(value)[:40]!r}; right would be a whole number from 0")
    return found


def _bit(table: Table, key: str) -> int:
    if not (key.isascii() and key.isdigit() and int(key[:4]) < 64):
        raise table.wrong(f"{key!r} is no bit; right would be 0 to 63", "bits")
    return int(key)


def _status_named(table: Table, key: str, word: str) -> Status:
    try:
        return Status(word)
    except ValueError as error:
        raise table.wrong(f"{word!r}; right would be one of {', '.join(Status)}", key) from error


def _fault_named(table: Table, key: str, code: str) -> str:
    if code not in FAULTS:
        raise table.wrong(
            f"{code!r} is no fault; right would be a code of docs/faults.md, as over-temperature",
            key,
        )
    return code


def _steps(table: Table) -> list[tuple[float, Status]]:
    """`[[5, "charging"], [0, "available"]]`: from so much on."""
    found = []
    for step in table.need("steps", list):
        if not (
            isinstance(step, list)
            and len(step) == 2
            and type(step[0]) in (int, float)
            and isinstance(step[1], str)
        ):
            raise table.wrong('right would be [[5, "charging"], [0, "available"]]', "steps")
        found.append((float(step[0]), _status_named(table, "steps", step[1])))
    return sorted(found, key=lambda step: -step[0])
