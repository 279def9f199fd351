"""`pilewatch backtest`: ingester's and engine's code over history, in a scratch database."""

import json
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from alerts.backtest import Difference, Promise, Write, as_json, replay
from ingest.batch import BatchBuilder, Message, Reading
from pilewatch.model import Observation
from pilewatch.policy import Policy
from pilewatch.settings import Settings
from pilewatch.store.migrate import migrate
from pilewatch.store.observations import ObservationStore, microseconds
from pilewatch.store.pool import Db, connect


class CannotReplay(RuntimeError):
    """The history cannot be played again; `str()` says why and what to do."""


def run_backtest(
    settings: Settings,
    policy: Policy,
    begins: datetime,
    ends: datetime,
    *,
    database_url: str | None = None,
    step: timedelta = timedelta(seconds=10),
    progress: Callable[[datetime], None] | None = None,
) -> Difference:
    """What this policy would have changed in the range; `progress` hears how far the replay has
    come. Raises `CannotReplay`."""
    if begins >= ends:
        raise CannotReplay("--from must be before --to")
    url = database_url or settings.database.url.get_secret_value()
    with connect(url, application="pilewatch backtest") as source, _scratch(url) as scratch_url:
        source.execute("SET default_transaction_read_only = on")
        with connect(scratch_url, application="pilewatch backtest") as scratch:
            migrate(scratch, timescale=settings.database.timescale)
            write = writer(source, scratch)
            return replay(
                source, scratch, policy, begins, ends, write, step=step, progress=progress
            )


@contextmanager
def _scratch(url: str) -> Iterator[str]:
    """A database of its own beside the live one, gone afterwards."""
    name = f"pilewatch_backtest_{uuid.uuid4().hex[:12]}"
    with connect(url, application="pilewatch backtest") as db:
        try:
            db.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        except psycopg.errors.InsufficientPrivilege as error:
            raise CannotReplay(
                "this database role may not create the scratch database: ALTER ROLE … CREATEDB, "
                "or name a copy of the database with --database-url"
            ) from error
    try:
        yield make_conninfo(url, dbname=name)
    finally:
        with connect(url, application="pilewatch backtest") as db:
            drop = sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name))
            db.execute(drop)


def writer(source: Db, scratch: Db) -> Write:
    """The ingester's batches, without a broker before them."""
    store = ObservationStore(scratch, retention_days=100_000)
    codes = [row["code"] for row in source.execute("SELECT code FROM charger WHERE active")]
    known = None

    def write(said: Sequence[Observation], now: datetime) -> None:
        nonlocal known
        if known is None:  # the registry has been copied by now
            known = store.find_chargers(codes)
        readings = [_reading(one) for one in said if one.charger in known]
        store.write(BatchBuilder(known, lambda *_: False).add_all(readings).build(), now)

    return write


def _reading(said: Observation) -> Reading:
    message = Message(None, b"", 0, microseconds(said.received_at), 1, 0, False, False, 0)
    return Reading(message, [said], False, None)


def show(found: Difference, say: Callable[[str], Any], *, as_document: bool) -> None:
    """As a table, or as JSON."""
    if as_document:
        say(json.dumps(as_json(found), ensure_ascii=False, indent=1))
        return
    say(f"{'':8} {'fault':18} {'place':24} {'detected':20} {'with policy':20} {'delay':>7} then")
    for ticket in found.missing:
        say(_line("missing", ticket, None))
    for ticket in found.extra:
        say(_line("extra", None, ticket))
    moved = found.moved
    for pair in found.same:
        say(_line("moved" if pair in moved else "same", pair.real, pair.replayed))
    for name, value in found.summary().items():
        told = value if not isinstance(value, dict) else " -> ".join(map(str, value.values()))
        say(f"{name.replace('_', ' '):16} {told}")


def _line(word: str, real: Promise | None, replayed: Promise | None) -> str:
    one = real or replayed
    assert one is not None
    times = [_time(p.detected_at if p else None) for p in (real, replayed)]
    delays = [_delay(p.delay_s if p else None) for p in (real, replayed)]
    rejected = "  (was rejected: a false alarm)" if real and real.state == "rejected" else ""
    place = f"{one.place:24}"
    return (
        f"{word:8} {one.code:18} {place} {times[0]:20} {times[1]:20} {delays[0]:>7} {delays[1]}"
        f"{rejected}"
    )


def _time(moment: datetime | None) -> str:
    return "-" if moment is None else f"{moment:%Y-%m-%d %H:%M:%S}"


def _delay(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds:.0f}s"
