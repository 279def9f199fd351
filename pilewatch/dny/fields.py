"""The data of each command as fields, and back. Pure.

Sources: AP3000 device protocol V8.6, host protocol V2.8. Numbers are as on the wire: 0.1 V, 0.1 W,
0.01 kWh, s, 0.001 A, °C + 65; ports count from 0. Fields are appended over the firmware versions:
what a device does not send is None, and what it sends beyond the known fields is left alone.
"""

import struct
from typing import Any, ClassVar

from msgspec import Struct
from msgspec.structs import asdict

from pilewatch.dny.frames import BadFrame

NO_TEMPERATURE = 0
ORDER_BYTES = 16
BY_CARD, BY_SERVER, BY_CODE = 0, 1, 3
"""Start modes."""


class Fields(Struct, frozen=True, kw_only=True):
    """One command's data. `LAYOUT` lists name and format; after `NEEDED` fields the data may end.

    A format is one of struct's; with `n` before it there are as many as the field `ports` says.
    """

    LAYOUT: ClassVar[tuple[tuple[str, str], ...]] = ()
    NEEDED: ClassVar[int] = 0

    @classmethod
    def read(cls, data: bytes) -> "Fields":
        """Raises `BadFrame` where a needed field is missing."""
        values: dict[str, Any] = {}
        at = 0
        for number, (name, unit) in enumerate(cls.LAYOUT):
            many = unit.startswith("n")
            form = f"<{values['ports']}{unit[1:]}" if many else f"<{unit}"
            size = struct.calcsize(form)
            if at + size > len(data):
                if number < cls.NEEDED:
                    raise BadFrame(
                        f"{cls.__name__}: {len(data)} bytes of data end before {name!r}, "
                        f"which needs {at + size}"
                    )
                break
            found = struct.unpack_from(form, data, at)
            values[name] = found if many else found[0]
            at += size
        return cls(**values)

    def write(self) -> bytes:
        """The data, up to the first field that is None. Raises `BadFrame` for what cannot be."""
        made, values = b"", asdict(self)
        for name, form in self.LAYOUT:
            value = values[name]
            if value is None:
                break
            try:
                if form.startswith("n"):
                    made += struct.pack(f"<{values['ports']}{form[1:]}", *value)
                else:
                    made += struct.pack(f"<{form}", value)
            except struct.error as error:
                raise BadFrame(f"{type(self).__name__}: {name} {value!r}: {error}") from error
        return made


class OldHeartbeat(Fields, frozen=True, kw_only=True):
    """0x01: the heartbeat of old firmware."""

    LAYOUT = (
        ("firmware", "H"), ("voltage", "H"), ("ports", "B"), ("status", "nB"), ("power", "nH"),
        ("peak", "nH"), ("virtual_id", "B"), ("signal", "B"), ("device_type", "B"),
        ("ambient", "B"), ("mode", "B"),
    )  # fmt: skip
    NEEDED = 4
    firmware: int
    voltage: int
    ports: int
    status: tuple[int, ...]
    power: tuple[int, ...] | None = None
    peak: tuple[int, ...] | None = None
    virtual_id: int | None = None
    signal: int | None = None
    device_type: int | None = None
    ambient: int | None = None
    mode: int | None = None


class Register(Fields, frozen=True, kw_only=True):
    """0x20: after each boot, and when one of its fields changes."""

    LAYOUT = (
        ("firmware", "H"), ("ports", "B"), ("virtual_id", "B"), ("device_type", "B"),
        ("mode", "B"), ("power_board", "H"),
    )  # fmt: skip
    NEEDED = 2
    firmware: int
    ports: int
    virtual_id: int | None = None
    device_type: int | None = None
    mode: int | None = None
    power_board: int | None = None


class Heartbeat(Fields, frozen=True, kw_only=True):
    """0x21: each three minutes. `signal` is that between slave and host."""

    LAYOUT = (
        ("voltage", "H"), ("ports", "B"), ("status", "nB"), ("signal", "B"), ("ambient", "B"),
    )  # fmt: skip
    NEEDED = 3
    voltage: int
    ports: int
    status: tuple[int, ...]
    signal: int | None = None
    ambient: int | None = None


