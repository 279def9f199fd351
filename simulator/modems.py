"""The radios of e-bike cabinets: one TCP connection for each host, or for each cabinet without."""

import selectors
import socket
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any
from zlib import crc32

import structlog

from pilewatch.dny import fields
from pilewatch.dny.frames import Frame, build, parse
from pilewatch.openfiles import allow_connections
from pilewatch.store.registry_file import Charger, Registry
from simulator.cabinets import KINDS, Cabinet, Told
from simulator.messages import LinkChange, Sent
from simulator.metrics import Metrics

_LOG = structlog.get_logger()
_LINK_S = 30.0
_HOST_S = 1800.0
_AGAIN_S = 5.0
"""A settlement without an answer is sent again after so long; real ones take half an hour."""
_UNSENT_BYTES = 64 * 1024
_HOST_KIND = 0x0A


class _Line:
    """One modem: its host, where it has one, and the cabinets behind it that are up."""

    def __init__(self, name: str, host: int | None):
        self.name = name
        self.host = host
        self.up: set[str] = set()
        self.cabinets: dict[int, str] = {}
        self.socket: socket.socket | None = None
        self.connected = False
        self.unsent = bytearray()
        self.rest = b""
        self.spoke = 0.0
        self.host_said = 0.0
        self.retry_at = 0.0
        self.leaks = False
        self.message_id = 0


