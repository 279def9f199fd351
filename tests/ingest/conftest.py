"""An ingester in a thread, a registry of two chargers, and a charger that publishes."""

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from prometheus_client import CollectorRegistry

from ingest.main import Ingester
from pilewatch.settings import Database, Ingest, Mqtt, Settings
from pilewatch.store.pool import connect
from pilewatch.store.registry import load_registry

REGISTRY = """\
areas: [{code: a, name: A}]
grids: [{code: g, area: a, name: G}]
sites: [{code: s, grid: g, name: S}]
chargers:
  - {code: C1, site: s, kind: ebike, label: '1', connectors: 10}
  - {code: C2, site: s, kind: car, label: '2', connectors: 2}
"""


def wait_until(true: Callable[[], object], seconds: float = 20) -> None:
    """Poll a condition; fail when time is up."""
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until, "the condition did not come true in time"
        time.sleep(0.02)


def settings_for(url: str, port: int, version: str = "5", **mqtt_more: object) -> Settings:
    """Settings of one ingester; its session at the broker is its own unless named."""
    return Settings(
        database=Database(url=url),
        mqtt=Mqtt(
            host="127.0.0.1",
            port=port,
            version=version,
            client_id=mqtt_more.pop("client_id", uuid.uuid4().hex),
            **mqtt_more,
        ),
        ingest=Ingest(),
    )


@contextmanager
def running(settings: Settings) -> Iterator[Ingester]:
    """An ingester in a thread, subscribed."""
    ingester = Ingester(settings, registry=CollectorRegistry())
    thread = threading.Thread(target=ingester.run)
    thread.start()
    try:
        wait_until(lambda: ingester.link.up)
        yield ingester
    finally:
        ingester.stop.set()
        thread.join(30)
        assert not thread.is_alive()


@pytest.fixture
def registry_file(tmp_path: Path) -> Path:
    """Two chargers: C1 with ten ports, C2 with two guns."""
    path = tmp_path / "registry.yaml"
    path.write_text(REGISTRY)
    return path


@pytest.fixture
def registered(database_url: str, registry_file: Path) -> str:
    """A database with the two chargers, on both kinds of server."""
    with connect(database_url, application="test") as db:
        load_registry(db, registry_file)
    return database_url


@pytest.fixture
def registered_plain(plain_database_url: str, registry_file: Path) -> str:
    """The same on plain PostgreSQL only."""
    with connect(plain_database_url, application="test") as db:
        load_registry(db, registry_file)
    return plain_database_url


class Publisher:
    """A client that publishes with QoS 1 and waits for the broker's word."""

    def __init__(
        self, port: int, *, user: tuple[str, str] | None = None, ca_file: Path | None = None
    ):
        self.client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv311)
        if user is not None:
            self.client.username_pw_set(*user)
        if ca_file is not None:
            self.client.tls_set(str(ca_file))
        self.client.max_inflight_messages_set(1000)
        self.client.max_queued_messages_set(0)
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()

    def send(self, topic: str, payload: str | bytes, *, retain: bool = False) -> None:
        """Publish and wait until the broker has it."""
        self.client.publish(topic, payload, qos=1, retain=retain).wait_for_publish(20)

    def close(self) -> None:
        """Say goodbye."""
        self.client.disconnect()
        self.client.loop_stop()


@contextmanager
def publisher(
    port: int, *, user: tuple[str, str] | None = None, ca_file: Path | None = None
) -> Iterator[Publisher]:
    """A publisher for a while."""
    made = Publisher(port, user=user, ca_file=ca_file)
    try:
        yield made
    finally:
        made.close()
