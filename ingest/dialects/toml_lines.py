"""A TOML file as tables that know their line, so that a mistake can be pointed at. Pure."""

import re
import tomllib
from collections.abc import Iterator
from typing import Any, TypeVar

MAX_BYTES = 256 * 1024
_T = TypeVar("_T")
Path = tuple[str | int, ...]
_HEAD = re.compile(r"\s*(\[\[?)([^\[\]#]{1,200})\]\]?\s*(?:#.*)?")
_KEY = re.compile(r"""\s*((?:[\w-]+|"[^"]{0,200}"|'[^']{0,200}')(?:\.[\w-]+){0,8})\s*=""")
_KINDS = {str: "a text", int: "a whole number", float: "a number", bool: "true or false",
          list: "a list", dict: "a table"}  # fmt: skip


class BadMapping(ValueError):
    """The file cannot be used; `str()` gives file, line, and what would be right."""


class Table:
    """One table of the file. `take` its keys, then `finish`: a key that nobody took is wrong."""

    def __init__(self, values: dict[str, Any], file: "File", path: Path):
        self.values = values
        self.file = file
        self.path = path
        self._known: list[str] = []

    def wrong(self, text: str, key: str | None = None) -> BadMapping:
        """The error to raise, at the key's line."""
        path = self.path if key is None else (*self.path, key)
        named = "".join(f"{key}: " if key else "")
        return BadMapping(f"{self.file.name}:{self.file.line(path)}: {named}{text}")

    def take(self, key: str, kind: type[_T], default: _T | None = None) -> _T | None:
        """The value of a key, checked; a number may be whole. Raises `BadMapping`."""
        self._known.append(key)
        value = self.values.get(key)
        if value is None:
            return default
        if kind is float and type(value) is int:
            value = float(value)
        if type(value) is not kind:
            raise self.wrong(f"right would be {_KINDS[kind]}", key)
        return value

    def need(self, key: str, kind: type[_T]) -> _T:
        """The same where it must be there."""
        value = self.take(key, kind)
        if value is None:
            raise self.wrong(f"{key!r} is missing; right would be {_KINDS[kind]}")
        return value

    def has(self, key: str) -> bool:
        """Whether it is given."""
        self._known.append(key)
        return key in self.values

    def raw(self, key: str) -> Any:
        """The value of a key, unchecked."""
        self._known.append(key)
        return self.values.get(key)

    def tables(self, key: str) -> Iterator["Table"]:
        """The tables of a key: one, or a list of them."""
        value = self.raw(key)
        for place, one in enumerate(value if isinstance(value, list) else [value]):
            if value is None:
                return
            if not isinstance(one, dict):
                raise self.wrong("right would be a table", key)
            path = (*self.path, key, place) if isinstance(value, list) else (*self.path, key)
            yield Table(one, self.file, path)

    def finish(self) -> None:
        """Raises `BadMapping` for a key that is not known."""
        for key in self.values:
            if key not in self._known:
                known = ", ".join(dict.fromkeys(self._known))
                raise self.wrong(f"unknown; known here are {known}", key)


class File:
    """The lines of one file."""

    def __init__(self, name: str, text: str):
        self.name = name
        self._lines = dict(_places(text))

    def line(self, path: Path) -> int:
        """Where this path begins, or the next above it that is written."""
        while path and path not in self._lines:
            path = path[:-1]
        return self._lines.get(path, 1)


def read_toml(name: str, data: bytes) -> Table:
    """The file's top table. Raises `BadMapping`."""
    if len(data) > MAX_BYTES:
        raise BadMapping(f"{name}: {len(data)} bytes; at most {MAX_BYTES} are allowed")
    try:
        text = data.decode()
        values = tomllib.loads(text)
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise BadMapping(f"{name}:{line}: not UTF-8") from error
    except tomllib.TOMLDecodeError as error:
        found = re.search(r"at line ([0-9]+)", str(error))
        line = int(found[1]) if found else text.count("\n") + 1
        raise BadMapping(f"{name}:{line}: not TOML: {error}") from error
    except RecursionError as error:
        raise BadMapping(f"{name}:1: nested too deeply") from error
    except ValueError as error:  # more digits than Python reads
        raise BadMapping(f"{name}:1: not TOML: {error}") from error
    file = File(name, text)
    for path in _too_large(values, ()):
        right = "right would be a whole number of at most 64 bits"
        raise BadMapping(f"{name}:{file.line(path)}: {path[-1]}: {right}")
    return Table(values, file, ())


def _too_large(value: Any, path: Path) -> Iterator[Path]:
    """Where whole numbers are that TOML does not have: it has those of 64 bits."""
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        yield path
    inner = value.items() if isinstance(value, dict) else ()
    for key, one in enumerate(value) if isinstance(value, list) else inner:
        yield from _too_large(one, (*path, key))


def _places(text: str) -> Iterator[tuple[Path, int]]:
    """Each table's and key's path with its line; good enough to point at."""
    here: Path = ()
    counts: dict[Path, int] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if (head := _HEAD.fullmatch(line[:1000])) is not None:
            here = _path(head[2], counts)
            if head[1] == "[[":
                counts[here] = counts.get(here, -1) + 1
                here = (*here, counts[here])
            yield here, number
        elif (key := _KEY.match(line[:1000])) is not None:
            path = here
            for name in key[1].split("."):
                path = (*path, name.strip("\"'"))
            yield path, number


def _path(written: str, counts: dict[Path, int]) -> Path:
    """A header's path: a name that stands for a list means its latest table."""
    path: Path = ()
    names = written.split(".")
    for place, name in enumerate(names):
        path = (*path, name.strip().strip("\"'"))
        if place < len(names) - 1 and path in counts:
            path = (*path, counts[path])
    return path
