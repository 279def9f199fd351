"""One device of the DNY family as it is known from its frames. Pure; the clock is passed in.

A device says a fault once (an alarm, the reason why a session stopped) and says nowhere that it is
over. So such a fault is *held* until something contradicts it: see `_contradicted`.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from zlib import crc32

from pilewatch.dny import fields
from pilewatch.dny.fields import Fields, Settlement, celsius
from pilewatch.dny.frames import Frame
from pilewatch.dny.words import (
    BREAKER_HOST,
    CHARGING_STATUS,
    HOSTS,
    PORTS_OF_KIND,
    alarm_word,
    answer_word,
    dbm,
    device_name,
    port_word,
    stop_word,
)
from pilewatch.faultcodes import FAULTS, WHOLE_CHARGER
from pilewatch.model import Kind, Observation, ReportedError, Status

HOT_C = 80.0
"""Ambient and port alarm temperature that devices are delivered with (command 0x84)."""
LEAKAGE_MA = 30
"""What trips a leakage breaker that protects people."""
_LIVE_V = 100.0
_NOMINAL_V = 220.0
_UNSURE = timedelta(hours=24)
"""Ends that only may be a fault count together within so long."""
_WH = 10.0
"""One unit of energy."""


class Held(NamedTuple):
    """A fault that was said once. `source` names what said it; `port` 0: the whole cabinet."""

    source: str
    port: int
    code: str
    text: str
    since: datetime


class Doubt(NamedTuple):
    """Ends of sessions in a row which may speak of a fault of this port."""

    port: int
    code: str
    times: int
    at: datetime


class Port(NamedTuple):
    """What a port shows."""

    status: Status
    errors: tuple[ReportedError, ...]


@dataclass(frozen=True, slots=True)
class Cabinet:
    """A device. `raw` are the ports' statuses as sent, None where nothing is known yet."""

    physical_id: int
    raw: tuple[int | None, ...] = ()
    held: tuple[Held, ...] = ()
    doubts: tuple[Doubt, ...] = ()
    sessions: tuple[tuple[int, str], ...] = ()
    boot: tuple[int, str] | None = None
    """Message id of the last registration, and the name that we gave this boot."""
    rssi: float | None = None
    asked: bool = False
    """Asked for its state, it registers without having booted."""

    @property
    def name(self) -> str:
        """As the registry calls it."""
        return device_name(self.physical_id & 0xFFFFFF)

    @property
    def is_host(self) -> bool:
        """A host with a modem and no ports."""
        return self.physical_id >> 24 in HOSTS

    def session(self, port: int) -> str | None:
        """What runs at this port."""
        return dict(self.sessions).get(port)


def ports(cabinet: Cabinet, above: Iterable[Held] = ()) -> dict[int, Port]:
    """What each port that is known shows; `above` are faults held by the host in front.

    A fault of the whole cabinet is an error of each port where the taxonomy knows it as one; any
    other is an error of the first port, and closes the rest, so that it is one fault.
    """
    whole = [held for held in (*cabinet.held, *above) if not held.port]
    everywhere = [held for held in whole if held.code in WHOLE_CHARGER]
    closed = any(FAULTS[h.code].effect == "out-of-order" for h in whole if h not in everywhere)
    shown: dict[int, Port] = {}
    for number in range(1, _count(cabinet, whole) + 1):
        raw = cabinet.raw[number - 1] if number <= len(cabinet.raw) else None
        mine = [h for h in cabinet.held if h.port == number]
        mine += everywhere if number > 1 else whole
        if raw is not None or mine or closed:
            shown[number] = _port(raw, mine, closed=closed)
    return shown


def _count(cabinet: Cabinet, whole: list[Held]) -> int:
    if cabinet.raw:
        return len(cabinet.raw)
    if not cabinet.held and not whole:
        return 0
    return max(PORTS_OF_KIND.get(cabinet.physical_id >> 24, 1), *(h.port for h in cabinet.held), 0)


def _port(raw: int | None, held: list[Held], *, closed: bool) -> Port:
    word = None if raw is None else port_word(raw)
    errors: dict[str, ReportedError] = {}
    if word is not None and word.code is not None:
        errors[word.code] = ReportedError(word.code, f"port {raw:#04x}", word.text)
    for each in held:
        errors.setdefault(each.code, ReportedError(each.code, each.source, each.text))
    status = Status.UNKNOWN if word is None else word.status
    # A port that charges does charge, whatever it was said to have.
    if status is not Status.CHARGING:
        if any(FAULTS[code].effect == "out-of-order" for code in errors):
            status = Status.FAULTED
        elif closed:
            status = Status.UNAVAILABLE
    return Port(status, tuple(errors.values()))


