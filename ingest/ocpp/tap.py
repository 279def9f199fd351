"""The OCPP tap as a process: `pilewatch ocpp-tap`. Chargers and their own system talk through us.

It passes the very bytes on, both ways, also those of the handshake (but for `Host` and the path
before the charger's part), so that nothing can be changed by mistake. What it learns goes to a
bounded queue and is read in another thread: what finds no room there is not read, and passed on.
"""

import asyncio
import contextlib
import socket as sockets
import ssl
from collections.abc import Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import structlog
from prometheus_client import REGISTRY, CollectorRegistry

from ingest.ocpp.door import identity_of
from ingest.ocpp.eavesdrop import Ear, Eavesdropper
from ingest.ocpp.line import Line
from ingest.ocpp.metrics import Metrics
from ingest.stopping import stop_on_signals
from pilewatch.clock import Clock, utc_now
from pilewatch.observability import serve_metrics, setup_logging
from pilewatch.settings import Settings

_LOG = structlog.get_logger()
_CHUNK = 64 * 1024
_MAX_HEAD = 32 * 1024
_HEAD_S = 15.0
_CONNECT_S = 10.0
_LINGER_S = 5.0


class BadUpstream(ValueError):
    """The addresses or certificates cannot be used."""


@dataclass(frozen=True)
class Tapped:
    """Between whom we listen."""

    listen: tuple[str, int]
    host: str
    port: int
    base: str
    authority: str
    to_upstream: ssl.SSLContext | None
    from_chargers: ssl.SSLContext | None

    @classmethod
    def read(
        cls,
        upstream: str,
        *,
        listen: tuple[str, int],
        ca_file: Path | None = None,
        cert_file: Path | None = None,
        key_file: Path | None = None,
    ) -> "Tapped":
        """From what was written on the command line. Raises `BadUpstream`."""
        try:
            url = urlsplit(upstream)
            port = url.port
        except ValueError as error:
            raise BadUpstream(f"--upstream: {error}") from error
        if url.scheme not in ("ws", "wss") or not url.hostname or url.query or url.fragment:
            raise BadUpstream("--upstream: right would be wss://HOST[:PORT][/PATH]")
        try:
            out = ssl.create_default_context(cafile=ca_file) if url.scheme == "wss" else None
            inner = None
            if cert_file is not None:
                inner = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                inner.load_cert_chain(cert_file, key_file)
        except (OSError, ssl.SSLError) as error:
            raise BadUpstream(f"certificates: {error}") from error
        return cls(
            listen, url.hostname, port or (443 if out else 80), url.path.rstrip("/"),
            url.netloc.rpartition("@")[2], out, inner,
        )  # fmt: skip


class Head(NamedTuple):
    """A request's head as it is passed on, and whose it is."""

    data: bytes
    charger: str | None


def passed_head(head: bytes, tapped: Tapped) -> Head | None:
    """The request with upstream's path and host, otherwise untouched; None if it is no request."""
    first, _, rest = head.partition(b"\r\n")
    parts = first.split(b" ")
    if len(parts) != 3 or not parts[1].startswith(b"/") or not parts[2].startswith(b"HTTP/1."):
        return None
    parts[1] = tapped.base.encode() + parts[1]
    lines = [
        b"Host: " + tapped.authority.encode() if line[:5].lower() == b"host:" else line
        for line in rest.split(b"\r\n")
    ]
    path = parts[1].decode("ascii", "replace")
    return Head(b"\r\n".join([b" ".join(parts), *lines]), identity_of(path))


class Tap:
    """Relays until told to stop. Neither broker nor database is needed for that."""

    def __init__(
        self,
        settings: Settings,
        tapped: Tapped,
        *,
        clock: Clock = utc_now,
        registry: CollectorRegistry = REGISTRY,
    ):
        self.metrics = Metrics(registry)
        self._tapped = tapped
        client_id = f"{settings.mqtt.client_id or sockets.gethostname()}-ocpp-tap"
        self.line = Line(settings.mqtt, client_id, self.metrics, came_up=self._broker_is_back)
        self.eavesdropper = Eavesdropper(self.line, clock=clock, metrics=self.metrics)
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def port(self) -> int:
        """Where it listens; of use where 0 was asked for."""
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    def _broker_is_back(self) -> None:
        self.eavesdropper.retell()

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`; connections are cut then, and chargers come back by themselves."""
        self.line.start(asyncio.get_running_loop())
        self.eavesdropper.start()
        host, port = self._tapped.listen
        try:
            self._server = await asyncio.start_server(
                self._accept, host, port, ssl=self._tapped.from_chargers, limit=_MAX_HEAD
            )
            _LOG.info("listening", port=self.port, upstream=self._tapped.authority)
            await stop.wait()
            self._server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
        finally:
            await asyncio.to_thread(self.eavesdropper.stop)
            self.line.stop()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._relay(reader, writer)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_HEAD_S):
                head = passed_head(await reader.readuntil(b"\r\n\r\n"), self._tapped)
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError):
            head = None
        if head is None:
            return await _say(writer, "400 Bad Request")
        tapped = self._tapped
        try:
            async with asyncio.timeout(_CONNECT_S):
                there, back = await asyncio.open_connection(
                    tapped.host, tapped.port, ssl=tapped.to_upstream, limit=_MAX_HEAD
                )
        except (OSError, TimeoutError) as error:
            _LOG.warning("upstream is away", charger=head.charger, problem=str(error))
            return await _say(writer, "502 Bad Gateway")
        ear = self.eavesdropper.listen(head.charger)
        try:
            back.write(head.data)
            await _both(self._pump(reader, back, ear, True), self._pump(there, writer, ear, False))
        finally:
            back.close()
            ear.close()
        return None

    async def _pump(
        self,
        source: asyncio.StreamReader,
        sink: asyncio.StreamWriter,
        ear: Ear,
        to_upstream: bool,
    ) -> None:
        count = self.metrics.passed.labels("upstream" if to_upstream else "charger").inc
        hear = ear.from_charger if to_upstream else ear.from_upstream
        with contextlib.suppress(OSError):
            while data := await source.read(_CHUNK):
                sink.write(data)
                count(len(data))
                hear(data)
                await sink.drain()
        with contextlib.suppress(OSError):
            if sink.can_write_eof():
                sink.write_eof()
            else:
                sink.close()  # TLS knows no half; what was written still leaves


async def _both(one: Coroutine[Any, Any, None], other: Coroutine[Any, Any, None]) -> None:
    """Until both directions ended; after the first, the other has a little time to end."""
    tasks = [asyncio.ensure_future(one), asyncio.ensure_future(other)]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        await asyncio.wait(tasks, timeout=_LINGER_S)
    finally:
        for task in tasks:
            task.cancel()


async def _say(writer: asyncio.StreamWriter, status: str) -> None:
    writer.write(f"HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n".encode())
    await writer.drain()


def run(settings: Settings, tapped: Tapped) -> int:
    """Run until SIGTERM or SIGINT. Gives the exit code."""
    setup_logging(settings.log_format, process="ocpp-tap")
    serve_metrics(settings.metrics)

    async def work() -> None:
        stop = asyncio.Event()
        stop_on_signals(stop)
        await Tap(settings, tapped).run(stop)

    asyncio.run(work())
    return 0
