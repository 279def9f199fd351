"""What a mapping file can say of one value: where it is, its unit, and what it means. Pure.

A place is a JSON pointer (RFC 6901) from the element at hand, `$/…` from the whole payload, `^/…`
from the element's parent, `""` the element itself, `{name}` a part of the topic, `@` the element's
place in the list (from 0; also as a pointer's token). Everything is compiled once; a look-up takes
as many steps as the pointer has tokens.
"""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from pilewatch.wire import BadMessage

MAX_TOKENS = 16
_NUMBER = re.compile(
    r"([-+]?)([0-9]{1,3}(?:,[0-9]{3})+\.[0-9]{1,20}|[0-9]{1,3}(?:[.' ][0-9]{3})+,[0-9]{1,20}"
    r"|[0-9]{1,3}(?:(?:,[0-9]{3}){2,6}|(?:\.[0-9]{3}){2,6})"
    r"|[0-9]{0,20}[.,]?[0-9]{1,20}(?:[eE][-+]?[0-9]{1,3})?) *([^0-9 ].{0,15})?"
)
"""Sign, digits, unit. A lone comma or point is the decimal one: 3,6 and 3.6."""
_OFFSET = re.compile(r"([+-])([0-9]{2}):?([0-9]{2})")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SENSIBLE = 1e15
"""No number of a charger is larger; below it each whole one is exact as a float."""
UNITS: dict[str, dict[str, float]] = {
    "power": {"W": 1, "kW": 1e3, "MW": 1e6, "mW": 1e-3, "VA": 1, "kVA": 1e3},
    "energy": {"Wh": 1, "kWh": 1e3, "度": 1e3, "MWh": 1e6, "mWh": 1e-3, "Wmin": 1 / 60,
               "Ws": 1 / 3600, "J": 1 / 3600, "kJ": 1 / 3.6, "MJ": 1e3 / 3.6},
    "voltage": {"V": 1, "mV": 1e-3, "kV": 1e3},
    "current": {"A": 1, "mA": 1e-3},
    "leakage": {"mA": 1, "A": 1e3, "uA": 1e-3, "µA": 1e-3},
    "temperature": {"°C": 1, "C": 1, "degC": 1, "℃": 1, "°F": 5 / 9, "F": 5 / 9, "K": 1},
    "share": {"%": 1},
    "time": {"s": 1, "ms": 1e-3, "min": 60, "h": 3600, "d": 86400},
    "signal": {"dBm": 1},
    "count": {},
}  # fmt: skip
"""Each kind's units and what one is in ours: W, Wh, V, A, mA, °C, %, s, dBm."""
_ZERO = {"°F": -32 * 5 / 9, "F": -32 * 5 / 9, "K": -273.15}


class BadValue(ValueError):
    """No description of a value; `str()` says why and what would be right."""


class Here(NamedTuple):
    """Where a value is looked for."""

    root: Any
    element: Any
    parent: Any
    position: int
    names: Mapping[str, str]


Get = Callable[[Here], Any]
"""Gives the value, or None where it is absent."""


def key_of(value: Any) -> str:
    """A value as the key of a map: `1`, `1.0` and "1" are the same, so are "On" and "on"."""
    if type(value) is int and -SENSIBLE <= value <= SENSIBLE:  # the most frequent
        return str(value)
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer() and abs(value) < SENSIBLE:
        return str(int(value))
    return str(value)[:200].strip().casefold()


def place(text: str, names: tuple[str, ...]) -> Get:
    """Where a value is. Raises `BadValue`."""
    if text.startswith("{") and text.endswith("}"):
        name = text[1:-1]
        if name not in names:
            known = ", ".join(f"{{{n}}}" for n in names) or "none"
            raise BadValue(f"{text} is no part of the topic; its parts are {known}")
        return lambda here: here.names.get(name)
    if text == "@":
        return lambda here: here.position
    start, pointer = (text[0], text[1:]) if text[:1] in ("$", "^") else ("", text)
    if pointer and not pointer.startswith("/"):
        raise BadValue(
            f'{text!r} is no place; right would be a pointer as "/ports/0/power", "" for the '
            'whole, "$/…" from the top, "^/…" from the parent, "{name}" or "@"'
        )
    tokens = [t.replace("~1", "/").replace("~0", "~") for t in pointer.split("/")[1:]]
    if len(tokens) > MAX_TOKENS:
        raise BadValue(f"{text!r} has more than {MAX_TOKENS} steps")
    steps = tuple(
        (t, int(t) if t.isascii() and t.isdigit() and len(t) < 7 else None) for t in tokens
    )

    def get(here: Here) -> Any:
        value = here.root if start == "$" else here.parent if start == "^" else here.element
        for step, number in steps:
            if isinstance(value, dict):
                value = value.get(str(here.position) if step == "@" else step)
            elif isinstance(value, list):
                at = here.position if step == "@" else number
                value = value[at] if at is not None and at < len(value) else None
            else:
                return None
        return value

    if start or len(steps) != 1 or steps[0][0] == "@":
        return get
    name = steps[0][0]

    def member(here: Here) -> Any:  # the most frequent place
        element = here.element
        return element.get(name) if type(element) is dict else get(here)

    return member


