"""`python -m bench.availability`: a site's live state over HTTP, beside a bare FastAPI endpoint.

It returns the same bytes in the same run. Meanwhile ten changes a second come from the database.

Targets: p99 below 20 ms at 300 requests a second; at least half as many requests a second at most.
"""

import argparse
import asyncio
import contextlib
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import httpx

from bench.stage import Child
from deploy.embedded import EmbeddedPostgres, free_port
from pilewatch.store.migrate import migrate
from pilewatch.store.pool import connect
from tests.workflow.conftest import Community

_PATH = "/api/v1/connectors?site=s"
_CHARGERS = 10
_CONNECTIONS = 16


@dataclass
class Load:
    """Keep-alive connections that ask for one path, as fast as they can or at a rate."""

    port: int
    path: str
    waits: list[float] = field(default_factory=list)

    async def fastest(self, seconds: float) -> float:
        """Requests a second of all connections together."""
        until = time.perf_counter() + seconds
        began = len(self.waits)
        await asyncio.gather(*(self._again(until) for _ in range(_CONNECTIONS)))
        return (len(self.waits) - began) / seconds

    async def at_rate(self, rate: float, seconds: float) -> None:
        """Each request has its own moment; waiting for a free connection counts as its time."""
        free: asyncio.Queue[Connection] = asyncio.Queue()
        for _ in range(_CONNECTIONS):
            free.put_nowait(await Connection.open(self.port))
        began, asked = time.perf_counter(), []
        for number in range(int(rate * seconds)):
            due = began + number / rate
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            asked.append(asyncio.create_task(self._one(free, due)))
        await asyncio.gather(*asked)

    async def _one(self, free: "asyncio.Queue[Connection]", due: float) -> None:
        connection = await free.get()
        await connection.ask(self.path)
        self.waits.append(time.perf_counter() - due)
        free.put_nowait(connection)

    async def _again(self, until: float) -> None:
        connection = await Connection.open(self.port)
        while (began := time.perf_counter()) < until:
            await connection.ask(self.path)
            self.waits.append(time.perf_counter() - began)


@dataclass
class Connection:
    """One connection, speaking as little HTTP as is needed."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    @classmethod
    async def open(cls, port: int) -> "Connection":
        """Connected."""
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def ask(self, path: str) -> bytes:
        """The body. Raises where it was not answered well."""
        self.writer.write(f"GET {path} HTTP/1.1\r\nHost: bench\r\n\r\n".encode())
        head = await self.reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(head.decode())
        length = next(
            int(line.split(b":")[1])
            for line in head.split(b"\r\n")
            if line.lower().startswith(b"content-length")
        )
        return await self.reader.readexactly(length)


@contextlib.contextmanager
def changes(url: str, rate: float) -> Iterator[None]:
    """What an ingester does to the listeners: a port changes, and that is notified."""
    ended = threading.Event()

    def run() -> None:
        with connect(url, application="bench") as db:
            while not ended.wait(1 / rate):
                db.execute("UPDATE charger_state SET last_seen_at = now(), confirmed_at = now()")
                db.execute("SELECT pg_notify('pilewatch_state', '1')")

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def main() -> int:
    """Print the figures; exit 1 if a target is missed."""
    parser = argparse.ArgumentParser(prog="bench.availability", description=__doc__)
    parser.add_argument("--seconds", type=float, default=10, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        server = EmbeddedPostgres(folder / "pg", settings={"fsync": "off"}).start()
        try:
            return _measure(folder, server.url, chosen.seconds, chosen.rounds)
        finally:
            server.stop()


def _measure(folder: Path, url: str, seconds: float, rounds: int) -> int:
    with connect(url, application="bench") as db:
        migrate(db)
        Community(db, _CHARGERS)
        db.execute("UPDATE charger_state SET last_seen_at = now(), confirmed_at = now()")
    ours, bare = free_port(), free_port()
    api = Child(
        "deploy.command",
        "api",
        says="",
        log=folder / "api",
        PILEWATCH_DATABASE__URL=url,
        PILEWATCH_API__PORT=str(ours),
        PILEWATCH_API__REQUESTS_PER_ADDRESS="10000000",
    )
    body = folder / "body"
    body.write_bytes(_wait(f"http://127.0.0.1:{ours}{_PATH}"))
    reference = Child("bench.bare_api", str(body), str(bare), says="", log=folder / "bare")
    _wait(f"http://127.0.0.1:{bare}/bare")
    try:
        with changes(url, 10):
            return _report(ours, bare, seconds, rounds, len(body.read_bytes()))
    finally:
        api.end()
        reference.end()


def _report(ours: int, bare: int, seconds: float, rounds: int, size: int) -> int:
    ratios, worst = [], []
    for _ in range(rounds):
        fast = asyncio.run(Load(ours, _PATH).fastest(seconds / 2))
        reference = asyncio.run(Load(bare, "/bare").fastest(seconds / 2))
        ratios.append(fast / reference)
        waits = []
        for port, path in ((ours, _PATH), (bare, "/bare")):
            load = Load(port, path)
            asyncio.run(load.at_rate(300, seconds))
            waits.append(1000 * sorted(load.waits)[int(len(load.waits) * 0.99)])
        worst.append(waits[0])
        print(
            f"{fast:6.0f}/s of {reference:6.0f}/s bare: {ratios[-1]:.2f}; p99 at 300/s "
            f"{waits[0]:.1f} ms, bare {waits[1]:.1f} ms ({size} bytes)",
            flush=True,
        )
    good = median(ratios) >= 0.5 and median(worst) < 20
    verdict = "pass" if good else "MISS"
    print(f"{verdict}: ratio {median(ratios):.2f} (>= 0.50), p99 {median(worst):.1f} ms (< 20)")
    return 0 if good else 1


def _wait(url: str) -> bytes:
    until = time.monotonic() + 30
    while True:
        with contextlib.suppress(httpx.HTTPError):
            answer = httpx.get(url)
            if answer.status_code == 200:
                return answer.content
        if time.monotonic() > until:
            raise TimeoutError(url)
        time.sleep(0.1)


if __name__ == "__main__":
    sys.exit(main())
