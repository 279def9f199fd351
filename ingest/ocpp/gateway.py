"""The OCPP gateway as a process: `pilewatch ocpp-gateway`."""

import asyncio
import socket as sockets
import ssl
import time
from collections import OrderedDict
from collections.abc import Coroutine
from http import HTTPStatus
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import msgspec
import psycopg
import structlog
from prometheus_client import REGISTRY, CollectorRegistry
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from ingest.ocpp import memory, orders
from ingest.ocpp.connection import Connection, Hall
from ingest.ocpp.door import credentials_of, identity_of
from ingest.ocpp.frames import MAX_FRAME, PROTOCOLS
from ingest.ocpp.line import Away, Line
from ingest.ocpp.memory import Known
from ingest.ocpp.metrics import Metrics
from ingest.ocpp.orders import Outcome
from ingest.ocpp.station import Said
from ingest.ocpp.stations import STATIONS
from ingest.stopping import stop_on_signals
from ingest.writer import KeepSome
from pilewatch.clock import Clock, utc_now
from pilewatch.observability import serve_metrics, setup_logging
from pilewatch.openfiles import allow_connections
from pilewatch.settings import BadSettings, Ocpp, Settings
from pilewatch.store.pool import open_pool

_LOG = structlog.get_logger()
_REPLACED = 1008
_GOING_AWAY = 1001
_COMMANDS = 5000
"""So many numbers of commands are known, so that none is obeyed twice."""
_TRIM_S = 6 * 3600.0
_VERIFYING = 4
_LEAVE_S = 10.0
_OPEN_S = 60.0
"""After a restart all chargers come at once and wait for the checks of their passwords."""


class Admitted(NamedTuple):
    """Who got through the door."""

    charger: str
    known: Known