class TimeRequest(Fields, frozen=True, kw_only=True):
    """0x12 of a host, 0x22 of any other."""


class PortPower(Fields, frozen=True, kw_only=True):
    """0x06: each five minutes while charging. `energy` is that of the order so far."""

    LAYOUT = (
        ("port", "B"), ("status", "B"), ("charged_s", "H"), ("energy", "H"), ("start_mode", "B"),
        ("power", "H"), ("most", "H"), ("least", "H"), ("mean", "H"), ("order", "16s"),
        ("span_energy", "H"), ("peak", "H"), ("voltage", "H"), ("current", "H"), ("ambient", "B"),
        ("temperature", "B"), ("time", "I"), ("occupied", "H"),
    )  # fmt: skip
    NEEDED = 10
    port: int
    status: int
    charged_s: int
    energy: int
    start_mode: int
    power: int
    most: int
    least: int
    mean: int
    order: bytes
    span_energy: int | None = None
    peak: int | None = None
    voltage: int | None = None
    current: int | None = None
    ambient: int | None = None
    temperature: int | None = None
    time: int | None = None
    occupied: int | None = None


class Settlement(Fields, frozen=True, kw_only=True):
    """0x03: what a session came to; the device keeps it until it is answered."""

    LAYOUT = (
        ("duration", "H"), ("max_power", "H"), ("energy", "H"), ("port", "B"),
        ("start_mode", "B"), ("card", "I"), ("stop", "B"), ("order", "16s"), ("second_max", "H"),
        ("time", "I"), ("occupied", "H"),
    )  # fmt: skip
    NEEDED = 8
    duration: int
    max_power: int
    energy: int
    port: int
    start_mode: int
    card: int
    stop: int
    order: bytes
    second_max: int | None = None
    time: int | None = None
    occupied: int | None = None

    def __repr__(self) -> str:
        """Without card and order, which may name a person."""
        return f"Settlement(port={self.port}, stop={self.stop}, energy={self.energy})"


class CardSwipe(Fields, frozen=True, kw_only=True):
    """0x02: somebody holds a card before it."""

    LAYOUT = (("card", "I"), ("card_kind", "B"), ("port", "B"), ("balance", "H"), ("time", "I"))
    NEEDED = 3
    card: int
    card_kind: int
    port: int
    balance: int | None = None
    time: int | None = None

    def __repr__(self) -> str:
        """Without the card, which is a person's."""
        return f"CardSwipe(port={self.port})"


class OrderBegun(Fields, frozen=True, kw_only=True):
    """0x04 of old firmware: a session has begun."""

    LAYOUT = (("port", "B"), ("start_mode", "B"), ("card", "I"), ("charged_s", "H"),
              ("order", "16s"))  # fmt: skip
    NEEDED = 1
    port: int
    start_mode: int | None = None
    card: int | None = None
    charged_s: int | None = None
    order: bytes | None = None

    def __repr__(self) -> str:
        """Without card and order, which may name a person."""
        return f"OrderBegun(port={self.port})"


class HostStatus(Fields, frozen=True, kw_only=True):
    """0x11: each half hour, of the host with the modem."""

    LAYOUT = (
        ("firmware", "H"), ("clock", "B"), ("time", "I"), ("signal", "B"), ("module", "B"),
        ("iccid", "20s"), ("host_type", "B"), ("frequency", "H"), ("imei", "15s"),
        ("module_version", "24s"),
    )  # fmt: skip
    NEEDED = 4
    firmware: int
    clock: int
    time: int
    signal: int
    module: int | None = None
    iccid: bytes | None = None
    host_type: int | None = None
    frequency: int | None = None
    imei: bytes | None = None
    module_version: bytes | None = None


class HostMeasures(Fields, frozen=True, kw_only=True):
    """0x17: each half hour. Breaker, relay and what follows it are of hosts with a leakage breaker
    only. Currents in 0.01 A, leakage in mA."""

    LAYOUT = (
        ("breaker", "B"), ("temperature", "B"), ("voltage", "H"), ("current", "H"),
        ("energy", "I"), ("meter_current", "H"), ("meter_energy", "I"), ("smoke", "B"),
        ("relay", "B"), ("leakage", "B"), ("live_temperature", "B"),
        ("neutral_temperature", "B"), ("locked", "B"), ("breaker_kind", "B"),
    )  # fmt: skip
    NEEDED = 8
    breaker: int
    temperature: int
    voltage: int
    current: int
    energy: int
    meter_current: int
    meter_energy: int
    smoke: int
    relay: int | None = None
    leakage: int | None = None
    live_temperature: int | None = None
    neutral_temperature: int | None = None
    locked: int | None = None
    breaker_kind: int | None = None


