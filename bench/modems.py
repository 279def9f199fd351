"""`python -m bench.modems`: how many modems of e-bike cabinets one gateway process carries.

The modems are in another process, the broker and PostgreSQL in theirs; half of the modems are
16-port cabinets by themselves, half are hosts with a slave. Needs mosquitto (`make parts`).
"""

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.stage import Child
from deploy.embedded import EmbeddedPostgres, free_port
from pilewatch.dny import fields
from pilewatch.dny.fields import Fields
from pilewatch.dny.frames import Frame, build, parse
from pilewatch.openfiles import allow_connections
from pilewatch.store.migrate import migrate
from pilewatch.store.pool import connect
from tests.parts import Mosquitto

LIMIT_MIB = 500
_COMMAND = {shape: command for command, shape in fields.FROM_DEVICE.items()}
_REGISTRY = """
INSERT INTO area (code, name) VALUES ('a', 'A');
INSERT INTO grid (area_id, code, name) SELECT id, 'g', 'G' FROM area;
INSERT INTO site (grid_id, code, name) SELECT id, 's', 'S' FROM grid;
INSERT INTO charger (code, site_id, kind, label, device)
SELECT 'E' || n, site.id, 'ebike', n, 'dny-' || n FROM site, generate_series(1, {modems}) n;
"""


class _Modem:
    """One connection that beats, measures and now and then settles."""

    def __init__(self, number: int, every_s: float, tally: "_Tally"):
        self.number = number
        self.every_s = every_s
        self.tally = tally
        self.message = random.randrange(60_000)
        self.asked: dict[int, float] = {}

    def frame(self, said: Fields, kind: int = 0x06, number: int | None = None) -> bytes:
        self.message = self.message % 0xFFFF + 1
        command = _COMMAND[type(said)]
        if command in (fields.REGISTER, fields.HEARTBEAT, fields.SETTLEMENT):
            self.asked[self.message] = time.monotonic()
        self.tally.sent += 1
        device = kind << 24 | (self.number if number is None else number)
        return build(Frame(device, self.message, command, said.write()))

    async def run(self, port: int, start_s: float) -> None:
        await asyncio.sleep(start_s)
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2048)
        self.tally.connected += 1
        listening = asyncio.create_task(self.listen(reader))
        writer.write(f"8986{self.number:016}".encode())
        if self.number % 2:
            host = fields.HostStatus(firmware=1, clock=1, time=1, signal=20)
            writer.write(self.frame(host, 0x09, 8_000_000 + self.number))
        writer.write(self.frame(fields.Register(firmware=126, ports=16)))
        beats = 0
        while not self.tally.over.is_set():
            status = tuple(int(port == beats % 16) for port in range(16))
            writer.write(self.frame(fields.Heartbeat(voltage=2210, ports=16, status=status)))
            order = self.number.to_bytes(8, "big") + beats.to_bytes(8, "big")
            common: dict[str, Any] = {
                "port": beats % 16,
                "start_mode": 1,
                "order": order,
                "energy": 12,
            }
            writer.write(self.frame(fields.PortPower(
                status=1, charged_s=600, power=2000, most=2000, least=2000, mean=2000, **common
            )))  # fmt: skip
            if beats % 4 == 3:
                writer.write(self.frame(fields.Settlement(
                    duration=900, max_power=2000, card=0, stop=1, **common
                )))  # fmt: skip
            beats += 1
            await writer.drain()
            await asyncio.sleep(self.every_s * random.uniform(0.9, 1.1))
        writer.close()
        listening.cancel()

    async def listen(self, reader: asyncio.StreamReader) -> None:
        rest = b""
        while data := await reader.read(2048):
            items, rest = parse(rest + data)
            for item in items:
                if isinstance(item, Frame) and item.message_id in self.asked:
                    self.tally.waits.append(time.monotonic() - self.asked.pop(item.message_id))
        if not self.tally.over.is_set():
            self.tally.lost += 1


