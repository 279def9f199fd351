"""One charger on one websocket: its calls are answered, its words published, commands obeyed."""

import asyncio
import uuid
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from itertools import count
from typing import Any, Concatenate, ParamSpec, TypeVar

import psycopg
import structlog
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from ingest.ocpp import answers, frames, memory, orders
from ingest.ocpp.frames import Answer, BadFrame, Call, Refusal
from ingest.ocpp.line import Away, Line
from ingest.ocpp.metrics import Metrics
from ingest.ocpp.orders import Outcome, Told, Waiting
from ingest.ocpp.station import Said, Station, number_of, watt_hours, when
from ingest.writer import KeepSome
from pilewatch.clock import Clock
from pilewatch.settings import Ocpp
from pilewatch.store.pool import Db, Pool

_LOG = structlog.get_logger()
_DATABASE_S = 3.0
_START_IDS = count(1)
T = TypeVar("T")
P = ParamSpec("P")


@dataclass
class Hall:
    """What all connections of a gateway share."""

    settings: Ocpp
    clock: Clock
    metrics: Metrics
    line: Line
    pool: Pool
    keep: KeepSome
    cards: frozenset[str]
    """Lower case; used where `authorize` is list."""
    waiting: dict[str, list[Waiting]] = field(default_factory=dict)
    """Accepted commands by charger: a reset ends on another connection than it began."""

    async def ask_database(
        self, work: Callable[Concatenate[Db, P], T], *values: P.args, **more: P.kwargs
    ) -> T:
        """Run it in a thread. Raises `psycopg.Error` while there is none."""

        def run() -> T:
            with self.pool.connection(_DATABASE_S) as db:
                return work(db, *values, **more)

        return await asyncio.to_thread(run)


