"""Silence: modems, gateways, mains, ports."""

import random

from simulator.connector import Connector
from simulator.faults.fault import Fault


class OfflineCharger(Fault):
    """Its modem is dead: the broker publishes the will."""

    code, scope, per_year = "offline-charger", "charger", 1.5
    prevents = False

    def begin(self) -> None:
        self.charger.cut(self)

    def finish(self) -> None:
        self.charger.restore(self)


class OfflineGateway(Fault):
    """Everything behind it is gone within a second."""

    code, scope, per_year = "offline-gateway", "gateway", 1.0
    prevents = False

    def begin(self) -> None:
        for charger in self.chargers:
            self.later(self.rng.uniform(0, 0.9), lambda c=charger: c.cut(self))  # type: ignore[misc]

    def finish(self) -> None:
        for charger in self.chargers:
            charger.restore(self)


class PowerLoss(Fault):
    """No mains at the site: dark within seconds, sessions die unsaid, boots afterwards."""

    code, scope, per_year = "power-loss", "site", 0.5

    def begin(self) -> None:
        for charger in self.chargers:
            self.later(self.rng.uniform(0, 3), lambda c=charger: c.lose_power(self))  # type: ignore[misc]

    def finish(self) -> None:
        for charger in self.chargers:
            charger.regain_power(self)


class SilentPort(Fault):
    """One port says nothing while its cabinet lives."""

    code, per_year, prevents = "silent-port", 0.4, False

    def mutes(self, connector: Connector) -> bool:
        return not self.gone

    def finish(self) -> None:
        for connector in self.connectors:
            connector.refresh(again=True)


class WeakSignal(Fault):
    """A bad radio: a low level, and more than ten reconnects an hour."""

    code, scope, per_year, prevents = "weak-signal", "charger", 0.5, False

    def draw(self, rng: random.Random) -> None:
        self.dbm = rng.uniform(-118, -104)

    def begin(self) -> None:
        self.before, self.charger.rssi = self.charger.rssi, self.dbm
        self._blink()

    def _blink(self) -> None:
        self.charger.blink(self.rng.uniform(3, 15) / self.pace)
        self.later(self.rng.uniform(90, 330), self._blink)

    def finish(self) -> None:
        self.charger.rssi = self.before
