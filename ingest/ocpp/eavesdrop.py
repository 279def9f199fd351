"""The listening half of the tap: an ear at each connection, one thread that reads what they heard.

An ear never waits and never fails: what has no room in the queue is counted and left out.
"""

import queue
import re
import threading
from collections import OrderedDict
from datetime import datetime
from typing import NamedTuple

import structlog

from ingest.ocpp import frames
from ingest.ocpp.frames import Answer, BadFrame, Call, Refusal
from ingest.ocpp.line import Line
from ingest.ocpp.metrics import Metrics
from ingest.ocpp.passing import Inflater, OutOfStep, Passed, Splitter
from ingest.ocpp.station import Said
from ingest.ocpp.stations import STATIONS
from pilewatch.clock import Clock

_LOG = structlog.get_logger()
_ROOM = 10_000
_HEAD = 32 * 1024
_ASKED = 100
"""So many calls of one charger wait for their answer in our memory."""
_ALIVE_S = 60.0
_PROMISE_S = 900
"""What we believe of a charger whose boot, with the answer to it, we did not see: any frame of it,
also a ping, counts as a sign of life."""
_STATUS_LINE = re.compile(rb"HTTP/1\.1 101[ \r]")


class _Heard(NamedTuple):
    ear: "Ear"
    what: Passed | str
    """A message, or `open`, `alive`, `close`."""
    from_charger: bool
    at: datetime


class Ear:
    """At one connection, in the relay's loop. Its `reading` belongs to the other thread."""

    def __init__(self, owner: "Eavesdropper", charger: str | None):
        self._owner = owner
        self.charger = charger
        self._head: bytearray | None = bytearray()
        self._up, self._down = Splitter(), Splitter()
        self._blind = charger is None
        self.protocol: str | None = None
        self.keeps_context = (True, True)
        self.reading: Reading | None = None

    def from_charger(self, data: bytes) -> None:
        """Bytes on their way to upstream."""
        self._hear(self._up, data, True)

    def from_upstream(self, data: bytes) -> None:
        """Bytes on their way to the charger; first the answer to the handshake."""
        if self._head is not None and not self._blind:
            self._head += data
            head, end, rest = bytes(self._head).partition(b"\r\n\r\n")
            if not end:
                self._blind = len(self._head) > _HEAD
                return
            self._head = None
            self._shake(head)
            data = rest
        self._hear(self._down, data, False)

    def close(self) -> None:
        """The connection ended."""
        if self.protocol is not None:
            self._owner.put(_Heard(self, "close", True, self._owner.clock()))

    def _shake(self, head: bytes) -> None:
        lines = head.decode("latin-1").split("\r\n")
        said = [(n.strip().lower(), v.strip()) for n, _, v in (x.partition(":") for x in lines[1:])]
        protocol = next((v for n, v in said if n == "sec-websocket-protocol"), "")
        if not _STATUS_LINE.match(head) or protocol not in STATIONS:
            self._blind = True
            return
        extensions = ",".join(v for n, v in said if n == "sec-websocket-extensions")
        self.keeps_context = (
            "client_no_context_takeover" not in extensions,
            "server_no_context_takeover" not in extensions,
        )
        self.protocol = protocol
        self._owner.put(_Heard(self, "open", True, self._owner.clock()))

    def _hear(self, splitter: Splitter, data: bytes, from_charger: bool) -> None:
        if self._blind or not data:
            return
        frames_before, long_before = splitter.frames, splitter.too_long
        try:
            messages = splitter.feed(data)
        except OutOfStep:
            self._blind = True
            self._owner.metrics.dropped.labels("out of step").inc()
            return
        self._owner.metrics.dropped.labels("too long").inc(splitter.too_long - long_before)
        now = self._owner.clock()
        for message in messages:
            kept = self._owner.put(_Heard(self, message, from_charger, now))
            if not kept and message.compressed and self.keeps_context[not from_charger]:
                self._blind = True  # what follows cannot be inflated without it
                return
        if from_charger and splitter.frames > frames_before and not messages:
            self._owner.put(_Heard(self, "alive", True, now))


