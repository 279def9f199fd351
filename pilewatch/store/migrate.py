"""Numbered, forward-only migrations: `NNNN_name[.timescale|.plain].sql`, one transaction each."""

import hashlib
import re
from dataclasses import dataclass
from importlib.resources import files
from typing import Literal, LiteralString

from psycopg.sql import SQL

from pilewatch.store.pool import Db

_NAME = re.compile(r"(\d{4})_([a-z_]+)(?:\.(timescale|plain))?\.sql")
_LOCK = 7150_0001


class MigrationError(RuntimeError):
    """The database cannot be brought to this version; `str()` says why and what to do."""


@dataclass(frozen=True)
class Migration:
    """One step; `flavour` is None where both kinds of server run the same text."""

    version: int
    name: str
    flavour: str | None
    text: LiteralString

    @property
    def checksum(self) -> str:
        """SHA-256 of the text, kept so that an edited migration is noticed."""
        return hashlib.sha256(self.text.encode()).hexdigest()


def all_migrations() -> list[Migration]:
    """Every migration file, by version."""
    found = []
    for entry in files("pilewatch.store").joinpath("migrations").iterdir():
        if match := _NAME.fullmatch(entry.name):
            text = entry.read_text(encoding="utf-8")
            found.append(Migration(int(match[1]), match[2], match[3], text))
    return sorted(found, key=lambda m: (m.version, m.flavour or ""))


def migrate(
    db: Db, *, timescale: Literal["auto", "require", "off"] = "auto", up_to: int | None = None
) -> list[Migration]:
    """Bring the database up to date (or to version `up_to`); gives the steps that ran.

    Safe to call from several processes at once. Raises `MigrationError` where the database is
    newer than this program, a step was edited afterwards, or TimescaleDB is required but absent.
    """
    db.execute("SELECT pg_advisory_lock(%s)", (_LOCK,))
    try:
        return _migrate(db, timescale, up_to)
    finally:
        db.execute("SELECT pg_advisory_unlock(%s)", (_LOCK,))


def _migrate(db: Db, timescale: str, up_to: int | None) -> list[Migration]:
    db.execute(
        "CREATE TABLE IF NOT EXISTS schema_migration (version integer PRIMARY KEY, "
        "name text NOT NULL, flavour text, checksum text NOT NULL, "
        "applied_at timestamptz NOT NULL DEFAULT now())"
    )
    done = {r["version"]: r for r in db.execute("SELECT * FROM schema_migration").fetchall()}
    flavour = _flavour(db, timescale, done)
    steps = [m for m in all_migrations() if m.flavour in (None, flavour)]
    _check_history(done, steps)
    ran = []
    for step in steps:
        if step.version in done or (up_to is not None and step.version > up_to):
            continue
        with db.transaction():
            db.execute(SQL(step.text))
            db.execute(
                "INSERT INTO schema_migration (version, name, flavour, checksum) "
                "VALUES (%s, %s, %s, %s)",
                (step.version, step.name, step.flavour, step.checksum),
            )
        ran.append(step)
    return ran


def _flavour(db: Db, timescale: str, done: dict[int, dict[str, object]]) -> str:
    for row in done.values():
        if row["flavour"]:
            return str(row["flavour"])
    here = db.execute(
        "SELECT FROM pg_available_extensions WHERE name = 'timescaledb' "
        "AND current_setting('shared_preload_libraries') LIKE '%%timescaledb%%'"
    ).fetchone()
    if here is None and timescale == "require":
        raise MigrationError(
            "database.timescale is 'require', but this server has no TimescaleDB: install the "
            "extension and set shared_preload_libraries, or use 'auto'"
        )
    return "plain" if here is None or timescale == "off" else "timescale"


def _check_history(done: dict[int, dict[str, object]], steps: list[Migration]) -> None:
    known = {m.version: m for m in steps}
    for version, row in done.items():
        if version not in known:
            raise MigrationError(
                f"the database has migration {version:04} ({row['name']}), which this program "
                "does not know: it is of a newer version; update the program"
            )
        if known[version].checksum != row["checksum"]:
            raise MigrationError(
                f"migration {version:04} ({row['name']}) was changed after it ran; restore its "
                "text and put the change into a new migration"
            )
