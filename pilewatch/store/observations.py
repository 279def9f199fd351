"""Writing one batch of observations: history, current state and events in one transaction."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
from psycopg import sql

from pilewatch.model import Kind
from pilewatch.store import queries
from pilewatch.store.partial import CONNECTOR_ID, Known, Partial, complete
from pilewatch.store.pool import Db

_SQL = {**queries.load("ingest"), "apply_results": queries.load("commands")["apply_results"]}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MANY = 400
"""Beyond so many changed connectors a live page asks for all anew (NOTIFY holds 8000 bytes)."""
REPEAT_WINDOW = timedelta(hours=1)
"""How far back a redelivered message without a time of its own is looked for."""

Row = tuple[Any, ...]

_VALUES = ["float8"] * 7
_STAGED_TYPES = [
    *("int4", "int4", "int2", "int8", "int2", "int8", "int8", "int8", "bool", "int8"),
    *("text", "text", "text", "text", *_VALUES, "text"),
]
_METER_TYPES = ["int8", "int8", "int8", "text", *_VALUES]
_CHARGER_TYPES = [
    *("int4", "int8", "int8", "int8", "bool", "int8", "int8", "text", "text", "text", "text"),
    *("int4", "int4", "float8", "float8", "int8", "float8"),
]


def microseconds(at: datetime) -> int:
    """Since 1970, exact."""
    since = at - _EPOCH
    return since.days * 86_400_000_000 + since.seconds * 1_000_000 + since.microseconds


@dataclass(frozen=True)
class Refused:
    """One message for quarantine; `payload` is its first 4 KiB, `size` its whole length."""

    received_at: datetime
    topic: str
    payload: bytes
    size: int
    reason: str
    charger_code: str | None = None


@dataclass
class Staged:
    """One batch, ready to be written. Rows are in the order of the staging tables."""

    rows: list[Row] = field(default_factory=list)
    meters: list[Row] = field(default_factory=list)
    chargers: list[Row] = field(default_factory=list)
    days: set[int] = field(default_factory=set)
    hours: set[int] = field(default_factory=set)
    """Days and hours (since 1970) that rows were observed in."""
    partial: dict[int, Partial] = field(default_factory=dict)
    """What statuses leave open, by their place in `rows`."""
    refused: list[Refused] = field(default_factory=list)
    unknown_chargers: dict[str, tuple[datetime, int]] = field(default_factory=dict)
    has_status: bool = False
    has_confirmations: bool = False
    has_sessions: bool = False
    has_results: bool = False


@dataclass(frozen=True)
class Written:
    """What the transaction did. `unknown_results` answer no command of their charger."""

    inserted: int = 0
    duplicates: int = 0
    events: int = 0
    unknown_results: int = 0


@dataclass(frozen=True)
class KnownCharger:
    """A registered charger and its connectors, number to id."""

    id: int
    connectors: dict[int, int]


class ObservationStore:
    """Writes batches through one connection of its own. Not thread-safe."""

    def __init__(self, db: Db, *, retention_days: int):
        self.db = db
        self.retention_days = retention_days
        self._days_ready: set[int] = set()
        self._hours_due: set[int] = set()
        db.execute(_SQL["create_staging"])

    def find_chargers(self, codes: Iterable[str]) -> dict[str, KnownCharger]:
        """The registered ones among these; their state rows exist afterwards."""
        rows = self.db.execute(_SQL["find_chargers"], {"codes": list(codes)}).fetchall()
        ids = sorted(row["id"] for row in rows)
        if ids:
            with self.db.transaction():
                self.db.execute(_SQL["ensure_charger_states"], {"ids": ids})
                self.db.execute(_SQL["ensure_connector_states"], {"ids": ids})
        return {
            row["code"]: KnownCharger(row["id"], {int(n): i for n, i in row["connectors"].items()})
            for row in rows
        }

    def find_repeated(self, candidates: Sequence[Row], now: datetime) -> set[int]:
        """Which of (ord, charger_id, connector, kind, digest) are stored already: their `ord`s."""
        columns = list(zip(*candidates, strict=True))
        names = ("ord", "charger_id", "connector", "kind", "digest")
        values = {name: list(column) for name, column in zip(names, columns, strict=True)}
        found = self.db.execute(_SQL["find_repeated"], {**values, "since": now - REPEAT_WINDOW})
        return {row["ord"] for row in found}

    def take_kept(self, limit: int, now: datetime) -> list[tuple[str, bytes, datetime]]:
        """Quarantined messages of chargers that have been registered since: topic, payload, when.

        They count as replayed if the caller's transaction commits.
        """
        self._run("forget_known_chargers")
        rows = self.db.execute(_SQL["take_kept"], {"limit": limit, "now": now}).fetchall()
        return [(row["topic"], bytes(row["payload"]), row["received_at"]) for row in rows]

    def show_listener(self, client_id: str, since: datetime, now: datetime) -> None:
        """Say that this client hears the broker, without a gap since then."""
        self._run("show_listener", client_id=client_id, since=since, now=now)

    def hide_listener(self, client_id: str) -> None:
        """Say that it no longer listens."""
        self._run("hide_listener", client_id=client_id)

    def write(self, batch: Staged, now: datetime) -> Written:
        """Write all of the batch or nothing. Raises what psycopg raises; then try it again."""
        self._make_days(batch.days, now)
        hours_due = self._hours_to_mark(batch.hours, now)
        with self.db.transaction():
            written = self._write_rows(batch)
            if hours_due:
                self._run("mark_rollup_due", hours=[_EPOCH + timedelta(hours=h) for h in hours_due])
            self._write_refused(batch)
        self._hours_due |= hours_due
        return written

    def _make_days(self, days: set[int], now: datetime) -> None:
        """A partition for each day that retention will keep; other days share the default one."""
        today = (now - _EPOCH).days
        for day in sorted(days - self._days_ready):
            if today - self.retention_days <= day <= today + 1:
                opens = (_EPOCH + timedelta(days=day)).date()
                self.db.execute("SELECT ensure_observation_day(%s)", (opens,))
            self._days_ready.add(day)

    def _hours_to_mark(self, hours: set[int], now: datetime) -> set[int]:
        """The running hour is marked once by each process, finished ones whenever rows come."""
        running = int(now.timestamp()) // 3600
        self._hours_due = {hour for hour in self._hours_due if hour >= running}
        return {hour for hour in hours if hour < running or hour not in self._hours_due}

    def _write_rows(self, batch: Staged) -> Written:
        if not batch.chargers:
            return Written()
        self._run("lock_chargers", ids=sorted(row[0] for row in batch.chargers))
        cursor = self.db.cursor()
        rows = self._completed(batch) if batch.partial else batch.rows
        _copy(cursor, "copy_staged", _STAGED_TYPES, rows)
        _copy(cursor, "copy_staged_charger", _CHARGER_TYPES, batch.chargers)
        inserted = self._run("insert_observations").rowcount
        shown: list[int] = []
        if batch.has_status:
            shown += [row["connector_id"] for row in self._run("apply_status")]
        if batch.has_confirmations or batch.partial:
            shown += [row["connector_id"] for row in self._run("apply_confirmations")]
        if batch.meters:
            _copy(cursor, "copy_staged_meter", _METER_TYPES, batch.meters)
            self._run("apply_meters")
        sessions = self._run("apply_sessions").fetchall() if batch.has_sessions else []
        moved = self._run("apply_chargers").fetchall()
        answered, unknown = self._apply_results() if batch.has_results else (0, 0)
        if shown or sessions or moved or answered:
            self._run("notify", channel="pilewatch_event", payload="")
        self._announce(shown, [r["charger_id"] for r in moved if r["kind"] != "charger.clock"])
        confirmations = sum(1 for row in rows if row[4] == Kind.CONFIRM)
        return Written(
            inserted=inserted,
            duplicates=len(rows) - confirmations - inserted,
            events=len(shown) + len(sessions) + len(moved),
            unknown_results=unknown,
        )

    def _completed(self, batch: Staged) -> list[Row]:
        """The rows, with each partial status completed; the chargers' locks are held."""
        ids = sorted({batch.rows[place][CONNECTOR_ID] for place in batch.partial})
        known = {
            row["connector_id"]: Known(row["status"], row["errors"])
            for row in self._run("find_statuses", ids=ids)
        }
        return complete(batch.rows, batch.partial, known)

    def _apply_results(self) -> tuple[int, int]:
        """Commands that were answered, and answers to none."""
        row = self._run("apply_results").fetchone()
        assert row is not None
        return row["moved"], row["unknown"]

    def _announce(self, connectors: list[int], chargers: list[int]) -> None:
        if not connectors and not chargers:
            return
        if chargers and len(chargers) <= _MANY:
            connectors += [row["id"] for row in self._run("connectors_of", ids=chargers)]
        few = len(connectors) <= _MANY and len(chargers) <= _MANY
        payload = ",".join(map(str, dict.fromkeys(connectors))) if few else "*"
        self._run("notify", channel="pilewatch_state", payload=payload)

    def _write_refused(self, batch: Staged) -> None:
        if batch.refused:
            self._run(
                "insert_quarantine",
                received_at=[r.received_at for r in batch.refused],
                topic=[r.topic for r in batch.refused],
                payload=[r.payload for r in batch.refused],
                size=[r.size for r in batch.refused],
                reason=[r.reason for r in batch.refused],
                charger_code=[r.charger_code for r in batch.refused],
            )
        if batch.unknown_chargers:
            self._run(
                "note_unknown_chargers",
                code=list(batch.unknown_chargers),
                at=[at for at, _ in batch.unknown_chargers.values()],
                messages=[count for _, count in batch.unknown_chargers.values()],
            )

    def _run(self, name: str, **values: Any) -> "psycopg.Cursor[dict[str, Any]]":
        return self.db.execute(_SQL[name], values or None)


def _copy(
    cursor: "psycopg.Cursor[Any]", name: str, types: Sequence[str], rows: Iterable[Row]
) -> None:
    with cursor.copy(sql.SQL(_SQL[name])) as copy:
        copy.set_types(types)
        write = copy.write_row
        for row in rows:
            write(row)
