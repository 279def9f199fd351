"""Faults of power: contacts, mains, load and heat."""

import random

from pilewatch.model import Status
from simulator.connector import Connector, Flow, Session
from simulator.demand import Visit
from simulator.faults.fault import Declared, Fault

_E = frozenset({"ebike"})
_C = frozenset({"car"})


class GroundFault(Declared):
    """Residual current climbs during a session until the breaker trips."""

    code, vendor_code, info = "ground-fault", "E-06", "residual current"
    per_year = 0.2

    def draw(self, rng: random.Random) -> None:
        self.trip_ma = rng.uniform(24, 34) if rng.random() < 0.7 else rng.uniform(6.5, 9)
        self.climb_s = rng.uniform(15, 60)

    def begin(self) -> None:
        self.later(self.climb_s, self.declare)
        for share in (0.3, 0.6, 0.9):
            self.later(self.climb_s * share, self._meter)

    def _meter(self) -> None:
        for connector in self.connectors:
            if connector.session:
                connector.start_meter(0.0)

    def electrical(self, connector: Connector, flow: Flow) -> None:
        if not self.declared:
            flow.residual_ma += self.trip_ma * min(self.age / self.climb_s, 1.0)


class RelayWelded(Fault):
    """The contact does not open: power goes on after the session has ended."""

    code = "relay-welded"
    per_year = 0.1

    def draw(self, rng: random.Random) -> None:
        self.share = rng.uniform(0.25, 0.9)
        self.last_w = 0.0

    def session_started(self, connector: Connector) -> None:
        self.last_w = 0.0

    def electrical(self, connector: Connector, flow: Flow) -> None:
        if connector.session is not None:
            self.last_w = max(flow.watts, self.last_w)
        elif connector.plugged and self.last_w:
            flow.watts = self.last_w * self.share

    def session_ended(self, connector: Connector, session: Session) -> None:
        connector.advance(self.world.now)


class RelayOpen(Fault):
    """The contact does not close: a session, voltage, and no current."""

    code, complaint = "relay-open", "no-output"
    per_year = 0.2

    def electrical(self, connector: Connector, flow: Flow) -> None:
        flow.watts = 0.0


class OverTemperature(Declared):
    """A bad contact heats up under load; the charger halves the power, then stops."""

    code, vendor_code, info = "over-temperature", "E-21", "plug too hot"
    per_year = 0.4

    def draw(self, rng: random.Random) -> None:
        self.rise_c = rng.uniform(85, 130)
        self.lag_s = rng.uniform(90, 240)
        self.derates_c = rng.uniform(68, 76)
        self.stops_c = rng.uniform(80, 90)

    def begin(self) -> None:
        self._look()

    def _look(self) -> None:
        for connector in self.connectors:
            connector.advance(self.world.now)
            if connector.temperature > self.stops_c:
                connector.charger.send("meter", connector.read(), qos=0)
                self.declare()
        if not self.declared:
            self.later(5.0, self._look)

    def electrical(self, connector: Connector, flow: Flow) -> None:
        if flow.watts > 20 and not self.declared:
            if connector.temperature > self.derates_c:
                flow.watts *= 0.5
            flow.extra_c += self.rise_c
            flow.lag_s = self.lag_s / self.pace


class ThermalDrift(Fault):
    """An ageing plug: the rise for each A² grows over weeks."""

    code = "thermal-drift"
    per_year = 0.2
    prevents = False

    def draw(self, rng: random.Random) -> None:
        self.per_week = rng.uniform(0.12, 0.35)

    def electrical(self, connector: Connector, flow: Flow) -> None:
        flow.kelvin_per_a2 *= 1 + self.per_week * self.age / (7 * 86400)


class _Mains(Declared):
    """The feeder of a site is off its nominal voltage."""

    scope = "site"
    per_year = 0.5
    lasts = (900, 4 * 3600)
    low, high = 1.0, 1.0

    def draw(self, rng: random.Random) -> None:
        self.factor = rng.uniform(self.low, self.high)

    def begin(self) -> None:
        for connector in self.connectors:
            connector.start_meter(self.rng.uniform(0.5, 5))
        self.later(self.rng.uniform(10, 25), self.declare)

    def electrical(self, connector: Connector, flow: Flow) -> None:
        flow.volts *= self.factor


class OverVoltage(_Mains):
    """Mains 11 to 20 % too high; piles stop."""

    code, vendor_code = "over-voltage", "E-11"
    low, high = 1.12, 1.22


class UnderVoltage(_Mains):
    """Mains 16 to 30 % too low; piles warn and charge on with less."""

    code, vendor_code = "under-voltage", "E-12"
    low, high = 0.7, 0.82
    says = None
    prevents = False


