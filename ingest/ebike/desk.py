"""Every device that speaks, whoever carries its bytes: frames in, messages of the contract out.

Gateway and tap both hand their frames here. Memory is PostgreSQL's (what is held, settlements) but
for the ports' last statuses, which devices say again every three minutes.
"""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from zlib import crc32

import structlog

from ingest.ebike import native
from ingest.ebike.cabinet import Cabinet, Port, ports
from ingest.ebike.hearing import Heard, hear
from ingest.ebike.held import forget
from ingest.ebike.keeper import Keeper, Known, Settled
from ingest.ebike.metrics import Metrics
from ingest.ebike.publisher import Publisher
from ingest.ebike.sessions import settled_session, settlement_key
from ingest.ebike.settlements import Settlements
from pilewatch.clock import Clock
from pilewatch.dny import fields
from pilewatch.dny.fields import Fields, Settlement, read_fields
from pilewatch.dny.frames import BadFrame, Frame
from pilewatch.model import Kind, Observation, Status
from pilewatch.settings import Ebike

_LOG = structlog.get_logger()
_REPEAT_S = 60.0
"""A device that got no answer within 15 s says the same once more."""
_EARLY = 20
"""Frames kept of a device while the registry is asked for it."""
SLAVES = 64
"""Devices behind one modem at most; a host polls 50."""
_DEVICES = 50_000
"""Devices remembered at most; beyond them those that are gone are forgotten."""
_SAID_AT_ONCE, _SAID_EVERY_S = 50, 0.2
_METER_S = 300
_SWEEP_S = 5.0
Committed = Callable[[], None]


@dataclass(eq=False, slots=True)
class Line:
    """One connection of a modem, and who speaks over it."""

    devices: dict[int, "Device"] = field(default_factory=dict)
    host: "Device | None" = None
    rssi: float | None = None


@dataclass(eq=False, slots=True)
class Device:
    """One device: what is known of it, and what was last said."""

    cabinet: Cabinet
    known: Known | None = None
    asked: bool = False
    line: Line | None = None
    online: bool = False
    shown: dict[int, Port] = field(default_factory=dict)
    early: list[tuple[Frame, Fields | None, datetime, Committed | None]] = field(
        default_factory=list
    )
    last: dict[int, tuple[int, int, datetime]] = field(default_factory=dict)
    """Of each command: message id, sum of the data, and when it was heard."""