class Connection:
    """From the handshake to the end; `serve` returns when the websocket is closed."""

    def __init__(
        self,
        hall: Hall,
        socket: ServerConnection,
        charger: str,
        station: Station,
        *,
        booted: bool,
    ):
        self.charger = charger
        self.station = station
        self._hall = hall
        self._socket = socket
        self._protocol = station.protocol
        self._booted_before = booted
        self._replies: dict[str, asyncio.Future[Answer | Refusal]] = {}
        self._asking = asyncio.Lock()
        self._cards: dict[str, datetime] = {}
        """Of test charges that were ordered, and until when they open."""
        self._unplaced = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self) -> None:
        """Answer until the connection ends, whatever comes."""
        await self._tell_or_later([self.station.online(self._hall.clock())])
        self.do(self._settle())
        try:
            while True:
                await self._take(await self._socket.recv(decode=False))
        except ConnectionClosed:
            pass
        finally:
            for task in self._tasks:
                task.cancel()
            for reply in self._replies.values():
                reply.cancel()

    async def close(self, code: int, reason: str) -> None:
        """Send it away."""
        await self._socket.close(code, reason)

    def do(self, work: Coroutine[Any, Any, None]) -> None:
        """Run beside the reading, at most until the connection ends."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def retell(self) -> None:
        """Say all that is known again: the broker was away."""
        await self._tell_or_later(self.station.current(self._hall.clock()))

    # --- what the charger sends

    async def _take(self, data: bytes) -> None:
        id: str | None = None
        try:
            frame = frames.read(data)
            if isinstance(frame, Call):
                id = frame.id
                frames.check(frame, self._protocol)
                await self._answer(frame)
            else:
                self._reply(frame)
        except BadFrame as error:
            await self._refuse(data, error)
        except ConnectionClosed:
            raise
        except Exception as error:  # noqa: BLE001 - one frame must not end a connection
            _LOG.error("a frame broke us", charger=self.charger, error=type(error).__name__)
            await self._refuse(data, BadFrame("InternalError", "our mistake", id))

    def _reply(self, frame: Answer | Refusal) -> None:
        reply = self._replies.pop(frame.id, None)
        if reply is None:
            raise BadFrame("RpcFrameworkError", "an answer to nothing that we asked", None)
        if not reply.done():
            reply.set_result(frame)

    async def _refuse(self, data: bytes, error: BadFrame) -> None:
        hall = self._hall
        hall.metrics.bad_frames.labels(error.code).inc()
        if error.id is not None:
            await self._socket.send(frames.error(error.id, error.code, str(error), self._protocol))
        reason = f"OCPP {error.code}: {error}".replace("\0", "")
        if hall.keep(self.charger, error.code):
            now, shown = hall.clock(), frames.without_id_tags(data[:8192])
            with suppress(psycopg.Error):
                await hall.ask_database(
                    memory.keep_bad_frame, self.charger, shown, len(data), reason, now
                )

    async def _answer(self, call: Call) -> None:
        hall, now = self._hall, self._hall.clock()
        try:
            answer = await self._decide(call, now)
            said = self.station.heard(call, now) + self.station.answered(call, answer, now)
            often = hall.settings.heartbeat_s * (0 if call.action == "Heartbeat" else 1)
            said += self.station.alive(now, often_s=often)
            await self._remember(call, said, now)
            await hall.line.tell(self.charger, said, hall.settings.answer_s)
        except (Away, psycopg.Error) as error:
            self.station.forget_said()
            if call.action not in answers.ALWAYS:
                hall.metrics.calls.labels("put off").inc()
                _LOG.warning("a call is put off", charger=self.charger, action=call.action,
                             problem=str(error).splitlines()[:1])  # fmt: skip
                why = "not stored yet; send it again"
                await self._socket.send(frames.error(call.id, "InternalError", why, self._protocol))
                return
        else:
            await self._end_waiting(said)
            self._end_upload(orders.log_ended(call))
        hall.metrics.calls.labels("answered").inc()
        hall.metrics.unplaced.inc(self.station.unplaced - self._unplaced)
        self._unplaced = self.station.unplaced
        await self._socket.send(frames.answer(call.id, answer))

    async def _decide(self, call: Call, now: datetime) -> dict[str, Any]:
        """The answer. Raises `BadFrame` for what we cannot do, `psycopg.Error` for not now."""
        hall, said = self._hall, call.payload
        answer = answers.plain(call.action, now, hall.settings.heartbeat_s)
        if answer is not None:
            return answer
        if call.action == "Authorize":
            named = "idTagInfo" if self._protocol == "ocpp1.6" else "idTokenInfo"
            return answers.authorised(said, self._allows, named=named)
        if call.action == "StartTransaction":
            at = datetime.fromisoformat(when(said["timestamp"], now) or now.isoformat())
            number, register = number_of(said["connectorId"]), watt_hours(said["meterStart"])
            if not number or register is None:
                why = "StartTransaction: connectorId or meterStart is out of range"
                raise BadFrame("PropertyConstraintViolation", why, call.id)
            id = await hall.ask_database(memory.begin, self.charger, number, at, register)
            allowed = answers.authorised(said, self._allows, named="idTagInfo")
            return {"transactionId": id, **allowed}
        if call.action == "StopTransaction":
            return {}
        if call.action == "TransactionEvent":
            return answers.authorised(said, self._allows, named="idTokenInfo")
        raise BadFrame("NotSupported", f"{call.action} is not for a monitor", call.id)

    def _allows(self, card: str) -> str:
        settings = self._hall.settings
        until = self._cards.get(card)
        if until is not None and self._hall.clock() <= until:
            return "Accepted"
        if settings.authorize == "all":
            return "Accepted"
        listed = settings.authorize == "list" and card.lower() in self._hall.cards
        return "Accepted" if listed else "Invalid"

    async def _remember(self, call: Call, said: list[Said], now: datetime) -> None:
        """Keep what a later call will only name by its number."""
        for one in said:
            if one.kind != "session" or one.body["phase"] == "refused":
                continue
            id = one.body["sessionId"]
            if one.body["phase"] == "ended":
                await self._hall.ask_database(memory.end, self.charger, id, now)
            elif call.action == "TransactionEvent":
                session = self.station.sessions[id]
                at = datetime.fromisoformat(one.body["at"] or now.isoformat())
                await self._hall.ask_database(memory.begin_own, self.charger, session, at)

    async def _tell_or_later(self, said: list[Said]) -> None:
        """Publish; if the broker is away, `retell` does it when it is back."""
        try:
            await self._hall.line.tell(self.charger, said, self._hall.settings.answer_s)
        except Away:
            self.station.forget_said()

    # --- what we want of the charger

    async def _settle(self) -> None:
        """One that comes without a boot is asked for what we may have missed."""
        await asyncio.sleep(self._hall.settings.settle_s)
        if self.station.booted:
            return
        if not self._booted_before:
            self.station.expects_boot = True
            reply = await self._ask("TriggerMessage", {"requestedMessage": "BootNotification"})
            if not (isinstance(reply, Answer) and reply.payload.get("status") == "Accepted"):
                self.station.expects_boot = False
        for wanted in orders.statuses(self._protocol, self.station.ports):
            await self._ask(*wanted)

    async def _ask(self, action: str, payload: dict[str, Any]) -> Answer | Refusal | None:
        """One call at a time, as the standard wants it; None: no answer in time."""
        id = uuid.uuid4().hex
        async with self._asking:
            reply: asyncio.Future[Answer | Refusal] = asyncio.get_running_loop().create_future()
            self._replies[id] = reply
            try:
                await self._socket.send(frames.call(id, action, payload))
                async with asyncio.timeout(self._hall.settings.command_s):
                    return await reply
            except (TimeoutError, ConnectionClosed):
                return None
            finally:
                self._replies.pop(id, None)

    async def obey(self, told: Told) -> Outcome:
        """Do what a command says; gives how it stands then."""
        hall, now = self._hall, self._hall.clock()
        if told.expires_at is not None and now > told.expires_at:
            return Outcome("rejected", "expired")
        wanted = orders.ask(told, self._protocol, next(_START_IDS))
        if wanted is None:
            return Outcome("rejected", f"{told.name} needs a connector")
        waiting = orders.waiting(told, now)
        if told.name == "startTest":
            self._cards = {orders.id_tag_of(told.command_id): waiting.until}
        # Noted before it is asked: the end may be seen before the answer is read.
        pending = hall.waiting.setdefault(self.charger, [])
        pending[:] = [w for w in pending if w.until > now]
        pending.append(waiting)
        found = orders.outcome(told, await self._ask(*wanted))
        if found.word != "accepted" and waiting in pending:
            pending.remove(waiting)
        return found

    async def _end_waiting(self, said: list[Said]) -> None:
        pending = self._hall.waiting.get(self.charger, [])
        now = self._hall.clock()
        for waiting in [w for w in pending if w.until > now and any(map(w.ended_by, said))]:
            pending.remove(waiting)
            self._ended(waiting, Outcome("done"), now)

    def _end_upload(self, found: Outcome | None) -> None:
        pending = self._hall.waiting.get(self.charger, [])
        now = self._hall.clock()
        for waiting in [w for w in pending if found and w.name == "getLog" and w.until > now]:
            pending.remove(waiting)
            assert found is not None
            self._ended(waiting, found, now)

    def _ended(self, waiting: Waiting, found: Outcome, now: datetime) -> None:
        self._hall.metrics.commands.labels(found.word).inc()
        self.do(self._tell_or_later([orders.result(waiting.command_id, found, now)]))