class Reading:
    """What one connection has said so far; lives in the reading thread."""

    def __init__(self, protocol: str, keeps_context: tuple[bool, bool]):
        self.station = STATIONS[protocol](heartbeat_s=_PROMISE_S)
        self._asked: OrderedDict[str, Call] = OrderedDict()
        self._inflaters = tuple(Inflater(keeps_context=keeps) for keeps in keeps_context)

    def read(self, passed: Passed, from_charger: bool, now: datetime) -> list[Said]:
        """What this message says. Raises `BadFrame`, `OutOfStep`."""
        frame = frames.read(self._inflaters[not from_charger].read(passed))
        if from_charger and isinstance(frame, Call):
            self._asked[frame.id] = frame
            while len(self._asked) > _ASKED:
                self._asked.popitem(last=False)
            said = self.station.heard(frame, now)
            often = 0.0 if frame.action == "Heartbeat" else _ALIVE_S
            return said + self.station.alive(now, often_s=often)
        if not from_charger and isinstance(frame, Answer | Refusal):
            call = self._asked.pop(frame.id, None)
            if call is not None and isinstance(frame, Answer):
                return self.station.answered(call, frame.payload, now)
        return []


class Eavesdropper:
    """Owns the queue and the thread that reads it."""

    def __init__(self, line: Line, *, clock: Clock, metrics: Metrics):
        self.clock = clock
        self.metrics = metrics
        self._line = line
        self._heard: queue.Queue[_Heard | None] = queue.Queue(_ROOM)
        self._here: dict[str, Ear] = {}
        self._again = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._work, name="eavesdropper", daemon=True)

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def stop(self) -> None:
        """Read what is there and end."""
        self._stopping.set()
        self._thread.join(5)

    def listen(self, charger: str | None) -> Ear:
        """An ear for a new connection; one without an id is not understood, only relayed."""
        return Ear(self, charger)

    def put(self, heard: _Heard) -> bool:
        """Hand it to the thread, if there is room."""
        try:
            self._heard.put_nowait(heard)
        except queue.Full:
            self.metrics.dropped.labels("no room").inc()
            return False
        return True

    def retell(self) -> None:
        """The broker is back: say again all that is known."""
        self._again.set()

    # --- the reading thread

    def _work(self) -> None:
        while not (self._stopping.is_set() and self._heard.empty()):
            if self._again.is_set():
                self._again.clear()
                for ear in list(self._here.values()):
                    if ear.reading is not None:
                        self._offer(ear, ear.reading.station.current(self.clock()))
            try:
                heard = self._heard.get(timeout=0.1)
            except queue.Empty:
                continue
            if heard is not None:
                self._understand(heard)

    def _understand(self, heard: _Heard) -> None:
        try:
            self._offer(heard.ear, self._read(heard))
        except BadFrame as error:
            self.metrics.bad_frames.labels(error.code).inc()
        except OutOfStep:
            self.metrics.dropped.labels("out of step").inc()
        except Exception as error:  # noqa: BLE001 - no message may end the listening
            _LOG.error("not understood", charger=heard.ear.charger, error=type(error).__name__)
            self.metrics.bad_frames.labels("InternalError").inc()

    def _read(self, heard: _Heard) -> list[Said]:
        ear, now = heard.ear, heard.at
        if heard.what == "open":
            return [self._open(ear).station.online(now)]
        if (reading := ear.reading) is None:
            return []
        if heard.what == "close":
            return self._close(ear, reading)
        if isinstance(heard.what, str):
            return reading.station.alive(now, often_s=_ALIVE_S)
        before = reading.station.unplaced
        said = reading.read(heard.what, heard.from_charger, now)
        self.metrics.unplaced.inc(reading.station.unplaced - before)
        return said

    def _open(self, ear: Ear) -> Reading:
        ear.reading = Reading(ear.protocol or "", ear.keeps_context)
        self._here[ear.charger or ""] = ear
        self.metrics.connected.labels(ear.protocol).inc()
        return ear.reading

    def _close(self, ear: Ear, reading: Reading) -> list[Said]:
        self.metrics.connected.labels(ear.protocol).dec()
        ear.reading = None
        if self._here.get(ear.charger or "") is not ear:
            return []  # it is here by another connection
        del self._here[ear.charger or ""]
        return [reading.station.offline()]

    def _offer(self, ear: Ear, said: list[Said]) -> None:
        for one in said:
            if ear.charger is None or not self._line.offer(ear.charger, one):
                self.metrics.dropped.labels("broker").inc()
