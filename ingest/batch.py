"""From messages to one staged batch. Pure: what is registered is passed in, nothing is written."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import msgspec

from ingest.dialects.registry import Dialects
from pilewatch.model import Kind, Observation, ReportedError
from pilewatch.store.observations import KnownCharger, Refused, Row, Staged, microseconds
from pilewatch.store.partial import Partial
from pilewatch.wire import BadMessage

KEPT_BYTES = 4096
"""How much of a refused payload is kept."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_JSON = msgspec.json.Encoder()
_NO_ERRORS = "[]"
NATIVE_ONLY = Dialects()


class Message(NamedTuple):
    """One MQTT message as it came. `topic` is None where it was not UTF-8."""

    topic: str | None
    payload: bytes
    size: int
    received_us: int
    qos: int
    mid: int
    replayed: bool
    redelivered: bool
    connection: int


class Reading(NamedTuple):
    """A message and what it said, or why it was refused."""

    message: Message
    observations: list[Observation]
    unknown_fields: bool
    reason: str | None


def moment(us: int) -> datetime:
    """Microseconds since 1970 as an aware UTC datetime."""
    return _EPOCH + timedelta(microseconds=us)


def read(message: Message, dialects: Dialects = NATIVE_ONLY) -> Reading:
    """Decode one message; never raises for what is in it."""
    if message.topic is None:
        return Reading(message, [], False, "topic is not UTF-8")
    if message.size > len(message.payload):
        return Reading(message, [], False, f"payload has {message.size} bytes; at most 16384")
    try:
        said = dialects.decode(
            message.topic,
            message.payload,
            moment(message.received_us),
            replayed=message.replayed,
            redelivered=message.redelivered,
        )
    except BadMessage as error:
        return Reading(message, [], False, str(error))
    return Reading(message, said.observations, said.unknown_fields, None)


@dataclass
class _ChargerNews:
    """What one batch says of one charger; microseconds of our clock."""

    seen: int | None = None
    back: int | None = None
    gone: int | None = None
    gone_replayed: bool = False
    confirmed: int | None = None
    booted: int | None = None
    online: Mapping[str, object] = field(default_factory=dict)
    uptime_s: float | None = None
    rssi_dbm: float | None = None
    clock_fault: int | None = None
    clock_lag_s: float | None = None

    def row(self, charger_id: int) -> Row:
        texts = (self.online.get(k) for k in ("bootId", "firmware", "vendor", "model"))
        numbers = (self.online.get(k) for k in ("heartbeatS", "meterS"))
        return (
            charger_id,
            self.seen,
            self.back,
            self.gone,
            self.gone_replayed,
            self.confirmed,
            self.booted,
            *texts,
            *numbers,
            self.uptime_s,
            self.rssi_dbm,
            self.clock_fault,
            self.clock_lag_s,
        )


