"""A gateway or a tap in a thread, raw websockets as chargers, and what the broker got."""

import asyncio
import base64
import json
import queue
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from prometheus_client import CollectorRegistry
from websockets.sync.client import ClientConnection, connect

from ingest.ocpp.gateway import Gateway
from ingest.ocpp.memory import set_password
from ingest.ocpp.tap import Tap, Tapped
from pilewatch.clock import utc_now
from pilewatch.settings import Database, Mqtt, Ocpp, Settings
from pilewatch.store.pool import connect as connect_database
from pilewatch.store.registry import load_registry
from tests.ingest.conftest import REGISTRY, wait_until

PASSWORD = "0123456789abcdef"


@pytest.fixture
def database(plain_database_url: str, tmp_path: Path) -> str:
    """C1 and C2 are registered and have a password."""
    file = tmp_path / "registry.yaml"
    file.write_text(REGISTRY)
    with connect_database(plain_database_url, application="test") as db:
        load_registry(db, file)
        for charger in ("C1", "C2"):
            set_password(db, charger, PASSWORD.encode(), utc_now())
    return plain_database_url


def settings_of(database: str, broker: int, **more: Any) -> Settings:
    """Of a gateway that listens anywhere."""
    ocpp = {"port": 0, "settle_s": 30, "answer_s": 5, "command_s": 5, **more}
    return Settings(
        database=Database(url=database),
        mqtt=Mqtt(host="127.0.0.1", port=broker, client_id=uuid.uuid4().hex),
        ocpp=Ocpp(**ocpp),
    )


@contextmanager
def _in_a_thread(make: Callable[[], Gateway | Tap]) -> Iterator[Any]:
    """Run it in an event loop of its own until the end of the block."""
    ready: queue.Queue[Any] = queue.Queue()

    async def work() -> None:
        thing, stop = make(), asyncio.Event()
        running = asyncio.create_task(thing.run(stop))
        while not running.done():
            try:
                thing.port  # noqa: B018 - there once it listens
                break
            except AssertionError:
                await asyncio.sleep(0.01)
        ready.put((thing, asyncio.get_running_loop(), stop))
        await running

    thread = threading.Thread(target=lambda: asyncio.run(work()))
    thread.start()
    thing, loop, stop = ready.get(timeout=20)
    try:
        yield thing
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(30)
        assert not thread.is_alive()


@contextmanager
def gateway(database: str, broker: int, **more: Any) -> Iterator[Gateway]:
    """A gateway that listens."""
    settings = settings_of(database, broker, **more)
    with _in_a_thread(lambda: Gateway(settings, registry=CollectorRegistry())) as running:
        wait_until(running.hall.line._up.is_set)
        yield running


@contextmanager
def tap(broker: int, upstream: int, path: str = "") -> Iterator[Tap]:
    """A tap before an upstream on this machine."""
    settings = settings_of("postgresql://nobody@127.0.0.1:1/nothing", broker)
    tapped = Tapped.read(f"ws://127.0.0.1:{upstream}{path}", listen=("127.0.0.1", 0))
    with _in_a_thread(lambda: Tap(settings, tapped, registry=CollectorRegistry())) as running:
        yield running


class Pile:
    """A charge point made of a raw websocket and frames written by hand."""

    def __init__(self, socket: ClientConnection):
        self.socket = socket
        self._count = 0

    def call(self, action: str, payload: dict[str, Any]) -> Any:
        """The payload of the CALLRESULT, or the code of the CALLERROR as a text."""
        self._count += 1
        id = f"p{self._count}"
        self.socket.send(json.dumps([2, id, action, payload]))
        found = self.hear()
        assert found[1] == id, found
        return found[2]

    def raw(self, data: str | bytes) -> Any:
        """The answer to whatever this is."""
        self.socket.send(data)
        return self.hear()

    def hear(self) -> Any:
        """The next frame."""
        return json.loads(self.socket.recv(timeout=15))

    def is_asked(self, action: str) -> tuple[str, dict[str, Any]]:
        """The id and the payload of the call that comes now."""
        kind, id, named, payload = self.hear()
        assert (kind, named) == (2, action)
        return id, payload

    def answers(self, id: str, payload: dict[str, Any]) -> None:
        """A CALLRESULT."""
        self.socket.send(json.dumps([3, id, payload]))


def basic(name: str, password: str = PASSWORD) -> dict[str, str]:
    """The header."""
    coded = base64.b64encode(f"{name}:{password}".encode()).decode()
    return {"Authorization": f"Basic {coded}"}


@contextmanager
def pile(port: int, charger: str = "C1", protocol: str = "ocpp1.6", **more: Any) -> Iterator[Pile]:
    """A charge point that is connected for a while."""
    more.setdefault("additional_headers", basic(charger))
    with connect(
        f"ws://127.0.0.1:{port}/ocpp/{charger}", subprotocols=[protocol], **more
    ) as socket:
        yield Pile(socket)


class Ears:
    """Everything that is published of these chargers, in order."""

    def __init__(self, port: int):
        self.heard: list[tuple[str, dict[str, Any]]] = []
        self.client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=uuid.uuid4().hex)
        self.client.on_message = self._note
        subscribed = queue.Queue[bool]()
        self.client.on_subscribe = lambda *_: subscribed.put(True)
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()
        self.client.subscribe("pilewatch/v1/+/up/#", 1)
        assert subscribed.get(timeout=10)

    def _note(self, _c: Any, _d: Any, message: mqtt.MQTTMessage) -> None:
        if not message.retain:
            topic = message.topic.removeprefix("pilewatch/v1/").replace("/up/", " ")
            self.heard.append((topic, json.loads(message.payload)))

    def next(self, topic: str, **having: Any) -> dict[str, Any]:
        """Wait for a message with these fields; what came before it is forgotten."""
        until = time.monotonic() + 60
        while True:
            for place, (where, body) in enumerate(self.heard):
                if where == topic and having.items() <= body.items():
                    del self.heard[: place + 1]
                    return body
            assert time.monotonic() < until, (topic, having, self.heard)
            time.sleep(0.01)

    def command(self, charger: str, **body: Any) -> str:
        """Order something; gives its number."""
        id = uuid.uuid4().hex
        told = json.dumps({"commandId": id, **body})
        self.client.publish(f"pilewatch/v1/{charger}/down/command", told, 1).wait_for_publish(10)
        return id


@contextmanager
def ears(port: int) -> Iterator[Ears]:
    """Listen for a while."""
    made = Ears(port)
    try:
        yield made
    finally:
        made.client.disconnect()
        made.client.loop_stop()
