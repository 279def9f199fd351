"""Faults of plug, socket and cable: mostly hidden, met by people."""

import random

from simulator.connector import Connector, Flow
from simulator.demand import Visit
from simulator.faults.electrical import _C, _E
from simulator.faults.fault import Declared, Fault


class PlugBroken(Fault):
    """Worn or bent: current comes and goes, sessions end in seconds and are tried again."""

    code, visible, complaint = "plug-broken", "hidden", "plug-broken"
    per_year = 0.9

    def draw(self, rng: random.Random) -> None:
        self.tries = rng.randint(2, 4)
        self.lives_s = (rng.uniform(3, 6), rng.uniform(12, 28))
        self.touches = True
        self.left = 0

    def begin(self) -> None:
        for connector in self.connectors:
            if connector.session:
                self.session_started(connector)

    def electrical(self, connector: Connector, flow: Flow) -> None:
        if not self.touches:
            flow.watts = 0.0

    def session_started(self, connector: Connector) -> None:
        session = connector.session
        assert session is not None
        if session.visit.number < 2_000_000:
            self.left = self.tries
        life = self.rng.uniform(*self.lives_s)

        def flicker() -> None:
            if connector.session is session:
                self.touches = not self.touches
                connector.start_meter(0.0)
                self.later(self.rng.uniform(0.8, 3), flicker)

        def fall_out() -> None:
            if connector.session is not session:
                return
            self.touches = True
            connector.end_session("plug lost")
            connector.unplug_now()
            self.left -= 1
            if self.left > 0:
                self.later(self.rng.uniform(15, 60), lambda: self._again(connector))
            else:
                self.world.met(connector, self)

        self.later(self.rng.uniform(1, 3), flicker)
        self.later(life, fall_out)

    def _again(self, connector: Connector) -> None:
        self.world.send_somebody(connector, 2_000_000)


class JammedSocket(Fault):
    """Something sits in the socket: nobody can plug in."""

    code, visible, complaint = "jammed-socket", "hidden", "jammed-socket"
    kinds = _E
    per_year = 0.4

    def ignores(self, connector: Connector, visit: Visit) -> bool:
        return True


class DeadAvailable(JammedSocket):
    """It says available, and nothing that people try starts a session."""

    code, visible, complaint = "dead-available", "hidden", "dead-available"
    kinds = _E | _C


class PlugSensor(JammedSocket):
    """The insertion switch is broken: no plug is ever seen."""

    code, visible, complaint = "plug-sensor", "hidden", "dead-available"
    kinds = _E
    per_year = 0.2


class Vandalism(JammedSocket):
    """Smashed; only people see it."""

    code, visible, complaint = "vandalism", "hidden", "vandalism"
    kinds = _E | _C
    per_year = 0.1


class Blocked(JammedSocket):
    """A car or rubbish in front."""

    code, visible, complaint = "blocked", "hidden", "blocked"
    kinds = _E | _C
    per_year = 1.0
    lasts = (3600, 12 * 3600)


class ConnectorLock(Declared):
    """The lock is stuck."""

    code, vendor_code, info = "connector-lock", "E-15", "lock stuck"
    kinds = _C
    per_year = 0.3


class ProximityInvalid(Declared):
    """The cable's coding is wrong."""

    code, vendor_code = "proximity-invalid", "E-17"
    kinds = _C


class DiodePilot(Declared):
    """The control pilot is wrong."""

    code, vendor_code = "diode-pilot", "E-16"
    kinds = _C


class CableTheft(Declared):
    """All cables of a pile are cut in one minute: loads vanish, then pilot and proximity."""

    code, vendor_code, info = "cable-theft", "E-26", "cable open"
    kinds = _C
    scope = "charger"
    per_year = 0.1

    def electrical(self, connector: Connector, flow: Flow) -> None:
        flow.watts = 0.0