class BatchBuilder:
    """Collects readings into a `Staged` batch.

    `keep` decides whether one more refused message is kept for inspection (it is counted in any
    case); it gets the charger's code, or the topic, and the reason.
    """

    def __init__(self, known: Mapping[str, KnownCharger], keep: Callable[[str, str], bool]) -> None:
        self.known = known
        self.keep = keep
        self.staged = Staged()
        self.refusals: dict[str, int] = {}
        self._news: dict[int, _ChargerNews] = {}
        self._meters: dict[int, list[object]] = {}
        self._connector_of: dict[int, int] = {}

    def add_all(self, readings: Iterable[Reading]) -> "BatchBuilder":
        """Add each reading in the order of arrival."""
        for reading in readings:
            if reading.reason is not None:
                self.refuse(reading.message, "undecodable", reading.reason)
            else:
                for said in reading.observations:
                    if said.connector or said.kind != Kind.STATUS:
                        self._add(said, reading.message)
                    else:
                        self._spread(said, reading)
        return self

    def build(self) -> Staged:
        """The batch, with one row for each charger and metered connector."""
        self.staged.chargers = [news.row(i) for i, news in self._news.items()]
        self.staged.meters = [tuple(row) for row in self._meters.values()]
        return self.staged

    def refuse(
        self, message: Message, outcome: str, reason: str, charger: str | None = None
    ) -> None:
        """Count a message that cannot be used and keep it, if there is room."""
        self.refusals[outcome] = self.refusals.get(outcome, 0) + 1
        topic = (message.topic or "(not UTF-8)").replace("\0", "\ufffd")[:500]
        if self.keep(charger or topic, reason):
            self.staged.refused.append(
                Refused(
                    moment(message.received_us),
                    topic.encode("utf-8", "replace").decode(),
                    message.payload[:KEPT_BYTES],
                    message.size,
                    reason.replace("\0", "\ufffd").encode("utf-8", "replace").decode(),
                    charger,
                )
            )

    def _add(self, said: Observation, message: Message) -> None:
        charger = self.known.get(said.charger)
        if charger is None:
            self._refuse_unknown(said, message)
            return
        connector_id = None
        if said.connector:
            connector_id = charger.connectors.get(said.connector)
            if connector_id is None:
                self.refuse(
                    message,
                    "unknown-connector",
                    f"connector {said.connector} of charger {said.charger} is not registered; "
                    "correct the registry or the charger's numbering",
                    said.charger,
                )
                return
        self._stage(said, message, charger.id, connector_id)

    def _spread(self, said: Observation, reading: Reading) -> None:
        """A status of connector 0 speaks of each that the message does not name."""
        charger = self.known.get(said.charger)
        if charger is None:
            self._refuse_unknown(said, reading.message)
            return
        named = {other.connector for other in reading.observations}
        for number in sorted(charger.connectors.keys() - named):
            self._add(msgspec.structs.replace(said, connector=number), reading.message)

    def _refuse_unknown(self, said: Observation, message: Message) -> None:
        if said.kind == Kind.CONFIRM:
            return  # its heartbeat has been refused already
        self.refuse(
            message,
            "unknown-charger",
            f"charger {said.charger} is not registered; register it or correct its id",
            said.charger,
        )
        _, count = self.staged.unknown_chargers.get(said.charger, (None, 0))
        self.staged.unknown_chargers[said.charger] = (said.received_at, count + 1)

    def _stage(
        self, said: Observation, message: Message, charger_id: int, connector_id: int | None
    ) -> None:
        staged, kind, received = self.staged, said.kind, message.received_us
        observed = microseconds(said.observed_at)
        if kind == Kind.STATUS and said.replayed and said.digest is not None:
            kind = Kind.CONFIRM  # a retained status of unknown age: only news if it differs
        if said.kind == Kind.STATUS and _is_partial(said):
            staged.partial[len(staged.rows)] = Partial(said.errors_source, said.only_from)
        staged.rows.append(
            (
                len(staged.rows),
                charger_id,
                said.connector,
                connector_id,
                int(kind),
                observed,
                received,
                said.seq,
                not said.replayed,
                said.digest,
                said.status and said.status.value,
                _errors(said.errors),
                said.session_id,
                said.reason,
                said.energy_wh,
                said.power_w,
                said.voltage_v,
                said.current_a,
                said.temperature_c,
                said.soc,
                said.residual_current_ma,
                None if said.data is None else _JSON.encode(said.data).decode(),
            )
        )
        hour = observed // 3_600_000_000
        staged.days.add(hour // 24)
        staged.hours.add(hour)
        self._note_charger(said, charger_id, received, observed)
        if kind == Kind.METER:
            self._note_meter(said, connector_id or 0, received, observed)
        elif kind == Kind.STATUS:
            staged.has_status = True
        elif kind == Kind.CONFIRM:
            staged.has_confirmations = True
        elif kind in (Kind.SESSION_STARTED, Kind.SESSION_ENDED, Kind.SESSION_REFUSED):
            staged.has_sessions = True
        elif kind == Kind.RESULT:
            staged.has_results = True

    def _note_charger(
        self, said: Observation, charger_id: int, received: int, observed: int
    ) -> None:
        news = self._news.get(charger_id)
        if news is None:
            news = self._news[charger_id] = _ChargerNews()
        if said.clock_fault:
            news.clock_fault = received
        if said.kind == Kind.OFFLINE:
            news.gone, news.gone_replayed, news.back = received, said.replayed, None
            return
        if not said.replayed:
            news.seen = max(news.seen or 0, received)
            news.back = received if news.back is None else news.back
        elif said.digest is None:  # a retained copy tells when it was said
            news.seen = max(news.seen or 0, min(observed, received))
        if said.kind == Kind.HEARTBEAT:
            data = said.data or {}
            news.uptime_s = _number(data.get("uptimeS"))
            news.rssi_dbm = _number(data.get("rssiDbm"))
            news.clock_lag_s = (received - observed) / 1e6
            if said.confirms_all:
                news.confirmed = received
        elif said.kind == Kind.ONLINE and (news.booted is None or observed >= news.booted):
            news.booted = observed
            told = {key: value for key, value in (said.data or {}).items() if value is not None}
            news.online = {**news.online, **told}

    def _note_meter(
        self, said: Observation, connector_id: int, received: int, observed: int
    ) -> None:
        """A charger may send each measurand by itself: the newest value of each counts."""
        values = (
            said.session_id,
            said.energy_wh,
            said.power_w,
            said.voltage_v,
            said.current_a,
            said.temperature_c,
            said.soc,
            said.residual_current_ma,
        )
        row = self._meters.get(connector_id)
        if row is None:
            self._meters[connector_id] = [connector_id, observed, received, *values]
            return
        newer = observed >= row[1]  # type: ignore[operator]
        row[1] = max(row[1], observed)  # type: ignore[call-overload]
        row[2] = received
        for place, value in enumerate(values, 3):
            if value is not None and (newer or row[place] is None):
                row[place] = value


def _is_partial(said: Observation) -> bool:
    return (
        said.errors is None
        or said.status is None
        or said.errors_source is not None
        or said.only_from is not None
    )


def _errors(errors: tuple[ReportedError, ...] | None) -> str | None:
    if errors is None:
        return None
    return _JSON.encode(errors).decode() if errors else _NO_ERRORS


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None
