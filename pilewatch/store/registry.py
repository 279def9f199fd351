"""The registry in the database: loading a file into it, whole or not at all, as often as wanted."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from psycopg.errors import UniqueViolation
from psycopg.types.json import Jsonb

from pilewatch.openinghours import week_of
from pilewatch.store import queries
from pilewatch.store.pool import Db
from pilewatch.store.registry_file import BadRegistry, Registry, read_registry

__all__ = ["BadRegistry", "Loaded", "adopt", "load_registry", "write_registry"]

_SQL = queries.load("registry")


@dataclass(frozen=True)
class Loaded:
    """How many rows of each table the file added and changed; the rest were already so."""

    added: dict[str, int]
    changed: dict[str, int]

    def __str__(self) -> str:
        words = [
            f"{table}: {self.added[table]} added, {self.changed[table]} changed"
            for table in self.added
        ]
        return "; ".join(words)


def load_registry(db: Db, path: Path) -> Loaded:
    """Read the file and write it in one transaction. Raises `BadRegistry` and writes nothing.

    What the database has and the file lacks stays as it is; a connector beyond a charger's
    list becomes inactive.
    """
    registry = read_registry(path)
    try:
        return write_registry(db, registry)
    except UniqueViolation as error:
        detail = error.diag.message_detail or str(error)
        raise BadRegistry(
            [f"{path}: a device belongs to something that the file lacks: {detail}"]
        ) from error


def write_registry(db: Db, registry: Registry) -> Loaded:
    """Insert or update every row; idempotent. Ingesters and engines are told of the change."""
    tables: dict[str, list[dict[str, Any]]] = {
        "area": _rows(registry.areas),
        "company": _rows(registry.companies),
        "grid": _rows(registry.grids),
        "site": _rows(registry.sites),
        "hours": _hours(registry),
        "gateway": _rows(registry.gateways),
        "charger": _rows(registry.chargers),
        "connector": [
            {"charger": c.code, **msgspec.to_builtins(p)}
            for c in registry.chargers.values()
            for p in c.plugs()
        ],
    }
    added, changed = {}, {}
    with db.transaction():
        for table, rows in tables.items():
            result = db.execute(_SQL[f"write_{table}"], {"rows": Jsonb(rows)}).fetchall()
            added[table] = sum(1 for row in result if row["added"])
            changed[table] = len(result) - added[table]
        retired = db.execute(_SQL["retire_connectors"], {"rows": Jsonb(tables["connector"])})
        changed["connector"] += retired.rowcount
        db.execute("SELECT pg_notify('pilewatch_registry', '')")
    return Loaded(added, changed)


def adopt(db: Db, code: str, *, site_id: int, kind: str, label: str, connectors: int) -> int | None:
    """Register a charger that spoke without being registered, inside the caller's transaction;
    gives its id, or None where nobody of this name spoke or it is registered already."""
    values = {"code": code, "site_id": site_id, "kind": kind, "label": label}
    row = db.execute(_SQL["adopt_charger"], values).fetchone()
    if row is None:
        return None
    db.execute(_SQL["adopt_connectors"], {"id": row["id"], "connectors": connectors})
    db.execute(_SQL["forget_unknown"], {"code": code})
    db.execute("SELECT pg_notify('pilewatch_registry', '')")
    return int(row["id"])


def is_registered(db: Db, code: str) -> bool:
    """Whether there is a charger of this code, active or not."""
    return db.execute(_SQL["is_registered"], {"code": code}).fetchone() is not None


def _rows(section: dict[str, Any]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = msgspec.to_builtins(list(section.values()))
    for row in rows:
        row.pop("connectors", None)
    return rows


def _hours(registry: Registry) -> list[dict[str, Any]]:
    """What the file says of opening hours; where it says nothing, those of the database stay."""
    return [
        {"code": site.code, "hours": week_of(site.opening_hours)}
        for site in registry.sites.values()
        if site.opening_hours is not None
    ]
