"""Tables for a notebook as Parquet: written row group by row group, so that size does not matter.

pyarrow is imported when something is exported, not before.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

from pilewatch.store import queries
from pilewatch.store.pool import Db
from pilewatch.uptime.measures import take_apart
from pilewatch.uptime.periods import Period, moment
from pilewatch.uptime.reading import layers_of, places

_SQL = queries.load("analysis")
Table = Literal["intervals", "incidents", "tickets", "sessions"]
TABLES: tuple[Table, ...] = ("intervals", "incidents", "tickets", "sessions")
_ROWS = 50_000
_STATES = ("working", "unavailable", "out_of_order", "unknown")
_PLACE = {"area": "string", "site": "string", "charger": "string", "connector": "int16"}
_COLUMNS: dict[Table, dict[str, str]] = {
    "intervals": {**_PLACE, "model": "string", "from_at": "time", "to_at": "time",
                  "state": "string"},
    "incidents": {
        "id": "int64", **_PLACE, "subject_kind": "string", "code": "string", "family": "string",
        "severity": "int16", "effect": "string", "detector": "string", "phase": "string",
        "parent_id": "int64", "ticket_id": "int64", "planned_by": "int64", "started_at": "time",
        "opened_at": "time", "ended_at": "time",
    },
    "tickets": {
        "id": "int64", **_PLACE, "subject_kind": "string", "code": "string", "family": "string",
        "severity": "int16", "state": "string", "company": "string", "opened_at": "time",
        "accepted_at": "time", "arrived_at": "time", "claimed_at": "time", "verified_at": "time",
        "closed_at": "time", "accept_by_at": "time", "arrive_by_at": "time", "deadline_at": "time",
        "paused_s": "double", "reopened": "int32", "merged_into": "int64",
    },
    "sessions": {**_PLACE, "started_at": "time", "ended_at": "time", "refused_at": "time",
                 "energy_wh": "double"},
}  # fmt: skip


def export_parquet(db: Db, table: Table, period: Period, file: Path) -> int:
    """Write one table of the period; gives its rows. The file appears when it is whole.

    Times are UTC microseconds. Raises `OSError`.
    """
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    kinds = {
        "time": pa.timestamp("us", tz="UTC"), "string": pa.string(), "double": pa.float64(),
        "int16": pa.int16(), "int32": pa.int32(), "int64": pa.int64(),
    }  # fmt: skip
    schema = pa.schema([(name, kinds[kind]) for name, kind in _COLUMNS[table].items()])
    unfinished = file.with_name(f"{file.name}.part")
    count = 0
    try:
        with pq.ParquetWriter(unfinished, schema, compression="zstd") as writer:
            for rows in _in_groups(_rows(db, table, period)):
                writer.write_table(pa.Table.from_pylist(rows, schema))
                count += len(rows)
        unfinished.replace(file)
    finally:
        unfinished.unlink(missing_ok=True)
    return count


def _in_groups(rows: Iterable[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    group: list[dict[str, Any]] = []
    for row in rows:
        group.append(row)
        if len(group) == _ROWS:
            yield group
            group = []
    if group:
        yield group


def _rows(db: Db, table: Table, period: Period) -> Iterator[dict[str, Any]]:
    if table == "intervals":
        yield from _intervals(db, period)
        return
    spans = [period.span(place.timezone) for place in places(db)] or [period.span("UTC")]
    within = {
        "from_at": moment(min(s[0] for s in spans)),
        "to_at": moment(max(s[1] for s in spans)),
    }
    with db.transaction(), db.cursor("pilewatch_export") as cursor:
        cursor.itersize = _ROWS
        yield from cursor.execute(_SQL[table], within)


def _intervals(db: Db, period: Period) -> Iterator[dict[str, Any]]:
    """What each connector was when, in order."""
    for place, layers in layers_of(db, places(db), period):
        parts = take_apart(layers)
        pieces = [(span, state) for state in _STATES for span in getattr(parts, state)]
        for (begins, ends), state in sorted(pieces):
            yield {
                "area": place.area,
                "site": place.site,
                "charger": place.charger,
                "connector": place.number,
                "model": place.model,
                "from_at": moment(begins),
                "to_at": moment(ends),
                "state": state,
            }
