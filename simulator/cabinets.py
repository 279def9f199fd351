"""E-bike cabinets in their own tongue: what a charger says natively, as DNY frames, and back. Pure.

A cabinet of this family has no word for some faults (an emergency stop, say): these are the status
0x20, which no document knows.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import blake2b
from typing import Any, NamedTuple

import msgspec

from pilewatch.dny import fields
from pilewatch.dny.fields import BY_SERVER, ORDER_BYTES, Fields, from_celsius
from pilewatch.dny.frames import Frame
from pilewatch.dny.words import PORT_STATUS, START_ANSWER, STOP_REASON
from pilewatch.model import Status
from simulator.messages import Sent

KINDS = {1: 0x03, 2: 0x04, 10: 0x05, 16: 0x06, 12: 0x07}
"""The highest byte of a physical id, by how many ports there are."""
_RAW = {
    Status.AVAILABLE: 0x00, Status.PREPARING: 0x02, Status.CHARGING: 0x01,
    Status.SUSPENDED: 0x05, Status.FINISHING: 0x03, Status.RESERVED: 0x02,
}  # fmt: skip
_WORDLESS = 0x20
_PORT_CODES = {word.code: raw for raw, word in reversed(PORT_STATUS.items()) if word.code}
_STOP_CODES = {word.code: raw for raw, word in reversed(STOP_REASON.items()) if word.code}
_ALARM_CODES = {"smoke-fire": 4, "water-ingress": 2, "over-temperature": 5, "tilt-impact": 7}
_STOPS = {"full": 1, "unplugged": 5, "plug lost": 0x0E, "no-load": 9, "test done": 4, "reboot": 7}
_MAINS = {"over-voltage", "under-voltage", "over-current", "overload-port"}
"""Said by the end of a session alone."""
_DONE, _FAULTY = 0, 3
_COMMAND = {shape: command for command, shape in fields.FROM_DEVICE.items()}


@dataclass(slots=True)
class _Order:
    """A running session. Register in Wh, wall times."""

    number: bytes
    began: datetime
    register: float | None = None
    energy: int = 0
    most: int = 0


class Told(NamedTuple):
    """A command for the charger of the world, as the native contract has it."""

    payload: bytes


@dataclass(slots=True)
class Cabinet:
    """One cabinet; `speak` turns what its charger sends into frames."""

    physical_id: int
    ports: int
    raw: list[int] = field(default_factory=list)
    errors: dict[int, set[str]] = field(default_factory=dict)
    volts: float = 220.0
    firmware: int = 100
    message_id: int = 0
    orders: dict[int, _Order] = field(default_factory=dict)
    tests: dict[str, bytes] = field(default_factory=dict)
    asked: dict[str, Frame] = field(default_factory=dict)
    unsettled: dict[int, Frame] = field(default_factory=dict)
    """Settlements that nobody has answered, by message id: they outlive the connection."""

    def __post_init__(self) -> None:
        self.raw = [0] * self.ports

    @property
    def leaks(self) -> bool:
        """What only the host's breaker can see."""
        return any("ground-fault" in codes for codes in self.errors.values())

    def speak(self, item: Sent, has_host: bool) -> Iterator[Frame]:
        """The frames that say this; none for what the family does not know."""
        kind = item.topic.split("/")[4]
        said: dict[str, Any] = msgspec.json.decode(item.payload)
        if kind == "online":
            yield from self._online(said)
        elif kind == "status":
            yield from self._status(said, has_host)
        elif kind == "heartbeat":
            yield self.beat()
        elif kind == "meter":
            yield from self._meter(said, item.at)
        elif kind == "session":
            yield from self._session(said, item.at)
        elif kind == "result":
            yield from self._result(said)

    def hear(self, frame: Frame, at: datetime) -> Iterator[Frame | Told]:
        """What the server says: frames to answer with, or a command for the charger."""
        if frame.command == fields.SETTLEMENT:
            self.unsettled.pop(frame.message_id, None)
        elif frame.command == fields.ASK:
            yield self._register()
            yield self.beat()
        elif frame.command == fields.REBOOT:
            yield self._tell("reset", frame, at)
        elif frame.command == fields.START:
            order = fields.StartOrder.read(frame.data)
            assert isinstance(order, fields.StartOrder)
            name = "startTest" if order.start else "unlock"
            told = self._tell(name, frame, at, order.port + 1)
            if order.start:
                self.tests[self._name(frame)] = order.order
            yield told

    def beat(self) -> Frame:
        """The heartbeat."""
        return self._frame(
            fields.Heartbeat(
                voltage=round(self.volts * 10),
                ports=self.ports,
                status=tuple(self.raw),
                signal=0,
                ambient=from_celsius(20),
            )
        )

    # --- from the charger

    def _frame(self, said: Fields) -> Frame:
        self.message_id = self.message_id % 0xFFFF + 1
        return Frame(self.physical_id, self.message_id, _COMMAND[type(said)], said.write())

    def _register(self) -> Frame:
        return self._frame(
            fields.Register(firmware=self.firmware, ports=self.ports, virtual_id=0,
                            device_type=0x29, mode=0, power_board=0)
        )  # fmt: skip

    def _online(self, said: dict[str, Any]) -> Iterator[Frame]:
        if said.get("firmware"):
            major, minor = (said["firmware"] + ".0").split(".")[:2]
            self.firmware = int(major) * 100 + int(minor)
        yield self._register()
        yield self._frame(fields.TimeRequest())

    def _status(self, said: dict[str, Any], has_host: bool) -> Iterator[Frame]:
        port, codes = said["connector"], {e["code"] for e in said["errors"] if e.get("code")}
        before, self.errors[port] = self.errors.get(port, set()), codes
        raw = _RAW.get(Status(said["status"]), 0)
        for code in codes:
            if code in _PORT_CODES:
                raw = _PORT_CODES[code]
            elif code not in _ALARM_CODES and code not in _MAINS and not (
                code == "ground-fault" and has_host
            ):  # fmt: skip
                raw = _WORDLESS
        self.raw[port - 1] = raw
        others = set().union(*(e for p, e in self.errors.items() if p != port))
        for code in sorted(codes - before - others):
            if code in _ALARM_CODES:
                yield self._frame(fields.Alarm(kind=_ALARM_CODES[code]))
        if (before - codes) & (_ALARM_CODES.keys() | _MAINS) and not codes and not others:
            yield self._register()  # whoever repaired it has switched it off and on
        yield self.beat()

    def _meter(self, said: dict[str, Any], at: datetime) -> Iterator[Frame]:
        self.volts = said.get("voltageV", self.volts)
        order = self.orders.get(said["connector"])
        if order is None or not said.get("sessionId"):
            return
        energy = said.get("energyWh")
        if energy is not None:
            order.register = energy if order.register is None else order.register
            order.energy = max(order.energy, int((energy - order.register) / 10))
        power = round(said.get("powerW", 0.0) * 10)
        order.most = max(order.most, power)
        yield self._power(said, order, power, at)

    def _power(self, said: dict[str, Any], order: _Order, power: int, at: datetime) -> Frame:
        degrees = said.get("temperatureC")
        return self._frame(
            fields.PortPower(
                port=said["connector"] - 1,
                status=1,
                charged_s=_seconds(order.began, at),
                energy=order.energy,
                start_mode=BY_SERVER,
                power=_u16(power), most=_u16(order.most), least=_u16(power), mean=_u16(power),
                order=order.number,
                span_energy=0,
                peak=_u16(order.most),
                voltage=_u16(self.volts * 10),
                current=_u16(said.get("currentA", 0.0) * 1000),
                ambient=from_celsius(20),
                temperature=0 if degrees is None else from_celsius(degrees),
            )
        )  # fmt: skip

    def _session(self, said: dict[str, Any], at: datetime) -> Iterator[Frame]:
        port, id = said["connector"], said["sessionId"]
        if said["phase"] == "started":
            test = next((o for name, o in self.tests.items() if id.endswith(f"-{name}")), None)
            number = test or blake2b(id.encode(), digest_size=ORDER_BYTES).digest()
            self.orders[port] = order = _Order(number, at)
            yield self._power(said, order, 0, at)
        elif said["phase"] == "ended":
            made = self.orders.pop(port, None) or _Order(bytes(ORDER_BYTES), at)
            reason = said.get("reason") or ""
            frame = self._frame(
                fields.Settlement(
                    duration=_seconds(made.began, at),
                    max_power=_u16(made.most),
                    energy=_u16((said.get("energyWh") or 0.0) / 10),
                    port=port - 1,
                    start_mode=BY_SERVER,
                    card=0,
                    stop=_STOPS.get(reason) or _STOP_CODES.get(reason, 7),
                    order=made.number,
                    second_max=_u16(made.most),
                    time=int(at.timestamp()),
                )
            )
            self.unsettled[frame.message_id] = frame
            yield frame

    def _result(self, said: dict[str, Any]) -> Iterator[Frame]:
        frame = self.asked.pop(said["commandId"], None)
        if frame is None:
            return
        answer = _DONE if said["outcome"] in ("accepted", "done") else _FAULTY
        if frame.command == fields.START:
            order = fields.StartOrder.read(frame.data)
            assert isinstance(order, fields.StartOrder) and answer in START_ANSWER
            data = fields.StartAnswer(
                answer=answer, order=order.order, port=order.port, waiting=0
            ).write()
        else:
            data = fields.Done(answer=answer).write()
        yield frame._replace(data=data)

    # --- from the server

    def _name(self, frame: Frame) -> str:
        return f"m{frame.message_id}"

    def _tell(self, name: str, frame: Frame, at: datetime, connector: int | None = None) -> Told:
        id = self._name(frame)
        self.asked[id] = frame
        command: dict[str, Any] = {"commandId": id, "name": name, "args": {}}
        if connector is not None:
            command["connector"] = connector
        return Told(msgspec.json.encode(command))


def _seconds(began: datetime, at: datetime) -> int:
    return _u16((at - began).total_seconds())


def _u16(value: float) -> int:
    return min(max(round(value), 0), 0xFFFF)
