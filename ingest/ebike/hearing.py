"""What each frame of a DNY device makes of it, and says. Pure; the clock is passed in."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from zlib import crc32

from ingest.ebike.cabinet import Cabinet, Held
from ingest.ebike.held import HOT_C, contradicted, delivered, hold, release, stopped, warm
from ingest.ebike.sessions import session_id, settled_session, settlement_key
from pilewatch.dny import fields
from pilewatch.dny.fields import Fields, Settlement, celsius
from pilewatch.dny.frames import Frame
from pilewatch.dny.words import (
    BREAKER_HOST,
    CHARGING_STATUS,
    alarm_word,
    answer_word,
    dbm,
    stop_word,
)
from pilewatch.model import Kind, Observation

LEAKAGE_MA = 30
"""What trips a leakage breaker that protects people."""
_WH = 10.0
"""One unit of energy."""


class Heard(NamedTuple):
    """What a frame made of the cabinet, and what it said beside the state of the ports. `named`:
    the frame named every port's status."""

    cabinet: Cabinet
    observations: list[Observation]
    named: bool = False


def hear(cabinet: Cabinet, frame: Frame, said: Fields | None, at: datetime) -> Heard:
    """Take in one frame of this device, heard at `at` (aware UTC)."""
    cabinet = replace(cabinet, held=contradicted(cabinet.held, said))
    take_in = _TAKE_IN.get(type(said))
    return Heard(cabinet, []) if take_in is None else take_in(cabinet, frame, said, at)


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
    cabinet = warm(cabinet, "ambient", 0, said.ambient, at)
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
        cabinet = delivered(cabinet, port)
    cabinet = warm(cabinet, "port", port, said.temperature, at)
    cabinet = warm(cabinet, "ambient", 0, said.ambient, at)
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
        cabinet = delivered(cabinet, port)
    cabinet = stopped(cabinet, port, said.stop, at)
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
    return Heard(hold(cabinet, Held(f"alarm {said.kind:#04x}", port, word.code, text, at)), [])


def _started(cabinet: Cabinet, _: Frame, said: fields.StartAnswer, at: datetime) -> Heard:
    word = answer_word(said.answer)
    if word.code is not None and said.port is not None:
        held = Held(f"answer {said.answer:#04x}", said.port + 1, word.code, word.text, at)
        cabinet = hold(cabinet, held)
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
        cabinet = hold(cabinet, held) if present else release(cabinet, source, 0)
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


# --- shapes


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