class PhaseLoss(Fault):
    """One of the feeder's three phases is dead: every third port of the site is at 0 V."""

    code, complaint = "phase-loss", "no-output"
    scope = "site"
    per_year = 0.3

    def draw(self, rng: random.Random) -> None:
        self.phase = rng.randrange(3)
        self.left_v = rng.uniform(0, 9)

    def begin(self) -> None:
        for connector in self.connectors:
            connector.start_meter(self.rng.uniform(0.5, 5))

    def electrical(self, connector: Connector, flow: Flow) -> None:
        if (connector.number + len(connector.charger.code)) % 3 == self.phase:
            flow.volts = self.left_v


class OverCurrent(Declared):
    """The load takes more than the port may give; the charger trips."""

    code, vendor_code = "over-current", "E-13"
    per_year = 0.2
    used_s = 45.0

    def begin(self) -> None:
        if not any(c.session for c in self.connectors):
            return  # waits for somebody
        self._trip_soon(self.connectors[0])

    def session_started(self, connector: Connector) -> None:
        self._trip_soon(connector)

    def _trip_soon(self, connector: Connector) -> None:
        for wait in (2.0, 15.0, 32.0):
            self.later(wait, lambda: self._show(connector))
        self.later(self.used_s, lambda: self.declare() if connector.session else None)

    def _show(self, connector: Connector) -> None:
        if connector.session:
            connector.start_meter(0.0)

    def draw(self, rng: random.Random) -> None:
        self.factor = rng.uniform(1.2, 1.5)

    def electrical(self, connector: Connector, flow: Flow) -> None:
        if connector.session and not self.declared:
            flow.watts = connector.limit_w * self.factor


class OverloadPort(OverCurrent):
    """Every battery trips this port's limit: the limiter itself has aged."""

    code, vendor_code = "overload-port", "E-08"
    kinds = _E
    used_s = 40.0
    says = Status.UNAVAILABLE

    def draw(self, rng: random.Random) -> None:
        self.factor = rng.uniform(1.02, 1.18)


class ShortCircuit(Declared):
    """A spike, then the breaker is open and the port at 0 V."""

    code, vendor_code, info = "short-circuit", "E-0D", "breaker tripped"
    per_year = 0.1

    def begin(self) -> None:
        for connector in self.connectors:
            self.open = False
            connector.start_meter(0.0)
        self.later(0.4, self._open)

    def _open(self) -> None:
        self.open = True
        for connector in self.connectors:
            connector.end_session("breaker")
            connector.start_meter(0.1)
        self.declare()

    def electrical(self, connector: Connector, flow: Flow) -> None:
        if self.open:
            flow.volts = 0.0
        elif connector.session:
            flow.watts = connector.limit_w * 6


class NoOutput(Fault):
    """Authorised, started, and no energy: 充不进电."""

    code, complaint, visible = "no-output", "no-output", "hidden"
    per_year = 0.5

    def draw(self, rng: random.Random) -> None:
        self.left_w = rng.uniform(0, 2.5)

    def electrical(self, connector: Connector, flow: Flow) -> None:
        flow.watts = min(flow.watts, self.left_w)


class Derated(Fault):
    """Much less power than it should give, whatever is plugged in."""

    code = "derated"
    per_year = 0.3
    prevents = False

    def draw(self, rng: random.Random) -> None:
        self.share = rng.uniform(0.08, 0.2)

    def electrical(self, connector: Connector, flow: Flow) -> None:
        flow.watts = min(flow.watts, connector.limit_w * self.share)


class EvComms(Fault):
    """No vehicle is understood: sessions end within a minute without energy."""

    code, visible, complaint = "ev-comms", "hidden", "no-output"
    kinds = _C
    per_year = 0.2

    def electrical(self, connector: Connector, flow: Flow) -> None:
        flow.watts = 0.0

    def session_started(self, connector: Connector) -> None:
        session = connector.session

        def give_up() -> None:
            if session is connector.session:
                connector.end_session("vehicle does not answer")

        self.later(self.rng.uniform(8, 40), give_up)


class Insulation(Declared):
    """The isolation test before charging fails."""

    code, vendor_code, info = "insulation", "E-22", "isolation test"
    kinds = _C

    def refuses(self, connector: Connector, visit: Visit) -> str | None:
        return "insulation"


class NoEarth(Declared):
    """Protective earth is missing."""

    code, vendor_code = "no-earth", "E-07"


class LeakageTest(Declared):
    """The residual current device fails its own test."""

    code, vendor_code = "leakage-test-failed", "E-09"
