"""Against real brokers: connections, wills, commands, truth, a clean end."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from deploy.embedded import EmbeddedBroker, free_port
from pilewatch.settings import Mqtt
from pilewatch.store.registry_file import Registry
from simulator.community import Community, build
from simulator.live import Live
from simulator.scenario import Demand, Faults, Scenario, Use
from tests.ingest.conftest import wait_until
from tests.parts import Mosquitto
from tests.simulator.conftest import SCENARIOS

QUIET = Demand(ebike=Use(per_day=0), car=Use(per_day=0))


class Listener:
    """Everything that a broker has been told, the last message of each topic first of all."""

    def __init__(self, port: int):
        self.last: dict[str, dict[str, Any]] = {}
        self.count = 0
        self.ready = threading.Event()
        self.client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=uuid.uuid4().hex)
        self.client.on_message = self._on_message
        self.client.on_subscribe = lambda *_: self.ready.set()
        self.client.connect("127.0.0.1", port)
        self.client.subscribe("pilewatch/v1/+/up/#", 1)
        self.client.loop_start()
        assert self.ready.wait(10)

    def _on_message(self, _c: Any, _d: Any, message: mqtt.MQTTMessage) -> None:
        self.last[message.topic] = json.loads(message.payload)
        self.count += 1

    def said(self, charger: str, kind: str) -> dict[str, Any]:
        return self.last.get(f"pilewatch/v1/{charger}/up/{kind}", {})

    def online(self, live: Live) -> bool:
        """Whether all of its chargers are; the broker may keep words of other tests' chargers."""
        return all(self.said(code, "online").get("online") for code in live.world.chargers)

    def ports(self, live: Live) -> int:
        """How many of its connectors have told their status."""
        topics = self.last.copy()
        return sum("/up/status/" in t and t.split("/")[2] in live.world.chargers for t in topics)

    def order(self, charger: str, name: str, connector: int) -> None:
        body = {
            "commandId": name,
            "issuedAt": "2026-01-01T00:00:00Z",
            "expiresAt": "2099-01-01T00:00:00Z",
            "name": name,
            "connector": connector,
            "args": {},
        }
        self.client.publish(f"pilewatch/v1/{charger}/down/command", json.dumps(body), qos=1)


@contextmanager
def listening(port: int) -> Iterator[Listener]:
    listener = Listener(port)
    try:
        yield listener
    finally:
        listener.client.disconnect()
        listener.client.loop_stop()


@contextmanager
def running(scenario: Scenario, registry: Registry, settings: Mqtt, **more: Any) -> Iterator[Live]:
    live = Live(scenario, registry, 1, settings, **more)
    thread = threading.Thread(target=live.run)
    thread.start()
    try:
        yield live
    finally:
        live.stop()
        thread.join(30)
        assert not thread.is_alive()


@pytest.fixture(params=[pytest.param("mosquitto", marks=pytest.mark.mosquitto), "embedded-v5"])
def broker(request: pytest.FixtureRequest) -> Mqtt:
    if request.param == "mosquitto":
        port = request.getfixturevalue("mosquitto").port
        return Mqtt(host="127.0.0.1", port=port, version="3.1.1")
    port = request.getfixturevalue("embedded_broker").port_v5
    return Mqtt(host="127.0.0.1", port=port, version="5")


def _plain_port(broker: Mqtt, request: pytest.FixtureRequest) -> int:
    if broker.version == "3.1.1":
        return broker.port
    port: int = request.getfixturevalue("embedded_broker").port
    return port


def test_all_of_wanhe_connects_a_dead_modem_leaves_its_will_and_a_repair_brings_it_back(
    broker: Mqtt, request: pytest.FixtureRequest, wanhe: tuple[Scenario, Registry]
) -> None:
    scenario = Scenario(registry="x", demand=QUIET, faults=Faults(rates={}), heartbeat_s=2)
    port = _plain_port(broker, request)
    with running(scenario, wanhe[1], broker) as live, listening(port) as heard:
        wait_until(lambda: heard.online(live))
        wait_until(lambda: heard.ports(live) == 604)
        live.inject("offline-charger", "WH-E01")
        wait_until(lambda: heard.said("WH-E01", "online") == {"online": False})
        heard.order("WH-E02", "startTest", 3)
        wait_until(lambda: heard.said("WH-E02", "result").get("outcome") == "accepted")
        live.repair("WH-E01")
        wait_until(lambda: heard.said("WH-E01", "online")["online"] is True, 40)
    assert live.world.truth[0].ended_by == "repair"


@pytest.mark.mosquitto
def test_one_shared_connection_says_offline_itself(mosquitto: Mosquitto) -> None:
    community = Community(prefix="SH", sites=1, ebike=2, car=1)
    scenario = Scenario(community=community, faults=Faults(rates={}), heartbeat_s=2)
    settings = Mqtt(host="127.0.0.1", port=mosquitto.port, client_id=uuid.uuid4().hex)
    with (
        running(scenario, build(community), settings, shared=True) as live,
        listening(mosquitto.port) as heard,
    ):
        wait_until(lambda: heard.online(live))
        live.inject("offline-charger", "SH-E0002")
        wait_until(lambda: heard.said("SH-E0002", "online") == {"online": False})
        heard.order("SH-E0001", "triggerStatus", 1)
        wait_until(lambda: heard.said("SH-E0001", "result").get("outcome") == "done")