class Reading(NamedTuple):
    """How a number is read: `kind` names its units."""

    kind: str
    unit: str | None = None
    scale: float = 1.0
    offset: float = 0.0
    absent: frozenset[str] = frozenset()
    signed: int | None = None
    """Bits of a register that may be negative: 65535 of 16 is -1."""

    @property
    def factor(self) -> float | None:
        """What a plain number is multiplied with, where that is all that reading it means."""
        if self.absent or self.offset or self.signed or self.unit in _ZERO:
            return None
        return self.scale * (1.0 if self.unit is None else UNITS[self.kind][self.unit])

    def number(self, value: Any, where: str) -> float | None:
        """In our unit; None where it is absent. Raises `BadMessage`."""
        if value is None or (self.absent and key_of(value) in self.absent):
            return None
        unit = self.unit
        if isinstance(value, str):
            found = _NUMBER.fullmatch(value[:64].strip())
            if found is None:
                if not value.strip():
                    return None
                raise BadMessage(
                    f"{where}: {value[:40]!r} is no number; right would be one such as 3.6 or "
                    '"1,234.5 kWh"'
                )
            number = _plain(found)
            unit = self._unit_of(found[3].strip(), where) if found[3] else unit
        elif isinstance(value, bool) or not isinstance(value, int | float):
            raise BadMessage(f"{where}: {str(value)[:40]!r} is no number")
        else:
            if not -SENSIBLE <= value <= SENSIBLE:
                raise BadMessage(f"{where}: {str(value)[:40]} is no sensible number")
            number = float(value)
        if self.signed is not None and 2 ** (self.signed - 1) <= number < 2**self.signed:
            number -= 2**self.signed
        number = number * self.scale + self.offset
        if unit is not None:
            number = number * UNITS[self.kind][unit] + _ZERO.get(unit, 0.0)
        return round(number, 9)  # 2301 tenths are 230.1

    def _unit_of(self, written: str, where: str) -> str:
        found = unit_named(self.kind, written)
        if found is None:
            known = ", ".join(UNITS[self.kind]) or "none"
            raise BadMessage(f"{where}: unit {written!r} is unknown here; known are {known}")
        return found


def _plain(found: re.Match[str]) -> float:
    """The number of a match: of commas and points, the last counts if it stands alone."""
    digits = found[2].replace("'", "").replace(" ", "")
    mark = "," if digits.rfind(",") > digits.rfind(".") else "."
    whole, _, rest = digits.rpartition(mark) if digits.count(mark) == 1 else (digits, "", "")
    grouped = whole.replace(",", "").replace(".", "")
    return float(f"{found[1]}{grouped}.{rest}" if rest else found[1] + grouped)


def unit_named(kind: str, written: str) -> str | None:
    """A unit of this kind, as written or in other case where that is not ambiguous."""
    known = UNITS[kind]
    if written in known:
        return written
    alike = [unit for unit in known if unit.casefold() == written.casefold()]
    return alike[0] if len(alike) == 1 else None


def zone_named(text: str) -> timezone | ZoneInfo:
    """An offset such as +08:00 or a name such as Asia/Shanghai. Raises `BadValue`."""
    offset = _OFFSET.fullmatch(text)
    if offset is not None and int(offset[2]) < 24 and int(offset[3]) < 60:
        minutes = int(offset[2]) * 60 + int(offset[3])
        return timezone(timedelta(minutes=-minutes if offset[1] == "-" else minutes))
    try:
        return ZoneInfo(text)
    except (ValueError, OSError, KeyError) as error:
        raise BadValue(f"zone {text!r}; right would be +08:00 or Asia/Shanghai") from error


_SECONDS = {"s": 1.0, "ms": 1e-3, "us": 1e-6}


def moment(value: Any, form: str, zone: timezone | ZoneInfo | None, where: str) -> datetime | None:
    """A time: ISO 8601 or a count since 1970, whose unit `auto` sees by its size. None where it
    is absent. Raises `BadMessage`."""
    if value is None or value == "":
        return None
    count: float | None = None
    if isinstance(value, int | float) and not isinstance(value, bool):
        count = float(value) if abs(value) < 1e18 else None
    elif isinstance(value, str) and (found := _NUMBER.fullmatch(value[:64].strip())):
        count = _plain(found) if found[3] is None else None
    try:
        if count is not None and form != "iso":
            if form == "auto":
                form = "s" if abs(count) < 1e11 else "ms" if abs(count) < 1e14 else "us"
            return _EPOCH + timedelta(seconds=count * _SECONDS[form])
        if isinstance(value, str) and form in ("auto", "iso"):
            return _from_text(value, zone, where)
    except BadMessage:
        raise
    except (ValueError, OverflowError):
        pass
    right = "ISO 8601, or a count since 1970" if form == "auto" else form
    raise BadMessage(f"{where}: {str(value)[:40]!r} is no time; right would be {right}")


def _from_text(value: str, zone: timezone | ZoneInfo | None, where: str) -> datetime:
    found = datetime.fromisoformat(value[:64].strip())
    if found.tzinfo is None:
        if zone is None:
            raise BadMessage(
                f"{where}: {value[:40]!r} tells no offset; zone in the mapping file may tell it"
            )
        found = found.replace(tzinfo=zone)
    return found.astimezone(UTC)
