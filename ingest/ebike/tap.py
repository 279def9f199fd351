"""`pilewatch ebike-tap`: stands before somebody else's server and only listens.

Bytes pass through unchanged both ways, with the ends of both sides. Listening happens in a thread
of its own behind a bounded queue: whatever it does or fails to do, bytes keep flowing.
"""

import asyncio
import contextlib
import socket
import threading
from collections import deque
from dataclasses import dataclass, field
from typing import NamedTuple

import structlog
from prometheus_client import REGISTRY, CollectorRegistry

from ingest.ebike.desk import Desk, Line
from ingest.ebike.keeper import Keeper
from ingest.ebike.metrics import Metrics
from ingest.ebike.publisher import Publisher
from ingest.stopping import end, stop_on_signals
from pilewatch.clock import Clock, utc_now
from pilewatch.dny.fields import ASK
from pilewatch.dny.frames import Frame, Garbage, parse
from pilewatch.observability import serve_metrics, setup_logging
from pilewatch.openfiles import allow_connections
from pilewatch.settings import Settings

_LOG = structlog.get_logger()
_READ_BYTES = 64 * 1024
_BEHIND_BYTES = 8_000_000
"""So much waits to be listened to at most; beyond it is passed on unheard."""
_AGAIN_S = 5.0
_CONNECT_S = 10.0


class Address(NamedTuple):
    """Where to listen or to connect."""

    host: str
    port: int


@dataclass(eq=False, slots=True)
class Ears:
    """One connection, as it is listened to; `up` is what the modem says."""

    up: bytes = b""
    down: bytes = b""
    line: Line = field(default_factory=Line)


class _Piece(NamedTuple):
    ears: Ears
    way: str
    data: bytes
    """Empty: the connection is gone."""


class Listener(threading.Thread):
    """Understands what passes. `feed` never waits and never fails."""

    def __init__(self, settings: Settings, *, clock: Clock, metrics: Metrics):
        super().__init__(name="listener", daemon=True)
        self._settings = settings
        self._clock = clock
        self._metrics = metrics
        self._pieces: deque[_Piece] = deque()
        self._bytes = 0
        self._room = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._arrived: asyncio.Event | None = None
        self._stopping = threading.Event()

    def feed(self, ears: Ears, way: str, data: bytes) -> None:
        """Let these bytes be listened to, if there is room."""
        with self._room:
            if data and self._bytes + len(data) > _BEHIND_BYTES:
                self._metrics.unheard.inc(len(data))
                return
            self._bytes += len(data)
            self._pieces.append(_Piece(ears, way, data))
        loop, arrived = self._loop, self._arrived
        if loop is not None and arrived is not None:
            with contextlib.suppress(RuntimeError):  # it ends just now
                loop.call_soon_threadsafe(arrived.set)

    def run(self) -> None:
        """Until stopped; what goes wrong is logged, and listening begins anew."""
        while not self._stopping.is_set():
            try:
                asyncio.run(self._listen())
            except Exception:  # noqa: BLE001  bytes must flow, whatever is wrong with us
                _LOG.exception("listening failed")
                self._stopping.wait(_AGAIN_S)

    def stop(self) -> None:
        """End soon."""
        self._stopping.set()
        if self._loop is not None and self._arrived is not None:
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._arrived.set)

    async def _listen(self) -> None:
        settings = self._settings
        self._loop, self._arrived = asyncio.get_running_loop(), asyncio.Event()
        client_id = settings.mqtt.client_id or f"pilewatch-{socket.gethostname()}"
        keeper = Keeper(
            settings.database.url.get_secret_value(),
            clock=self._clock,
            metrics=self._metrics,
            settlement_days=settings.ebike.settlement_days,
        )
        publisher = Publisher(settings.mqtt, f"{client_id}-ebike-tap", metrics=self._metrics)
        desk = Desk(settings.ebike, keeper, publisher, clock=self._clock, metrics=self._metrics)
        publisher.connected = desk.reconnected
        publisher.start()
        tasks = [self._loop.create_task(work()) for work in (keeper.run, desk.keep_publishing)]
        try:
            while not self._stopping.is_set():
                await self._arrived.wait()
                self._arrived.clear()
                while self._pieces:
                    with self._room:
                        piece = self._pieces.popleft()
                        self._bytes -= len(piece.data)
                    _understand(desk, piece, self._metrics)
                    await asyncio.sleep(0)
        finally:
            await end(tasks)
            publisher.stop()


