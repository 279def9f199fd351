"""The connection to the broker: paho in its own thread, publishing awaited in the event loop."""

import asyncio
from collections.abc import Callable
from typing import Any

import paho.mqtt.client as mqtt
import structlog
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode

from ingest.ocpp.metrics import Metrics
from ingest.ocpp.station import Said
from ingest.session import authenticate
from pilewatch.settings import Mqtt
from pilewatch.wire import command_topic

_LOG = structlog.get_logger()
_QUEUED = 20_000
_INFLIGHT = 1000


class Away(ConnectionError):
    """The broker did not take it in time."""


class Line:
    """Publishes with QoS 1 and hears commands. paho repeats what was not acknowledged when the
    broker comes back, so a message may arrive although `tell` gave up: the ingester knows doubles.

    `heard` gets charger and payload of a command; `came_up` is called at each connection.
    """

    def __init__(
        self,
        settings: Mqtt,
        client_id: str,
        metrics: Metrics,
        *,
        heard: Callable[[str, bytes], None] = lambda _charger, _payload: None,
        came_up: Callable[[], None] = lambda: None,
    ):
        self._settings = settings
        self._metrics = metrics
        self._heard = heard
        self._came_up = came_up
        self._loop: asyncio.AbstractEventLoop | None = None
        self._up = asyncio.Event()
        self._waiting: dict[int, asyncio.Future[int]] = {}
        self._chargers: set[str] = set()
        v5 = settings.version == "5"
        self.client = client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            protocol=mqtt.MQTTv5 if v5 else mqtt.MQTTv311,
            clean_session=None if v5 else True,
        )
        client.max_inflight_messages_set(_INFLIGHT)
        client.max_queued_messages_set(_QUEUED)
        client.reconnect_delay_set(1, 30)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_publish = self._on_publish
        client.on_message = self._on_message
        authenticate(client, settings)

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Connect, and again whenever the connection is lost."""
        self._loop = loop
        settings = self._settings
        self.client.connect_async(settings.host, settings.port, settings.keepalive_s)
        self.client.loop_start()

    def stop(self) -> None:
        """Say goodbye."""
        self.client.disconnect()
        self.client.loop_stop()

    async def tell(self, charger: str, said: list[Said], within_s: float) -> None:
        """Publish in this order; returns when the broker has all of it. Raises `Away`."""
        if not said:
            return
        try:
            async with asyncio.timeout(within_s):
                await self._up.wait()
                for answer in [self._publish(charger, one) for one in said]:
                    if (code := await answer) >= 0x80:
                        raise Away(f"the broker refused it with {code:#x}")
        except TimeoutError:
            raise Away("no acknowledgement in time") from None
        self._metrics.published.inc(len(said))

    def _publish(self, charger: str, said: Said) -> "asyncio.Future[int]":
        assert self._loop is not None
        info = self.client.publish(said.topic(charger), said.payload(), qos=1, retain=said.retain)
        if info.rc == MQTTErrorCode.MQTT_ERR_QUEUE_SIZE:
            raise Away("too much waits for the broker")
        # Acknowledged in the loop, so never before it is noted here.
        waiting = self._waiting[info.mid] = self._loop.create_future()
        return waiting

    def offer(self, charger: str, said: Said) -> bool:
        """Publish from any thread without waiting; whether there was room for it."""
        info = self.client.publish(said.topic(charger), said.payload(), qos=1, retain=said.retain)
        return info.rc != MQTTErrorCode.MQTT_ERR_QUEUE_SIZE

    def listen(self, charger: str) -> None:
        """Take commands for a charger that is here."""
        self._chargers.add(charger)
        if self._up.is_set():
            self.client.subscribe(command_topic(charger), 1)

    def ignore(self, charger: str) -> None:
        """It is gone: let the broker say that nobody listens."""
        self._chargers.discard(charger)
        if self._up.is_set():
            self.client.unsubscribe(command_topic(charger))

    # --- paho's thread

    def _on_connect(self, _c: Any, _d: Any, _flags: Any, reason: Any, _p: Any) -> None:
        if reason.is_failure:
            _LOG.error("the broker refused us", reason=str(reason))
        else:
            self._soon(self._connected)

    def _on_disconnect(self, _c: Any, _d: Any, _flags: Any, reason: Any, _p: Any) -> None:
        _LOG.warning("broker is away", reason=str(reason))
        self._soon(self._disconnected)

    def _on_publish(self, _c: Any, _d: Any, mid: int, reason: Any, _p: Any) -> None:
        self._soon(self._acknowledged, mid, reason.value)

    def _on_message(self, _c: Any, _d: Any, message: mqtt.MQTTMessage) -> None:
        self._soon(self._heard, message.topic.split("/")[2], message.payload)

    def _soon(self, what: Callable[..., None], *arguments: Any) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(what, *arguments)

    # --- the event loop

    def _connected(self) -> None:
        _LOG.info("connected to the broker")
        self._up.set()
        self._metrics.broker_up.set(1)
        for charger in self._chargers:
            self.client.subscribe(command_topic(charger), 1)
        self._came_up()

    def _disconnected(self) -> None:
        self._up.clear()
        self._metrics.broker_up.set(0)

    def _acknowledged(self, mid: int, code: int) -> None:
        waiting = self._waiting.pop(mid, None)
        if waiting is not None and not waiting.done():
            waiting.set_result(code)
