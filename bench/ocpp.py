"""`python -m bench.ocpp`: how many OCPP 1.6 stations one gateway process carries, and what a call
costs it, beside a bare central system of the `ocpp` library that answers the same stations and
keeps nothing. The stations are in another process, broker and PostgreSQL in theirs.

Needs mosquitto (`make parts`).
"""

import argparse
import asyncio
import base64
import json
import random
import sys
import time
from datetime import UTC, datetime
from typing import Any

from ocpp.routing import on
from ocpp.v16 import ChargePoint, call_result
from ocpp.v16.enums import RegistrationStatus
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.typing import Subprotocol

from bench.stage import Child, Result, Stage, report, stage
from deploy.embedded import free_port
from ingest.ocpp.memory import set_password
from pilewatch.openfiles import allow_connections
from pilewatch.store.pool import connect as connect_database

_MIB, _WAIT_MS, _RATIO = 500.0, 1000.0, 1.5
_PASSWORD = "0123456789abcdef"
_PROTOCOL = Subprotocol("ocpp1.6")
_CONNECTS_S = 60
"""Stations that come in one second; each costs the gateway a check of its password."""
_REGISTRY = """
INSERT INTO charger (code, site_id, kind, label)
SELECT 'O' || n, site.id, 'car', 'x' FROM site, generate_series(1, %(stations)s) n;
"""
_PORTS = """
INSERT INTO connector (charger_id, number, max_power_w)
SELECT id, n, 22000 FROM charger, generate_series(1, 2) n WHERE code LIKE 'O%%';
"""
_PASSWORDS = """
INSERT INTO ocpp_credential SELECT 'O' || n, c.secret_hash, c.changed_at
FROM ocpp_credential c, generate_series(2, %(stations)s) n WHERE c.charger = 'O1';
"""


def _now() -> str:
    return datetime.now(UTC).isoformat()


class _Tally:
    def __init__(self) -> None:
        self.connected = self.lost = 0
        self.waits: list[float] = []


class _Station:
    """Boots, then says in turn what a busy station says, one call at a time."""

    def __init__(self, number: int, tally: _Tally):
        self.number = number
        self.tally = tally
        self.count = 0

    async def run(self, port: int, start_s: float, every_s: float) -> None:
        await asyncio.sleep(start_s)
        name = f"O{self.number}"
        coded = base64.b64encode(f"{name}:{_PASSWORD}".encode()).decode()
        async with connect(
            f"ws://127.0.0.1:{port}/ocpp/{name}", subprotocols=[_PROTOCOL], open_timeout=60,
            additional_headers={"Authorization": f"Basic {coded}"}, ping_interval=None,
        ) as socket:  # fmt: skip
            await self.call(socket, "BootNotification",
                            {"chargePointVendor": "V", "chargePointModel": "M"})  # fmt: skip
            self.tally.connected += 1
            try:
                while True:
                    await self.call(socket, *self.next())
                    await asyncio.sleep(every_s * random.uniform(0.9, 1.1))
            finally:
                self.tally.lost += 1

    def next(self) -> tuple[str, dict[str, Any]]:
        turn, place = self.count % 4, 1 + self.count // 4 % 2
        if turn == 0:
            return "Heartbeat", {}
        if turn == 1:
            status = random.choice(("Available", "Preparing", "Charging"))
            return "StatusNotification", {"connectorId": place, "errorCode": "NoError",
                                          "status": status, "timestamp": _now()}  # fmt: skip
        sampled = [
            {"value": str(3600 + self.count), "measurand": "Power.Active.Import", "unit": "W"},
            {"value": str(self.count * 100), "unit": "Wh"},
            {"value": "230.1", "measurand": "Voltage", "unit": "V"},
        ]
        value = {"timestamp": _now(), "sampledValue": sampled}
        return "MeterValues", {"connectorId": place, "meterValue": [value]}

    async def call(self, socket: ClientConnection, action: str, payload: dict[str, Any]) -> None:
        self.count += 1
        began = time.monotonic()
        await socket.send(json.dumps([2, str(self.count), action, payload]))
        while True:
            found = json.loads(await socket.recv())
            if found[0] != 2:
                break
            await socket.send(json.dumps([3, found[1], {"status": "Rejected"}]))
        if found[0] == 3:
            self.tally.waits.append(time.monotonic() - began)


