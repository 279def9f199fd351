"""The reading half of the ingester: the broker's connection, in the calling thread alone.

The loop is ours rather than paho's thread, so that one thread reads, acknowledges and reconnects,
and so that a message can only be acknowledged on the connection that brought it.
"""

import contextlib
import random
import select
import socket
import ssl
import time
from collections import deque
from collections.abc import Sequence
from threading import Event
from typing import Any

import paho.mqtt.client as mqtt
import structlog
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from ingest.batch import KEPT_BYTES, Message
from ingest.dialect import DIALECTS
from ingest.metrics import Metrics
from ingest.writer import Writer
from pilewatch.clock import utc_now
from pilewatch.settings import Mqtt
from pilewatch.wire import MAX_PAYLOAD

_LOG = structlog.get_logger()
_READS_AT_ONCE = 200
_SESSION_S = 7 * 24 * 3600
"""How long a broker keeps our session and its queue while we are away (MQTT 5)."""
_MAX_WAITING_BYTES = 32_000_000
_PATIENCE_S = 5.0
"""With the buffer full and the database away for so long, we hang up and let the broker keep."""
_TAKEN_OVER = 142


class TakenOver(RuntimeError):
    """Another client uses our client id; two ingesters must not share one."""


class Link:
    """Reads from the broker into `writer.waiting`, and acknowledges what was committed."""

    def __init__(
        self,
        settings: Mqtt,
        client_id: str,
        *,
        unacknowledged: int,
        writer: Writer,
        metrics: Metrics,
    ):
        self._settings = settings
        self._client_id = client_id
        self._limit = unacknowledged
        self._writer = writer
        self._metrics = metrics
        self._to_acknowledge: deque[Message] = deque()
        self._wake_read, self._wake_write = socket.socketpair()
        self._wake_read.setblocking(False)
        self._wake_write.setblocking(False)
        self._connection = 0
        self._received = 0
        self._waiting_bytes = 0
        self._full_since: float | None = None
        self._up = False
        self._problem: str | None = None
        self._client: mqtt.Client | None = None

    def committed(self, messages: Sequence[Message]) -> None:
        """Called by the writer's thread after its commit."""
        self._to_acknowledge.extend(messages)
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
            if self._connect():
                pause = 0.2
                self._serve(stop)
                if self._problem == "taken over":
                    raise TakenOver(
                        f"another client uses the client id {self._client_id!r}; give each "
                        "ingester its own (mqtt.client_id)"
                    )
            if not stop.is_set():
                _LOG.warning("broker is away", problem=self._problem)
                stop.wait(pause * random.uniform(0.5, 1.5))  # noqa: S311
                pause = min(pause * 2, 30.0)
        self._finish()

    # --- connection

    def _connect(self) -> bool:
        """Open a connection and its session; False (and `_problem`) where it cannot be had."""
        self._connection += 1
        self._up, self._problem, self._full_since = False, None, None
        self._client = client = self._make_client()
        settings = self._settings
        try:
            if settings.version == "5":
                properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
                properties.SessionExpiryInterval = _SESSION_S
                properties.ReceiveMaximum = min(self._limit, 65535)
                client.connect(
                    settings.host,
                    settings.port,
                    settings.keepalive_s,
                    clean_start=False,
                    properties=properties,
                )
            else:
                client.connect(settings.host, settings.port, settings.keepalive_s)
        except (OSError, ssl.SSLError, ValueError) as error:
            self._problem = str(error)
            return False
        return True

    def _make_client(self) -> mqtt.Client:
        settings = self._settings
        v5 = settings.version == "5"
        client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id=self._client_id,
            protocol=mqtt.MQTTv5 if v5 else mqtt.MQTTv311,
            clean_session=None if v5 else False,
            manual_ack=True,
        )
        if settings.username is not None:
            secret = settings.password
            client.username_pw_set(
                settings.username, None if secret is None else secret.get_secret_value()
            )
        if settings.tls or settings.ca_file is not None:
            context = ssl.create_default_context(cafile=settings.ca_file)
            if settings.cert_file is not None:
                context.load_cert_chain(settings.cert_file, settings.key_file)
            client.tls_set_context(context)
        connection = self._connection
        waiting = self._writer.waiting

        def on_message(_client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
            self._received += 1
            try:
                topic: str | None = message.topic
            except UnicodeDecodeError:
                topic = None
            payload = bytes(message.payload)
            size = len(payload)
            if size > MAX_PAYLOAD:
                payload = payload[:KEPT_BYTES]
            if len(waiting) >= 2 * self._limit and message.qos == 0:
                self._metrics.dropped.inc()
                return
            self._waiting_bytes += size
            waiting.append(
                Message(
                    topic,
                    payload,
                    size,
                    time.time_ns() // 1000,
                    message.qos,
                    message.mid,
                    message.retain,
                    message.dup,
                    connection,
                )
            )

        # Ours is an external loop: without this paho would write out each acknowledgement alone.
        client.on_socket_register_write = lambda *_: None
        client.on_message = on_message
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_subscribe = self._on_subscribe
        return client

    def _on_connect(
        self, client: mqtt.Client, _data: Any, flags: Any, reason: Any, _properties: Any
    ) -> None:
        if reason.is_failure:
            self._problem = f"the broker refused us: {reason}"
            client.disconnect()
            return
        for dialect in DIALECTS:
            self._subscribe(client, dialect.subscription, fresh=not flags.session_present)
        _LOG.info("connected to the broker", session_present=flags.session_present)

    def _subscribe(self, client: mqtt.Client, topic: str, *, fresh: bool) -> None:
        group = self._settings.share_group
        if group is None:
            # With a session of ours at the broker, retained messages would only be repeats.
            options = SubscribeOptions(qos=1, retainHandling=1)
            client.subscribe(topic, options=options) if self._v5 else client.subscribe(topic, 1)
            return
        if self._v5:
            client.subscribe(f"$share/{group}/{topic}", options=SubscribeOptions(qos=1))
        else:
            client.subscribe(f"$share/{group}/{topic}", 1)
        if fresh:
            # A shared subscription gets no retained messages: ask for them once, by ourselves.
            client.subscribe(topic, options=SubscribeOptions(qos=1)) if self._v5 else (
                client.subscribe(topic, 1)
            )
            client.unsubscribe(topic)

    @property
    def _v5(self) -> bool:
        return self._settings.version == "5"

    def _on_subscribe(
        self, client: mqtt.Client, _data: Any, _mid: int, reasons: Any, _properties: Any
    ) -> None:
        for reason in reasons:
            if reason.is_failure:
                self._problem = f"the broker refused the subscription: {reason}"
                _LOG.error("subscription refused", reason=str(reason))
                client.disconnect()
                return
        self._up = True
        self._writer.listening_since = utc_now()
        self._metrics.connected.set(1)

    def _on_disconnect(
        self, _client: mqtt.Client, _data: Any, _flags: Any, reason: Any, _properties: Any
    ) -> None:
        self._metrics.connected.set(0)
        self._writer.listening_since = None
        if reason.value == _TAKEN_OVER:
            self._problem = "taken over"
        elif self._problem is None:
            self._problem = f"disconnected: {reason}"

    # --- the loop

    def _serve(self, stop: Event) -> None:
        """Until the connection ends, or we hang up because nothing can be stored."""
        client = self._client
        assert client is not None
        housekeeping = 0.0
        while not stop.is_set():
            transport = client.socket()
            if transport is None:
                return
            self._one_turn(client, transport, reading=not self._is_full())
            now = time.monotonic()
            if now - housekeeping > 0.5:
                housekeeping = now
                self._metrics.unacknowledged.set(self._writer.backlog)
                if client.loop_misc() != MQTTErrorCode.MQTT_ERR_SUCCESS:
                    return
                if self._full_since is not None and now - self._full_since > _PATIENCE_S:
                    self._hang_up(client)
                    return

    def _one_turn(self, client: mqtt.Client, transport: Any, *, reading: bool) -> None:
        readers = [transport, self._wake_read] if reading else [self._wake_read]
        writers = [transport] if client.want_write() else []
        pending = reading and hasattr(transport, "pending") and transport.pending() > 0
        try:
            readable, writable, _ = select.select(readers, writers, [], 0 if pending else 0.25)
        except (OSError, ValueError):
            client.loop_misc()
            return
        if self._wake_read in readable:
            with contextlib.suppress(BlockingIOError):
                self._wake_read.recv(4096)
        if transport in readable or pending:
            self._read(client)
        if writable:
            client.loop_write()
        self._acknowledge(client)

    def _read(self, client: mqtt.Client) -> None:
        """Everything that lies ready, up to a bound: a select for each message costs a third."""
        started = self._received
        for _ in range(_READS_AT_ONCE):
            before = self._received
            if client.loop_read() != MQTTErrorCode.MQTT_ERR_SUCCESS or before == self._received:
                break
        if self._received != started:
            self._writer.arrived.set()

    def _acknowledge(self, client: mqtt.Client) -> None:
        queue = self._to_acknowledge
        some = bool(queue)
        while queue:
            message = queue.popleft()
            self._waiting_bytes -= message.size
            # On another connection the same number may belong to another message.
            if message.qos and message.connection == self._connection:
                client.ack(message.mid, message.qos)
        if some:
            client.loop_write()

    def _is_full(self) -> bool:
        backlog = self._writer.backlog
        full = backlog >= self._limit or self._waiting_bytes > _MAX_WAITING_BYTES
        if full and not self._writer.database_up.is_set():
            self._full_since = self._full_since or time.monotonic()
        else:
            self._full_since = None
        # MQTT 5's receive maximum bounds QoS 1; reading on keeps the connection alive.
        return full

    def _hang_up(self, client: mqtt.Client) -> None:
        self._problem = "the database is away and the buffer is full; the broker keeps the rest"
        _LOG.warning("hanging up until the database is back", waiting=self._writer.backlog)
        client.disconnect()
        self._drop_connection(client)

    def _drop_connection(self, client: mqtt.Client) -> None:
        transport = client.socket()
        if transport is not None:
            transport.close()

    def _finish(self) -> None:
        """Drain: the writer commits what waits, we acknowledge it, then say goodbye."""
        self._writer.stopping.set()
        self._writer.arrived.set()
        until = time.monotonic() + 15
        client = self._client
        while time.monotonic() < until and self._writer.backlog:
            self._drain_turn(client)
        self._drain_turn(client)
        if client is not None and client.socket() is not None:
            while client.want_write() and time.monotonic() < until:
                client.loop_write()
            client.disconnect()
        _LOG.info("stopped", unacknowledged=self._writer.backlog)

    def _drain_turn(self, client: mqtt.Client | None) -> None:
        select.select([self._wake_read], [], [], 0.1)
        with contextlib.suppress(BlockingIOError):
            self._wake_read.recv(4096)
        if client is not None and client.socket() is not None:
            self._acknowledge(client)
            client.loop_write()
