"""What statuses, faults and sessions of a mapping file mean, compiled; a mistake has its line."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from ingest.dialects.heard import finite
from ingest.dialects.mapping_places import Places, known_values
from ingest.dialects.rules import MOST_ERRORS, Said, Session, a_word, holds
from ingest.dialects.toml_lines import Table
from ingest.dialects.values import Get, Here, Reading, key_of
from pilewatch.faultcodes import FAULTS, UNMAPPED
from pilewatch.model import Kind, ReportedError, Status
from pilewatch.wire import BadMessage

_T = TypeVar("_T")
_NOTHING = frozenset({"0", "", "null", "none", "ok", "normal", "no", "false", "[]", "{}"})
_PHASES = {
    "started": Kind.SESSION_STARTED,
    "ended": Kind.SESSION_ENDED,
    "refused": Kind.SESSION_REFUSED,
}


def first(listed: Iterable[Callable[[Here], _T | None]]) -> Callable[[Here], _T | None] | None:
    """The first of them that says something."""
    ways = tuple(listed)
    if len(ways) <= 1:
        return ways[0] if ways else None
    return lambda here: next((said for way in ways if (said := way(here)) is not None), None)


def status(places: Places, table: Table) -> Callable[[Here], Said | None]:
    when = places.when(table)
    get = places.get(table, "from")
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
    meaning = _meaning(table, get)
    table.finish()
    sayings = {known: Said(known, only_from.get(known)) for known in Status}
    otherwise = None if default is None else sayings[Status(default)]

    def said(here: Here) -> Said | None:
        if when and not holds(when, here):
            return None
        found = meaning(here)
        return otherwise if found is None else sayings[found]

    return said


def _meaning(table: Table, get: Get | None) -> Callable[[Here], Status | None]:
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
        for key, word in known_values(table, ways[0], str).items()
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


def fault(places: Places, table: Table) -> Callable[[Here], list[ReportedError] | None]:
    when = places.when(table)
    get = places.get(table, "from")
    ways = [way for way in ("bits", "map", "flags") if table.has(way)]
    if len(ways) != 1:
        raise table.wrong("right would be one of bits, map and flags")
    label = table.take("label", str)
    if ways == ["flags"]:
        read = _flags(places, table)
    elif get is None:
        raise table.wrong("'from' is missing; right would be a place")
    else:
        codes = {
            key: _fault_named(table, ways[0], code)
            for key, code in known_values(table, ways[0], str).items()
        }
        ignored = frozenset(key_of(v) for v in table.take("ignore", list, []) or ())
        read = (
            _of_bits(get, {_bit(table, k): c for k, c in codes.items()}, ignored, label)
            if ways == ["bits"]
            else _codes(places, table, get, codes, ignored)
        )
    table.finish()

    def told(here: Here) -> list[ReportedError] | None:
        if when and not holds(when, here):
            return None
        return read(here)

    return told


def _flags(places: Places, table: Table) -> Callable[[Here], list[ReportedError] | None]:
    """Each fault under a place of its own, active where it is true."""
    listed: list[tuple[str, Get, str]] = []
    for inner in table.tables("flags"):
        for key in inner.values:
            code = _fault_named(inner, key, inner.take(key, str) or "")
            listed.append((key, places.place(inner, key, key), code))

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


def _codes(
    places: Places, table: Table, get: Get, known: Mapping[str, str], ignored: frozenset[str]
) -> Callable[[Here], list[ReportedError] | None]:
    """One code, or a list of them, of objects, or a text that is to be split."""
    split = table.take("split", str)
    of = places.get(table, "code")
    info = places.get(table, "info")
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


def session(places: Places, table: Table) -> Callable[[Here], Session | None]:
    get = places.need(table, "phase")
    known = {phase: phase for phase in _PHASES}
    if table.has("map"):
        known = known_values(table, "map", str)
        for phase in known.values():
            if phase not in _PHASES:
                raise table.wrong(f"{phase!r}; right would be {', '.join(_PHASES)}", "map")
    identity, reason = places.get(table, "id"), places.get(table, "reason")
    energy = places.number(table, "energy_wh", "energy")
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
        if not value:
            return value if value is None else []
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
