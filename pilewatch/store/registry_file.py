"""The registry file: areas, companies, grids, sites, gateways, chargers from YAML, CSV or XLSX.

Everything is checked before anything is written; every problem names file and line, so that
someone who typed the list by hand finds each of them at once.
"""

import contextlib
import csv
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

import msgspec
import yaml
from msgspec import Meta, Struct

from pilewatch.openinghours import read_opening_hours
from pilewatch.plugs import PlugType, PowerType
from pilewatch.store.sheet import BadSheet, read_cells

MAX_BYTES = 50_000_000
"""A longer file is refused: it is no list of piles."""

Code = Annotated[str, Meta(pattern=r"^[A-Za-z0-9._-]{1,64}$")]
Name = Annotated[str, Meta(min_length=1, max_length=200)]
Text = Annotated[str, Meta(max_length=500)]
Watts = Annotated[float, Meta(gt=0, le=10_000_000)]
Volts = Annotated[float, Meta(gt=0, le=10_000)]
Amperes = Annotated[float, Meta(gt=0, le=10_000)]


class BadRegistry(ValueError):
    """The file cannot be used. `problems` are lines of `FILE:LINE: what is wrong`."""

    def __init__(self, problems: list[str]):
        super().__init__("\n".join(problems))
        self.problems = problems


class _Row(Struct, forbid_unknown_fields=True, kw_only=True):
    code: Code


class Area(_Row):
    """A community (社区)."""

    name: Name
    timezone: Name = "Asia/Shanghai"


class Company(_Row):
    """An operating, repair, property or power company."""

    name: Name
    phone: Text | None = None


class Grid(_Row):
    """A grid (网格) of an area."""

    area: Code
    name: Name


class Site(_Row):
    """A charging place."""

    grid: Code
    name: Name
    company: Code | None = None
    address: Text | None = None
    latitude: Annotated[float, Meta(ge=-90, le=90)] | None = None
    longitude: Annotated[float, Meta(ge=-180, le=180)] | None = None
    repair_phone: Text | None = None
    city: Name | None = None
    postal_code: Text | None = None
    opening_hours: Text | None = None
    """None: those that the database has stay; else these from today on."""


class Gateway(_Row):
    """A modem or concentrator that several chargers of a site share. `device` as a charger's."""

    site: Code
    device: Code | None = None


Number = Annotated[int, Meta(ge=1, le=999)]


class Plug(Struct, forbid_unknown_fields=True, kw_only=True):
    """One connector: its number on the pile; `plug` is a ConnectorType of OCPI 2.2.1. What is
    absent is as on the whole charger, and else as usual."""

    number: Number
    max_power_w: Watts | None = None
    plug: PlugType | None = None
    power_type: PowerType | None = None
    max_voltage_v: Volts | None = None
    max_current_a: Amperes | None = None


class Charger(_Row):
    """One pile or cabinet; `code` is the id it publishes under; `connectors` count or list.

    `device` is what its own protocol calls it, where that is not MQTT: `dny-` and the number under
    the QR code of an e-bike cabinet.
    """

    site: Code
    kind: Literal["ebike", "car"]
    label: Name
    connectors: Number | Annotated[list[Plug], Meta(min_length=1, max_length=999)]
    gateway: Code | None = None
    vendor: Text | None = None
    model: Text | None = None
    max_power_w: Watts | None = None
    installed_on: date | None = None
    plug: PlugType | None = None
    power_type: PowerType | None = None
    max_voltage_v: Volts | None = None
    max_current_a: Amperes | None = None
    active: bool = True
    device: Code | None = None

    def plugs(self) -> list[Plug]:
        """Its connectors, one by one."""
        listed = self.connectors
        if isinstance(listed, int):
            listed = [Plug(number=n) for n in range(1, listed + 1)]
        return [
            Plug(number=p.number, **{k: getattr(p, k) or getattr(self, k) for k in EQUIPMENT})
            for p in listed
        ]


EQUIPMENT = ("max_power_w", "plug", "power_type", "max_voltage_v", "max_current_a")
"""What a connector may have of its own, and a charger for all of its connectors."""