@pytest.mark.mosquitto
def test_2000_chargers_from_one_process(tmp_path: Path) -> None:
    community = Community(prefix="B", sites=100, ebike=1400, car=600, ports=(2, 3))
    scenario = Scenario(community=community, demand=QUIET, faults=Faults(rates={}), idle_meter_s=0)
    broker = Mosquitto(tmp_path / "m").start()
    settings = Mqtt(host="127.0.0.1", port=broker.port, version="3.1.1")
    try:
        with running(scenario, build(community), settings) as live, listening(broker.port) as heard:
            ports = sum(len(c.connectors) for c in live.world.chargers.values())
            wait_until(lambda: heard.online(live), 90)
            wait_until(lambda: heard.ports(live) == ports, 60)
            wait_until(lambda: live.fleet.connected == 2000)  # counted twice a second
    finally:
        broker.stop()


@pytest.mark.mosquitto
def test_a_broker_that_comes_back_gets_what_was_kept_with_its_own_time(tmp_path: Path) -> None:
    community = Community(prefix="K", sites=1, ebike=3, car=0, ports=(2, 2))
    scenario = Scenario(community=community, demand=QUIET, faults=Faults(rates={}), heartbeat_s=1)
    port = free_port()
    broker = Mosquitto(tmp_path / "m", port=port).start()
    settings = Mqtt(host="127.0.0.1", port=port, version="3.1.1")
    with running(scenario, build(community), settings) as live:
        wait_until(lambda: live.fleet.connected == 3)
        broker.kill()
        wait_until(lambda: live.fleet.connected == 0)
        away = live.world.now
        wait_until(lambda: live.world.now > away + 3)
        again = Mosquitto(tmp_path / "m", port=port).start()
        before = time.time()
        with listening(port) as heard:
            beats: list[str] = []
            heard.client.on_message = lambda _c, _d, m: (
                beats.append(json.loads(m.payload)["at"]) if m.topic.endswith("heartbeat") else None
            )
            wait_until(lambda: live.fleet.connected == 3, 40)
            wait_until(lambda: any(_epoch(at) < before - 0.5 for at in beats))
        again.stop()


def _epoch(at: str) -> float:
    from datetime import datetime

    return datetime.fromisoformat(at).timestamp()


def _command(*arguments: str, **settings: str) -> "subprocess.Popen[str]":
    environment = {**os.environ, **{f"PILEWATCH_{k}": v for k, v in settings.items()}}
    return subprocess.Popen(
        [sys.executable, "-m", "deploy.command", "simulate", *arguments],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def test_sigterm_ends_it_cleanly_with_the_truth_on_disk(
    embedded_broker: EmbeddedBroker, tmp_path: Path
) -> None:
    truth = tmp_path / "truth.jsonl"
    process = _command(
        *("--scenario", str(SCENARIOS / "demo.yaml"), "--speed", "20", "--truth", str(truth)),
        MQTT__HOST="127.0.0.1", MQTT__PORT=str(embedded_broker.port), MQTT__VERSION="3.1.1",
    )  # fmt: skip
    wait_until(lambda: truth.exists() and "relay-welded" in truth.read_text(), 40)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "Traceback" not in errors
    lines = [json.loads(line) for line in truth.read_text().splitlines()]
    last = {line["fault"]: line for line in lines}
    assert lines[0]["code"] == "ground-fault"
    assert lines[0]["end"] is None
    assert all(line["end"] for line in last.values())
    assert {line["ended_by"] for line in last.values()} <= {"repair", "self", "end of run"}


def test_a_dry_run_needs_no_broker_and_repeats_itself(tmp_path: Path) -> None:
    outs = [tmp_path / "a.jsonl", tmp_path / "b.jsonl"]
    for out in outs:
        process = _command(
            *("--scenario", str(SCENARIOS / "demo.yaml"), "--seed", "9"),
            *("--duration", "60", "--dry-run", str(out)),
        )
        assert process.wait(60) == 0
    assert outs[0].read_bytes() == outs[1].read_bytes()
    assert json.loads(outs[0].read_text().splitlines()[0])["change"] == "connect"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--scenario", "none.yaml"], "none.yaml: No such file"),
        (["--scenario", str(SCENARIOS / "demo.yaml"), "--speed", "0"], "right would be 0.01 to"),
        (["--scenario", str(SCENARIOS / "demo.yaml"), "--people", "http://x"], "needs --keys"),
        (["--scenario", str(SCENARIOS / "demo.yaml"), "--truth", "/nowhere/x"], "No such file"),
    ],
)
def test_wrong_use_is_told_in_a_sentence(arguments: list[str], told: str) -> None:
    process = _command(*arguments)
    _, errors = process.communicate(timeout=30)
    assert process.returncode in (1, 2)
    assert told in errors
    assert "Traceback" not in errors