async def _play(port: int, stations: int, seconds: float, every_s: float) -> None:
    allow_connections(stations)
    tally = _Tally()
    tasks = [
        asyncio.create_task(_Station(n, tally).run(port, n / _CONNECTS_S, every_s))
        for n in range(1, stations + 1)
    ]
    while tally.connected < stations:
        await asyncio.sleep(0.1)
        for task in tasks:
            if task.done():
                task.result()
    await asyncio.sleep(every_s)
    print("settled", flush=True)
    tally.waits.clear()
    await asyncio.sleep(seconds)
    waits = sorted(tally.waits)
    result = {
        "calls": len(waits),
        "lost": tally.lost,
        "p50_ms": round(waits[len(waits) // 2] * 1e3, 1),
        "p99_ms": round(waits[int(len(waits) * 0.99)] * 1e3, 1),
    }
    print(json.dumps(result), flush=True)
    for task in tasks:
        task.cancel()


class _Central(ChargePoint):  # type: ignore[misc] # the library is untyped
    """The library's own, which answers and forgets."""

    @on("BootNotification")  # type: ignore[untyped-decorator]
    def booted(self, **_: Any) -> call_result.BootNotification:
        return call_result.BootNotification(_now(), 60, RegistrationStatus.accepted)

    @on("Heartbeat")  # type: ignore[untyped-decorator]
    def beat(self) -> call_result.Heartbeat:
        return call_result.Heartbeat(_now())

    @on("StatusNotification")  # type: ignore[untyped-decorator]
    def status(self, **_: Any) -> call_result.StatusNotification:
        return call_result.StatusNotification()

    @on("MeterValues")  # type: ignore[untyped-decorator]
    def meter(self, **_: Any) -> call_result.MeterValues:
        return call_result.MeterValues()


async def _bare(port: int, stations: int) -> None:
    allow_connections(stations)

    async def take(socket: ServerConnection) -> None:
        assert socket.request is not None
        await _Central(socket.request.path.rsplit("/", 1)[1], socket).start()

    async with serve(take, "127.0.0.1", port, subprotocols=[_PROTOCOL], ping_interval=None):
        print("listening", flush=True)
        await asyncio.get_running_loop().create_future()


def _register(parts: Stage, stations: int) -> None:
    with connect_database(parts.server.url, application="bench") as db:
        db.execute(_REGISTRY, {"stations": stations})
        db.execute(_PORTS)
        set_password(db, "O1", _PASSWORD.encode(), datetime.now(UTC))
        db.execute(_PASSWORDS, {"stations": stations})
        db.execute("ANALYZE")


class _Measured:
    """What one server did under the same stations."""

    def __init__(self, parts: Stage, server: Child, port: int, told: argparse.Namespace):
        client = parts.child(
            "bench.ocpp", "--client", str(port), "--stations", str(told.stations), "--seconds",
            str(told.seconds), "--every", str(told.every), says="settled",
        )  # fmt: skip
        spent = server.cpu()
        said = json.loads(client.finish(told.seconds + 60).strip().splitlines()[-1])
        self.cpu_us = (server.cpu() - spent) * 1e6 / said["calls"]
        self.mib = server.measured.memory_info().rss / 2**20
        self.calls_s = said["calls"] / told.seconds
        self.p50_ms, self.p99_ms, self.lost = said["p50_ms"], said["p99_ms"], said["lost"]
        server.end()

    def __str__(self) -> str:
        return f"{self.calls_s:.0f} calls/s, answered in {self.p50_ms} ms, p99 {self.p99_ms} ms"


def _measure(parts: Stage, told: argparse.Namespace) -> list[Result]:
    _register(parts, told.stations)
    port = free_port()
    ours = _Measured(parts, parts.ocpp_gateway(port), port, told)
    port = free_port()
    child = parts.child("bench.ocpp", "--bare", str(port), "--stations", str(told.stations),
                        says="listening")  # fmt: skip
    bare = _Measured(parts, child, port, told)
    costs = f"{ours.cpu_us:.0f} / {bare.cpu_us:.0f} us; library: {bare}"
    stored = f"{told.stations} stations; library: {bare.mib:.0f} MiB"
    return [
        Result("OCPP: CPU a call / the library's server", ours.cpu_us / bare.cpu_us, _RATIO, "<=",
               costs),
        Result("OCPP: MiB of the gateway", ours.mib, _MIB, "<=", stored),
        Result("OCPP: ms until answered, p99", ours.p99_ms, _WAIT_MS, "<=", str(ours)),
        Result("OCPP: connections lost", ours.lost, 0, "<=", ""),
    ]  # fmt: skip


def main() -> int:
    """Print the table; exit 1 if a target is missed."""
    ask = argparse.ArgumentParser(prog="bench.ocpp", description=__doc__)
    ask.add_argument("--stations", type=int, default=2000)
    ask.add_argument("--seconds", type=float, default=30)
    ask.add_argument("--every", type=float, default=10, help="s between two calls of a station")
    ask.add_argument("--client", type=int, metavar="PORT", help=argparse.SUPPRESS)
    ask.add_argument("--bare", type=int, metavar="PORT", help=argparse.SUPPRESS)
    told = ask.parse_args()
    if told.client:
        asyncio.run(_play(told.client, told.stations, told.seconds, told.every))
        return 0
    if told.bare:
        asyncio.run(_bare(told.bare, told.stations))
        return 0
    with stage() as parts:
        return report(_measure(parts, told))


if __name__ == "__main__":
    sys.exit(main())
