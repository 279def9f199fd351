"""Leaving out what a make repeats: EVerest says everything once a second. Pure but for memory.

A repeated status, and values that have hardly moved, are let through every `EVERY_US` only. Losing
the memory costs a few rows. A message that is read again gives what it gave the first time.
"""

from collections.abc import Sequence
from operator import attrgetter

from pilewatch.model import Kind, Observation

EVERY_US = 30_000_000
_CHARGERS = 50_000
_PLACES = 4_000
_SHARE = 0.01
_NEAR = {
    "energy_wh": 10.0,
    "power_w": 1.0,
    "voltage_v": 1.0,
    "current_a": 0.05,
    "temperature_c": 0.5,
    "soc": 0.5,
    "residual_current_ma": 0.5,
}
"""Differences that say nothing new, in the unit of the name, besides one per cent."""
_values = attrgetter(*_NEAR)
_LIFE = {"uptimeS", "rssiDbm"}
_Place = tuple[str, int, Kind]


class Thinning:
    """Remembers of each charger, topic and connector what was let through last, and when."""

    def __init__(self) -> None:
        self._of: dict[str, dict[_Place, tuple[int, Observation]]] = {}

    def __call__(
        self, topic: str, observations: Sequence[Observation], received_us: int
    ) -> list[Observation]:
        """What of one message is worth to be stored."""
        return [said for said in observations if self._is_new(topic, said, received_us)]

    def _is_new(self, topic: str, said: Observation, received_us: int) -> bool:
        if said.replayed or said.kind in (Kind.ONLINE, Kind.OFFLINE):
            if said.kind == Kind.OFFLINE:
                self._of.pop(said.charger, None)  # whatever it says next is news
            return True
        last = self._of.get(said.charger)
        if last is None:
            if len(self._of) >= _CHARGERS:
                self._of.clear()
            last = self._of[said.charger] = {}
        place = (topic, said.connector, said.kind)
        was = last.get(place)
        alike = was is not None and _alike(was[1], said)
        if was is not None and alike and 0 < received_us - was[0] < EVERY_US:
            return False
        if said.kind == Kind.STATUS and not alike:
            # What other topics said of it before is no longer what is known.
            for other in [p for p in last if p[2] == Kind.STATUS and _touch(p[1], said.connector)]:
                del last[other]
        if len(last) >= _PLACES:
            last.clear()
        last[place] = (received_us, said)
        return True


def _alike(was: Observation, said: Observation) -> bool:
    if said.kind == Kind.STATUS:
        return (was.status, was.errors, was.only_from) == (said.status, said.errors, said.only_from)
    if said.kind == Kind.METER:
        return was.session_id == said.session_id and all(
            old == new or (old and new and abs(old - new) <= max(near, abs(old) * _SHARE))
            for old, new, near in zip(_values(was), _values(said), _NEAR.values(), strict=True)
        )
    if said.kind == Kind.HEARTBEAT:
        return was.data == said.data or set(said.data or ()) <= _LIFE
    return False


def _touch(one: int, other: int) -> bool:
    """Whether two connectors' numbers mean the same one; 0 is each."""
    return one in (other, 0) or other == 0
