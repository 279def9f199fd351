"""One connection to the broker: how it is opened, what it subscribes to, and why it ended."""

import ssl
from collections.abc import Callable, Sequence
from typing import Any

import paho.mqtt.client as mqtt
import structlog
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from ingest.stream import Stream
from pilewatch.settings import Mqtt

_LOG = structlog.get_logger()
_SESSION_S = 7 * 24 * 3600
"""How long a broker keeps our session and its queue while we are away (MQTT 5)."""
_TAKEN_OVER = 142


class _Client(mqtt.Client):
    """paho over our stream."""

    def _create_socket(self) -> Any:
        return Stream(super()._create_socket(), v5=self._protocol == mqtt.MQTTv5)  # type: ignore[arg-type]


def authenticate(client: mqtt.Client, settings: Mqtt) -> None:
    """Name, password and certificates as the settings say. Raises `OSError`, `ssl.SSLError`."""
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


class Session:
    """A connection that was tried once. `heard` is told when we begin and cease to listen. Of the
    `subscriptions` the first, the native contract's, must be granted by the broker."""

    def __init__(
        self,
        settings: Mqtt,
        client_id: str,
        *,
        subscriptions: Sequence[str],
        receive_maximum: int,
        heard: Callable[[bool], None],
    ):
        self._settings = settings
        self._subscriptions = subscriptions
        self._receive_maximum = receive_maximum
        self._heard = heard
        self.up = False
        """Subscribed, on this connection."""
        self.problem: str | None = None
        self.taken_over = False
        self.left = False
        """The broker confirmed that we are out of the group."""
        self._leaving: set[int | None] = set()
        self._session_present = False
        self._asked: dict[int | None, list[str]] = {}
        self._once: dict[int | None, list[str]] = {}
        v5 = self._v5
        self.client = _Client(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            protocol=mqtt.MQTTv5 if v5 else mqtt.MQTTv311,
            clean_session=None if v5 else False,
            manual_ack=True,
        )
        # Ours is an external loop: without this paho would write each packet as it is made.
        self.client.on_socket_register_write = lambda *_: None
        self.client.on_connect = self._on_connect
        self.client.on_disconnect = self._on_disconnect
        self.client.on_subscribe = self._on_subscribe
        self.client.on_unsubscribe = self._on_unsubscribe

    @property
    def _v5(self) -> bool:
        return self._settings.version == "5"

    @property
    def stream(self) -> Stream | None:
        """While it lasts."""
        found = self.client.socket()
        return found if isinstance(found, Stream) else None

    def open(self) -> bool:
        """Connect; False (and `problem`) where it cannot be had."""
        settings, client = self._settings, self.client
        try:
            authenticate(client, settings)
            if self._v5:
                properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
                properties.SessionExpiryInterval = _SESSION_S
                properties.ReceiveMaximum = self._receive_maximum
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
            self.problem = str(error)
            return False
        return True

    def hang_up(self, problem: str) -> None:
        """End it from our side."""
        self.problem = problem
        self.client.disconnect()
        if (stream := self.stream) is not None:
            self.client.loop_write()
            stream.close()

    def leave_group(self) -> None:
        """Let the others of the group have what comes from now on; `left` tells when it is so."""
        self._leaving.add(self.client.unsubscribe(self._shared())[1])

    def _shared(self) -> list[str]:
        return [f"$share/{self._settings.share_group}/{topic}" for topic in self._subscriptions]

    def _on_connect(
        self, client: mqtt.Client, _data: Any, flags: Any, reason: Any, _properties: Any
    ) -> None:
        if reason.is_failure:
            self.problem = f"the broker refused us: {reason}"
            client.disconnect()
            return
        self._session_present = flags.session_present
        topics = list(self._subscriptions)
        if self._settings.share_group is None:
            # With a session of ours at the broker, retained messages would only be repeats.
            self._subscribe(topics, retain_handling=1)
            return
        self._subscribe(self._shared())
        if not self._session_present:
            # A shared subscription gets no retained messages: ask for them once, by ourselves.
            self._once[self._subscribe(topics)] = topics

    def _subscribe(self, topics: list[str], *, retain_handling: int = 0) -> int | None:
        if self._v5:
            options = SubscribeOptions(qos=1, retainHandling=retain_handling)
            mid = self.client.subscribe([(topic, options) for topic in topics])[1]
        else:
            mid = self.client.subscribe([(topic, 1) for topic in topics])[1]
        self._asked[mid] = topics
        return mid

    def _on_subscribe(
        self, client: mqtt.Client, _data: Any, mid: int, reasons: Any, _properties: Any
    ) -> None:
        asked = self._asked.pop(mid, [])
        for place, reason in enumerate(reasons):
            if reason.is_failure:
                topic = asked[place] if place < len(asked) else ""
                _LOG.error("subscription refused", topic=topic, reason=str(reason))
                if place == 0:
                    self.problem = f"the broker refused the subscription: {reason}"
                    client.disconnect()
                    return
        if mid in self._once:
            client.unsubscribe(self._once.pop(mid))
        if not self.up:
            self.up = True
            self._heard(True)
            _LOG.info("connected to the broker", session_present=self._session_present)

    def _on_unsubscribe(
        self, _client: mqtt.Client, _data: Any, mid: int, _reasons: Any, _properties: Any
    ) -> None:
        if mid in self._leaving:
            self._leaving.remove(mid)
            self.left = not self._leaving

    def _on_disconnect(
        self, _client: mqtt.Client, _data: Any, _flags: Any, reason: Any, _properties: Any
    ) -> None:
        self._heard(False)
        if reason.value == _TAKEN_OVER:
            self.taken_over = True
            self.problem = "taken over"
        elif self.problem is None:
            self.problem = f"disconnected: {reason}"
