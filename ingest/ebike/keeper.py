"""What the gateway asks of PostgreSQL and keeps there, in batches, in one task.

A batch that fails because the database is away is tried again until it succeeds: every part of it
may be repeated. A `Future` is done when its transaction is committed.
"""

import asyncio
import contextlib
import random
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import psycopg
import structlog
from psycopg import AsyncConnection
from psycopg.types.json import Jsonb

from ingest.ebike.cabinet import Held
from ingest.ebike.metrics import Metrics
from pilewatch.clock import Clock
from pilewatch.dny.words import device_name
from pilewatch.store import queries
from pilewatch.store.pool import Row, connect_async

_LOG = structlog.get_logger()
_SQL = queries.load("ebike")
_AT_ONCE = 500
_WAITING = 20_000
"""So many jobs wait at most while the database is away; a settlement beyond them is not answered,
and its device sends it again."""
_LOOK_S = 1.0
_CLEAN_S = 3600.0


class Known(NamedTuple):
    """What the registry says of a device, and what is held of it. `charger` is the code that it
    publishes under: its own name where it is unknown, None where it is a host of the registry."""

    charger: str | None
    held: tuple[Held, ...]


class Settled(NamedTuple):
    """A settlement to keep. `messages` are kind and payload of the native contract."""

    physical_id: int
    key: int
    session_id: str
    charger: str
    messages: tuple[tuple[str, str], ...]
    heard_at: datetime


class Waiting(NamedTuple):
    """A kept settlement that the broker does not have yet."""

    id: int
    charger: str
    messages: list[tuple[str, str]]


class _Find(NamedTuple):
    physical_id: int
    is_host: bool


class _Hold(NamedTuple):
    physical_id: int
    held: tuple[Held, ...]


class _Published(NamedTuple):
    ids: tuple[int, ...]


class _Unpublished(NamedTuple):
    after: int
    limit: int


_Job = _Find | _Hold | Settled | _Published | _Unpublished