class Modems:
    """Carries what the world's e-bike chargers send to the gateway, and orders back."""

    def __init__(
        self,
        address: tuple[str, int],
        registry: Registry,
        metrics: Metrics,
        obey: Callable[[str, bytes], None],
    ):
        self._address = address
        self._metrics = metrics
        self._obey = obey
        self._selector = selectors.DefaultSelector()
        self._cabinets: dict[str, Cabinet] = {}
        self._lines: dict[str, _Line] = {}
        self._all: list[_Line] = []
        self._settled_at: dict[tuple[str, int], float] = {}
        self._housekeeping = 0.0
        by_gateway: dict[str, _Line] = {}
        for row in speakers(registry):
            cabinet = Cabinet(physical_id(row), len(row.plugs()))
            line = by_gateway.get(row.gateway or "")
            if line is None:
                gateway = registry.gateways.get(row.gateway or "")
                host = None if gateway is None else _HOST_KIND << 24 | number(gateway.device)
                line = _Line(row.gateway or row.code, host)
                self._all.append(line)
                if row.gateway:
                    by_gateway[row.gateway] = line
            self._cabinets[row.code] = cabinet
            self._lines[row.code] = line
            line.cabinets[cabinet.physical_id] = row.code
        allow_connections(len(self._all))

    @property
    def chargers(self) -> Iterable[str]:
        """Who speaks here."""
        return self._cabinets

    def carry(self, item: Sent | LinkChange) -> None:
        """Send a message as frames, or let a cabinet come or go."""
        line, cabinet = self._lines[item.charger], self._cabinets[item.charger]
        if isinstance(item, LinkChange):
            if item.change == "connect":
                line.up.add(item.charger)
                if line.socket is None:
                    self._dial(line)
            else:
                line.up.discard(item.charger)
                if not line.up:
                    self._hang_up(line)
            return
        for frame in cabinet.speak(item, line.host is not None):
            self._send(line, frame)
            if frame.command == fields.SETTLEMENT:
                self._settled_at[item.charger, frame.message_id] = time.monotonic()
        if line.host is not None:
            leaks = any(self._cabinets[code].leaks for code in line.cabinets.values())
            if leaks != line.leaks:
                line.leaks = leaks
                self._measure(line)

    def turn(self, seconds: float) -> None:
        """Read, write and reconnect for so long at most."""
        now = time.monotonic()
        if now - self._housekeeping > 0.2:
            self._housekeeping = now
            self._keep_house(now)
        for key, events in self._selector.select(seconds):
            line: _Line = key.data
            if events & selectors.EVENT_WRITE:
                self._flush(line)
            if events & selectors.EVENT_READ and line.socket is not None:
                self._read(line)

    def close(self) -> None:
        """Give what waits a moment to leave, then hang up."""
        until = time.monotonic() + 3
        while time.monotonic() < until and any(line.unsent for line in self._all):
            self.turn(0.02)
        for line in self._all:
            self._hang_up(line)
        self._selector.close()

    # --- connections

    def _dial(self, line: _Line) -> None:
        made = socket.socket()
        made.setblocking(False)
        made.connect_ex(self._address)
        line.socket, line.connected, line.rest = made, False, b""
        line.unsent = bytearray(f"8986{crc32(line.name.encode()):016}".encode())
        line.spoke = time.monotonic()
        self._selector.register(made, selectors.EVENT_READ | selectors.EVENT_WRITE, line)
        self._say_host(line)

    def _hang_up(self, line: _Line) -> None:
        if line.socket is not None:
            self._selector.unregister(line.socket)
            line.socket.close()
        line.socket, line.connected = None, False
        line.unsent.clear()

    def _lost(self, line: _Line) -> None:
        self._hang_up(line)
        line.retry_at = time.monotonic() + 1.0

    def _send(self, line: _Line, frame: Frame) -> None:
        if line.socket is None or len(line.unsent) > _UNSENT_BYTES:
            self._metrics.sent.labels("dropped").inc()
            return
        line.unsent += build(frame)
        self._metrics.sent.labels("sent").inc()
        if line.connected:
            self._flush(line)

    def _flush(self, line: _Line) -> None:
        if line.socket is None:
            return
        try:
            while line.unsent:
                del line.unsent[: line.socket.send(line.unsent)]
            line.connected = True
        except BlockingIOError:
            pass
        except OSError:
            self._lost(line)
            return
        line.spoke = time.monotonic()
        wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if line.unsent else 0)
        self._selector.modify(line.socket, wanted, line)

    def _read(self, line: _Line) -> None:
        assert line.socket is not None
        try:
            data = line.socket.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._lost(line)
            return
        items, line.rest = parse(line.rest + data)
        for item in items:
            if isinstance(item, Frame) and item.physical_id in line.cabinets:
                self._heard(line, line.cabinets[item.physical_id], item)

    def _heard(self, line: _Line, code: str, frame: Frame) -> None:
        for said in self._cabinets[code].hear(frame, datetime.now(UTC)):
            if isinstance(said, Told):
                self._obey(code, said.payload)
            else:
                self._send(line, said)

    # --- by the clock

    def _keep_house(self, now: float) -> None:
        for line in self._all:
            if line.up and line.socket is None and now >= line.retry_at:
                self._dial(line)
                for code in line.up:
                    for frame in self._again(code):
                        self._send(line, frame)
            if line.connected and now - line.spoke > _LINK_S:
                line.unsent += b"link"
                self._flush(line)
            if line.connected and now - line.host_said > _HOST_S:
                self._say_host(line)
            if line.connected:
                self._settle_again(line, now)
        self._metrics.connected.set(sum(len(line.up) for line in self._all if line.connected))

    def _again(self, code: str) -> Iterable[Frame]:
        cabinet = self._cabinets[code]
        yield cabinet.beat()
        yield from cabinet.unsettled.values()

    def _settle_again(self, line: _Line, now: float) -> None:
        for code in line.up:
            for id, frame in self._cabinets[code].unsettled.items():
                if now - self._settled_at.get((code, id), 0.0) > _AGAIN_S:
                    self._settled_at[code, id] = now
                    self._send(line, frame)

    def _say_host(self, line: _Line) -> None:
        line.host_said = time.monotonic()
        if line.host is not None:
            said = fields.HostStatus(firmware=101, clock=1, time=int(time.time()), signal=24)
            self._send(line, self._of_host(line, fields.HOST_STATUS, said))
            self._measure(line)

    def _measure(self, line: _Line) -> None:
        measures = fields.HostMeasures(
            breaker=int(not line.leaks), temperature=fields.from_celsius(24), voltage=2240,
            current=0, energy=0, meter_current=0, meter_energy=0, smoke=0, relay=0,
            leakage=50 if line.leaks else 2, live_temperature=fields.from_celsius(25),
            neutral_temperature=fields.from_celsius(25), locked=0, breaker_kind=0,
        )  # fmt: skip
        self._send(line, self._of_host(line, fields.HOST_MEASURES, measures))

    def _of_host(self, line: _Line, command: int, said: Any) -> Frame:
        line.message_id = line.message_id % 0xFFFF + 1
        return Frame(line.host or 0, line.message_id, command, said.write())


def speakers(registry: Registry) -> list[Charger]:
    """The chargers that speak DNY in a community of this protocol: those for e-bikes."""
    return [row for row in registry.chargers.values() if row.kind == "ebike" and row.active]


def number(device: str | None) -> int:
    """The number under the QR code, of `dny-NUMBER`."""
    return int((device or "dny-0").removeprefix("dny-")) & 0xFFFFFF


def physical_id(row: Charger) -> int:
    """Kind and number."""
    return KINDS.get(len(row.plugs()), 0x06) << 24 | number(row.device)
