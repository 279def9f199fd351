"""The gateway's connection to the broker: paho in a thread of its own, spoken to from the loop.

While the broker is away paho keeps a bounded number of messages of QoS 1; what does not fit is
dropped and counted, and `missed` says so. `connected` is called after each connect.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from typing import Any

import paho.mqtt.client as mqtt
import structlog
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode

from ingest.ebike.metrics import Metrics
from ingest.ebike.native import Message
from ingest.session import authenticate
from pilewatch.settings import Mqtt
from pilewatch.wire import MAX_PAYLOAD, command_topic

_LOG = structlog.get_logger()
_KEPT = 20_000
_IN_FLIGHT = 500


class Publisher:
    """Publishes, and hears the commands of the chargers that are here. All methods and callbacks
    run in the event loop's thread."""

    def __init__(
        self,
        settings: Mqtt,
        client_id: str,
        *,
        metrics: Metrics,
    ):
        self._settings = settings
        self._metrics = metrics
        self.connected: Callable[[], None] = lambda: None
        self.commanded: Callable[[str, bytes], None] | None = None
        """Who takes commands; without it none are asked for."""
        self._loop = asyncio.get_running_loop()
        self._here: set[str] = set()
        self._waiting: dict[int, Callable[[], None]] = {}
        self._acknowledged: deque[int] = deque()
        self._told = False
        self.up = False
        self.missed = False
        """Something was dropped that only a new telling of all states brings back."""
        v5 = settings.version == "5"
        self._client = client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            protocol=mqtt.MQTTv5 if v5 else mqtt.MQTTv311,
            clean_session=None if v5 else True,
        )
        client.max_queued_messages_set(_KEPT)
        client.max_inflight_messages_set(_IN_FLIGHT)
        client.reconnect_delay_set(1, 10)
        client.on_connect = lambda _c, _d, _f, reason, _p: self._tell(self._on_connect, reason)
        client.on_disconnect = lambda _c, _d, _f, reason, _p: self._tell(self._on_lost, reason)
        client.on_publish = lambda _c, _d, mid, _r, _p: self._note_acknowledged(mid)
        client.on_message = lambda _c, _d, m: self._tell(self._on_message, m.topic, m.payload)

    def start(self) -> None:
        """Connect, now or as soon as there is a broker. Raises `OSError`, `ssl.SSLError` for
        certificates that cannot be used."""
        authenticate(self._client, self._settings)
        self._client.connect_async(
            self._settings.host, self._settings.port, self._settings.keepalive_s
        )
        self._client.loop_start()

    def stop(self) -> None:
        """Say goodbye."""
        self._client.disconnect()
        self._client.loop_stop()

    def publish(
        self, charger: str, message: Message, acknowledged: Callable[[], None] | None = None
    ) -> bool:
        """Hand a message over; False where it was dropped. `acknowledged`: the broker has it."""
        said = self._client.publish(
            message.topic(charger), message.payload, message.qos, message.retain
        )
        # paho keeps what has QoS 1 until there is a connection.
        kept = said.rc == MQTTErrorCode.MQTT_ERR_NO_CONN and message.qos > 0
        ok = kept or said.rc == MQTTErrorCode.MQTT_ERR_SUCCESS
        self._metrics.published.labels("sent" if ok else "dropped").inc()
        self.missed |= not ok and message.qos > 0
        if ok and acknowledged is not None:
            self._waiting[said.mid] = acknowledged
        return ok

    def hear(self, charger: str) -> None:
        """From now on take this charger's commands."""
        if charger not in self._here and self.commanded is not None:
            self._here.add(charger)
            if self.up:
                self._client.subscribe(command_topic(charger), 1)

    def leave(self, charger: str) -> None:
        """No longer."""
        if charger in self._here:
            self._here.discard(charger)
            if self.up:
                self._client.unsubscribe(command_topic(charger))

    def _tell(self, what: Callable[..., None], *values: Any) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: we are on our way out
            self._loop.call_soon_threadsafe(what, *values)

    def _on_connect(self, reason: Any) -> None:
        if reason.is_failure:
            _LOG.error("the broker refused us", reason=str(reason))
            return
        self.up = True
        self._metrics.broker_up.set(1)
        topics = [(command_topic(charger), 1) for charger in self._here]
        for first in range(0, len(topics), 100):
            self._client.subscribe(topics[first : first + 100])
        self.connected()

    def _on_lost(self, reason: Any) -> None:
        if self.up:
            _LOG.warning("broker is away", reason=str(reason))
        self.up = False
        self._metrics.broker_up.set(0)

    def _note_acknowledged(self, mid: int) -> None:
        """In paho's thread: one wake-up for many, since each fills the loop's own small pipe."""
        self._acknowledged.append(mid)
        if not self._told:
            self._told = True
            self._tell(self._take_acknowledged)

    def _take_acknowledged(self) -> None:
        self._told = False
        while self._acknowledged:
            acknowledged = self._waiting.pop(self._acknowledged.popleft(), None)
            if acknowledged is not None:
                acknowledged()

    def _on_message(self, topic: str, payload: bytes) -> None:
        parts = topic.split("/")
        if self.commanded is not None and len(parts) == 5 and len(payload) <= MAX_PAYLOAD:
            self.commanded(parts[2], payload)