class Keeper:
    """Owns the database connection. Every method is called in the event loop's thread."""

    def __init__(self, url: str, *, clock: Clock, metrics: Metrics, settlement_days: int):
        self._url = url
        self._clock = clock
        self._metrics = metrics
        self._days = settlement_days
        self._jobs: asyncio.Queue[tuple[_Job, asyncio.Future[Any]]] = asyncio.Queue(_WAITING)
        self._db: AsyncConnection[Row] | None = None
        self._cleaned: float | None = None
        self.registry_changed = asyncio.Event()

    def find(self, physical_id: int, is_host: bool) -> "asyncio.Future[Known] | None":
        """What is known of this device; None where too much waits."""
        return self._ask(_Find(physical_id, is_host))

    def settle(self, settled: Settled) -> "asyncio.Future[int | None] | None":
        """Keep it: its row's number, or None where it was there already. None: too much waits."""
        return self._ask(settled)

    def hold(self, physical_id: int, held: tuple[Held, ...]) -> None:
        """Keep what is held of this device now, instead of what was."""
        self._ask(_Hold(physical_id, held))

    def mark_published(self, ids: Iterable[int]) -> None:
        """The broker has all of these settlements."""
        self._ask(_Published(tuple(ids)))

    def unpublished(self, after: int, limit: int) -> "asyncio.Future[list[Waiting]] | None":
        """Settlements that the broker does not have, oldest first, beyond this number."""
        return self._ask(_Unpublished(after, limit))

    def _ask(self, job: _Job) -> "asyncio.Future[Any] | None":
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        try:
            self._jobs.put_nowait((job, future))
        except asyncio.QueueFull:
            return None
        return future

    async def run(self) -> None:
        """Until cancelled; what waits then is lost to its device, which sends it again."""
        try:
            while True:
                batch = await self._take()
                await self._until_done(batch)
        finally:
            if self._db is not None:
                await self._db.close()

    async def _take(self) -> list[tuple[_Job, asyncio.Future[Any]]]:
        batch = []
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LOOK_S):
                batch.append(await self._jobs.get())
        while len(batch) < _AT_ONCE and not self._jobs.empty():
            batch.append(self._jobs.get_nowait())
        return batch

    async def _until_done(self, batch: list[tuple[_Job, asyncio.Future[Any]]]) -> None:
        pause = 0.1
        while True:
            try:
                found = await self._run_batch([job for job, _ in batch])
                break
            except psycopg.Error as error:
                self._metrics.database_up.set(0)
                _LOG.warning("database is away", problem=str(error).strip().splitlines()[:1])
                if self._db is not None:
                    await self._db.close()
                    self._db = None
                await asyncio.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311
                pause = min(pause * 2, 5.0)
        for (_, future), result in zip(batch, found, strict=True):
            if not future.done():
                future.set_result(result)

    async def _connection(self) -> AsyncConnection[Row]:
        if self._db is None:
            self._db = await connect_async(self._url, application="pilewatch ebike")
            self._db.add_notify_handler(lambda _: self.registry_changed.set())
            await self._db.execute("LISTEN pilewatch_registry")
            self.registry_changed.set()
            self._metrics.database_up.set(1)
        return self._db

    async def _run_batch(self, jobs: Sequence[_Job]) -> list[Any]:
        db = await self._connection()
        async with db.transaction():
            await self._hold_all(db, [j for j in jobs if isinstance(j, _Hold)])
            new = await self._settle_all(db, [j for j in jobs if isinstance(j, Settled)])
            marks = [id for j in jobs if isinstance(j, _Published) for id in j.ids]
            if marks:
                await db.execute(_SQL["mark_published"], {"ids": marks, "now": self._clock()})
            known = await self._find_all(db, [j for j in jobs if isinstance(j, _Find)])
            await self._clean(db)
            return [await self._answer(db, job, new, known) for job in jobs]

    async def _answer(
        self, db: AsyncConnection[Row], job: _Job, new: dict[Any, int], known: dict[int, Known]
    ) -> Any:
        match job:
            case _Find():
                return known[job.physical_id]
            case Settled():
                # A twin in the same batch is a repeat.
                return new.pop((job.physical_id, job.session_id, job.key), None)
            case _Unpublished():
                rows = await db.execute(
                    _SQL["waiting_settlements"], {"after": job.after, "limit": job.limit}
                )
                return [
                    Waiting(r["id"], r["charger"], [(k, p) for k, p in r["messages"]])
                    for r in await rows.fetchall()
                ]
        return None

    async def _hold_all(self, db: AsyncConnection[Row], jobs: list[_Hold]) -> None:
        if not jobs:
            return
        last = {job.physical_id: job.held for job in jobs}
        rows = [
            {"physical_id": id, **held._asdict(), "since": held.since.isoformat()}
            for id, several in last.items()
            for held in several
        ]
        await db.execute(_SQL["drop_held"], {"physical_ids": list(last)})
        await db.execute(_SQL["keep_held"], {"rows": Jsonb(rows)})

    async def _settle_all(self, db: AsyncConnection[Row], jobs: list[Settled]) -> dict[Any, int]:
        if not jobs:
            return {}
        rows = [{**job._asdict(), "heard_at": job.heard_at.isoformat()} for job in jobs]
        found = await db.execute(_SQL["keep_settlements"], {"rows": Jsonb(rows)})
        return {
            (r["physical_id"], r["session_id"], r["key"]): r["id"] for r in await found.fetchall()
        }

    async def _find_all(self, db: AsyncConnection[Row], jobs: list[_Find]) -> dict[int, Known]:
        if not jobs:
            return {}
        names = {device_name(j.physical_id & 0xFFFFFF) for j in jobs}
        found = await db.execute(_SQL["find_devices"], {"names": list(names)})
        codes = {r["name"]: (r["charger"], r["gateway"]) for r in await found.fetchall()}
        held: dict[int, list[Held]] = {}
        rows = await db.execute(_SQL["find_held"], {"physical_ids": [j.physical_id for j in jobs]})
        for row in await rows.fetchall():
            held.setdefault(row["physical_id"], []).append(
                Held(row["source"], row["port"], row["code"], row["text"], row["since"])
            )
        return {
            job.physical_id: Known(_code(job, codes), tuple(held.get(job.physical_id, ())))
            for job in jobs
        }

    async def _clean(self, db: AsyncConnection[Row]) -> None:
        now = asyncio.get_running_loop().time()
        if self._cleaned is None or now - self._cleaned > _CLEAN_S:
            self._cleaned = now
            before = self._clock() - timedelta(days=self._days)
            await db.execute(_SQL["drop_old_settlements"], {"before": before})


def _code(job: _Find, codes: dict[str, tuple[str | None, str | None]]) -> str | None:
    name = device_name(job.physical_id & 0xFFFFFF)
    charger, gateway = codes.get(name, (None, None))
    if charger is None and (gateway is not None or job.is_host):
        return None
    return charger or name
