"""One message of a make's own dialect, and how it becomes observations. Pure."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, NamedTuple, TypeVar
from zlib import crc32

import msgspec

from ingest.dialects.topics import Pattern
from pilewatch.faultcodes import UNMAPPED
from pilewatch.model import Kind, Observation, ReportedError, Status
from pilewatch.wire import BadMessage

_TRUE = frozenset({"true", "1", "on", "online", "yes"})
_FALSE = frozenset({"false", "0", "off", "offline", "no"})
_JSON: msgspec.json.Decoder[Any] = msgspec.json.Decoder()
LIMITS = {
    "temperature_c": (-273.0, 2000.0),
    "soc": (0.0, 100.0),
    "uptime_s": (0.0, 1e10),
    "rssi_dbm": (-200.0, 100.0),
}
_LIFE = {"uptimeS": "uptime_s", "rssiDbm": "rssi_dbm"}
_ANY = (-1e12, 1e12)
_T = TypeVar("_T")


class Heard(NamedTuple):
    """What came: whose it is, its topic below the charger's base, and the payload.

    Makes without a synchronised clock, or with values under many topics, are dated by our
    clock: else a status of one topic could be older than that of another for ever.
    """

    charger: str
    path: str
    names: Mapping[str, str]
    payload: bytes
    received_at: datetime
    replayed: bool = False
    redelivered: bool = False

    def text(self, most: int = 200) -> str:
        """The payload as text. Raises `BadMessage`."""
        if len(self.payload) > most:
            raise BadMessage(
                f"{self.path}: {len(self.payload)} bytes of text; at most {most} are expected here"
            )
        try:
            found = self.payload.decode()
        except UnicodeDecodeError as error:
            raise BadMessage(
                f"{self.path}: not UTF-8: byte {error.start} of the payload is invalid"
            ) from error
        if "\0" in found:
            raise BadMessage(f"{self.path}: the payload holds a NUL character")
        return found.strip()

    def json(self) -> Any:
        """The payload as JSON of any shape. Raises `BadMessage`."""
        return self.json_of(self.payload)

    def json_of(self, text: bytes) -> Any:
        """A part of the payload as JSON of any shape. Raises `BadMessage`."""
        try:
            return _JSON.decode(text)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
            raise BadMessage(f"{self.path}: the payload is not JSON: {error}") from error

    def number(self) -> float | None:
        """The payload as a number; None where it is empty, null or false. Raises `BadMessage`."""
        found = self.text()
        if found in ("", "null", "false", "nan", "NaN"):
            return None
        try:
            if "_" in found:
                raise ValueError
            value = float(found)
        except ValueError:
            raise BadMessage(
                f"{self.path}: {found[:40]!r} is no number; right would be one such as 230.5"
            ) from None
        return finite(value, self.path)

    def whole(self) -> int | None:
        """The payload as a whole number. Raises `BadMessage`."""
        value = self.number()
        if value is not None and value != int(value):
            raise BadMessage(f"{self.path}: {value} is no whole number")
        return None if value is None else int(value)

    def flag(self) -> bool:
        """The payload as yes or no. Raises `BadMessage`."""
        said = self.text().lower().strip('"')
        if said not in _TRUE | _FALSE:
            raise BadMessage(f"{self.path}: {said[:40]!r}; right would be true or false")
        return said in _TRUE

    def status(
        self,
        status: Status | None = None,
        connector: int = 1,
        *,
        errors: tuple[ReportedError, ...] | None = None,
        source: str | None = None,
        only_from: frozenset[Status] | None = None,
    ) -> Observation:
        """What is known of a status; `Observation` tells what a part means."""
        return Observation(
            kind=Kind.STATUS,
            charger=self.charger,
            connector=connector,
            observed_at=self.received_at,
            received_at=self.received_at,
            replayed=self.replayed,
            redelivered=self.redelivered,
            digest=self.digest(),
            status=status,
            errors=errors,
            errors_source=source,
            only_from=only_from,
        )

    def meter(self, connector: int = 1, /, **values: float | None) -> list[Observation]:
        """Metered values, named as in `Observation`; none where there is no value at all."""
        known = {
            name: within(name, value, self.path)
            for name, value in values.items()
            if value is not None
        }
        if not known:
            return []
        return [
            Observation(
                kind=Kind.METER,
                charger=self.charger,
                connector=connector,
                observed_at=self.received_at,
                received_at=self.received_at,
                replayed=self.replayed,
                redelivered=self.redelivered,
                digest=self.digest(),
                energy_wh=known.get("energy_wh"),
                power_w=known.get("power_w"),
                voltage_v=known.get("voltage_v"),
                current_a=known.get("current_a"),
                temperature_c=known.get("temperature_c"),
                soc=known.get("soc"),
                residual_current_ma=known.get("residual_current_ma"),
            )
        ]

    def online(self, online: bool = True, /, **told: str | int | None) -> list[Observation]:
        """The charger's word, or its last will."""
        return [self._said(Kind.ONLINE if online else Kind.OFFLINE, told if online else None)]

    def heartbeat(
        self, confirms_all: bool = False, /, **told: str | int | float | None
    ) -> list[Observation]:
        """A sign of life. It confirms all ports where a make tells each change at once."""
        for name, value in told.items():
            if isinstance(value, int | float):
                within(_LIFE.get(name, name), value, self.path)
        said = self._said(Kind.HEARTBEAT, told)
        live = confirms_all and not self.replayed
        return [msgspec.structs.replace(said, confirms_all=True) if live else said]

    def digest(self) -> int:
        """Tells equal messages."""
        return crc32(self.payload, crc32(self.path.encode()))

    def _said(self, kind: Kind, data: dict[str, Any] | None) -> Observation:
        return Observation(
            kind=kind,
            charger=self.charger,
            observed_at=self.received_at,
            received_at=self.received_at,
            replayed=self.replayed,
            redelivered=self.redelivered,
            digest=self.digest(),
            data=data,
        )


