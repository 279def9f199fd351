"""The registry as the database has it: as a file, and against a file."""

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
import yaml

from pilewatch.openinghours import Week, text_of
from pilewatch.store import queries
from pilewatch.store.pool import Db
from pilewatch.store.registry_file import COLUMNS, EQUIPMENT, REFERENCES, SECTIONS, Registry
from pilewatch.store.sheet import sheet_of

_SQL = queries.load("registry")
_ENDINGS = (".yaml", ".yml", ".csv", ".xlsx")


@dataclass(frozen=True)
class Change:
    """One difference. `retired`: a connector that the file no longer lists."""

    section: str
    code: str
    what: Literal["added", "changed", "retired"]
    field: str | None = None
    before: Any = None
    after: Any = None

    def __str__(self) -> str:
        if self.what == "changed":
            return f"~ {self.section} {self.code}: {self.field} {self.before!r} -> {self.after!r}"
        return f"{'+' if self.what == 'added' else '-'} {self.section} {self.code}"


def stored_registry(db: Db) -> Registry:
    """All that is registered, inactive chargers included."""
    found = Registry()
    for section, kind in SECTIONS.items():
        rows = db.execute(_SQL[f"read_{section}"]).fetchall()
        if section == "chargers":
            plugs = db.execute(_SQL["read_connectors"]).fetchall()
            rows = _with_plugs(rows, plugs)
        if section == "sites":
            rows = [_with_hours(**row) for row in rows]
        for row in rows:
            known = {key: value for key, value in row.items() if value is not None}
            getattr(found, section)[row["code"]] = msgspec.convert(known, kind)
    return found


def _with_hours(week: Week | None, **site: Any) -> dict[str, Any]:
    return site if week is None else {**site, "opening_hours": text_of(week)}


def _with_plugs(chargers: list[Any], plugs: list[Any]) -> list[Any]:
    """Ports 1 to n that are all alike are a number; else each is listed with what it has."""
    of: dict[str, list[dict[str, Any]]] = {row["code"]: [] for row in chargers}
    for plug in plugs:
        of[plug.pop("charger")].append({k: v for k, v in plug.items() if v is not None})
    for row in chargers:
        own = of[row["code"]]
        equipment = [{k: p.get(k) for k in EQUIPMENT} for p in own]
        alike = all(each == equipment[0] for each in equipment)
        counted = [p["number"] for p in own] == list(range(1, len(own) + 1))
        row["connectors"] = len(own) if own and alike and counted else own or 1
        row.update(equipment[0] if own and alike and counted else {})
    return chargers


def changes(stored: Registry, wanted: Registry) -> Iterator[Change]:
    """What loading `wanted` would change, in the order of the file's sections. Pure."""
    for section in SECTIONS:
        before, after = getattr(stored, section), getattr(wanted, section)
        for code, row in after.items():
            if code not in before:
                yield Change(section, code, "added")
            yield from _of_row(section, code, before.get(code), row)


def _of_row(section: str, code: str, before: Any, after: Any) -> Iterator[Change]:
    if before is not None:
        told = ("code", "connectors", *(EQUIPMENT if section == "chargers" else ()))
        for field in after.__struct_fields__:
            was, now = getattr(before, field), getattr(after, field)
            kept = field == "opening_hours" and now is None  # a file without them changes none
            if field not in told and was != now and not kept:
                yield Change(section, code, "changed", field, was, now)
    if section == "chargers":
        yield from _of_plugs(code, before.plugs() if before else [], after.plugs())


def _of_plugs(charger: str, before: list[Any], after: list[Any]) -> Iterator[Change]:
    were = {plug.number: plug for plug in before}
    for plug in after:
        code, was = f"{charger}/{plug.number}", were.pop(plug.number, None)
        if was is None:
            yield Change("connectors", code, "added")
            continue
        for field in EQUIPMENT:
            if getattr(was, field) != getattr(plug, field):
                old, new = getattr(was, field), getattr(plug, field)
                yield Change("connectors", code, "changed", field, old, new)
    for number in were:
        yield Change("connectors", f"{charger}/{number}", "retired")


# --- as files


def registry_as(registry: Registry, ending: str) -> bytes:
    """The registry as a file that `read_registry` reads. Raises `ValueError` for the ending."""
    if ending in (".yaml", ".yml"):
        return _yaml(registry)
    if ending == ".csv":
        return _csv(registry)
    if ending == ".xlsx":
        return sheet_of([list(COLUMNS), *_lines(registry)])
    raise ValueError(f"{ending or 'no ending'}: right would be {', '.join(_ENDINGS)}")


def _yaml(registry: Registry) -> bytes:
    sections = {
        section: [_plain(row) for row in getattr(registry, section).values()]
        for section in SECTIONS
    }
    text = yaml.safe_dump(sections, allow_unicode=True, sort_keys=False, width=100)
    return text.encode()


def _plain(row: Any) -> dict[str, Any]:
    values: dict[str, Any] = msgspec.to_builtins(row)
    if isinstance(values.get("connectors"), list):
        values["connectors"] = [_given(plug) for plug in values["connectors"]]
    return _given(values)


def _given(values: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}


def _csv(registry: Registry) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(COLUMNS)
    writer.writerows(_lines(registry))
    return text.getvalue().encode("utf-8-sig")


def _lines(registry: Registry) -> Iterator[list[str]]:
    """A line for each charger; then one for each place that none stands at."""
    shown: set[tuple[str, str]] = set()
    for section in reversed(SECTIONS):
        for code in getattr(registry, section):
            if (section, code) not in shown:
                chain = _chain(registry, section, code)
                shown.update((held, row["code"]) for held, row in chain.items())
                yield [_cell(chain.get(held, {}).get(key)) for held, key in COLUMNS.values()]


def _chain(registry: Registry, section: str, code: str) -> dict[str, dict[str, Any]]:
    """A row and everything that it stands in, by section."""
    row = _plain(getattr(registry, section)[code])
    found = {section: row}
    for key, target in REFERENCES.get(section, {}).items():
        if row.get(key) is not None:
            found = {**_chain(registry, target, row[key]), **found}
    return found


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, list):
        return msgspec.json.encode(value).decode()
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)
