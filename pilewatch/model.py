"""The words of the field as types. One idea, one name: these names are also the tables' names."""

from datetime import datetime
from enum import IntEnum, StrEnum

import msgspec


class Status(StrEnum):
    """What a connector says of itself (wire contract v1); every dialect maps onto these nine."""

    AVAILABLE = "available"
    PREPARING = "preparing"
    CHARGING = "charging"
    SUSPENDED = "suspended"
    FINISHING = "finishing"
    RESERVED = "reserved"
    FAULTED = "faulted"
    UNAVAILABLE = "unavailable"
    UNKNOWN = "unknown"


HEALTHY = frozenset(
    {
        Status.AVAILABLE,
        Status.PREPARING,
        Status.CHARGING,
        Status.SUSPENDED,
        Status.FINISHING,
        Status.RESERVED,
    }
)
"""Statuses in which a connector without active errors counts as working."""


class Kind(IntEnum):
    """What an observation reports; the number is what `observation.kind` stores."""

    STATUS = 1
    METER = 2
    SESSION_STARTED = 3
    SESSION_ENDED = 4
    SESSION_REFUSED = 5
    HEARTBEAT = 6
    ONLINE = 7
    OFFLINE = 8
    RESULT = 9
    CONFIRM = 10
    """One port's status inside a heartbeat: refreshes the age of current state; becomes a
    STATUS row of history only where it differs from what was known."""


class Severity(IntEnum):
    """The three Chinese alarm levels."""

    PEOPLE = 1
    EQUIPMENT = 2
    NOTICE = 3


class Effect(StrEnum):
    """What a fault does to the service."""

    OUT_OF_ORDER = "out-of-order"
    DEGRADED = "degraded"
    NONE = "none"


class SubjectKind(StrEnum):
    """What an incident or ticket is about, from the whole place down to one plug."""

    SITE = "site"
    GATEWAY = "gateway"
    CHARGER = "charger"
    CONNECTOR = "connector"


class ReportedError(msgspec.Struct, frozen=True, omit_defaults=True):
    """One fault that a charger says is active now. `code` is a code of `faultcodes.FAULTS`;
    `source` names what tells of it, where a charger has several voices (topics) for its faults."""

    code: str
    vendor_code: str | None = msgspec.field(default=None, name="vendorCode")
    info: str | None = None
    source: str | None = None


class Observation(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One reported value, as every dialect gives it.

    `connector` 0 means the charger itself. `observed_at` is the charger's clock, replaced by
    `received_at` where it was absent or absurd (`clock_fault` tells that it was absurd).
    `seq` -1 means that the charger sent none. Units are those of the field names.
    `replayed` marks a broker's retained copy, `redelivered` MQTT's DUP flag, `digest` tells
    equal payloads apart from others (crc32) and is set only where `observed_at` is ours.

    A STATUS may tell only a part, and the rest stays as it was: no `status`, no `errors` (None),
    the errors of one `errors_source`, or a `status` that holds `only_from` these others. For
    connector 0 it speaks of each connector that the same message does not name.
    """

    kind: Kind
    charger: str
    connector: int = 0
    observed_at: datetime
    received_at: datetime
    seq: int = -1
    clock_fault: bool = False
    replayed: bool = False
    redelivered: bool = False
    digest: int | None = None
    status: Status | None = None
    errors: tuple[ReportedError, ...] | None = None
    errors_source: str | None = None
    only_from: frozenset[Status] | None = None
    session_id: str | None = None
    reason: str | None = None
    energy_wh: float | None = None
    power_w: float | None = None
    voltage_v: float | None = None
    current_a: float | None = None
    temperature_c: float | None = None
    soc: float | None = None
    residual_current_ma: float | None = None
    data: dict[str, str | int | float | None] | None = None
    """The rest of heartbeat (uptimeS, rssiDbm), online (firmware, bootId, …) and result."""
    confirms_all: bool = False
    """A heartbeat that names no ports confirms them all (it would have reported a change)."""
