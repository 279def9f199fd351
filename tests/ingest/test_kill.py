"""kill -9 of ingester, broker and PostgreSQL under load: published = stored, nothing doubled."""

import json
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from deploy.embedded import EmbeddedPostgres
from pilewatch.store.pool import connect
from pilewatch.store.registry import load_registry
from tests.conftest import make_database
from tests.ingest.conftest import wait_until
from tests.parts import Mosquitto

MESSAGES = 6000


class IngesterProcess:
    """`python -m ingest` as a child that can be killed and started again."""

    def __init__(self, url: str, port: int, log: Path):
        self.log = log
        self.environment = {
            **os.environ,
            "PILEWATCH_DATABASE__URL": url,
            "PILEWATCH_MQTT__HOST": "127.0.0.1",
            "PILEWATCH_MQTT__PORT": str(port),
            "PILEWATCH_MQTT__CLIENT_ID": "kill-test",
        }
        self.start()

    def start(self) -> None:
        self.child = subprocess.Popen(
            [sys.executable, "-m", "ingest"], env=self.environment, stderr=self.log.open("ab")
        )

    def kill(self) -> None:
        self.child.kill()
        self.child.wait()

    def connections(self) -> int:
        return self.log.read_text().count("connected to the broker")


class Load:
    """Publishes MESSAGES status messages, each with a time of its own, as fast as it may."""

    def __init__(self, port: int):
        self.client = mqtt.Client(
            CallbackAPIVersion.VERSION2, client_id="load", clean_session=False
        )
        self.client.max_inflight_messages_set(100)
        self.client.max_queued_messages_set(0)
        self.client.reconnect_delay_set(1, 1)
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()
        self.published: list[mqtt.MQTTMessageInfo] = []
        self.thread = threading.Thread(target=self._publish)

    def _publish(self) -> None:
        start = datetime.now(UTC) - timedelta(seconds=MESSAGES / 10)
        for number in range(MESSAGES):
            at = (start + timedelta(milliseconds=number * 100)).isoformat()
            status = ("available", "charging")[number % 2]  # so each port keeps its own
            said = {"at": at, "connector": 1 + number % 10, "status": status, "seq": number}
            topic = f"pilewatch/v1/C1/up/status/{1 + number % 10}"
            self.published.append(self.client.publish(topic, json.dumps(said), qos=1))
            if number % 500 == 499:
                self.published[-1].wait_for_publish(60)

    def finish(self) -> None:
        """Wait until the broker has taken every message."""
        self.thread.join(120)
        for info in self.published:
            info.wait_for_publish(60)
        self.client.disconnect()
        self.client.loop_stop()


@contextmanager
def _trip(
    url: str, broker: Mosquitto, tmp_path: Path, registry_file: Path
) -> Iterator[tuple[IngesterProcess, Load]]:
    with connect(url, application="t") as db:
        load_registry(db, registry_file)
    ingester = IngesterProcess(url, broker.port, tmp_path / "ingest.log")
    try:
        wait_until(lambda: ingester.connections() == 1)
        load = Load(broker.port)
        load.thread.start()
        yield ingester, load
        load.finish()
        _all_is_stored(url)
        ingester.child.send_signal(signal.SIGTERM)
        assert ingester.child.wait(30) == 0
    finally:
        ingester.kill()


def _stored(url: str) -> int:
    with connect(url, application="t") as db:
        row = db.execute("SELECT count(*) AS n FROM observation WHERE kind = 1").fetchone()
        assert row is not None
        return int(row["n"])


def _all_is_stored(url: str) -> None:
    wait_until(lambda: _stored(url) >= MESSAGES, 60)
    assert _stored(url) == MESSAGES
    with connect(url, application="t") as db:
        rows = db.execute(
            "SELECT n.number, s.status_seq, s.status FROM connector_state s "
            "JOIN connector n ON n.id = s.connector_id "
            "JOIN charger c ON c.id = n.charger_id WHERE c.code = 'C1' ORDER BY 1"
        ).fetchall()
        events = db.execute("SELECT count(*) AS n FROM event WHERE kind = 'connector.status'")
        assert events.fetchone() == {"n": 10}, "one change for each port, however often it came"
    last = {1 + n % 10: n for n in range(MESSAGES)}
    assert [(r["number"], r["status_seq"]) for r in rows] == sorted(last.items())


@pytest.fixture
def broker(parts_folder: Path, mosquitto: Mosquitto, tmp_path: Path) -> Iterator[Mosquitto]:
    """A mosquitto of the test's own, since it gets killed."""
    own = Mosquitto(parts_folder / f"kill-{tmp_path.name}").start()
    yield own
    own.stop()


def test_the_ingester_killed_under_load(
    plain_database_url: str, broker: Mosquitto, tmp_path: Path, registry_file: Path
) -> None:
    chance = random.Random(7)
    with _trip(plain_database_url, broker, tmp_path, registry_file) as (ingester, load):
        for kill in range(1, 5):
            target = kill * MESSAGES // 6 + chance.randrange(300)
            wait_until(
                lambda target=target: (
                    _stored(plain_database_url) >= target or not load.thread.is_alive()
                ),
                60,
            )
            ingester.kill()
            ingester.start()
            wait_until(lambda kill=kill: ingester.connections() == kill + 1)


def test_the_broker_killed_under_load(
    plain_database_url: str, broker: Mosquitto, tmp_path: Path, registry_file: Path
) -> None:
    with _trip(plain_database_url, broker, tmp_path, registry_file) as (ingester, _):
        for restart in (1, 2):
            wait_until(lambda n=restart: _stored(plain_database_url) >= n * MESSAGES // 4, 60)
            broker.kill()
            broker.start()
            wait_until(lambda n=restart: ingester.connections() > n, 60)


def test_postgresql_killed_under_load(
    parts_folder: Path, broker: Mosquitto, tmp_path: Path, registry_file: Path
) -> None:
    server = EmbeddedPostgres(parts_folder / f"pg-{tmp_path.name}").start()
    try:
        url = make_database(server.url)
        with _trip(url, broker, tmp_path, registry_file):
            for restart in (1, 2):
                wait_until(lambda n=restart: _stored(url) >= n * MESSAGES // 4, 60)
                server.kill()
                server.start()
    finally:
        server.stop()
