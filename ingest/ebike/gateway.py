"""`pilewatch ebike-gateway`: the server that modems of e-bike cabinets connect to."""

import asyncio
import socket
import time

import structlog
from prometheus_client import REGISTRY, CollectorRegistry

from ingest.ebike import native
from ingest.ebike.answers import answer, settled
from ingest.ebike.desk import Desk, Device, Line
from ingest.ebike.keeper import Keeper
from ingest.ebike.metrics import Metrics
from ingest.ebike.orders import Orders
from ingest.ebike.publisher import Publisher
from ingest.stopping import end, stop_on_signals
from pilewatch.clock import Clock, utc_now
from pilewatch.dny.fields import ASK, SETTLEMENT
from pilewatch.dny.frames import Frame, Garbage, build, parse
from pilewatch.observability import serve_metrics, setup_logging
from pilewatch.openfiles import allow_connections
from pilewatch.settings import Settings

_LOG = structlog.get_logger()
_UNSENT_BYTES = 4096
"""A modem that does not read so much is hung up on: it cannot be told anything more."""
_GARBAGE_BYTES = 8192
_BURST, _PER_SECOND = 500.0, 50.0
"""Frames of one modem: what a host with 50 slaves says at once, and what none says for long."""
_LOOK_S = 5.0
_BACKLOG = 4096


class Modem(asyncio.Protocol):
    """One connection."""

    __slots__ = ("_allowed", "_garbage", "_gateway", "_rest", "heard_at", "line", "transport")

    def __init__(self, gateway: "Gateway"):
        self._gateway = gateway
        self._rest = b""
        self._garbage = 0
        self._allowed = _BURST
        self.line = Line()
        self.heard_at = time.monotonic()
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Let it in, or hang up where the house is full."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.set_write_buffer_limits(high=_UNSENT_BYTES)
        if not self._gateway.enter(self):
            self.hang_up("full")

    def data_received(self, data: bytes) -> None:
        """Bytes: frames, parts of frames, or anything else."""
        now = time.monotonic()
        self._allowed = min(_BURST, self._allowed + (now - self.heard_at) * _PER_SECOND)
        items, self._rest = parse(self._rest + data)
        for item in items:
            if self.transport is None:
                return
            if isinstance(item, Garbage):
                self._gateway.metrics.bad.labels(item.why).inc(item.bytes)
                self._garbage += item.bytes
                if self._garbage > _GARBAGE_BYTES:
                    self.hang_up("garbage")
                continue
            self.heard_at, self._garbage = now, 0
            if isinstance(item, Frame):
                self._allowed -= 1
                if self._allowed < 0:
                    self.hang_up("flood")
                else:
                    self._gateway.take(self, item)

    def send(self, frame: Frame) -> bool:
        """Write a frame; False where the connection is gone."""
        if self.transport is None or self.transport.is_closing():
            return False
        self.transport.write(build(frame))
        return True

    def pause_writing(self) -> None:
        """It does not read what it is sent."""
        self.hang_up("slow")

    def hang_up(self, why: str) -> None:
        """End the connection now; what was not sent is lost."""
        if self.transport is not None:
            self._gateway.metrics.hung_up.labels(why).inc()
            self.transport.abort()
            self.transport = None

    def connection_lost(self, _: Exception | None) -> None:
        """By whichever side."""
        self.transport = None
        self._gateway.leave(self)