class Listening(NamedTuple):
    """One pattern of a make. `charger` is whom it is all about, or None where the topic or the
    payload names it; `depth` parts belong to the base and are left out of `Heard.path` (None:
    the path is the pattern itself)."""

    pattern: Pattern
    charger: str | None = None
    depth: int | None = None


class Make(NamedTuple):
    """One make's dialect: where it is heard and how it is read.

    `read` raises `BadMessage` for what it cannot understand and gives nothing for what says
    nothing of a charger's health.
    """

    name: str
    what: str
    listens: tuple[Listening, ...]
    read: Callable[[Heard], list[Observation]]
    page: str


def make(
    name: str,
    what: str,
    bases: tuple[str, ...],
    topics: tuple[str, ...],
    read: Callable[[Heard], list[Observation]],
    *,
    page: str | None = None,
) -> Make:
    """A make whose chargers each have a base topic. A base without `{charger}` is one charger,
    whose id is the base itself with a dot for each slash. Raises `BadPattern`."""
    listens = []
    for base in bases:
        alone = None if "{charger" in base else base.strip("/").replace("/", ".")
        depth = base.count("/") + 1
        listens += [Listening(Pattern(f"{base}/{topic}"), alone, depth) for topic in topics]
    return Make(name, what, tuple(listens), read, f"docs/dialects/{page or name}.md")


def fault(code: str | None, vendor_code: str, source: str | None = None) -> ReportedError:
    """A fault by the maker's code; without one of ours it is shown as it came."""
    return ReportedError(code or UNMAPPED, vendor_code[:200], source=source)


def finite(value: float, where: str) -> float:
    """The value, if the contract allows it. Raises `BadMessage`."""
    if not _ANY[0] <= value <= _ANY[1]:
        raise BadMessage(f"{where}: {value} is no sensible number; at most 1e12 is allowed")
    return float(value)


def within(name: str, value: float, where: str) -> float:
    """The value of this measure, if it can be. Raises `BadMessage`."""
    low, high = LIMITS.get(name, _ANY)
    if not low <= value <= high:
        raise BadMessage(f"{where}: {name} is {value}; right would be {low:g} to {high:g}")
    return float(value)


def word(said: str, known: Mapping[str, _T], where: str) -> _T:
    """What the word means. Raises `BadMessage` with the words that are known."""
    try:
        return known[said]
    except KeyError:
        raise BadMessage(
            f"{where}: {said[:40]!r} is unknown; right would be one of {', '.join(known)}"
        ) from None