class Heard(NamedTuple):
    """What a frame made of the cabinet, and what it said beside the state of the ports. `named`:
    the frame named every port's status."""

    cabinet: Cabinet
    observations: list[Observation]
    named: bool = False


def hear(cabinet: Cabinet, frame: Frame, said: Fields | None, at: datetime) -> Heard:
    """Take in one frame of this device, heard at `at` (aware UTC)."""
    cabinet = replace(cabinet, held=_contradicted(cabinet.held, said))
    take_in = _TAKE_IN.get(type(said))
    return Heard(cabinet, []) if take_in is None else take_in(cabinet, frame, said, at)


def forget(cabinet: Cabinet, before: datetime) -> Cabinet:
    """Without what has been held since before this moment and was never said again."""
    kept = tuple(held for held in cabinet.held if held.since >= before)
    return cabinet if kept == cabinet.held else replace(cabinet, held=kept)


# --- single commands


def _register(cabinet: Cabinet, frame: Frame, said: fields.Register, at: datetime) -> Heard:
    boot, asked = cabinet.boot, cabinet.asked
    cabinet = replace(cabinet, raw=_sized(cabinet.raw, said.ports), asked=False)
    if not asked and (boot is None or boot[0] != frame.message_id):
        boot = (frame.message_id, f"{frame.message_id:04x}-{int(at.timestamp()):x}")
        # Switched on again: what was held has been looked at, or comes again.
        cabinet = replace(cabinet, held=(), boot=boot)
    data = {
        "firmware": f"{said.firmware // 100}.{said.firmware % 100:02}",
        "vendor": "DNY",
        "model": None if said.device_type is None else f"{said.device_type:#04x}",
        "bootId": None if boot is None else boot[1],
    }
    return Heard(cabinet, [_observe(cabinet, frame, at, Kind.ONLINE, data=data)])


def _heartbeat(
    cabinet: Cabinet, frame: Frame, said: fields.Heartbeat | fields.OldHeartbeat, at: datetime
) -> Heard:
    running = tuple(
        (port, id)
        for port, id in cabinet.sessions
        if port <= said.ports and said.status[port - 1] in CHARGING_STATUS
    )
    cabinet = replace(cabinet, raw=said.status, sessions=running)
    cabinet = _warm(cabinet, "ambient", 0, said.ambient, at)
    data = {"uptimeS": None, "rssiDbm": cabinet.rssi, "connectors": said.ports}
    observations = [_observe(cabinet, frame, at, Kind.HEARTBEAT, data=data)]
    if isinstance(said, fields.OldHeartbeat) and said.power is not None:
        for number, power in enumerate(said.power, 1):
            id = cabinet.session(number)
            observations.append(
                _observe(
                    cabinet, frame, at, Kind.METER, number,
                    session_id=id, power_w=power / 10, voltage_v=said.voltage / 10,
                )
            )  # fmt: skip
    elif 0 in said.status:
        # The mains are the same everywhere: one idle port tells them.
        idle = said.status.index(0) + 1
        observations.append(
            _observe(cabinet, frame, at, Kind.METER, idle, voltage_v=said.voltage / 10)
        )
    return Heard(cabinet, observations, named=True)


def _power(cabinet: Cabinet, frame: Frame, said: fields.PortPower, at: datetime) -> Heard:
    port = said.port + 1
    if said.status in CHARGING_STATUS:
        cabinet = _with_raw(cabinet, port, said.status)
    id = session_id(frame.physical_id, said.port, said.start_mode, said.order)
    observations: list[Observation] = []
    if id is not None and cabinet.session(port) != id:
        begun = at - timedelta(seconds=said.charged_s)
        observations.append(
            _observe(cabinet, frame, begun, Kind.SESSION_STARTED, port, at, session_id=id)
        )
        others = tuple(pair for pair in cabinet.sessions if pair[0] != port)
        cabinet = replace(cabinet, sessions=(*others, (port, id)))
    if said.energy:
        cabinet = _delivered(cabinet, port)
    cabinet = _warm(cabinet, "port", port, said.temperature, at)
    cabinet = _warm(cabinet, "ambient", 0, said.ambient, at)
    observations.append(
        _observe(
            cabinet, frame, at, Kind.METER, port,
            session_id=id,
            energy_wh=said.energy * _WH,
            power_w=said.power / 10,
            voltage_v=None if said.voltage is None else said.voltage / 10,
            current_a=None if said.current is None else said.current / 1000,
            temperature_c=celsius(said.temperature),
        )
    )  # fmt: skip
    return Heard(cabinet, observations)