class Desk:
    """Owns the devices. Called in the event loop's thread alone."""

    def __init__(
        self,
        settings: Ebike,
        keeper: Keeper,
        publisher: Publisher,
        *,
        clock: Clock,
        metrics: Metrics,
    ):
        self._settings = settings
        self._keeper = keeper
        self._publisher = publisher
        self._clock = clock
        self._metrics = metrics
        self.devices: dict[int, Device] = {}
        self.heard: Callable[[Device, Frame, Fields], None] = lambda *_: None
        """Told of every frame of a device that is no repeat, after it was taken in."""
        self._settlements = Settlements(keeper, publisher, metrics)
        self._sweep = asyncio.Event()
        self._here: dict[str, Device] = {}

    # --- lines

    def hear(self, line: Line, frame: Frame, done: Committed | None = None) -> bool:
        """Take in a frame. `done` is called when a settlement has been committed, and never for one
        that could not be. False where the line carries too many devices."""
        self._metrics.frames.labels(_label(frame.command)).inc()
        device = self._device(line, frame)
        if device is None:
            return False
        try:
            said = read_fields(frame.command, frame.data)
        except BadFrame as error:
            self._metrics.bad.labels("fields").inc()
            _LOG.info("unreadable data", device=device.cabinet.name, reason=str(error))
            return True
        if said is None:
            self._metrics.bad.labels("unknown").inc()
        now = self._clock()
        repeat = _is_repeat(device, frame, now)
        if repeat:
            self._metrics.bad.labels("repeat").inc()
            if not isinstance(said, Settlement):
                return True
        if device.known is None:
            self._ask(device)
            if len(device.early) < _EARLY:
                device.early.append((frame, said, now, done))
            return True
        self._take_in(device, frame, said, now, done)
        return True

    def close(self, line: Line) -> None:
        """The connection is gone, and with it whoever spoke over it."""
        for device in line.devices.values():
            if device.line is line:
                device.line = None
                self._gone(device)
        line.devices.clear()

    def reconnected(self) -> None:
        """The broker is there: what it missed is said to it soon."""
        self._sweep.set()

    async def _say_all(self) -> None:
        """Tell every device's state anew, not faster than the broker takes it."""
        self._publisher.missed = False
        speaking = [device for device in self.devices.values() if device.online]
        for number, device in enumerate(speaking, 1):
            device.shown = {}
            self._come(device, None)
            self._say_ports(device)
            if number % _SAID_AT_ONCE == 0:
                await asyncio.sleep(_SAID_EVERY_S)

    def ask_again(self) -> None:
        """The registry has changed."""
        for device in self.devices.values():
            if device.known is not None and device.line is not None:
                self._ask(device)

    def find(self, charger: str) -> Device | None:
        """The device that publishes under this code, if it speaks now."""
        return self._here.get(charger)

    def asked(self, device: Device) -> None:
        """It was asked for its state, and so will register without having booted."""
        device.cabinet = replace(device.cabinet, asked=True)

    def count(self) -> int:
        """Devices that speak now."""
        return sum(device.line is not None for device in self.devices.values())

    def _device(self, line: Line, frame: Frame) -> Device | None:
        device = self.devices.get(frame.physical_id)
        if device is None:
            if len(line.devices) >= SLAVES or not self._room():
                return None
            device = self.devices[frame.physical_id] = Device(Cabinet(frame.physical_id))
        if device.line is not line:
            if len(line.devices) >= SLAVES:
                return None
            if device.line is not None:
                device.line.devices.pop(frame.physical_id, None)
            device.line = line
            line.devices[frame.physical_id] = device
            if device.cabinet.is_host:
                line.host = device
        return device

    def _room(self) -> bool:
        if len(self.devices) < _DEVICES:
            return True
        gone = [id for id, device in self.devices.items() if device.line is None]
        for id in gone:
            del self.devices[id]
        return bool(gone)

    def _ask(self, device: Device) -> None:
        if device.asked:
            return
        cabinet = device.cabinet
        future = self._keeper.find(cabinet.physical_id, cabinet.is_host)
        if future is not None:
            device.asked = True
            future.add_done_callback(partial(self._learn, device))

    def _learn(self, device: Device, found: "asyncio.Future[Known]") -> None:
        if found.cancelled():
            return
        device.asked = False
        known, before = found.result(), device.known
        if before is not None and before.charger != known.charger:
            self._gone(device)  # under its old code
        device.known = known
        if before is None:
            device.cabinet = replace(device.cabinet, held=known.held)
            early, device.early = device.early, []
            for frame, said, at, done in early:
                self._take_in(device, frame, said, at, done)

    # --- frames

    def _take_in(
        self,
        device: Device,
        frame: Frame,
        said: Fields | None,
        at: datetime,
        done: Committed | None,
    ) -> None:
        if device.line is None:
            return  # gone before the registry answered
        if isinstance(said, Settlement):
            self._settle(device, frame, said, at, done)
        else:
            self._apply(device, hear(self._aware(device), frame, said, at), said, at)
        if said is not None:
            self.heard(device, frame, said)

    def _aware(self, device: Device) -> Cabinet:
        """A slave's signal is its host's: the modem's."""
        rssi = device.line.rssi if device.line is not None else None
        cabinet = device.cabinet
        return cabinet if rssi is None or cabinet.is_host else replace(cabinet, rssi=rssi)

    def _apply(self, device: Device, heard: Heard, said: Fields | None, at: datetime) -> None:
        before = device.cabinet
        limit = at - timedelta(hours=self._settings.alarm_hours)
        device.cabinet = cabinet = forget(heard.cabinet, limit)
        if cabinet.held != before.held:
            self._keeper.hold(cabinet.physical_id, cabinet.held)
        line = device.line
        if line is not None and isinstance(said, fields.HostStatus):
            line.rssi = cabinet.rssi
        online = next((o for o in heard.observations if o.kind == Kind.ONLINE), None)
        if online is not None or not device.online:
            self._come(device, online)
        for each in heard.observations:
            if each.kind != Kind.ONLINE:
                self._say(device, each)
        self._say_ports(device)
        if line is not None and line.host is device and cabinet.held != before.held:
            for other in line.devices.values():
                if other.known is not None:
                    self._say_ports(other)

    def _settle(
        self,
        device: Device,
        frame: Frame,
        said: Settlement,
        at: datetime,
        done: Committed | None,
    ) -> None:
        """Commit it; only then is it answered, and only a new one is taken in."""
        heard = hear(self._aware(device), frame, said, at)
        messages = [native.message(each) for each in heard.observations]
        assert device.known is not None
        settled = Settled(
            frame.physical_id,
            settlement_key(frame.physical_id, said),
            settled_session(frame.physical_id, said),
            device.known.charger or device.cabinet.name,
            tuple((m.kind, m.payload.decode()) for m in messages),
            at,
        )

        def kept(new: bool) -> None:
            if done is not None:
                done()
            if new:
                again = hear(self._aware(device), frame, said, at)
                self._apply(device, again._replace(observations=[]), said, at)

        if not self._settlements.commit(settled, kept):
            device.last.pop(frame.command, None)

    async def keep_publishing(self) -> None:
        """Again and again, until cancelled: what is kept and the broker does not have goes out,
        after a start, a reconnect or another gateway's death; a changed registry is asked again."""
        changed = self._keeper.registry_changed
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_SWEEP_S):
                    await self._sweep.wait()
            self._sweep.clear()
            if changed.is_set():
                changed.clear()
                self.ask_again()
            if self._publisher.missed and self._publisher.up:
                await self._say_all()
            await self._settlements.publish_kept()

    # --- words

    def _come(self, device: Device, online: Observation | None) -> None:
        charger = device.known.charger if device.known is not None else None
        device.online = True
        if charger is None:
            return
        said = online or Observation(
            kind=Kind.ONLINE,
            charger=charger,
            observed_at=(now := self._clock()),
            received_at=now,
            data={"vendor": "DNY"},
        )
        promise = {"heartbeatS": self._settings.heartbeat_s, "meterS": _METER_S}
        self._publisher.publish(charger, native.message(said, **promise))
        self._publisher.hear(charger)
        self._here[charger] = device

    def _gone(self, device: Device) -> None:
        charger = device.known.charger if device.known is not None else None
        if device.online and charger is not None:
            self._publisher.publish(charger, native.offline(self._clock()))
            self._publisher.leave(charger)
            self._here.pop(charger, None)
        device.online, device.shown = False, {}

    def _say(self, device: Device, said: Observation) -> None:
        charger = device.known.charger if device.known is not None else None
        if charger is None:
            return
        more = {}
        if said.kind == Kind.HEARTBEAT:
            shown = self._ports(device)
            more = {"connectors": {str(n): port.status for n, port in shown.items()}}
        self._publisher.publish(charger, native.message(said, **more))

    def _ports(self, device: Device) -> dict[int, Port]:
        host = device.line.host if device.line is not None else None
        above = () if host is None or host is device else host.cabinet.held
        return ports(device.cabinet, above)

    def _say_ports(self, device: Device) -> None:
        """Say the status of each port where it has changed."""
        charger = device.known.charger if device.known is not None else None
        shown = self._ports(device)
        before, device.shown = device.shown, shown
        if charger is None:
            return
        now = self._clock()
        for number in {**before, **shown}:
            port = shown.get(number) or Port(Status.UNKNOWN, ())
            if before.get(number) != port:
                said = port.observed(charger, number, now)
                self._publisher.publish(charger, native.message(said))


def _is_repeat(device: Device, frame: Frame, now: datetime) -> bool:
    this = (frame.message_id, crc32(frame.data), now)
    before = device.last.get(frame.command)
    device.last[frame.command] = this
    return (
        before is not None
        and before[:2] == this[:2]
        and (now - before[2]).total_seconds() < _REPEAT_S
    )


def _label(command: int) -> str:
    """A bounded number of labels, whatever is sent."""
    return f"{command:#04x}" if command in fields.FROM_DEVICE else "unknown"