class Gateway:
    """Lets chargers in, keeps the newest connection of each, and hands commands to them."""

    def __init__(
        self, settings: Settings, *, clock: Clock = utc_now, registry: CollectorRegistry = REGISTRY
    ):
        ocpp = settings.ocpp
        self.metrics = Metrics(registry)
        cards, self._tls = _cards_of(ocpp), _tls_of(ocpp)
        # The ingester may read the same settings, and needs its id for itself.
        client_id = f"{settings.mqtt.client_id or sockets.gethostname()}-ocpp-gateway"
        line = Line(
            settings.mqtt,
            client_id,
            self.metrics,
            heard=self._command,
            came_up=self._broker_is_back,
        )
        url = settings.database.url.get_secret_value()
        self.hall = Hall(
            settings=ocpp,
            clock=clock,
            metrics=self.metrics,
            line=line,
            pool=open_pool(url, size=settings.database.pool_size, application="pilewatch ocpp"),
            keep=KeepSome(time.monotonic),
            cards=cards,
        )
        self._admitted: WeakKeyDictionary[ServerConnection, Admitted] = WeakKeyDictionary()
        self._verifying = asyncio.Semaphore(_VERIFYING)
        self._here: dict[str, Connection] = {}
        self._at_door = 0
        self._obeyed: OrderedDict[str, Said | None] = OrderedDict()
        self._tasks: set[asyncio.Task[None]] = set()
        self.server: Server | None = None

    @property
    def port(self) -> int:
        """Where it listens; of use where the settings say 0."""
        assert self.server is not None
        return int(next(iter(self.server.sockets)).getsockname()[1])

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`; then each charger is said to be off line."""
        ocpp = self.hall.settings
        self.hall.line.start(asyncio.get_running_loop())
        try:
            async with serve(
                self._serve,
                ocpp.host,
                ocpp.port,
                process_request=self._admit,
                subprotocols=[Subprotocol(name) for name in PROTOCOLS],
                open_timeout=_OPEN_S,
                ping_interval=ocpp.ping_s,
                ping_timeout=ocpp.ping_s,
                close_timeout=5,
                max_size=4 * MAX_FRAME,
                ssl=self._tls,
                server_header=None,
            ) as self.server:
                _LOG.info("listening", port=self.port, tls=self._tls is not None)
                await self._until(stop)
        finally:
            self.hall.line.stop()
            self.hall.pool.close()

    async def _until(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            try:
                await self.hall.ask_database(memory.trim, self.hall.clock())
            except psycopg.Error as error:
                _LOG.warning("old transactions are kept", problem=str(error).splitlines()[:1])
            try:
                async with asyncio.timeout(_TRIM_S):
                    await stop.wait()
            except TimeoutError:
                continue
        leaving = [c.close(_GOING_AWAY, "the gateway stops") for c in self._here.values()]
        try:
            async with asyncio.timeout(_LEAVE_S):
                await asyncio.gather(*leaving)
                while self._here:
                    await asyncio.sleep(0.02)
        except TimeoutError:
            _LOG.warning("stopped before every charger had left", chargers=len(self._here))

    # --- the door

    async def _admit(self, socket: ServerConnection, request: Request) -> Response | None:
        if len(self._here) + self._at_door >= self.hall.settings.max_connections:
            return self._refuse(socket, HTTPStatus.SERVICE_UNAVAILABLE, "too many chargers")
        self._at_door += 1
        try:
            return await self._let_in(socket, request)
        finally:
            self._at_door -= 1

    async def _let_in(self, socket: ServerConnection, request: Request) -> Response | None:
        try:
            found = await self._look(socket, request)
        except psycopg.Error as error:
            _LOG.warning("nobody is let in", problem=str(error).splitlines()[:1])
            return self._refuse(socket, HTTPStatus.SERVICE_UNAVAILABLE, "the database is away")
        if isinstance(found, Response):
            return found
        self._admitted[socket] = found
        return None

    async def _look(self, socket: ServerConnection, request: Request) -> Admitted | Response:
        charger = identity_of(request.path)
        if charger is None:
            return self._refuse(
                socket, HTTPStatus.NOT_FOUND,
                "right would be a path ending with the charger's id: 1 to 64 of A-Z a-z 0-9 . _ -",
            )  # fmt: skip
        offered = {
            name.strip()
            for header in request.headers.get_all("Sec-WebSocket-Protocol")
            for name in header.split(",")
        }
        if not offered.intersection(PROTOCOLS):
            right = f"right would be Sec-WebSocket-Protocol: {' or '.join(PROTOCOLS)}"
            return self._refuse(socket, HTTPStatus.BAD_REQUEST, right)
        known = await self.hall.ask_database(memory.find, charger)
        settings = self.hall.settings
        if known.secret_hash is None and not known.registered:
            if settings.unknown == "refuse":
                return self._refuse(socket, HTTPStatus.NOT_FOUND, "this charger is not registered")
            return Admitted(charger, known)
        if settings.auth == "basic" and not await self._is_right(charger, known, request):
            refusal = self._refuse(socket, HTTPStatus.UNAUTHORIZED, "wrong name or password")
            refusal.headers["WWW-Authenticate"] = 'Basic realm="pilewatch"'
            return refusal
        return Admitted(charger, known)

    async def _is_right(self, charger: str, known: Known, request: Request) -> bool:
        given = credentials_of(request.headers.get("Authorization"))
        if given is None or given.name != charger or known.secret_hash is None:
            return False
        async with self._verifying:
            return await asyncio.to_thread(memory.fits, known.secret_hash, given.password)

    def _refuse(self, socket: ServerConnection, status: HTTPStatus, why: str) -> Response:
        self.metrics.refused.labels(status.phrase).inc()
        return socket.respond(status, f"{why}\n")

    # --- connections

    async def _serve(self, socket: ServerConnection) -> None:
        charger, known = self._admitted.pop(socket)
        hall = self.hall
        assert socket.subprotocol is not None
        station = STATIONS[socket.subprotocol](known.ports, hall.settings.heartbeat_s)
        for session in known.sessions:
            station.remember(session)
        pending = hall.waiting.setdefault(charger, [])
        here = {waiting.command_id for waiting in pending}
        pending += [waiting for waiting in known.waiting if waiting.command_id not in here]
        connection = Connection(hall, socket, charger, station, booted=known.booted)
        before = self._here.get(charger)
        self._here[charger] = connection
        if before is not None:
            self._do(before.close(_REPLACED, "the charger connected anew"))
        hall.line.listen(charger)
        gauge = self.metrics.connected.labels(station.protocol)
        gauge.inc()
        try:
            await connection.serve()
        finally:
            gauge.dec()
            await self._gone(connection)

    async def _gone(self, connection: Connection) -> None:
        charger = connection.charger
        if self._here.get(charger) is not connection:
            return  # it is here by another connection
        self.hall.line.ignore(charger)
        try:
            said = [connection.station.offline()]
            await self.hall.line.tell(charger, said, self.hall.settings.answer_s)
        except Away:
            pass  # it stays silent, which is noticed as well
        if self._here.get(charger) is connection:
            del self._here[charger]
        if not self.hall.waiting.get(charger):
            self.hall.waiting.pop(charger, None)

    def _broker_is_back(self) -> None:
        for connection in self._here.values():
            connection.do(connection.retell())

    # --- commands

    def _command(self, charger: str, payload: bytes) -> None:
        self._do(self._obey(charger, payload))

    async def _obey(self, charger: str, payload: bytes) -> None:
        try:
            told = orders.READ.decode(payload)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            _LOG.warning("no command", charger=charger, problem=str(error)[:200])
            return
        if told.command_id in self._obeyed:
            before = self._obeyed[told.command_id]
            said = [] if before is None else [before]
        else:
            self._obeyed[told.command_id] = None
            while len(self._obeyed) > _COMMANDS:
                self._obeyed.popitem(last=False)
            connection = self._here.get(charger)
            gone = Outcome("rejected", "the charger is not connected")
            found = gone if connection is None else await connection.obey(told)
            self.metrics.commands.labels(found.word).inc()
            answer = orders.result(told.command_id, found, self.hall.clock())
            self._obeyed[told.command_id] = answer
            said = [answer]
        try:
            await self.hall.line.tell(charger, said, self.hall.settings.answer_s)
        except Away as error:
            _LOG.warning("a result is not told", charger=charger, problem=str(error))

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _cards_of(settings: Ocpp) -> frozenset[str]:
    if settings.authorize != "list":
        return frozenset()
    if settings.id_tags_file is None:
        raise BadSettings("ocpp.id_tags_file: needed where ocpp.authorize is list")
    try:
        lines = settings.id_tags_file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BadSettings(f"ocpp.id_tags_file: {error}") from error
    return frozenset(line.strip().lower() for line in lines if line.strip())


def _tls_of(settings: Ocpp) -> ssl.SSLContext | None:
    if settings.cert_file is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(settings.cert_file, settings.key_file)
    except (OSError, ssl.SSLError) as error:
        raise BadSettings(f"ocpp.cert_file, ocpp.key_file: {error}") from error
    return context


def run(settings: Settings) -> int:
    """Run until SIGTERM or SIGINT. Gives the exit code."""
    setup_logging(settings.log_format, process="ocpp-gateway")
    serve_metrics(settings.metrics)

    async def work() -> None:
        stop = asyncio.Event()
        stop_on_signals(stop)
        await Gateway(settings).run(stop)

    try:
        allow_connections(settings.ocpp.max_connections)
        asyncio.run(work())
    except OSError as error:
        _LOG.error("cannot listen", problem=str(error))
        return 1
    return 0