@dataclass
class Registry:
    """What one file lists; each dict is keyed by code."""

    areas: dict[str, Area] = field(default_factory=dict)
    companies: dict[str, Company] = field(default_factory=dict)
    grids: dict[str, Grid] = field(default_factory=dict)
    sites: dict[str, Site] = field(default_factory=dict)
    gateways: dict[str, Gateway] = field(default_factory=dict)
    chargers: dict[str, Charger] = field(default_factory=dict)


SECTIONS: dict[str, type[_Row]] = {
    "areas": Area,
    "companies": Company,
    "grids": Grid,
    "sites": Site,
    "gateways": Gateway,
    "chargers": Charger,
}
REFERENCES = {
    "grids": {"area": "areas"},
    "sites": {"grid": "grids", "company": "companies"},
    "gateways": {"site": "sites"},
    "chargers": {"site": "sites", "gateway": "gateways"},
}
COLUMNS = {
    "area": ("areas", "code"),
    "area_name": ("areas", "name"),
    "timezone": ("areas", "timezone"),
    "company": ("companies", "code"),
    "company_name": ("companies", "name"),
    "company_phone": ("companies", "phone"),
    "grid": ("grids", "code"),
    "grid_name": ("grids", "name"),
    "site": ("sites", "code"),
    "site_name": ("sites", "name"),
    "address": ("sites", "address"),
    "latitude": ("sites", "latitude"),
    "longitude": ("sites", "longitude"),
    "repair_phone": ("sites", "repair_phone"),
    "city": ("sites", "city"),
    "postal_code": ("sites", "postal_code"),
    "opening_hours": ("sites", "opening_hours"),
    "gateway": ("gateways", "code"),
    "gateway_device": ("gateways", "device"),
    "charger": ("chargers", "code"),
    "kind": ("chargers", "kind"),
    "label": ("chargers", "label"),
    "vendor": ("chargers", "vendor"),
    "model": ("chargers", "model"),
    "connectors": ("chargers", "connectors"),
    "max_power_w": ("chargers", "max_power_w"),
    "installed_on": ("chargers", "installed_on"),
    **{name: ("chargers", name) for name in EQUIPMENT},
    "active": ("chargers", "active"),
    "device": ("chargers", "device"),
}
"""CSV and XLSX: one line a charger; column -> (section, key)."""