class _Tally:
    def __init__(self) -> None:
        self.connected = self.sent = self.lost = 0
        self.waits: list[float] = []
        self.over = asyncio.Event()


async def _play(port: int, modems: int, seconds: float, every_s: float) -> None:
    allow_connections(modems)
    print("begins", flush=True)
    tally = _Tally()
    ramp = modems / 250
    made = [_Modem(n, every_s, tally) for n in range(1, modems + 1)]
    tasks = [asyncio.create_task(m.run(port, ramp * m.number / modems)) for m in made]
    await asyncio.sleep(ramp + every_s)
    tally.waits.clear()
    sent, began = tally.sent, time.monotonic()
    await asyncio.sleep(seconds)
    lapse = time.monotonic() - began
    waits = sorted(tally.waits) or [0.0]
    unanswered = sum(len(m.asked) for m in made)
    result = {
        "connected": tally.connected - tally.lost,
        "frames_per_s": round((tally.sent - sent) / lapse, 1),
        "answers_per_s": round(len(waits) / lapse, 1),
        "answer_p50_ms": round(waits[len(waits) // 2] * 1e3, 1),
        "answer_p99_ms": round(waits[int(len(waits) * 0.99)] * 1e3, 1),
        "unanswered": unanswered,
    }
    print(json.dumps(result), flush=True)
    tally.over.set()
    for task in tasks:
        task.cancel()


def _measure(modems: int, seconds: float, every_s: float) -> int:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        server = EmbeddedPostgres(folder / "pg").start()
        broker = Mosquitto(folder / "mosquitto", extra="persistence false").start()
        try:
            with connect(server.url, application="bench") as db:
                migrate(db)
                db.execute(_REGISTRY.format(modems=modems))
            port = free_port()
            gateway = Child(
                "deploy.command", "ebike-gateway", says="listening", log=folder / "gateway",
                PILEWATCH_DATABASE__URL=server.url, PILEWATCH_MQTT__HOST="127.0.0.1",
                PILEWATCH_MQTT__PORT=str(broker.port), PILEWATCH_EBIKE__HOST="127.0.0.1",
                PILEWATCH_EBIKE__PORT=str(port), PILEWATCH_LOG_FORMAT="json",
            )  # fmt: skip
            empty = gateway.measured.memory_info().rss
            client = Child(
                "bench.modems", "--client", str(port), "--modems", str(modems), "--seconds",
                str(seconds), "--every", str(every_s), says="begins", log=folder / "client",
            )  # fmt: skip
            spent, began, most = gateway.cpu(), time.monotonic(), 0
            while "connected" not in client.said():
                most = max(most, gateway.measured.memory_info().rss)
                time.sleep(0.5)
            cores = (gateway.cpu() - spent) / (time.monotonic() - began)
            said = json.loads(client.finish().strip().splitlines()[-1])
            gateway.end()
        finally:
            broker.stop()
            server.stop()
    mib = most / 2**20
    kib = (most - empty) / 2**10 / modems
    print(f"{modems} modems in {mib:.0f} MiB (limit {LIMIT_MIB}), {kib:.1f} KiB each, "
          f"{cores:.2f} cores")  # fmt: skip
    for key, value in said.items():
        print(f"  {key:14} {value}")
    return 0 if mib <= LIMIT_MIB and said["connected"] == modems else 1


def main() -> int:
    """Print memory and rates; exit 1 where the limit is missed or a modem was lost."""
    parser = argparse.ArgumentParser(prog="bench.modems", description=__doc__)
    parser.add_argument("--modems", type=int, default=5000)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--every", type=float, default=30, help="s between two heartbeats of one")
    parser.add_argument("--client", type=int, metavar="PORT", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.client:
        asyncio.run(_play(chosen.client, chosen.modems, chosen.seconds, chosen.every))
        return 0
    return _measure(chosen.modems, chosen.seconds, chosen.every)


if __name__ == "__main__":
    sys.exit(main())
