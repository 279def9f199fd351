"""The writing half of the ingester: takes messages, commits them, then lets them be acknowledged.

Runs in a thread of its own. While the database is away it holds on to its one batch and tries
again; what it has not committed stays unacknowledged, and so stays with the broker.
"""

import contextlib
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from datetime import datetime

import psycopg
import structlog

from ingest.batch import BatchBuilder, Message, Reading, read
from ingest.dialects.registry import Dialects
from ingest.metrics import Metrics
from pilewatch.clock import Clock
from pilewatch.model import Kind, Observation
from pilewatch.store.observations import KnownCharger, ObservationStore, Written, microseconds
from pilewatch.store.pool import Db, connect

_LOG = structlog.get_logger()
_LISTENING_S = 3.0
"""How often we tell the engine that silence of the chargers would mean something."""
_UNKNOWN_S = 10.0
"""How long an unregistered charger is believed to stay so."""
_REPLAYED = 500
"""Kept messages of one transaction, when their charger becomes known."""
# Only such errors speak of a row; everything else (no connection, no table, disk full) of the
# database, and then the batch waits.
_ROW_ERRORS = (psycopg.DataError, psycopg.IntegrityError, UnicodeError, OverflowError, ValueError)


class KeepSome:
    """Bounds what quarantine keeps: a burst for each (who, why), then one a minute, and a cap."""

    def __init__(self, monotonic: Callable[[], float], *, burst: int = 20, per_minute: int = 600):
        self._monotonic = monotonic
        self._burst = burst
        self._per_minute = per_minute
        self._seen: dict[tuple[str, str], tuple[int, float]] = {}
        self._window = (monotonic(), 0)

    def __call__(self, who: str, why: str) -> bool:
        now = self._monotonic()
        started, kept = self._window
        if now - started >= 60:
            started, kept = now, 0
            self._seen = {k: v for k, v in self._seen.items() if now - v[1] < 3600}
        count, last = self._seen.get((who, why), (0, now))
        keep = kept < self._per_minute and (count < self._burst or now - last >= 60)
        if keep and len(self._seen) < 10_000:
            self._seen[who, why] = (count + 1, now)
        self._window = (started, kept + keep)
        return keep