def _settlement(cabinet: Cabinet, frame: Frame, said: Settlement, at: datetime) -> Heard:
    port, word = said.port + 1, stop_word(said.stop)
    id = settled_session(frame.physical_id, said)
    observations: list[Observation] = []
    same: dict[str, Any] = {
        "session_id": id,
        "digest": settlement_key(frame.physical_id, said),
        "redelivered": True,
    }
    running = cabinet.session(port)
    if running != id:
        begun = at - timedelta(seconds=said.duration)
        observations.append(_observe(cabinet, frame, begun, Kind.SESSION_STARTED, port, at, **same))
    if running in (None, id):  # and not an old one, while the next runs already
        unplugged = said.stop in (0x05, 0x0D)
        cabinet = _with_raw(cabinet, port, 0 if unplugged else 3)
        cabinet = replace(cabinet, sessions=tuple(p for p in cabinet.sessions if p[0] != port))
    if word.code is None and said.energy:
        cabinet = _delivered(cabinet, port)
    cabinet = _stopped(cabinet, port, said.stop, at)
    observations.append(
        _observe(
            cabinet, frame, at, Kind.SESSION_ENDED, port,
            energy_wh=said.energy * _WH, reason=f"{said.stop:#04x} {word.text}", **same,
        )
    )  # fmt: skip
    return Heard(cabinet, observations)


def _alarm(cabinet: Cabinet, _: Frame, said: fields.Alarm, at: datetime) -> Heard:
    word = alarm_word(said.kind)
    port = said.port + 1 if word.of_port and not cabinet.is_host else 0
    text = word.text
    if not word.of_port and said.port:
        text += f", sensor {said.port}" + (f", inputs {said.trigger:#04x}" if said.trigger else "")
    return Heard(_hold(cabinet, Held(f"alarm {said.kind:#04x}", port, word.code, text, at)), [])


def _started(cabinet: Cabinet, _: Frame, said: fields.StartAnswer, at: datetime) -> Heard:
    word = answer_word(said.answer)
    if word.code is not None and said.port is not None:
        held = Held(f"answer {said.answer:#04x}", said.port + 1, word.code, word.text, at)
        cabinet = _hold(cabinet, held)
    return Heard(cabinet, [])


def _host_status(cabinet: Cabinet, _: Frame, said: fields.HostStatus, __: datetime) -> Heard:
    return Heard(replace(cabinet, rssi=dbm(said.signal)), [])


def _measures(cabinet: Cabinet, _: Frame, said: fields.HostMeasures, at: datetime) -> Heard:
    hot = f"{HOT_C:g} °C or more"
    found = [("host smoke", "smoke-fire", "smoke at the host", said.smoke == 1)]
    if cabinet.physical_id >> 24 == BREAKER_HOST:
        leakage = said.leakage or 0
        wires = [celsius(said.live_temperature), celsius(said.neutral_temperature)]
        hottest = max((c for c in wires if c is not None), default=0.0)
        found += [
            ("host breaker", "power-loss", "breaker open", said.breaker == 0),
            ("host leakage", "ground-fault", f"{LEAKAGE_MA} mA or more", leakage >= LEAKAGE_MA),
            ("host wires", "over-temperature", f"wires {hot}", hottest >= HOT_C),
        ]
    inside = celsius(said.temperature) or 0.0
    found.append(("host heat", "over-temperature", f"host {hot}", inside >= HOT_C))
    for source, code, text, present in found:
        held = Held(source, 0, code, text, at)
        cabinet = _hold(cabinet, held) if present else _release(cabinet, source, 0)
    return Heard(cabinet, [])


_TAKE_IN: dict[type, Callable[..., Heard]] = {
    fields.Register: _register,
    fields.Heartbeat: _heartbeat,
    fields.OldHeartbeat: _heartbeat,
    fields.PortPower: _power,
    Settlement: _settlement,
    fields.Alarm: _alarm,
    fields.StartAnswer: _started,
    fields.HostStatus: _host_status,
    fields.HostMeasures: _measures,
}


# --- what is held


