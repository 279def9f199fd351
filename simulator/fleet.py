"""The fleet's radios: thousands of MQTT connections in one thread, driven by one selector."""

import contextlib
import random
import selectors
import ssl
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

import paho.mqtt.client as mqtt
import structlog
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode

from pilewatch.openfiles import allow_connections
from pilewatch.settings import Mqtt
from pilewatch.wire import ROOT
from simulator.messages import WILL, LinkChange, Sent, topic
from simulator.metrics import Metrics

_LOG = structlog.get_logger()
_KEPT_EACH = 500
"""Messages that one connection keeps while the broker is away; the oldest go first."""
_AT_ONCE = 40
"""Connections that are being made at the same time."""
_IN_FLIGHT = 200
_CONNECT_S = 10.0

Obey = Callable[[str, bytes], None]


class _Line:
    """One connection, of one charger or of all."""

    def __init__(self, name: str, keep: int):
        self.name = name
        self.client: mqtt.Client | None = None
        self.watched: Any = None
        self.up = False
        self.wanted = False
        self.since = 0.0
        self.kept: deque[Sent] = deque(maxlen=keep)


class Fleet:
    """Carries what the world sends to the broker, and commands back through `obey`."""

    def __init__(
        self, settings: Mqtt, chargers: Iterable[str], metrics: Metrics, obey: Obey, *, shared: bool
    ):
        self._settings = settings
        self._metrics = metrics
        self._obey = obey
        self._selector = selectors.DefaultSelector()
        codes = list(chargers)
        if shared:
            line = _Line(settings.client_id or "pilewatch-simulator", _KEPT_EACH * len(codes))
            line.wanted = True
            self._lines = dict.fromkeys(codes, line)
            self._all = [line]
        else:
            allow_connections(len(codes))
            self._lines = {code: _Line(code, _KEPT_EACH) for code in codes}
            self._all = list(self._lines.values())
        self._shared = shared
        self._dialling: deque[_Line] = deque(self._all if shared else ())
        self._connecting: set[_Line] = set()
        self._retry_at = 0.0
        self._pause = 0.5
        self._housekeeping = 0.0
        self._tls = self._make_tls()
        self.connected = 0

    # --- from the world

    def carry(self, item: Sent | LinkChange) -> None:
        """Send a message, or let a charger's connection come or die."""
        line = self._lines[item.charger]
        if isinstance(item, Sent):
            self._send(line, item)
        elif self._shared:
            if item.change == "drop":
                self._send(
                    line, Sent(item.at, item.charger, topic(item.charger, "online"), WILL, 1, True)
                )
        elif item.change == "connect":
            line.wanted = True
            self._dialling.append(line)
        else:
            line.wanted = False
            line.kept.clear()
            self._forget(line)

    def _send(self, line: _Line, item: Sent) -> None:
        client = line.client
        if client is not None and line.up and not line.kept:
            said = client.publish(item.topic, item.payload, item.qos, item.retain)
            if said.rc == MQTTErrorCode.MQTT_ERR_SUCCESS:
                self._metrics.sent.labels("sent").inc()
                return
            if item.qos and said.rc == MQTTErrorCode.MQTT_ERR_NO_CONN:
                return  # paho holds it and sends it again
        if len(line.kept) == line.kept.maxlen:
            self._metrics.sent.labels("dropped").inc()
        line.kept.append(item)

    # --- connections

    def _make_tls(self) -> ssl.SSLContext | None:
        settings = self._settings
        if not settings.tls and settings.ca_file is None:
            return None
        context = ssl.create_default_context(cafile=settings.ca_file)
        if settings.cert_file is not None:
            context.load_cert_chain(settings.cert_file, settings.key_file)
        return context

    def _make_client(self, line: _Line) -> mqtt.Client:
        settings = self._settings
        v5 = settings.version == "5"
        client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id=line.name,
            protocol=mqtt.MQTTv5 if v5 else mqtt.MQTTv311,
            clean_session=None if v5 else True,
        )
        if settings.username is not None:
            secret = settings.password
            client.username_pw_set(
                settings.username, None if secret is None else secret.get_secret_value()
            )
        if self._tls is not None:
            client.tls_set_context(self._tls)
        client.max_inflight_messages_set(_IN_FLIGHT)
        client.max_queued_messages_set(line.kept.maxlen or 0)
        if not self._shared:
            client.will_set(topic(line.name, "online"), WILL, qos=1, retain=True)

        def on_connect(_c: mqtt.Client, _d: Any, _f: Any, reason: Any, _p: Any) -> None:
            self._connecting.discard(line)
            if reason.is_failure:
                self._away(f"the broker refused {line.name}: {reason}")
                return
            line.up = True
            self._pause = 0.5
            who = "+" if self._shared else line.name
            client.subscribe(f"{ROOT}/{who}/down/command", 1)

        def on_message(_c: mqtt.Client, _d: Any, message: mqtt.MQTTMessage) -> None:
            charger = message.topic.split("/")[2]
            if charger in self._lines and len(message.payload) <= 16384:
                self._obey(charger, bytes(message.payload))

        client.on_connect = on_connect
        client.on_message = on_message
        return client

    def _dial(self, line: _Line) -> None:
        if not line.wanted or line.watched is not None:
            return
        settings = self._settings
        try:
            if line.client is None:
                line.client = self._make_client(line)
                line.client.connect(settings.host, settings.port, settings.keepalive_s)
            else:
                line.client.reconnect()
        except (OSError, ValueError) as error:
            self._away(str(error))
            self._dialling.append(line)
            return
        line.watched = line.client.socket()
        line.since = time.monotonic()
        self._connecting.add(line)
        self._selector.register(line.watched, selectors.EVENT_READ, line)

    def _away(self, problem: str) -> None:
        now = time.monotonic()
        if now >= self._retry_at:
            _LOG.warning("broker is away", problem=problem)
        self._retry_at = now + self._pause * random.uniform(0.5, 1.5)
        self._pause = min(self._pause * 2, 15.0)

    def _unwatch(self, line: _Line) -> None:
        if line.watched is not None:
            self._selector.unregister(line.watched)
            line.watched = None
        self._connecting.discard(line)
        line.up = False

    def _forget(self, line: _Line) -> None:
        """Die without goodbye: the broker publishes the will."""
        transport = line.watched
        self._unwatch(line)
        if transport is not None:
            with contextlib.suppress(OSError):
                transport.shutdown(2)
            transport.close()
        line.client = None

    def _lost(self, line: _Line) -> None:
        """The broker hung up, or could not be kept."""
        self._unwatch(line)
        if line.wanted and line not in self._dialling:
            self._away(f"lost the connection of {line.name}")
            self._dialling.append(line)

    # --- the loop

    def turn(self, seconds: float) -> None:
        """Read, write and reconnect for so long at most."""
        now = time.monotonic()
        if now >= self._retry_at:
            while self._dialling and len(self._connecting) < _AT_ONCE and now >= self._retry_at:
                self._dial(self._dialling.popleft())
                now = time.monotonic()
        if now - self._housekeeping > 0.5:
            self._housekeeping = now
            self._keep_house(now)
        for key, events in self._selector.select(seconds):
            self._serve(key.data, events)

    def _serve(self, line: _Line, events: int) -> None:
        client = line.client
        if client is None or line.watched is None:
            return
        try:
            if events & selectors.EVENT_READ:
                client.loop_read()
            if events & selectors.EVENT_WRITE:
                client.loop_write()
        except (OSError, ValueError) as error:
            _LOG.warning("connection failed", charger=line.name, problem=str(error))
            self._lost(line)
            return
        if client.socket() is None:
            self._lost(line)
            return
        while line.up and line.kept:
            item = line.kept[0]
            said = client.publish(item.topic, item.payload, item.qos, item.retain)
            if said.rc == MQTTErrorCode.MQTT_ERR_QUEUE_SIZE:
                break
            line.kept.popleft()
            self._metrics.sent.labels("sent").inc()
        self._watch(line, client)

    def _watch(self, line: _Line, client: mqtt.Client) -> None:
        if line.watched is not None and client.socket() is not None:
            wanted = selectors.EVENT_READ
            if client.want_write():
                wanted |= selectors.EVENT_WRITE
            if self._selector.get_key(line.watched).events != wanted:
                self._selector.modify(line.watched, wanted, line)

    def _keep_house(self, now: float) -> None:
        self.connected = 0
        for line in self._all:
            client = line.client
            if client is None or line.watched is None:
                continue
            late = not line.up and now - line.since > _CONNECT_S
            if late or client.loop_misc() != MQTTErrorCode.MQTT_ERR_SUCCESS:
                self._lost(line)
                continue
            self.connected += line.up
            self._watch(line, client)
        self._metrics.connected.set(self.connected)

    def close(self) -> None:
        """Give what waits a moment to leave, then say goodbye on every connection."""
        until = time.monotonic() + 5
        while time.monotonic() < until and any(
            line.up and line.client and (line.client.want_write() or line.kept)
            for line in self._all
        ):
            self.turn(0.02)
        for line in self._all:
            if line.client is not None and line.watched is not None:
                self._unwatch(line)
                line.client.disconnect()
                transport = line.client.socket()
                if transport is not None:
                    transport.close()
        self._selector.close()
