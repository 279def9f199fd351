"""`make bench`: the ingester's cost and speed against bare references in the same run.

Ratios matter; absolute figures depend on the machine. Needs mosquitto (`make parts`).
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil

from deploy.embedded import EmbeddedPostgres
from pilewatch.store.migrate import migrate
from pilewatch.store.pool import connect
from pilewatch.store.registry import load_registry
from tests.parts import Mosquitto

MESSAGES = 60_000
_REGISTRY = """\
areas: [{code: a, name: A}]
grids: [{code: g, area: a, name: G}]
sites: [{code: s, grid: g, name: S}]
chargers: [CHARGERS]
"""
_CHARGERS = 200

_BARE = """
import sys, time
import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.properties import Properties
from paho.mqtt.packettypes import PacketTypes
port, wanted, share = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
seen = 0
def on_message(client, data, message):
    global seen
    seen += 1
    client.ack(message.mid, message.qos)
    if seen == wanted:
        client.disconnect()
client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="bare", protocol=mqtt.MQTTv5,
                     manual_ack=True)
client.on_message = on_message
client.on_connect = lambda c, *_: c.subscribe("pilewatch/v1/+/up/#", 1)
client.on_subscribe = lambda *_: print("ready", flush=True)
properties = Properties(PacketTypes.CONNECT)
properties.ReceiveMaximum = 8000
properties.SessionExpiryInterval = 600
client.connect("127.0.0.1", port, clean_start=share == "first", properties=properties)
start = None
client.loop_forever(retry_first_connection=False)
print(time.process_time(), flush=True)
"""

_PUBLISH = """
import json, sys, time
from datetime import UTC, datetime, timedelta
import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
port, count = int(sys.argv[1]), int(sys.argv[2])
client = mqtt.Client(CallbackAPIVersion.VERSION2)
client.max_inflight_messages_set(2000)
client.max_queued_messages_set(0)
client.connect("127.0.0.1", port)
client.loop_start()
start = datetime.now(UTC) - timedelta(seconds=count / 100)
for n in range(count):
    at = (start + timedelta(milliseconds=10 * n)).isoformat()
    said = {"at": at, "connector": 1 + n % 4, "energyWh": n, "powerW": 300.5, "voltageV": 221.0,
            "currentA": 1.4, "temperatureC": 31.5, "sessionId": "s"}
    info = client.publish(f"pilewatch/v1/C{n % 200}/up/meter", json.dumps(said), qos=1)
info.wait_for_publish()
while client._out_messages:
    time.sleep(0.01)
client.disconnect()
client.loop_stop()
"""


def _publish(port: int, count: int) -> None:
    """Fill the broker's persistent sessions, so that receiving alone is measured."""
    subprocess.run([sys.executable, "-c", _PUBLISH, str(port), str(count)], check=True)


def _bare(port: int) -> tuple[float, float]:
    """CPU seconds and elapsed seconds of a bare subscriber draining its queue."""
    command = [sys.executable, "-c", _BARE, str(port)]
    with subprocess.Popen(
        [*command, str(MESSAGES), "first"], stdout=subprocess.PIPE, text=True
    ) as first:
        assert first.stdout is not None
        first.stdout.readline()
        first.kill()
    _publish(port, MESSAGES)
    started = time.monotonic()
    with subprocess.Popen(
        [*command, str(MESSAGES), "again"], stdout=subprocess.PIPE, text=True
    ) as again:
        assert again.stdout is not None
        lines = again.stdout.read().split()
    return float(lines[-1]), time.monotonic() - started


def _stored(url: str) -> int:
    with connect(url, application="bench") as db:
        row = db.execute("SELECT count(*) AS n FROM observation").fetchone()
        assert row is not None
        return int(row["n"])


def _ingester(url: str, port: int) -> tuple[float, float, float]:
    """CPU seconds, elapsed seconds, and peak memory in MiB of the ingester draining its queue."""
    environment = {
        **os.environ,
        "PILEWATCH_DATABASE__URL": url,
        "PILEWATCH_MQTT__PORT": str(port),
        "PILEWATCH_MQTT__HOST": "127.0.0.1",
        "PILEWATCH_MQTT__CLIENT_ID": "bench",
    }
    with tempfile.TemporaryFile() as log:

        def start() -> "subprocess.Popen[bytes]":
            return subprocess.Popen([sys.executable, "-m", "ingest"], env=environment, stderr=log)

        child = start()
        while True:
            log.seek(0)
            if b"connected to the broker" in log.read():
                break
            time.sleep(0.05)
        time.sleep(0.3)
        child.terminate()
        child.wait()
        _publish(port, MESSAGES)
        began = time.monotonic()
        child = start()
        process = psutil.Process(child.pid)
        peak = 0.0
        while _stored(url) < MESSAGES:
            peak = max(peak, process.memory_info().rss / 2**20)
            time.sleep(0.2)
        elapsed = time.monotonic() - began
        cpu = sum(process.cpu_times()[:2])
        child.terminate()
        child.wait()
    return cpu, elapsed, peak


def _one_by_one(url: str) -> float:
    """Messages a second when each is inserted and committed by itself."""
    count, start = 3000, datetime.now(UTC)
    with connect(url, application="bench") as db:
        began = time.monotonic()
        for number in range(count):
            db.execute(
                "INSERT INTO observation (observed_at, received_at, charger_id, connector, kind, "
                "seq, power_w) VALUES (%s, %s, 9999, 1, 2, -1, 1)",
                (start + timedelta(microseconds=number), start),
            )
        elapsed = time.monotonic() - began
        db.execute("DELETE FROM observation WHERE charger_id = 9999")
    return count / elapsed


def main() -> int:
    """Print the table; exit 1 if a target is missed."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        server = EmbeddedPostgres(folder / "pg").start()
        broker = Mosquitto(folder / "mosquitto", extra="persistence false").start()
        try:
            with connect(server.url, application="bench") as db:
                migrate(db)
                listed = ", ".join(
                    f"{{code: C{n}, site: s, kind: ebike, label: x, connectors: 4}}"
                    for n in range(_CHARGERS)
                )
                file = folder / "registry.yaml"
                file.write_text(_REGISTRY.replace("CHARGERS", listed))
                load_registry(db, file)
            bare_cpu, bare_s = _bare(broker.port)
            one = _one_by_one(server.url)
            cpu, elapsed, peak = _ingester(server.url, broker.port)
        finally:
            broker.stop()
            server.stop()
    # Starting Python and its imports costs both, and is no cost of a message.
    per, bare_per = cpu / MESSAGES * 1e6, bare_cpu / MESSAGES * 1e6
    speed = MESSAGES / elapsed
    rows = [
        ("CPU a message / bare subscriber's", per / bare_per, 1.6, per / bare_per <= 1.6,
         f"{per:.1f} / {bare_per:.1f} us, imports included"),
        ("throughput / insert-and-commit", speed / one, 10, speed / one >= 10,
         f"{speed:.0f} / {one:.0f} a second, start included"),
        ("peak memory, MiB", peak, 150, peak < 150, ""),
    ]  # fmt: skip
    for what, value, target, passed, said in rows:
        print(f"{what:36} {value:8.2f}  target {target:6}  {'pass' if passed else 'MISS'}  {said}")
    print(json.dumps({"bare_elapsed_s": round(bare_s, 2), "elapsed_s": round(elapsed, 2)}))
    return 0 if all(row[3] for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
