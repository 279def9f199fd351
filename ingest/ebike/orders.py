"""Commands of the native contract as orders to devices, and their answers as results.

Source: AP3000 device protocol V8.6, chapters 4.1, 4.2, 4.4.3; host protocol V2.8, 6.1. A device
gets one order at a time, at least half a second after whatever it was sent before; without an
answer within 15 s the same order goes out once more. A command is carried out once at most: after
a kill it expires, rather than let current flow a second time.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import blake2b
from typing import Literal, NamedTuple

import msgspec
import structlog

from ingest.ebike import native
from ingest.ebike.cabinet import Cabinet
from ingest.ebike.desk import Device
from ingest.ebike.metrics import Metrics
from pilewatch.clock import Clock
from pilewatch.dny import fields
from pilewatch.dny.fields import BY_SERVER, ORDER_BYTES, Fields, StartOrder
from pilewatch.dny.frames import Frame
from pilewatch.dny.words import answer_word, stop_word
from pilewatch.wire import Command

_LOG = structlog.get_logger()
APART_S = 0.5
ANSWER_S = 15.0
_TRIES = 2
_QUEUED = 8
"""Orders that wait for one device at most."""
_REMEMBERED = 10_000
TEST_S = 600
"""How long a test charge lasts at most."""
Outcome = Literal["accepted", "rejected", "done", "failed"]
Send = Callable[[Device, Frame], bool]
Say = Callable[[Device, native.Message], None]


class Refusal(NamedTuple):
    """Why a device cannot do this; for the person who ordered it."""

    text: str


@dataclass(slots=True)
class Order:
    """What goes to the device, and which of its frames answer it."""

    command_id: str
    name: str
    expires_at: datetime
    command: int
    data: bytes
    answers: frozenset[int]
    order: bytes = b""
    answered: "asyncio.Future[Fields]" = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )
    message_id: int = 0


def translate(command: Command, cabinet: Cabinet) -> Order | Refusal:
    """The order that does this. Pure but for the future."""
    port = (command.connector or 0) - 1
    data, answers, order = b"", frozenset[int](), b""
    match command.name:
        case "triggerStatus":
            code = fields.ASK
            answers = frozenset({fields.HEARTBEAT, fields.OLD_HEARTBEAT, fields.REGISTER})
        case "reset":
            code = fields.REBOOT_HOST if cabinet.is_host else fields.REBOOT
            answers = frozenset({code, fields.REGISTER})  # it may boot before it can answer
        case "startTest" | "unlock":
            if not 0 <= port < max(len(cabinet.raw), 1):
                return Refusal("no such connector")
            code = fields.START
            starts = command.name == "startTest"
            order = _order_number(command.command_id) if starts else _running(cabinet, port + 1)
            data = StartOrder(
                rate=0, balance=0, port=port, start=int(starts),
                amount=TEST_S if starts else 0, order=order, longest_s=0, most_power=0,
            ).write()  # fmt: skip
        case other:
            return Refusal(f"such a device does not know {other}")
    return Order(
        command.command_id, command.name, command.expires_at, code, data,
        answers or frozenset({code}), order,
    )  # fmt: skip


def _order_number(command_id: str) -> bytes:
    return blake2b(command_id.encode(), digest_size=ORDER_BYTES).digest()


def _running(cabinet: Cabinet, port: int) -> bytes:
    """The number of the order that runs there: a device stops no other."""
    try:
        found = bytes.fromhex(cabinet.session(port) or "")
    except ValueError:
        found = b""
    return found if len(found) == ORDER_BYTES else bytes(ORDER_BYTES)


@dataclass(slots=True)
class _Desk:
    """The orders of one device."""

    device: Device
    waiting: deque[Order] = field(default_factory=deque)
    current: Order | None = None
    free_at: float = 0.0
    next_id: int = 0
    worker: "asyncio.Task[None] | None" = None
    rebooting: str | None = None
    tests: dict[bytes, str] = field(default_factory=dict)


class Orders:
    """Sends orders and says what became of them. Called in the event loop's thread alone."""

    def __init__(
        self,
        *,
        find: Callable[[str], Device | None],
        send: Send,
        say: Say,
        clock: Clock,
        metrics: Metrics,
    ):
        self._find = find
        self._send = send
        self._say = say
        self._clock = clock
        self._metrics = metrics
        self._desks: dict[int, _Desk] = {}
        self._seen: OrderedDict[str, None] = OrderedDict()

    def take(self, charger: str, payload: bytes) -> None:
        """A command has come for this charger; what is no command is left alone."""
        device = self._find(charger)
        if device is None:
            return
        try:
            command = msgspec.json.decode(payload, type=Command)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            _LOG.warning("no command", charger=charger, reason=str(error))
            return
        if command.command_id in self._seen:
            return
        self._seen[command.command_id] = None
        if len(self._seen) > _REMEMBERED:
            self._seen.popitem(last=False)
        if command.expires_at <= self._clock():
            self._tell(device, command.command_id, "rejected", "expired")
            return
        order = translate(command, device.cabinet)
        desk = self._desks.setdefault(device.cabinet.physical_id, _Desk(device))
        if isinstance(order, Refusal):
            self._tell(device, command.command_id, "rejected", order.text)
        elif len(desk.waiting) >= _QUEUED:
            self._tell(device, command.command_id, "rejected", "too many orders wait for it")
        else:
            desk.waiting.append(order)
            if desk.worker is None:
                desk.worker = asyncio.get_running_loop().create_task(self._work(desk))

    def sent(self, device: Device) -> None:
        """Something else went out to this device now: an order waits half a second."""
        desk = self._desks.get(device.cabinet.physical_id)
        if desk is not None:
            desk.free_at = asyncio.get_running_loop().time() + APART_S

    def heard(self, device: Device, frame: Frame, said: Fields) -> None:
        """Match what a device says with what it was told."""
        desk = self._desks.get(device.cabinet.physical_id)
        if desk is None:
            return
        order, before = desk.current, desk.rebooting
        if order is not None and frame.command in order.answers and not order.answered.done():
            by_number = frame.command != order.command or frame.message_id == order.message_id
            if by_number:
                order.answered.set_result(said)
                # At once: what follows it may stick to it.
                self._answered(desk, order, said)
        if before is not None and isinstance(said, fields.Register):
            self._tell(device, before, "done", "registered anew")
            desk.rebooting = None
        if isinstance(said, fields.Settlement) and said.start_mode == BY_SERVER:
            test = desk.tests.pop(said.order, None)
            if test is not None:
                text = f"{said.energy * 10} Wh: {stop_word(said.stop).text}"
                self._tell(device, test, "done" if said.energy else "failed", text)

    async def _work(self, desk: _Desk) -> None:
        try:
            while desk.waiting:
                desk.current = desk.waiting.popleft()
                await self._carry_out(desk, desk.current)
        finally:
            desk.current = desk.worker = None

    async def _carry_out(self, desk: _Desk, order: Order) -> None:
        loop, device = asyncio.get_running_loop(), desk.device
        desk.next_id = order.message_id = desk.next_id % 0xFFFF + 1
        if order.order and order.name == "startTest":
            desk.tests[order.order] = order.command_id
        for _ in range(_TRIES):
            while (wait := desk.free_at - loop.time()) > 0:
                await asyncio.sleep(wait)
            if order.expires_at <= self._clock():
                break
            frame = Frame(device.cabinet.physical_id, order.message_id, order.command, order.data)
            if not self._send(device, frame):
                self._end(desk, order, "failed", "the device is not connected")
                return
            desk.free_at = loop.time() + APART_S
            try:
                await asyncio.wait_for(asyncio.shield(order.answered), ANSWER_S)
            except TimeoutError:
                continue
            return
        self._end(desk, order, "failed", "the device did not answer")

    def _answered(self, desk: _Desk, order: Order, said: Fields) -> None:
        answer = getattr(said, "answer", 0)
        if order.name == "triggerStatus":
            self._end(desk, order, "done", None)
        elif order.name == "reset":
            if isinstance(said, fields.Register):
                self._end(desk, order, "done", "registered anew")
            elif answer:
                self._end(desk, order, "failed", f"the device answered {answer:#04x}")
            else:
                desk.rebooting = order.command_id
                self._end(desk, order, "accepted", None)
        elif answer == 0 and order.name == "startTest":
            self._tell(desk.device, order.command_id, "accepted", None)
        elif answer == 0 or (answer == 2 and order.name == "unlock"):
            self._end(desk, order, "done", answer_word(answer).text)
        else:
            self._end(desk, order, "failed", answer_word(answer).text)

    def _end(self, desk: _Desk, order: Order, outcome: Outcome, detail: str | None) -> None:
        desk.tests.pop(order.order, None)
        self._tell(desk.device, order.command_id, outcome, detail)

    def _tell(self, device: Device, command_id: str, outcome: Outcome, detail: str | None) -> None:
        self._metrics.orders.labels(outcome).inc()
        self._say(device, native.result(command_id, outcome, detail, self._clock()))
