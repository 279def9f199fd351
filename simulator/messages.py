"""What a charger publishes by the native contract: the mirror image of `pilewatch.wire`."""

from datetime import datetime
from typing import Literal, NamedTuple

import msgspec
from msgspec import Struct

from pilewatch.wire import ROOT

WILL = b'{"online":false}'
_ENCODE = msgspec.json.Encoder().encode


class Sent(NamedTuple):
    """One message as it leaves the charger. `at` is the moment of sending."""

    at: datetime
    charger: str
    topic: str
    payload: bytes
    qos: int
    retain: bool


class LinkChange(NamedTuple):
    """`connect`, or `drop`: the connection dies without goodbye, so that the will is published."""

    at: datetime
    charger: str
    change: Literal["connect", "drop"]


class _Message(Struct, rename="camel", omit_defaults=True, kw_only=True, gc=False):
    at: datetime


class Error(Struct, rename="camel", omit_defaults=True, frozen=True):
    """One active fault as the charger names it."""

    code: str | None = None
    vendor_code: str | None = None
    info: str | None = None


class Online(_Message, gc=False):
    online: bool
    firmware: str
    vendor: str
    model: str
    boot_id: str
    heartbeat_s: int
    meter_s: int


class Status(_Message, gc=False):
    connector: int
    status: str
    errors: list[Error]
    seq: int


class Meter(_Message, gc=False):
    connector: int
    session_id: str | None = None
    energy_wh: float | None = None
    power_w: float | None = None
    voltage_v: float | None = None
    current_a: float | None = None
    temperature_c: float | None = None
    soc: float | None = None
    residual_current_ma: float | None = None


class Session(_Message, gc=False):
    connector: int
    session_id: str
    phase: Literal["started", "ended", "refused"]
    energy_wh: float | None = None
    reason: str | None = None


class Heartbeat(_Message, gc=False):
    uptime_s: float
    rssi_dbm: float
    connectors: dict[str, str]


class Result(_Message, gc=False):
    command_id: str
    outcome: Literal["accepted", "rejected", "done", "failed"]
    detail: str | None = None


class Command(Struct, rename="camel"):
    """An order to the charger; unknown fields are left alone, as the contract says."""

    command_id: str
    name: Literal["reset", "unlock", "setAvailability", "triggerStatus", "startTest", "getLog"]
    expires_at: datetime | None = None
    connector: int | None = None
    args: dict[str, msgspec.Raw] = {}


READ_COMMAND = msgspec.json.Decoder(Command)


def encode(message: _Message) -> bytes:
    """The payload."""
    return _ENCODE(message)


def topic(charger: str, kind: str, connector: int | None = None) -> str:
    """Where a message of this kind goes."""
    end = "" if connector is None else f"/{connector}"
    return f"{ROOT}/{charger}/up/{kind}{end}"
