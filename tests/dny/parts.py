"""A gateway or tap in a thread with an event loop of its own, and a modem on a plain socket."""

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from prometheus_client import CollectorRegistry

from ingest.ebike.gateway import Gateway
from ingest.ebike.tap import Address, Tap
from pilewatch.dny import fields
from pilewatch.dny.fields import Fields, Settlement
from pilewatch.dny.frames import Frame, Item, build, parse
from pilewatch.settings import Database, Ebike, Mqtt, Settings
from pilewatch.store.pool import connect

ORDER = bytes(range(16))
COMMAND = {shape: command for command, shape in fields.FROM_DEVICE.items()}


def settings_for(url: str, mqtt_port: int, **ebike: object) -> Settings:
    """Settings of one gateway on any free port."""
    return Settings(
        database=Database(url=url),
        mqtt=Mqtt(host="127.0.0.1", port=mqtt_port),
        ebike=Ebike(**{"host": "127.0.0.1", "port": 0, **ebike}),
    )


@contextmanager
def _serving(server: Gateway | Tap) -> Iterator[None]:
    loops: list[asyncio.AbstractEventLoop] = []
    ready = threading.Event()

    async def serve() -> None:
        loops.append(asyncio.get_running_loop())
        run = asyncio.create_task(server.run())
        await server.ready.wait()
        ready.set()
        await run

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert ready.wait(20)
    try:
        yield
    finally:
        loops[0].call_soon_threadsafe(server.stop.set)
        thread.join(30)
        assert not thread.is_alive()


@contextmanager
def gateway(settings: Settings) -> Iterator[Gateway]:
    """A gateway that listens."""
    made = Gateway(settings, registry=CollectorRegistry())
    with _serving(made):
        yield made


@contextmanager
def tap(settings: Settings, upstream: int) -> Iterator[Tap]:
    """A tap before a server on this port."""
    made = Tap(
        settings,
        Address("127.0.0.1", 0),
        Address("127.0.0.1", upstream),
        registry=CollectorRegistry(),
    )
    with _serving(made):
        yield made


class Modem:
    """What a device does at its end of the wire."""

    def __init__(self, port: int, device: int = 0x04AB373B):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=20)
        self.device = device
        self.message = 0
        self._rest = b""
        self._items: list[Item] = []

    def say(self, said: Fields, *, device: int | None = None, message: int | None = None) -> Frame:
        """Send a frame; gives it."""
        self.message += 1
        frame = Frame(
            self.device if device is None else device,
            self.message if message is None else message,
            COMMAND[type(said)],
            said.write(),
        )
        self.socket.sendall(build(frame))
        return frame

    def beat(self, *status: int, **more: int) -> Frame:
        """A heartbeat with these ports."""
        device = more.pop("device", None)
        said = fields.Heartbeat(voltage=2200, ports=len(status), status=status)
        return self.say(said, device=device)

    def hear(self, seconds: float = 20) -> Frame | None:
        """The next frame from the server; None when none comes in time or it hung up."""
        until = time.monotonic() + seconds
        while not self._items:
            self.socket.settimeout(max(until - time.monotonic(), 0.001))
            try:
                data = self.socket.recv(4096)
            except (TimeoutError, ConnectionResetError):
                return None
            if not data:
                return None
            found, self._rest = parse(self._rest + data)
            self._items += found
        item = self._items.pop(0)
        assert isinstance(item, Frame)
        return item

    def hung_up(self, seconds: float = 20) -> bool:
        """Whether the server ends the connection in time."""
        self.socket.settimeout(seconds)
        try:
            while self.socket.recv(65536):
                pass
        except TimeoutError:
            return False
        except ConnectionError:
            return True
        return True


def unix(data: bytes) -> float:
    """The time in an answer, less ours: seconds."""
    return int.from_bytes(data, "little") - datetime.now().timestamp()  # noqa: DTZ005


def ask(url: str, query: str, *values: object) -> list[dict[str, Any]]:
    """What the database says."""
    with connect(url, application="test") as db:
        return db.execute(query, values).fetchall()  # type: ignore[arg-type]


def shown(url: str, code: str) -> list[tuple[str, list[str]]]:
    """Status and faults of each port that is known now."""
    rows = ask(
        url,
        "SELECT n.status, n.errors FROM connector_now(now()) n "
        "JOIN charger c ON c.id = n.charger_id WHERE c.code = %s AND n.online ORDER BY n.number",
        code,
    )
    return [(row["status"], [e["code"] for e in row["errors"]]) for row in rows]


def settlement(order: bytes = ORDER, stop: int = 1, **more: int) -> Settlement:
    """The end of a session."""
    values = {"duration": 3600, "max_power": 1000, "energy": 48, "port": 0, "start_mode": 1,
              "card": 0} | more  # fmt: skip
    return Settlement(stop=stop, order=order, **values)
