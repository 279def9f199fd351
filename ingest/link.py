"""The reading half of the ingester: the broker's connection, in the calling thread alone.

The loop is ours rather than paho's thread, so that one thread reads, acknowledges and reconnects,
and so that a message can only be acknowledged on the connection that brought it.
"""

import contextlib
import random
import select
import socket
import time
from collections import deque
from collections.abc import Sequence
from threading import Event
from typing import Any

import structlog
from paho.mqtt.enums import MQTTErrorCode

from ingest.batch import KEPT_BYTES, Message
from ingest.metrics import Metrics
from ingest.session import Session
from ingest.stream import Malformed, Stream, acknowledgements
from ingest.writer import Writer
from pilewatch.clock import utc_now
from pilewatch.settings import Mqtt
from pilewatch.wire import MAX_PAYLOAD

_LOG = structlog.get_logger()
_MAX_WAITING_BYTES = 32_000_000
_PATIENCE_S = 5.0
"""With the buffer full and the database away for so long, we hang up and let the broker keep."""
_TOPICS = 50_000
_LEAVE_S = 10.0
_QUIET_S = 0.5


class TakenOver(RuntimeError):
    """Another client uses our client id; two ingesters must not share one."""


class Link:
    """Reads from the broker into `writer.waiting`, and acknowledges what was committed."""

    def __init__(
        self,
        settings: Mqtt,
        client_id: str,
        *,
        subscriptions: Sequence[str],
        unacknowledged: int,
        writer: Writer,
        metrics: Metrics,
    ):
        self._settings = settings
        self._client_id = client_id
        self._subscriptions = subscriptions
        self._limit = unacknowledged
        self._writer = writer
        self._metrics = metrics
        self._to_acknowledge: deque[Sequence[Message]] = deque()
        self._wake_read, self._wake_write = socket.socketpair()
        self._wake_read.setblocking(False)
        self._wake_write.setblocking(False)
        self._connection = 0
        self._waiting_bytes = 0
        self._full_since: float | None = None
        self._session: Session | None = None
        self._topics: dict[bytes, str] = {}
        self._received_us = 0

    @property
    def up(self) -> bool:
        """Whether we are subscribed."""
        return self._session is not None and self._session.up

    def committed(self, messages: Sequence[Message]) -> None:
        """Called by the writer's thread after its commit."""
        self._to_acknowledge.append(messages)
        self.wake()

    def wake(self) -> None:
        """Let the loop look around now."""
        with contextlib.suppress(BlockingIOError):  # it has not yet looked at the last one
            self._wake_write.send(b"x")

    def run(self, stop: Event) -> None:
        """Until `stop`; then nothing more is read, and what is waiting is committed and
        acknowledged. Raises `TakenOver`."""
        pause = 0.2
        while not stop.is_set():
            self._writer.database_up.wait(0.5)
            if not self._writer.database_up.is_set():
                continue  # nothing could be stored: the broker is the better keeper
            self._connection += 1
            self._full_since = None
            self._session = session = Session(
                self._settings,
                self._client_id,
                subscriptions=self._subscriptions,
                receive_maximum=min(self._limit, 65535),
                heard=self._heard,
            )
            if session.open():
                self._serve(session, stop)
                self._leave_group(session)
                if session.taken_over:
                    raise TakenOver(
                        f"another client uses the client id {self._client_id!r}; give each "
                        "ingester its own (mqtt.client_id)"
                    )
                if session.up:
                    pause = 0.2
            if not stop.is_set():
                _LOG.warning("broker is away", problem=session.problem)
                stop.wait(pause * random.uniform(0.5, 1.5))  # noqa: S311
                pause = min(pause * 2, 30.0)
        self._finish()

    def _heard(self, up: bool) -> None:
        self._metrics.connected.set(int(up))
        self._writer.listening_since = utc_now() if up else None

    def _serve(self, session: Session, stop: Event) -> None:
        """Until the connection ends, or we hang up because nothing can be stored."""
        housekeeping = 0.0
        while not stop.is_set():
            stream = session.stream
            if stream is None:
                return
            try:
                self._one_turn(session, stream, reading=not self._is_full())
            except Malformed as error:
                session.hang_up(str(error))
                return
            now = time.monotonic()
            if now - housekeeping > 0.5:
                housekeeping = now
                self._metrics.unacknowledged.set(self._writer.backlog)
                if session.client.loop_misc() != MQTTErrorCode.MQTT_ERR_SUCCESS:
                    return
                if self._full_since is not None and now - self._full_since > _PATIENCE_S:
                    _LOG.warning(
                        "hanging up until the database is back", waiting=self._writer.backlog
                    )
                    session.hang_up(
                        "the database is away and the buffer is full; the broker keeps the rest"
                    )
                    return

    def _leave_group(self, session: Session) -> None:
        """A broker may go on queueing a group's messages for a member that is away: so leave it,
        and take what is queued for us already. What we do not get to stays in our session."""
        if self._settings.share_group is None or not session.up:
            return
        session.leave_group()
        until = time.monotonic() + _LEAVE_S
        quiet_since = time.monotonic()
        while (now := time.monotonic()) < until and (stream := session.stream) is not None:
            self._one_turn(session, stream, reading=not self._is_full())
            if not session.left or self._writer.backlog:
                quiet_since = now
            elif now - quiet_since > _QUIET_S:
                return

    def _one_turn(self, session: Session, stream: Stream, *, reading: bool) -> None:
        readers: list[Any] = [stream, self._wake_read] if reading else [self._wake_read]
        pending = reading and stream.pending() > 0
        self._flush(session, stream)
        writers = [stream] if stream.wants_write else []
        try:
            readable, _, _ = select.select(readers, writers, [], 0 if pending else 0.25)
        except (OSError, ValueError):
            session.client.loop_misc()
            return
        if self._wake_read in readable:
            with contextlib.suppress(BlockingIOError):
                self._wake_read.recv(4096)
        if stream in readable or pending:
            self._read(session, stream)
        self._acknowledge(session, stream)

    def _flush(self, session: Session, stream: Stream) -> None:
        if session.client.want_write():
            session.client.loop_write()
        stream.flush()
        if stream.broken:
            session.client.loop_read()  # paho finds out how, and closes

    def _read(self, session: Session, stream: Stream) -> None:
        stream.fill()
        taken = self._take(stream)
        while stream.other_waits() or stream.broken:
            if session.client.loop_read() != MQTTErrorCode.MQTT_ERR_SUCCESS or stream.broken:
                break
            taken += self._take(stream)
        if taken:
            self._writer.arrived.set()

    def _take(self, stream: Stream) -> int:
        """Every PUBLISH that lies ready goes to the writer; gives how many."""
        taken = 0
        topics, waiting, connection = self._topics, self._writer.waiting, self._connection
        # Each its own microsecond: what has no time of its own is told apart, and ordered, by it.
        received_us = max(time.time_ns() // 1000, self._received_us)
        for name, payload, qos, mid, retain, dup in stream.publishes():
            topic = topics.get(name) or self._new_topic(name)
            size = len(payload)
            if not qos and len(waiting) >= 2 * self._limit:
                self._metrics.dropped.inc()
                continue
            taken += 1
            received_us += 1
            self._waiting_bytes += size
            kept = payload if size <= MAX_PAYLOAD else payload[:KEPT_BYTES]
            waiting.append(
                Message(topic, kept, size, received_us, qos, mid, retain, dup, connection)
            )
        self._received_us = received_us
        return taken

    def _new_topic(self, name: bytes) -> str | None:
        try:
            topic = name.decode()
        except UnicodeDecodeError:
            return None
        if len(self._topics) >= _TOPICS:
            self._topics.clear()
        self._topics[name] = topic
        return topic

    def _acknowledge(self, session: Session, stream: Stream) -> None:
        queue = self._to_acknowledge
        while queue:
            messages = queue.popleft()
            self._waiting_bytes -= sum(message.size for message in messages)
            # On another connection the same number may belong to another message.
            mids = [m.mid for m in messages if m.qos and m.connection == self._connection]
            stream.send(acknowledgements(mids))
        self._flush(session, stream)

    def _is_full(self) -> bool:
        backlog = self._writer.backlog
        full = backlog >= self._limit or self._waiting_bytes > _MAX_WAITING_BYTES
        if full and not self._writer.database_up.is_set():
            self._full_since = self._full_since or time.monotonic()
        else:
            self._full_since = None
        # MQTT 5's receive maximum bounds QoS 1; reading on keeps the connection alive.
        return full

    def _finish(self) -> None:
        """Drain: the writer commits what waits, we acknowledge it, then say goodbye."""
        self._writer.stopping.set()
        self._writer.arrived.set()
        until = time.monotonic() + 15
        while time.monotonic() < until and self._writer.backlog:
            self._drain_turn()
        self._drain_turn()
        session = self._session
        if session is not None and session.stream is not None:
            while (stream := session.stream) and stream.wants_write and time.monotonic() < until:
                select.select([], [stream], [], 0.1)
                stream.flush()
            session.hang_up("stopped")
        _LOG.info("stopped", unacknowledged=self._writer.backlog)

    def _drain_turn(self) -> None:
        select.select([self._wake_read], [], [], 0.1)
        with contextlib.suppress(BlockingIOError):
            self._wake_read.recv(4096)
        session = self._session
        if session is not None and (stream := session.stream) is not None:
            self._acknowledge(session, stream)
