"""The two ways people do it now, on the same messages: a mail for each Faulted, and rules."""

from datetime import datetime, timedelta

import msgspec

from bench.truth.judge import Opened
from simulator.messages import LinkChange
from simulator.world import Item, World

_FOR = timedelta(minutes=1)
_Place = tuple[str, int | None]


class _Watcher:
    """Follows what each connector says."""

    def __init__(self, world: World):
        self.world = world
        self.opened: list[Opened] = []

    def open(self, at: datetime, place: _Place, code: str, family: str | None = None) -> None:
        """One mail, or one firing alert."""
        charger, connector = place
        row = self.world.chargers[charger]
        self.opened.append(
            Opened(len(self.opened), code, row.site, row.gateway, charger, connector, at, family)
        )


class Mailer(_Watcher):
    """A mail for each status message that says faulted."""

    @property
    def sent(self) -> list[Opened]:
        """Every mail."""
        return self.opened

    def hear(self, now: datetime, items: list[Item]) -> None:
        """One batch of messages."""
        for item in items:
            if isinstance(item, LinkChange) or "/up/status/" not in item.topic:
                continue
            said = msgspec.json.decode(item.payload)
            if said["status"] == "faulted":
                code = next((e.get("code") for e in said["errors"]), None) or "internal-error"
                self.open(item.at, (item.charger, said["connector"]), code)


class Alertmanager(_Watcher):
    """Rules with `for: 1m`: faulted, charger down, supply, temperature, power while idle."""

    def __init__(self, world: World):
        super().__init__(world)
        self._since: dict[tuple[_Place, str], datetime] = {}
        self._firing: set[tuple[_Place, str]] = set()
        self._status: dict[_Place, str] = {}

    @property
    def fired(self) -> list[Opened]:
        """Every alert that began to fire."""
        return self.opened

    def hear(self, now: datetime, items: list[Item]) -> None:
        """One scrape: look at what was said, then at what has held for a minute."""
        for item in items:
            if isinstance(item, LinkChange):
                self._see(item.at, (item.charger, None), "offline-charger", item.change == "drop")
            elif "/up/status/" in item.topic:
                said = msgspec.json.decode(item.payload)
                place = (item.charger, said["connector"])
                self._status[place] = said["status"]
                code = next((e.get("code") for e in said["errors"]), None) or "internal-error"
                if said["status"] == "faulted":
                    self._see(item.at, place, code, True)
                else:
                    for key in [k for k in self._since if k[0] == place]:
                        self._see(item.at, *key, False)
            elif item.topic.endswith("/up/meter"):
                self._meter(item.at, item.charger, msgspec.json.decode(item.payload))
        for key, since in self._since.items():
            if key not in self._firing and now - since >= _FOR:
                self._firing.add(key)
                self.open(since + _FOR, *key)

    def _meter(self, at: datetime, charger: str, said: dict[str, float]) -> None:
        place = (charger, int(said["connector"]))
        volts, watts = said.get("voltageV"), said.get("powerW")
        if volts is not None:
            self._see(at, place, "over-voltage", volts > 242)
            self._see(at, place, "under-voltage", 20 < volts < 187)
        if said.get("temperatureC") is not None:
            self._see(at, place, "over-temperature", said["temperatureC"] > 80)
        if watts is not None:
            idle = self._status.get(place) == "available"
            self._see(at, place, "relay-welded", idle and watts > 15)

    def _see(self, at: datetime, place: _Place, code: str, there: bool) -> None:
        key = (place, code)
        if there:
            self._since.setdefault(key, at)
        else:
            self._since.pop(key, None)
            self._firing.discard(key)
