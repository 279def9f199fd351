"""Ingesters as processes, the load they are under, and whether all of it is stored once."""

import json
import os
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from pilewatch.store.pool import connect
from tests.ingest.conftest import wait_until

MESSAGES = 6000


class IngesterProcess:
    """`python -m ingest` as a child that can be killed and started again."""

    def __init__(self, url: str, port: int, log: Path, **more: str):
        self.log = log
        self.environment = {
            **os.environ,
            "PILEWATCH_DATABASE__URL": url,
            "PILEWATCH_MQTT__HOST": "127.0.0.1",
            "PILEWATCH_MQTT__PORT": str(port),
            "PILEWATCH_MQTT__CLIENT_ID": log.stem,
            "PILEWATCH_LOG_FORMAT": "json",
            **more,
        }
        self.start()

    def start(self) -> None:
        self.child = subprocess.Popen(
            [sys.executable, "-m", "ingest"], env=self.environment, stderr=self.log.open("ab")
        )

    def kill(self) -> None:
        self.child.kill()
        self.child.wait()

    def stop(self) -> int:
        """SIGTERM; gives the exit code."""
        self.child.terminate()
        return self.child.wait(40)

    def said(self, event: str) -> list[dict[str, Any]]:
        """Its log lines of this event."""
        lines = map(json.loads, self.log.read_text().splitlines())
        return [line for line in lines if line["event"] == event]

    def connections(self) -> int:
        return len(self.said("connected to the broker"))


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


def stored(url: str) -> int:
    with connect(url, application="t") as db:
        row = db.execute("SELECT count(*) AS n FROM observation WHERE kind = 1").fetchone()
        assert row is not None
        return int(row["n"])


def all_is_stored(url: str) -> None:
    wait_until(lambda: stored(url) >= MESSAGES, 60)
    assert stored(url) == MESSAGES
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