def read_registry(path: Path) -> Registry:
    """Read and check one `.yaml`, `.yml`, `.csv` or `.xlsx` file. Raises `BadRegistry`."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise BadRegistry([f"{path}: larger than {MAX_BYTES // 1_000_000} MB"])
        content = path.read_bytes()
    except OSError as error:
        raise BadRegistry([f"{path}: {error.strerror}"]) from error
    reader = _Reader(path)
    if path.suffix.lower() == ".xlsx":
        reader.read_xlsx(content)
    else:
        reader.read_text(_decoded(path, content))
    return reader.finish()


def _decoded(path: Path, content: bytes) -> str:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise BadRegistry(
            [f"{path}:{line}: not UTF-8; save the file as UTF-8 (in a spreadsheet: “CSV UTF-8”)"]
        ) from error
    if "\0" in text:
        raise BadRegistry([f"{path}:{text[: text.index(chr(0))].count(chr(10)) + 1}: NUL byte"])
    return text


class _Reader:
    """Collects rows and problems, so that one run shows all that is wrong."""

    def __init__(self, path: Path):
        self.path = path
        self.registry = Registry()
        self.lines: dict[tuple[str, str], int] = {}
        self.problems: list[str] = []

    def problem(self, line: int, text: str) -> None:
        self.problems.append(f"{self.path}:{line}: {text}")

    def add(self, section: str, values: Any, line: int) -> None:
        """Check one row and keep it, or note what is wrong with it."""
        try:
            row = msgspec.convert(values, SECTIONS[section], strict=False)
        except msgspec.ValidationError as error:
            named = values.get("code") if isinstance(values, dict) else None
            self.problem(line, f"{section}{f' {named!r}' if named else ''}: {error}")
            return
        held: dict[str, _Row] = getattr(self.registry, section)
        if row.code in held:
            first = self.lines[section, row.code]
            self.problem(line, f"{section}: code {row.code!r} is already used on line {first}")
            return
        held[row.code] = row
        self.lines[section, row.code] = line

    def read_text(self, text: str) -> None:
        """By the file's ending."""
        kind = self.path.suffix.lower()
        if kind == ".csv":
            self.read_csv(text)
        elif kind in (".yaml", ".yml"):
            self.read_yaml(text)
        else:
            right = "right would be .yaml, .yml, .csv or .xlsx"
            self.problems.append(f"{self.path}: unknown kind of file; {right}")

    # --- YAML

    def read_yaml(self, text: str) -> None:
        try:
            top = yaml.compose(text, Loader=yaml.SafeLoader)
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            said = getattr(error, "problem", None) or str(error)
            self.problem(mark.line + 1 if mark else 1, f"not YAML: {said}")
            return
        except RecursionError:
            self.problem(1, "nested too deeply")
            return
        if not isinstance(top, yaml.MappingNode):
            self.problem(1, f"right would be a mapping with {', '.join(SECTIONS)}")
            return
        for key, node in self._pairs(top):
            self._read_section(key, node)

    def _read_section(self, name: str, node: yaml.Node) -> None:
        line = node.start_mark.line + 1
        if name not in SECTIONS:
            self.problem(line, f"{name!r} is unknown; right would be {', '.join(SECTIONS)}")
        elif not isinstance(node, yaml.SequenceNode):
            self.problem(line, f"{name}: right would be a list")
        else:
            for item in node.value:
                self.add(name, self._plain(item), item.start_mark.line + 1)

    def _pairs(self, node: yaml.MappingNode) -> Iterator[tuple[str, yaml.Node]]:
        seen: dict[str, int] = {}
        for key, value in node.value:
            name, line = str(key.value), key.start_mark.line + 1
            if name in seen:
                self.problem(line, f"{name!r} is already given on line {seen[name]}")
            seen[name] = line
            yield name, value

    def _plain(self, node: yaml.Node) -> Any:
        if isinstance(node, yaml.MappingNode):
            return {name: self._plain(value) for name, value in self._pairs(node)}
        if isinstance(node, yaml.SequenceNode):
            return [self._plain(value) for value in node.value]
        # As typed: an unquoted phone or code such as 0376 or 1e5 must not turn into a number.
        # Fields that are numbers are converted when the row is checked.
        return None if node.tag.endswith(":null") else str(node.value)

    # --- CSV and XLSX

    def read_csv(self, text: str) -> None:
        reader = csv.DictReader(text.splitlines(keepends=True), strict=True)
        try:
            if self._knows(list(reader.fieldnames or ())):
                for row in reader:
                    self._read_csv_row(row, reader.line_num)
        except csv.Error as error:
            self.problem(reader.line_num + 1, f"not CSV: {error}")

    def read_xlsx(self, content: bytes) -> None:
        """The first sheet, laid out as a CSV file."""
        try:
            header, *rows = read_cells(content)
        except BadSheet as error:
            self.problem(1, str(error))
            return
        while header and not header[-1]:
            header.pop()
        if not self._knows(list(header)):
            return
        for line, row in enumerate(rows, 2):
            if any(row):
                cells = [*row, *[""] * (len(header) - len(row))]
                values: dict[str | Any, Any] = dict(zip(header, cells, strict=False))
                if any(cells[len(header) :]):
                    values[None] = cells[len(header) :]
                self._read_csv_row(values, line)

    def _knows(self, columns: list[str]) -> bool:
        unknown = set(columns) - set(COLUMNS)
        missing = {"area", "grid", "site", "charger", "kind"} - set(columns)
        for column in sorted(unknown, key=str):
            self.problem(1, f"column {column!r} is unknown; known are {', '.join(COLUMNS)}")
        for column in sorted(missing):
            self.problem(1, f"column {column!r} is missing")
        return not self.problems

    def _read_csv_row(self, row: dict[str | Any, Any], line: int) -> None:
        if None in row or None in row.values():
            self.problem(line, "the number of cells differs from the header's")
            return
        sections: dict[str, dict[str, Any]] = {}
        for column, cell in row.items():
            if cell.strip():
                section, key = COLUMNS[column]
                sections.setdefault(section, {})[key] = cell.strip()
        for section in SECTIONS:
            values = sections.get(section)
            if values is not None:
                self._complete(section, values, sections)
                self._add_csv(section, values, line)

    def _complete(
        self, section: str, values: dict[str, Any], sections: dict[str, dict[str, Any]]
    ) -> None:
        for key, target in REFERENCES.get(section, {}).items():
            if code := sections.get(target, {}).get("code"):
                values[key] = code
        if section in ("areas", "grids", "sites", "companies"):
            values.setdefault("name", values.get("code", ""))
        if section == "chargers":
            values.setdefault("label", values.get("code", ""))
            values["connectors"] = _connectors(values.get("connectors", "1"))

    def _add_csv(self, section: str, values: dict[str, Any], line: int) -> None:
        """The same place stands on many lines: equal is fine, different is a contradiction."""
        code = values.get("code")
        known = getattr(self.registry, section).get(code)
        if known is None or section == "chargers":
            self.add(section, values, line)
            return
        for key, value in values.items():
            if key != "name" or value != code:
                before = getattr(known, key, None)
                if str(before) != value and not _same_number(before, value):
                    first = self.lines[section, str(code)]
                    self.problem(
                        line,
                        f"{section} {code!r}: {key} is {value!r} but {before!r} on line {first}",
                    )

    # --- across rows

    def finish(self) -> Registry:
        """The whole registry. Raises `BadRegistry` with every problem, by line."""
        for section, references in REFERENCES.items():
            for code, row in getattr(self.registry, section).items():
                for key, target in references.items():
                    self._check_reference(section, code, key, target, getattr(row, key))
        for area in self.registry.areas.values():
            self._check_timezone(area)
        for site in self.registry.sites.values():
            self._check_opening_hours(site)
        for charger in self.registry.chargers.values():
            self._check_charger(charger)
        self._check_devices()
        if self.problems:
            raise BadRegistry(sorted(self.problems, key=_line_of))
        return self.registry

    def _check_reference(
        self, section: str, code: str, key: str, target: str, value: str | None
    ) -> None:
        if value is not None and value not in getattr(self.registry, target):
            self.problem(
                self.lines[section, code],
                f"{section} {code!r}: {key} {value!r} is not among the file's {target}",
            )

    def _check_devices(self) -> None:
        """Two things that are one device could not be told apart."""
        first: dict[str, str] = {}
        for section in ("gateways", "chargers"):
            for code, row in getattr(self.registry, section).items():
                if row.device is not None and first.setdefault(row.device, code) != code:
                    self.problem(
                        self.lines[section, code],
                        f"{section} {code!r}: device {row.device!r} is already that of "
                        f"{first[row.device]!r}",
                    )

    def _check_timezone(self, area: Area) -> None:
        try:
            ZoneInfo(area.timezone)
        except (ValueError, OSError, KeyError):
            self.problem(
                self.lines["areas", area.code],
                f"areas {area.code!r}: timezone {area.timezone!r} is unknown; right would be "
                "a name such as Asia/Shanghai",
            )

    def _check_opening_hours(self, site: Site) -> None:
        if site.opening_hours is not None:
            try:
                read_opening_hours(site.opening_hours)
            except ValueError as error:
                line = self.lines["sites", site.code]
                self.problem(line, f"sites {site.code!r}: opening_hours: {error}")

    def _check_charger(self, charger: Charger) -> None:
        line = self.lines["chargers", charger.code]
        numbers = [plug.number for plug in charger.plugs()]
        for number in sorted({n for n in numbers if numbers.count(n) > 1}):
            self.problem(line, f"chargers {charger.code!r}: connector {number} is listed twice")
        gateway = self.registry.gateways.get(charger.gateway or "")
        if gateway is not None and gateway.site != charger.site:
            self.problem(
                line,
                f"chargers {charger.code!r}: gateway {gateway.code!r} stands at site "
                f"{gateway.site!r}, the charger at {charger.site!r}",
            )


def _connectors(cell: str) -> Any:
    """Their number, or a JSON list of them as in YAML."""
    if cell.startswith("["):
        with contextlib.suppress(msgspec.DecodeError, RecursionError):
            return msgspec.json.decode(cell)
    return cell


def _same_number(before: object, text: str) -> bool:
    try:
        return isinstance(before, float) and before == float(text)
    except ValueError:
        return False


def _line_of(problem: str) -> int:
    return next((int(p) for p in problem.split(":") if p.isdigit()), 0)