class Writer:
    """Owns the database connection, the cache of the registry and the waiting messages."""

    def __init__(
        self,
        url: str,
        *,
        client_id: str,
        dialects: Dialects,
        clock: Clock,
        metrics: Metrics,
        retention_days: int,
        batch_rows: int,
        batch_ms: int,
        committed: Callable[[Sequence[Message]], None],
    ):
        self._url = url
        self._client_id = client_id
        self._dialects = dialects
        self.listening_since: datetime | None = None
        """Set by the link while it is subscribed."""
        self._database_since: datetime | None = None
        self._shown_at = 0.0
        self._clock = clock
        self._metrics = metrics
        self._retention_days = retention_days
        self._batch_rows = batch_rows
        self._batch_s = batch_ms / 1000
        self._committed = committed
        self.waiting: deque[Message] = deque()
        self.arrived = threading.Event()
        self.stopping = threading.Event()
        self.database_up = threading.Event()
        self._db: Db | None = None
        self._store: ObservationStore | None = None
        self._known: dict[str, KnownCharger] = {}
        self._unknown: dict[str, float] = {}
        self._registry_changed = False
        self._keep = KeepSome(time.monotonic)
        self._in_hand: list[Message] = []

    @property
    def backlog(self) -> int:
        """Messages taken from the broker and not yet committed."""
        return len(self.waiting) + len(self._in_hand)

    def run(self) -> None:
        """Until `stopping` is set and nothing waits. A broken database never ends it."""
        pause = 0.1
        while True:
            if not self._in_hand:
                self._in_hand = self._take()
                if not self._in_hand:
                    if self.stopping.is_set():
                        break
                    self._watch_registry()
                    continue
            try:
                self._write(self._in_hand)
            except psycopg.Error as error:
                self._database_lost(error)
                if self.stopping.is_set() and pause > 2:
                    break  # unacknowledged, so the broker keeps it for our successor
                self.stopping.wait(pause * random.uniform(0.5, 1.5))  # noqa: S311
                pause = min(pause * 2, 5.0)
                continue
            self._committed(self._in_hand)
            self._in_hand = []
            pause = 0.1
        if self._db is not None and self._store is not None:
            with contextlib.suppress(psycopg.Error):
                self._store.hide_listener(self._client_id)
            self._db.close()

    def _take(self) -> list[Message]:
        """The next batch: full, or `batch_ms` old, or nothing more came for a while."""
        if not self.waiting:
            self.arrived.wait(0.5)
            self.arrived.clear()
        if not self.waiting:
            return []
        until = time.monotonic() + self._batch_s
        quiet = self._batch_s / 4
        while (had := len(self.waiting)) < self._batch_rows and time.monotonic() < until:
            if self.stopping.wait(quiet) or len(self.waiting) == had:
                break
        return [self.waiting.popleft() for _ in range(min(len(self.waiting), self._batch_rows))]

    def _database_lost(self, error: psycopg.Error) -> None:
        self.database_up.clear()
        self._metrics.database_up.set(0)
        _LOG.warning("database is away, holding on", error=str(error).strip().splitlines()[:1])
        if self._db is not None:
            self._db.close()
        self._db = self._store = None

    def _connection(self) -> ObservationStore:
        if self._store is None:
            db = connect(self._url, application="pilewatch ingest")
            db.add_notify_handler(lambda _: self._forget_registry())
            db.execute("LISTEN pilewatch_registry")
            self._db, self._store = db, ObservationStore(db, retention_days=self._retention_days)
            self._forget_registry()
            self._database_since, self._shown_at = self._clock(), 0.0
            self.database_up.set()
            self._metrics.database_up.set(1)
        return self._store

    def _watch_registry(self) -> None:
        """Hear of registry changes, and of the database's death, while no messages come."""
        try:
            store = self._connection()
            store.db.execute("SELECT 1")  # brings what was notified meanwhile
            self._replay_kept(store)
            self._show_listening(store)
        except psycopg.Error as error:
            self._database_lost(error)
            self.stopping.wait(0.5)

    def _show_listening(self, store: ObservationStore) -> None:
        since, now = self.listening_since, time.monotonic()
        if since is None or self._database_since is None or now - self._shown_at < _LISTENING_S:
            return
        self._shown_at = now
        store.show_listener(self._client_id, max(since, self._database_since), self._clock())

    def _forget_registry(self) -> None:
        self._known.clear()
        self._unknown.clear()
        self._registry_changed = True

    def _replay_kept(self, store: ObservationStore) -> None:
        """What chargers said before they were registered, as if it came now, with its own times."""
        limit = _REPLAYED
        while self._registry_changed:
            try:
                count = self._replay(store, limit)
            except _ROW_ERRORS as error:
                if isinstance(error, psycopg.Error) and (store.db.closed or store.db.broken):
                    raise
                if limit == 1:
                    _LOG.error("a kept message cannot be stored", error=str(error))
                    store.take_kept(1, self._clock())
                limit = max(1, limit // 8)
                continue
            self._registry_changed = count == limit

    def _replay(self, store: ObservationStore, limit: int) -> int:
        with store.db.transaction():
            kept = store.take_kept(limit, self._clock())
            if kept:
                self._write_once(store, [read(_kept_message(*one), self._dialects) for one in kept])
        if kept:
            _LOG.info("kept messages replayed", messages=len(kept))
        return len(kept)

    def _write(self, messages: Sequence[Message]) -> None:
        """Commit these messages; one that the database cannot take is isolated and refused."""
        readings = [read(message, self._dialects) for message in messages]
        self._write_readings(readings)
        if self._store is not None:
            self._replay_kept(self._store)
            self._show_listening(self._store)
        self._metrics.lag.observe(max(0.0, time.time() - messages[0].received_us / 1e6))
        for reading in readings:
            if reading.unknown_fields:
                self._metrics.unknown_fields.inc()

    def _write_readings(self, readings: list[Reading]) -> None:
        store = self._connection()
        try:
            self._write_once(store, readings)
        except _ROW_ERRORS as error:
            if isinstance(error, psycopg.Error) and (store.db.closed or store.db.broken):
                raise
            if len(readings) > 1:
                half = len(readings) // 2
                self._write_readings(readings[:half])
                self._write_readings(readings[half:])
            elif readings[0].reason is not None:
                _LOG.error("a refused message could not be kept", error=str(error))
            else:
                said = f"the database cannot hold it: {str(error).splitlines()[0]}"
                self._write_readings([readings[0]._replace(reason=said, observations=[])])

    def _write_once(self, store: ObservationStore, readings: list[Reading]) -> None:
        self._look_up(store, readings)
        builder = BatchBuilder(self._known, self._keep).add_all(self._fresh(store, readings))
        now = self._clock()
        written = store.write(builder.build(), now)
        self._count(builder, written)

    def _look_up(self, store: ObservationStore, readings: list[Reading]) -> None:
        codes = {said.charger for r in readings for said in r.observations}
        now = time.monotonic()
        asked = [
            code
            for code in codes
            if code not in self._known and now - self._unknown.get(code, -1e9) > _UNKNOWN_S
        ]
        if asked:
            found = store.find_chargers(asked)
            self._known.update(found)
            if len(self._unknown) > 10_000:
                self._unknown.clear()
            self._unknown.update({code: now for code in asked if code not in found})

    def _fresh(self, store: ObservationStore, readings: list[Reading]) -> list[Reading]:
        """Without what came again, is stored already and carries no time of its own: whole messages
        that the broker redelivered, and single words that their dialect knows to be repeated."""
        doubtful: list[tuple[int, Observation]] = []
        for place, reading in enumerate(readings):
            again = reading.message.redelivered
            first = reading.observations[:1] if again else reading.observations
            doubtful += [(place, o) for o in first if again or o.redelivered]
        candidates = []
        for number, (_, said) in enumerate(doubtful):
            charger = self._known.get(said.charger)
            if said.digest is not None and charger is not None and said.kind != Kind.CONFIRM:
                candidates.append((number, charger.id, said.connector, int(said.kind), said.digest))
        if not candidates:
            return readings
        repeated = [doubtful[number] for number in store.find_repeated(candidates, self._clock())]
        self._metrics.messages.labels("duplicate").inc(len(repeated))
        whole = {place for place, _ in repeated if readings[place].message.redelivered}
        single = {id(said) for _, said in repeated}
        return [
            r._replace(observations=[o for o in r.observations if id(o) not in single])
            for place, r in enumerate(readings)
            if place not in whole
        ]

    def _count(self, builder: BatchBuilder, written: Written) -> None:
        metrics = self._metrics
        metrics.batch_rows.observe(len(builder.staged.rows))
        metrics.messages.labels("stored").inc(written.inserted)
        metrics.messages.labels("duplicate").inc(written.duplicates)
        metrics.events.inc(written.events)
        metrics.unknown_results.inc(written.unknown_results)
        for outcome, count in builder.refusals.items():
            metrics.messages.labels("refused").inc(count)
            metrics.quarantine.labels(outcome).inc(count)


def _kept_message(topic: str, payload: bytes, received_at: datetime) -> Message:
    at = microseconds(received_at)
    return Message(topic, payload, len(payload), at, 1, 0, False, False, 0)
