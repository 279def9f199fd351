"""The native MQTT contract, version 1: bytes in, `Observation`s out. Pure; no I/O, no clock.

What cannot be decoded raises `BadMessage`, whose text says what was wrong, where, and what
would be right: it is what the operator reads in quarantine.
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal, NamedTuple
from zlib import crc32

import msgspec
from msgspec import Meta, Struct

from pilewatch.faultcodes import FAULTS, UNMAPPED
from pilewatch.model import Kind, Observation, ReportedError, Status

ROOT = "pilewatch/v1"
SUBSCRIPTION = f"{ROOT}/+/up/#"
MAX_PAYLOAD = 16 * 1024
"""Bytes; a longer payload is refused."""
CLOCK_AHEAD = timedelta(minutes=5)
CLOCK_FLOOR = datetime(2020, 1, 1, tzinfo=UTC)
CHARGER_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
CommandName = Literal["reset", "unlock", "setAvailability", "triggerStatus", "startTest", "getLog"]
"""What a charger can be told to do."""


class BadMessage(ValueError):
    """A message that breaks the contract. `str()` is meant for the operator."""


class Decoded(NamedTuple):
    """What one message said, and whether it carried fields that the contract does not know."""

    observations: list[Observation]
    unknown_fields: bool


Text = Annotated[str, Meta(max_length=200)]
Connector = Annotated[int, Meta(ge=1, le=999)]
Seconds = Annotated[int, Meta(ge=1, le=86400)]
Number = Annotated[float, Meta(ge=-1e12, le=1e12)]
At = Annotated[datetime, Meta(tz=True)] | None


class _Wire(Struct, rename="camel", gc=False):
    at: At = None
    charger: str | None = None


class _Error(Struct, rename="camel", gc=False):
    code: Text | None = None
    vendor_code: Text | None = None
    info: Annotated[str, Meta(max_length=1000)] | None = None


class _Status(_Wire, kw_only=True, gc=False):
    connector: Connector
    status: Status
    errors: Annotated[list[_Error], Meta(max_length=32)] = []
    seq: Annotated[int, Meta(ge=0, le=2**62)] | None = None


class _Meter(_Wire, kw_only=True, gc=False):
    connector: Connector
    session_id: Text | None = None
    energy_wh: Number | None = None
    power_w: Number | None = None
    voltage_v: Number | None = None
    current_a: Number | None = None
    temperature_c: Annotated[float, Meta(ge=-273, le=2000)] | None = None
    soc: Annotated[float, Meta(ge=0, le=100)] | None = None
    residual_current_ma: Number | None = None
    seq: Annotated[int, Meta(ge=0, le=2**62)] | None = None


class _Session(_Wire, kw_only=True, gc=False):
    connector: Connector
    session_id: Text | None = None
    phase: Literal["started", "ended", "refused"]
    energy_wh: Number | None = None
    reason: Text | None = None


class _Heartbeat(_Wire, kw_only=True, gc=False):
    uptime_s: Annotated[float, Meta(ge=0, le=1e10)] | None = None
    rssi_dbm: Annotated[float, Meta(ge=-200, le=100)] | None = None
    connectors: Annotated[dict[str, Status], Meta(max_length=999)] | None = None


class _Online(_Wire, kw_only=True, gc=False):
    online: bool
    firmware: Text | None = None
    vendor: Text | None = None
    model: Text | None = None
    boot_id: Text | None = None
    heartbeat_s: Seconds | None = None
    meter_s: Seconds | None = None


class _Result(_Wire, kw_only=True, gc=False):
    command_id: Text
    outcome: Literal["accepted", "rejected", "done", "failed"]
    detail: Annotated[str, Meta(max_length=2000)] | None = None


class Command(Struct, rename="camel", kw_only=True, frozen=True):
    """An order to a charger. Delivered after `expires_at` it must be answered `rejected`."""

    command_id: str
    issued_at: datetime
    expires_at: datetime
    name: CommandName
    connector: int | None = None
    args: dict[str, Any] = {}


def command_topic(charger: str) -> str:
    """Where this charger listens for orders."""
    return f"{ROOT}/{charger}/down/command"


class _Common(NamedTuple):
    """What every observation of one message shares."""

    charger: str
    observed_at: datetime
    received_at: datetime
    clock_fault: bool
    replayed: bool
    redelivered: bool
    digest: int | None


def _reported(error: _Error) -> ReportedError:
    if error.code is None or error.code in FAULTS:
        return ReportedError(error.code or UNMAPPED, error.vendor_code, error.info)
    said = f"unknown code {error.code!r}"
    return ReportedError(
        UNMAPPED, error.vendor_code, f"{said}; {error.info}" if error.info else said
    )


def _status(m: _Status, c: _Common) -> list[Observation]:
    return [
        Observation(
            kind=Kind.STATUS,
            charger=c.charger,
            connector=m.connector,
            observed_at=c.observed_at,
            received_at=c.received_at,
            seq=-1 if m.seq is None else m.seq,
            clock_fault=c.clock_fault,
            replayed=c.replayed,
            redelivered=c.redelivered,
            digest=c.digest,
            status=m.status,
            errors=tuple(_reported(e) for e in m.errors),
        )
    ]


def _meter(m: _Meter, c: _Common) -> list[Observation]:
    return [
        Observation(
            kind=Kind.METER,
            charger=c.charger,
            connector=m.connector,
            observed_at=c.observed_at,
            received_at=c.received_at,
            seq=-1 if m.seq is None else m.seq,
            clock_fault=c.clock_fault,
            replayed=c.replayed,
            redelivered=c.redelivered,
            digest=c.digest,
            session_id=m.session_id,
            energy_wh=m.energy_wh,
            power_w=m.power_w,
            voltage_v=m.voltage_v,
            current_a=m.current_a,
            temperature_c=m.temperature_c,
            soc=m.soc,
            residual_current_ma=m.residual_current_ma,
        )
    ]


_PHASE = {
    "started": Kind.SESSION_STARTED,
    "ended": Kind.SESSION_ENDED,
    "refused": Kind.SESSION_REFUSED,
}


def _session(m: _Session, c: _Common) -> list[Observation]:
    return [
        Observation(
            kind=_PHASE[m.phase],
            charger=c.charger,
            connector=m.connector,
            observed_at=c.observed_at,
            received_at=c.received_at,
            clock_fault=c.clock_fault,
            replayed=c.replayed,
            redelivered=c.redelivered,
            digest=c.digest,
            session_id=m.session_id,
            energy_wh=m.energy_wh,
            reason=m.reason,
        )
    ]


def _heartbeat(m: _Heartbeat, c: _Common) -> list[Observation]:
    named = _named_ports(m.connectors or {})
    beat = Observation(
        kind=Kind.HEARTBEAT,
        charger=c.charger,
        observed_at=c.observed_at,
        received_at=c.received_at,
        clock_fault=c.clock_fault,
        replayed=c.replayed,
        redelivered=c.redelivered,
        digest=c.digest,
        data={"uptimeS": m.uptime_s, "rssiDbm": m.rssi_dbm, "connectors": len(named)},
        # An empty list leaves out every port, as the board that has lost its only one sends it.
        confirms_all=m.connectors is None,
    )
    return [beat] + [
        Observation(
            kind=Kind.CONFIRM,
            charger=c.charger,
            connector=number,
            observed_at=c.observed_at,
            received_at=c.received_at,
            replayed=c.replayed,
            redelivered=c.redelivered,
            status=status,
        )
        for number, status in named.items()
    ]


def _named_ports(connectors: dict[str, Status]) -> dict[int, Status]:
    named: dict[int, Status] = {}
    for key, status in connectors.items():
        if not (key.isascii() and key.isdigit() and 1 <= int(key[:4]) <= 999):
            raise BadMessage(
                f'connectors: {key[:20]!r} is no port number; right would be "1" to "999"'
            )
        named[int(key)] = status
    return named


def _online(m: _Online, c: _Common) -> list[Observation]:
    return [
        Observation(
            kind=Kind.ONLINE if m.online else Kind.OFFLINE,
            charger=c.charger,
            observed_at=c.observed_at,
            received_at=c.received_at,
            clock_fault=c.clock_fault,
            replayed=c.replayed,
            redelivered=c.redelivered,
            digest=c.digest,
            data={
                "firmware": m.firmware,
                "vendor": m.vendor,
                "model": m.model,
                "bootId": m.boot_id,
                "heartbeatS": m.heartbeat_s,
                "meterS": m.meter_s,
            }
            if m.online
            else None,
        )
    ]


def _result(m: _Result, c: _Common) -> list[Observation]:
    return [
        Observation(
            kind=Kind.RESULT,
            charger=c.charger,
            observed_at=c.observed_at,
            received_at=c.received_at,
            # Results carry no seq; two commands may answer in the same instant.
            seq=crc32(f"{m.command_id}/{m.outcome}".encode()),
            clock_fault=c.clock_fault,
            replayed=c.replayed,
            redelivered=c.redelivered,
            session_id=m.command_id,
            reason=m.outcome,
            data={"detail": m.detail},
        )
    ]


class _KindOfMessage(NamedTuple):
    strict: msgspec.json.Decoder[Any]
    lenient: msgspec.json.Decoder[Any]
    observe: Callable[[Any, _Common], list[Observation]]
    has_port_in_topic: bool


def _kind(
    shape: type[_Wire], observe: Callable[[Any, _Common], list[Observation]], port: bool = False
) -> _KindOfMessage:
    strict = msgspec.defstruct(
        f"{shape.__name__}Strict", [], bases=(shape,), forbid_unknown_fields=True, gc=False
    )
    return _KindOfMessage(msgspec.json.Decoder(strict), msgspec.json.Decoder(shape), observe, port)


_KINDS: dict[str, _KindOfMessage] = {
    "status": _kind(_Status, _status, port=True),
    "meter": _kind(_Meter, _meter),
    "session": _kind(_Session, _session),
    "heartbeat": _kind(_Heartbeat, _heartbeat),
    "online": _kind(_Online, _online),
    "result": _kind(_Result, _result),
}


def decode(
    topic: str,
    payload: bytes,
    received_at: datetime,
    *,
    replayed: bool = False,
    redelivered: bool = False,
) -> Decoded:
    """Read one message of the native contract.

    `received_at` is aware UTC. Raises `BadMessage` for anything outside the contract.
    """
    charger, kind, port = _read_topic(topic)
    if len(payload) > MAX_PAYLOAD:
        raise BadMessage(f"payload has {len(payload)} bytes; at most {MAX_PAYLOAD} are allowed")
    if b"\\u0000" in payload:
        raise BadMessage("payload holds the character \\u0000, which no text may contain")
    message, unknown = _read_payload(kind, payload)
    if message.charger is not None and message.charger != charger:
        raise BadMessage(
            f"payload speaks for charger {message.charger[:64]!r} on the topic of {charger!r}; "
            "a charger may publish only under its own id"
        )
    if port is not None and port != str(message.connector):
        raise BadMessage(
            f"topic ends with port {port!r} but payload has connector {message.connector}; "
            "both must be the same"
        )
    common = _stamp(charger, message, payload, received_at, replayed, redelivered)
    return Decoded(kind.observe(message, common), unknown)


def _read_topic(topic: str) -> tuple[str, _KindOfMessage, str | None]:
    parts = topic.split("/")
    if len(parts) < 5 or parts[0] != "pilewatch" or parts[1] != "v1" or parts[3] != "up":
        raise BadMessage(
            f"topic {topic[:200]!r} is not of the contract; right would be {ROOT}/CHARGER/up/KIND"
        )
    charger = parts[2]
    if not CHARGER_ID.fullmatch(charger):
        raise BadMessage(
            f"charger id {charger[:80]!r} in the topic; right would be 1 to 64 of A-Z a-z 0-9 . _ -"
        )
    kind = _KINDS.get(parts[4])
    if kind is None:
        raise BadMessage(
            f"kind {parts[4][:40]!r} in the topic; right would be one of {', '.join(_KINDS)}"
        )
    if len(parts) == 5 and not kind.has_port_in_topic:
        return charger, kind, None
    if len(parts) == 6 and kind.has_port_in_topic:
        return charger, kind, parts[5]
    right = f"{ROOT}/{charger}/up/{parts[4]}" + ("/CONNECTOR" if kind.has_port_in_topic else "")
    raise BadMessage(f"topic {topic[:200]!r}; right would be {right}")


def _read_payload(kind: _KindOfMessage, payload: bytes) -> tuple[Any, bool]:
    try:
        return kind.strict.decode(payload), False
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass  # perhaps only an unknown field, which the contract allows
    try:
        payload.decode()
        return kind.lenient.decode(payload), True
    except msgspec.ValidationError as error:
        raise BadMessage(f"payload: {error}{_right_words(error)}") from error
    except UnicodeDecodeError as error:
        raise BadMessage(f"payload is not UTF-8: byte {error.start} is invalid") from error
    except (msgspec.DecodeError, RecursionError) as error:
        raise BadMessage(f"payload is not JSON: {error}") from error


def _right_words(error: msgspec.ValidationError) -> str:
    text = str(error)
    if "`$.status`" in text or "`$.connectors" in text:
        return f"; right would be one of {', '.join(Status)}"
    if "`$.phase`" in text:
        return f"; right would be one of {', '.join(_PHASE)}"
    if "`$.outcome`" in text:
        return "; right would be one of accepted, rejected, done, failed"
    if "`$.at`" in text:
        return "; right would be RFC 3339 with offset, as 2026-05-01T08:00:00+08:00"
    return ""


def _stamp(
    charger: str,
    message: _Wire,
    payload: bytes,
    received_at: datetime,
    replayed: bool,
    redelivered: bool,
) -> _Common:
    at = message.at
    if at is not None and CLOCK_FLOOR <= at <= received_at + CLOCK_AHEAD:
        return _Common(charger, at, received_at, False, replayed, redelivered, None)
    # A last will cannot carry the time of its own death: no clock to complain about.
    is_will = isinstance(message, _Online) and not message.online and at is None
    return _Common(
        charger, received_at, received_at, not is_will, replayed, redelivered, crc32(payload)
    )