class Doors(Fields, frozen=True, kw_only=True):
    """0x41: a cabinet's doors (bit set: open) and fans (bit set: on)."""

    LAYOUT = (("ports", "B"), ("doors", "I"), ("fans", "I"))
    NEEDED = 2
    ports: int
    doors: int
    fans: int | None = None


class Alarm(Fields, frozen=True, kw_only=True):
    """0x42: sent once. `port` is one where the alarm is a port's, and else the address of a sensor
    outside, 0 for its own; `trigger` are the bits of that sensor's inputs."""

    LAYOUT = (("kind", "B"), ("port", "B"), ("trigger", "B"))
    NEEDED = 1
    kind: int
    port: int = 0
    trigger: int = 0


class StartAnswer(Fields, frozen=True, kw_only=True):
    """0x82: what became of an order to start or stop."""

    LAYOUT = (("answer", "B"), ("order", "16s"), ("port", "B"), ("waiting", "H"))
    NEEDED = 1
    answer: int
    order: bytes | None = None
    port: int | None = None
    waiting: int | None = None


class Done(Fields, frozen=True, kw_only=True):
    """The answer to most orders: 0, or why not."""

    LAYOUT = (("answer", "B"),)
    NEEDED = 1
    answer: int


class StartOrder(Fields, frozen=True, kw_only=True):
    """0x82 from the server: start (1) or stop (0) a port. `amount` is s or 0.01 kWh by `rate`
    (0 by time, 2 by energy); 0 of the two last: as the device is set."""

    LAYOUT = (
        ("rate", "B"), ("balance", "I"), ("port", "B"), ("start", "B"), ("amount", "H"),
        ("order", "16s"), ("longest_s", "H"), ("most_power", "H"),
    )  # fmt: skip
    NEEDED = 6
    rate: int
    balance: int
    port: int
    start: int
    amount: int
    order: bytes
    longest_s: int | None = None
    most_power: int | None = None


REGISTER, HEARTBEAT, OLD_HEARTBEAT = 0x20, 0x21, 0x01
TIME, HOST_TIME = 0x22, 0x12
CARD, SETTLEMENT, ORDER_BEGUN, PORT_POWER = 0x02, 0x03, 0x04, 0x06
HOST_STATUS, HOST_MEASURES, DOORS, ALARM = 0x11, 0x17, 0x41, 0x42
ASK, START, REBOOT, REBOOT_HOST = 0x81, 0x82, 0x87, 0x31

FROM_DEVICE: dict[int, type[Fields]] = {
    OLD_HEARTBEAT: OldHeartbeat,
    CARD: CardSwipe,
    SETTLEMENT: Settlement,
    ORDER_BEGUN: OrderBegun,
    PORT_POWER: PortPower,
    HOST_STATUS: HostStatus,
    HOST_TIME: TimeRequest,
    HOST_MEASURES: HostMeasures,
    REGISTER: Register,
    HEARTBEAT: Heartbeat,
    TIME: TimeRequest,
    REBOOT_HOST: Done,
    DOORS: Doors,
    ALARM: Alarm,
    START: StartAnswer,
    REBOOT: Done,
}
"""What devices send, by command."""


def read_fields(command: int, data: bytes) -> Fields | None:
    """What a device sends with this command; None where the command is unknown. Raises
    `BadFrame`."""
    shape = FROM_DEVICE.get(command)
    return None if shape is None else shape.read(data)


def celsius(raw: int | None) -> float | None:
    """A temperature of the wire; None where there is no sensor."""
    return None if raw in (None, NO_TEMPERATURE) else float(raw - 65)


def from_celsius(degrees: float) -> int:
    """A temperature for the wire."""
    return min(max(round(degrees) + 65, 1), 255)
