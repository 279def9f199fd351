"""One device of the DNY family as it is known from its frames, and what its ports show. Pure.

`hearing` takes in what it says, `held` keeps the faults that it said once.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from pilewatch.dny.words import HOSTS, PORTS_OF_KIND, device_name, port_word
from pilewatch.faultcodes import FAULTS, WHOLE_CHARGER
from pilewatch.model import Kind, Observation, ReportedError, Status


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

    def observed(
        self,
        charger: str,
        number: int,
        at: datetime,
        *,
        kind: Kind = Kind.STATUS,
        digest: int | None = None,
    ) -> Observation:
        """What it shows as this charger's word of now."""
        return Observation(
            kind=kind,
            charger=charger,
            connector=number,
            observed_at=at,
            received_at=at,
            digest=digest,
            status=self.status,
            errors=self.errors,
        )


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
