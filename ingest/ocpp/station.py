"""What one charger has said on its OCPP connection, and how that is said by our own contract.

The parts that OCPP 1.6 and 2.0.1 share; `station16` and `station201` read their messages. Pure:
the clock is passed in, what is to be published is returned.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, NamedTuple

import msgspec

from ingest.ocpp import meters
from ingest.ocpp.faults import Error
from ingest.ocpp.frames import Call, Protocol
from pilewatch.wire import ROOT

WHOLE = 0
"""The number that stands for the charger itself."""
_MAX_PORT = 999
_SESSIONS = 200
"""So many transactions of a charger are remembered."""
_DELIVERED_WH = 50.0
_TEXT = 200
_INFO = 1000


class Said(NamedTuple):
    """One message of our contract."""

    kind: str
    body: dict[str, Any]
    connector: int | None = None
    retain: bool = False

    def topic(self, charger: str) -> str:
        """Where it goes."""
        end = "" if self.connector is None else f"/{self.connector}"
        return f"{ROOT}/{charger}/up/{self.kind}{end}"

    def payload(self) -> bytes:
        """Without what is not known."""
        return msgspec.json.encode({k: v for k, v in self.body.items() if v is not None})


@dataclass
class Session:
    """A transaction; `register_wh` is what the meter showed at its start."""

    id: str
    connector: int
    register_wh: float | None = None
    last_wh: float | None = None
    refused: bool = False
    ended: bool = False


@dataclass
class Port:
    """The last word about one connector, or about the charger as a whole."""

    number: int
    status: str | None = None
    errors: dict[str, Error] = field(default_factory=dict)
    session: str | None = None
    said: tuple[str, tuple[Error, ...]] | None = None
    """What was published last."""


class Station(ABC):
    """The state of one connection, from which each message is read.

    `ports` are the numbers of the registry, if any; others are added as they speak.
    `heartbeat_s` is the promise to publish; None: the answer to its boot will tell.
    """

    protocol: ClassVar[Protocol]

    def __init__(self, ports: Iterable[int] = (), heartbeat_s: int | None = None):
        self.ports: dict[int, Port] = {number: Port(number) for number in ports}
        self.whole = Port(WHOLE)
        self.sessions: dict[str, Session] = {}
        self.heartbeat_s = heartbeat_s
        self.booted = False
        self.expects_boot = False
        """We asked for a BootNotification: the next one is no restart."""
        self.unplaced = 0
        """Messages about a connector that could not be told."""
        self._about: dict[str, Any] = {}
        self._beat_at: datetime | None = None
        self._seq = 0

    @abstractmethod
    def heard(self, call: Call, now: datetime) -> list[Said]:
        """What a call says by itself."""

    @abstractmethod
    def answered(self, call: Call, answer: dict[str, Any], now: datetime) -> list[Said]:
        """What it says together with its answer."""

    # --- the connection

    def online(self, now: datetime) -> Said:
        """The charger is here; also said again after the broker was away."""
        body = {"online": True, "at": stamp(now), "heartbeatS": self.heartbeat_s, **self._about}
        return Said("online", body, retain=True)

    def offline(self) -> Said:
        """The connection ended; the same words as a last will."""
        return Said("online", {"online": False}, retain=True)

    def current(self, now: datetime) -> list[Said]:
        """All that is known now, for a broker that may have lost it."""
        return [self.online(now), *self._statuses(self.ports, now)]

    def forget_said(self) -> None:
        """What was published last may not have arrived."""
        for port in self.ports.values():
            port.said = None

    def remember(self, session: Session) -> None:
        """A transaction that began earlier, perhaps before our start."""
        self.sessions[session.id] = session
        while len(self.sessions) > _SESSIONS:
            del self.sessions[next(iter(self.sessions))]
        if not session.ended:
            self.port(session.connector).session = session.id

    def alive(self, now: datetime, *, often_s: float) -> list[Said]:
        """A sign of life, if the last one is older than so many seconds."""
        if self._beat_at is not None and now - self._beat_at < timedelta(seconds=often_s):
            return []
        self._beat_at = now
        return [Said("heartbeat", {"at": stamp(now)})]

    # --- parts of messages

    def port(self, number: int) -> Port:
        """The connector with this number; `WHOLE`: the charger."""
        return self.whole if number == WHOLE else self.ports.setdefault(number, Port(number))

    def boot(self, vendor: Any, model: Any, firmware: Any, now: datetime, *, asked: bool) -> None:
        """Who the charger is. `asked`: it only repeats itself."""
        self.booted = True
        self._about |= {
            "firmware": clean(firmware), "vendor": clean(vendor), "model": clean(model),
        }  # fmt: skip
        if not asked and not self.expects_boot:
            self._about["bootId"] = stamp(now)
        self.expects_boot = False

    def promise(self, interval: Any, now: datetime) -> list[Said]:
        """The answer to a boot tells how often it will speak."""
        if isinstance(interval, int) and 1 <= interval <= 86400:
            self.heartbeat_s = interval
        return [self.online(now)]

    def status(self, number: int, at: Any, now: datetime) -> list[Said]:
        """The status of this connector, or after a word about the whole of all that changed."""
        if number == WHOLE:
            return self._statuses(
                [n for n, p in self.ports.items() if self._effective(p) != p.said], now, at
            )
        return self._statuses([number], now, at)

    def changed_status(self, number: int, at: Any, now: datetime) -> list[Said]:
        """The same, only where it differs from what was said last."""
        port = self.port(number)
        return self.status(number, at, now) if self._effective(port) != port.said else []

    def _statuses(self, numbers: Iterable[int], now: datetime, at: Any = None) -> list[Said]:
        said = []
        for number in sorted(numbers):
            port = self.ports[number]
            effective = self._effective(port)
            if effective is None:
                continue
            port.said = effective
            status, errors = effective
            self._seq = max(self._seq + 1, int(now.timestamp() * 1000))
            body = {
                "at": when(at, now),
                "connector": number,
                "status": status,
                "errors": [_told(error) for error in errors],
                "seq": self._seq,
            }
            said.append(Said("status", body, number, retain=True))
        return said

    def _effective(self, port: Port) -> tuple[str, tuple[Error, ...]] | None:
        """A connector of a charger that is broken or closed as a whole is so as well."""
        own, whole = self.own_status(port), self.whole.status
        status = whole if whole == "faulted" else own
        if whole == "unavailable" and own != "faulted":
            status = whole
        errors = dict.fromkeys([*self.whole.errors.values(), *port.errors.values()])
        if status is None and not port.errors:
            return None  # it has not spoken yet
        return status or "unknown", tuple(errors)[:32]

    def own_status(self, port: Port) -> str | None:
        """What the connector says of itself, in our words."""
        return port.status

    def meter(self, number: int, values: Any, session: str | None, now: datetime) -> list[Said]:
        """A list of `meterValue`."""
        said: list[Said] = []
        known = self.sessions.get(session or "")
        for value in dicts(values):
            found = meters.sample(dicts(value.get("sampledValue")))
            if known is not None and (register := found.get("energyWh")) is not None:
                known.last_wh = register
                if known.register_wh is None:
                    known.register_wh = register
            if found and number != WHOLE:
                self._seq = max(self._seq + 1, int(now.timestamp() * 1000))
                head = {
                    "at": when(value.get("timestamp"), now),
                    "connector": number,
                    "sessionId": session,
                }
                said.append(Said("meter", {**head, **found, "seq": self._seq}))
        return said

    def started(self, session: Session, at: Any, now: datetime) -> list[Said]:
        """A transaction began."""
        self.remember(session)
        return [_session(session, "started", at, now)]

    def refused(
        self, number: int | None, session: str, reason: str, at: Any, now: datetime
    ) -> list[Said]:
        """Somebody was not let charge; nothing where the place cannot be told."""
        if number is None:
            self.unplaced += 1
            return []
        return [_session(Session(session, number), "refused", at, now, reason=reason)]

    def ended(self, session: Session, reason: Any, at: Any, now: datetime) -> list[Said]:
        """A transaction ended; `last_wh` is the final register."""
        delivered = None
        if session.last_wh is not None and session.register_wh is not None:
            delivered = session.last_wh - session.register_wh
            # A register that runs backwards is told by its meter values; energy is not negative.
            delivered = delivered if delivered >= 0 else None
        session.ended = True
        port = self.port(session.connector)
        if port.session == session.id:
            port.session = None
        if session.refused and (delivered or 0.0) < _DELIVERED_WH:
            return []
        told = clean(reason) or "Local"
        return [_session(session, "ended", at, now, energy_wh=delivered, reason=told)]

    def only_port(self, *statuses: str) -> int | None:
        """The connector that alone can be meant: it has such a status, or there is no other."""
        found = [n for n, port in self.ports.items() if self.own_status(port) in statuses]
        candidates = found or list(self.ports)
        return candidates[0] if len(candidates) == 1 else None


def _session(
    session: Session,
    phase: str,
    at: Any,
    now: datetime,
    *,
    energy_wh: float | None = None,
    reason: str | None = None,
) -> Said:
    body = {
        "at": when(at, now),
        "connector": session.connector,
        "sessionId": session.id,
        "phase": phase,
        "energyWh": energy_wh,
        "reason": reason,
    }
    return Said("session", body)


def _told(error: Error) -> dict[str, str]:
    told = {"code": error.code, "vendorCode": error.vendor_code, "info": error.info}
    return {name: text for name, text in told.items() if text is not None}


def number_of(value: Any) -> int | None:
    """A connector's number within our contract, or `WHOLE`; None for what cannot be one."""
    fits = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MAX_PORT
    return value if fits else None


def watt_hours(value: Any) -> float | None:
    """What a meter shows; None for what no meter can."""
    fits = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e12
    return float(value) if fits else None


def dicts(value: Any) -> list[dict[str, Any]]:
    """The objects of a list; a tap reads also what no schema has checked."""
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def clean(value: Any, most: int = _TEXT) -> str | None:
    """A text that PostgreSQL takes, cut to our length; None for none."""
    if not isinstance(value, str):
        return None
    return value.replace("\0", "")[:most].strip() or None


def clean_info(value: Any) -> str | None:
    """The same for a sentence."""
    return clean(value, _INFO)


def stamp(moment: datetime) -> str:
    """RFC 3339 with microseconds, UTC."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


def when(value: Any, now: datetime) -> str | None:
    """The charger's time; ours where it gave none; None (its clock is wrong) for nonsense.

    Without a zone it is UTC, which the standard recommends.
    """
    if value is None:
        return stamp(now)
    try:
        found = datetime.fromisoformat(value)
        return stamp(found if found.tzinfo else found.replace(tzinfo=UTC))
    except (TypeError, ValueError, OverflowError):
        return None