def _understand(desk: Desk, piece: _Piece, metrics: Metrics) -> None:
    ears = piece.ears
    if not piece.data:
        desk.close(ears.line)
    elif piece.way == "up":
        items, ears.up = parse(ears.up + piece.data)
        for item in items:
            if isinstance(item, Garbage):
                metrics.bad.labels(item.why).inc(item.bytes)
            elif isinstance(item, Frame):
                desk.hear(ears.line, item)
    else:
        items, ears.down = parse(ears.down + piece.data)
        for item in items:
            if isinstance(item, Frame) and item.command == ASK:
                device = desk.devices.get(item.physical_id)
                if device is not None:
                    desk.asked(device)


class Tap:
    """Passes connections on."""

    def __init__(
        self,
        settings: Settings,
        listen: Address,
        upstream: Address,
        *,
        clock: Clock = utc_now,
        registry: CollectorRegistry = REGISTRY,
    ):
        self._settings = settings
        self._listen = listen
        self._upstream = upstream
        self.metrics = Metrics(registry)
        self.listener = Listener(settings, clock=clock, metrics=self.metrics)
        self.port = 0
        self.ready = asyncio.Event()
        self.stop = asyncio.Event()
        self._open: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Until `stop` is set. Raises `OSError` where the port is taken."""
        server = await asyncio.start_server(self._enter, *self._listen, backlog=4096)
        self.port = server.sockets[0].getsockname()[1]
        self.listener.start()
        self.ready.set()
        _LOG.info("listening", port=self.port, upstream=f"{self._upstream.host}")
        try:
            await self.stop.wait()
        finally:
            server.close()
            for task in list(self._open):
                task.cancel()
            self.listener.stop()
            await asyncio.get_running_loop().run_in_executor(None, self.listener.join, 10)

    def _enter(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._open) >= self._settings.ebike.max_connections:
            self.metrics.hung_up.labels("full").inc()
            writer.transport.abort()
            return
        # Held on to: of a connection that waits for nothing just now, asyncio keeps nothing alive.
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._open.add(task)
        task.add_done_callback(self._leave)
        self.metrics.modems.set(len(self._open))

    def _leave(self, task: "asyncio.Task[None]") -> None:
        self._open.discard(task)
        self.metrics.modems.set(len(self._open))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there = asyncio.open_connection(*self._upstream)
            their_reader, their_writer = await asyncio.wait_for(there, _CONNECT_S)
        except (OSError, TimeoutError) as error:
            _LOG.warning("upstream cannot be reached", problem=str(error))
            writer.transport.abort()
            return
        ears = Ears()
        try:
            for each in (writer, their_writer):
                each.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            async with asyncio.TaskGroup() as both:
                both.create_task(self._pass(reader, their_writer, ears, "up"))
                both.create_task(self._pass(their_reader, writer, ears, "down"))
        except* OSError:
            for each in (writer, their_writer):
                each.transport.abort()  # as one side broke off, so does the other
        finally:
            self.listener.feed(ears, "up", b"")
            for each in (writer, their_writer):
                each.close()

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, ears: Ears, way: str
    ) -> None:
        """One direction, up to its end, which is passed on as well."""
        while data := await reader.read(_READ_BYTES):
            writer.write(data)
            self.metrics.forwarded.labels(way).inc(len(data))
            self.listener.feed(ears, way, data)
            await writer.drain()
        if way == "up":
            self.listener.feed(ears, way, b"")
        if writer.can_write_eof():
            writer.write_eof()


def run(settings: Settings, listen: Address, upstream: Address) -> int:
    """Run until SIGTERM or SIGINT. Gives the exit code."""
    setup_logging(settings.log_format, process="ebike-tap")
    serve_metrics(settings.metrics)

    async def serve() -> None:
        tap = Tap(settings, listen, upstream)
        stop_on_signals(tap.stop)
        await tap.run()

    try:
        allow_connections(2 * settings.ebike.max_connections)
        asyncio.run(serve())
    except OSError as error:
        _LOG.error("cannot listen", problem=str(error))
        return 1
    return 0