def _contradicted(held: tuple[Held, ...], said: Fields | None) -> tuple[Held, ...]:
    """What is left of it beside a heartbeat that shows the mains as they should be."""
    if not held or not isinstance(said, fields.Heartbeat | fields.OldHeartbeat):
        return held
    volts = said.voltage / 10
    over = set()
    if volts >= _LIVE_V:
        over.add("power-loss")
    if 0.85 * _NOMINAL_V <= volts <= 1.1 * _NOMINAL_V:
        over |= {"over-voltage", "under-voltage"}
    return tuple(h for h in held if h.code not in over or h.source.startswith("host"))


def _delivered(cabinet: Cabinet, port: int) -> Cabinet:
    """Energy came out of this port: whatever ends and answers said of it is over."""
    held = tuple(
        h for h in cabinet.held if h.port != port or not h.source.startswith(("stop", "answer"))
    )
    doubts = tuple(d for d in cabinet.doubts if d.port != port)
    if (held, doubts) == (cabinet.held, cabinet.doubts):
        return cabinet
    return replace(cabinet, held=held, doubts=doubts)


def _stopped(cabinet: Cabinet, port: int, stop: int, at: datetime) -> Cabinet:
    word = stop_word(stop)
    if word.code is None:
        return cabinet
    before = next((d for d in cabinet.doubts if d.port == port), None)
    again = before is not None and before.code == word.code and at - before.at <= _UNSURE
    times = 1 + (before.times if before is not None and again else 0)
    others = tuple(d for d in cabinet.doubts if d.port != port)
    cabinet = replace(cabinet, doubts=(*others, Doubt(port, word.code, times, at)))
    if times < word.times:
        return cabinet
    return _hold(cabinet, Held(f"stop {stop:#04x}", port, word.code, word.text, at))


def _warm(cabinet: Cabinet, what: str, port: int, raw: int | None, at: datetime) -> Cabinet:
    degrees = celsius(raw)
    if degrees is None:
        return cabinet
    source = f"{what} temperature"
    if degrees < HOT_C:
        return _release(cabinet, source, port)
    return _hold(cabinet, Held(source, port, "over-temperature", f"{HOT_C:g} °C or more", at))


def _hold(cabinet: Cabinet, held: Held) -> Cabinet:
    known = {(h.source, h.port): h for h in cabinet.held}
    known[held.source, held.port] = held
    return replace(cabinet, held=tuple(known.values()))


def _release(cabinet: Cabinet, source: str, port: int) -> Cabinet:
    kept = tuple(h for h in cabinet.held if (h.source, h.port) != (source, port))
    return cabinet if len(kept) == len(cabinet.held) else replace(cabinet, held=kept)


# --- names and shapes


def session_id(physical_id: int, port: int, start_mode: int, order: bytes) -> str | None:
    """The session of an order (`port` counts from 0); None where it has no number.

    An order that the device made itself holds the card's number behind its seven bytes of date and
    time: only these are kept, which are unique at one port.
    """
    if not any(order):
        return None
    if start_mode == fields.BY_SERVER:
        return order.hex()
    return f"{physical_id & 0xFFFFFF}-{port + 1}-{order[:7].hex()}"


def settled_session(physical_id: int, said: Settlement) -> str:
    """The session that is settled; one without an order is named by what it came to."""
    named = session_id(physical_id, said.port, said.start_mode, said.order)
    return (
        named or f"{physical_id & 0xFFFFFF}-{said.port + 1}-{settlement_key(physical_id, said):x}"
    )


def settlement_key(physical_id: int, said: Settlement) -> int:
    """The same for each repeat of a settlement. Its time is that of sending, so it is left out."""
    same = (physical_id, said.duration, said.max_power, said.energy, said.port, said.start_mode,
            said.stop, said.order)  # fmt: skip
    return crc32(repr(same).encode())


def _sized(raw: tuple[int | None, ...], count: int) -> tuple[int | None, ...]:
    return raw if len(raw) == count else (*raw[:count], *([None] * (count - len(raw))))


def _with_raw(cabinet: Cabinet, port: int, raw: int) -> Cabinet:
    sized = _sized(cabinet.raw, max(len(cabinet.raw), port))
    return replace(cabinet, raw=(*sized[: port - 1], raw, *sized[port:]))


def _observe(
    cabinet: Cabinet,
    frame: Frame,
    at: datetime,
    kind: Kind,
    connector: int = 0,
    received_at: datetime | None = None,
    **more: Any,
) -> Observation:
    return Observation(
        kind=kind,
        charger=cabinet.name,
        connector=connector,
        observed_at=at,
        received_at=received_at or at,
        **{"digest": crc32(repr(frame).encode()), **more},
    )