class Gateway:
    """Modems on one side, broker and PostgreSQL on the other."""

    def __init__(
        self, settings: Settings, *, clock: Clock = utc_now, registry: CollectorRegistry = REGISTRY
    ):
        self._settings = settings
        self._clock = clock
        self.metrics = Metrics(registry)
        self.port = 0
        """Where it listens, once it does."""
        self.ready = asyncio.Event()
        self.stop = asyncio.Event()
        self._modems: set[Modem] = set()
        self._of_line: dict[int, Modem] = {}

    # --- modems

    def enter(self, modem: Modem) -> bool:
        """Whether there is room for one more."""
        if len(self._modems) >= self._settings.ebike.max_connections:
            return False
        self._modems.add(modem)
        self._of_line[id(modem.line)] = modem
        self.metrics.modems.set(len(self._modems))
        return True

    def leave(self, modem: Modem) -> None:
        """It is gone."""
        self._modems.discard(modem)
        self._of_line.pop(id(modem.line), None)
        self.metrics.modems.set(len(self._modems))
        self.desk.close(modem.line)

    def take(self, modem: Modem, frame: Frame) -> None:
        """Answer a frame and take it in; a settlement the other way round."""

        def committed() -> None:
            if modem.send(settled(frame)):
                self._sent(frame.physical_id)

        said = answer(frame, self._clock())
        if said is not None and modem.send(said):
            self._sent(frame.physical_id)
        done = committed if frame.command == SETTLEMENT else None
        if not self.desk.hear(modem.line, frame, done):
            modem.hang_up("slaves")

    def _sent(self, physical_id: int) -> None:
        device = self.desk.devices.get(physical_id)
        if device is not None:
            self.orders.sent(device)

    def _order(self, device: Device, frame: Frame) -> bool:
        modem = None if device.line is None else self._of_line.get(id(device.line))
        if modem is None or not modem.send(frame):
            return False
        if frame.command == ASK:
            self.desk.asked(device)
        return True

    def _say(self, device: Device, message: native.Message) -> None:
        if device.known is not None and device.known.charger is not None:
            self.publisher.publish(device.known.charger, message)

    # --- the process

    async def run(self) -> None:
        """Until `stop` is set. Raises `OSError` where the port is taken."""
        settings = self._settings
        client_id = settings.mqtt.client_id or f"pilewatch-{socket.gethostname()}"
        self.keeper = Keeper(
            settings.database.url.get_secret_value(),
            clock=self._clock,
            metrics=self.metrics,
            settlement_days=settings.ebike.settlement_days,
        )
        self.publisher = Publisher(
            settings.mqtt,
            f"{client_id}-ebike",
            metrics=self.metrics,
        )
        self.desk = Desk(
            settings.ebike, self.keeper, self.publisher, clock=self._clock, metrics=self.metrics
        )
        self.orders = Orders(
            find=self.desk.find,
            send=self._order,
            say=self._say,
            clock=self._clock,
            metrics=self.metrics,
        )
        self.desk.heard = self.orders.heard
        self.publisher.connected = self.desk.reconnected
        self.publisher.commanded = self.orders.take
        loop = asyncio.get_running_loop()
        server = await loop.create_server(
            lambda: Modem(self), settings.ebike.host, settings.ebike.port, backlog=_BACKLOG
        )
        self.port = server.sockets[0].getsockname()[1]
        self.publisher.start()
        tasks = [
            loop.create_task(work())
            for work in (self.keeper.run, self._watch, self.desk.keep_publishing)
        ]
        self.ready.set()
        _LOG.info("listening", port=self.port)
        try:
            await self._until_stopped(tasks)
        finally:
            server.close()
            for modem in list(self._modems):
                modem.hang_up("stopped")
            await end(tasks)
            self.publisher.stop()

    async def _until_stopped(self, tasks: list["asyncio.Task[None]"]) -> None:
        """A task that ends is a bug of ours: end with its error, and be started again."""
        stop = asyncio.get_running_loop().create_task(self.stop.wait())
        done, _ = await asyncio.wait([stop, *tasks], return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        for task in done:
            if task is not stop:
                task.result()

    async def _watch(self) -> None:
        """Hang up on those who are gone without a word."""
        idle = self._settings.ebike.idle_s
        while True:
            await asyncio.sleep(min(_LOOK_S, idle / 4))
            now = time.monotonic()
            for modem in list(self._modems):
                if now - modem.heard_at > idle:
                    modem.hang_up("idle")
            self.metrics.devices.set(self.desk.count())


def run(settings: Settings) -> int:
    """Run until SIGTERM or SIGINT. Gives the exit code."""
    setup_logging(settings.log_format, process="ebike-gateway")
    serve_metrics(settings.metrics)

    async def serve() -> None:
        gateway = Gateway(settings)
        stop_on_signals(gateway.stop)
        await gateway.run()

    try:
        allow_connections(settings.ebike.max_connections)
        asyncio.run(serve())
    except OSError as error:
        _LOG.error("cannot listen", problem=str(error))
        return 1
    return 0
