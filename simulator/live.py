"""The world in real time against a broker; may be driven from other threads."""

import math
import threading
import time
from collections.abc import Callable
from datetime import datetime

from prometheus_client import CollectorRegistry

from pilewatch.clock import Clock, utc_now
from pilewatch.settings import Mqtt
from pilewatch.store.registry_file import Registry
from simulator.fleet import Fleet
from simulator.metrics import Metrics
from simulator.modems import Modems
from simulator.scenario import Scenario
from simulator.truth import Encounter, Truth
from simulator.world import Item, World

_LONGEST_TURN_S = 0.05
_SHORT_TURN_S = 0.02
_AT_ONCE = 500


class Live:
    """Runs a world at `speed` until `stop`. Every method may be called from any thread."""

    def __init__(
        self,
        scenario: Scenario,
        registry: Registry,
        seed: int,
        mqtt: Mqtt,
        *,
        speed: float = 1.0,
        shared: bool = False,
        repairs: bool = True,
        on_truth: Callable[[Truth], None] | None = None,
        on_encounter: Callable[[Encounter], None] | None = None,
        metrics: Metrics | None = None,
        clock: Clock = utc_now,
        modems: tuple[str, int] = ("127.0.0.1", 7054),
    ):
        self._clock = clock
        self._lock = threading.RLock()
        self._stop = threading.Event()
        self._on_encounter = on_encounter
        self._tests = 0
        self.metrics = metrics or Metrics(CollectorRegistry())
        self.world = World(
            scenario,
            registry,
            seed,
            clock(),
            speed=speed,
            repairs=repairs,
            on_truth=on_truth,
        )
        self.modems = (
            Modems(modems, registry, self.metrics, self.world.command)
            if scenario.protocol == "dny"
            else None
        )
        spoken = set() if self.modems is None else set(self.modems.chargers)
        native = [code for code in self.world.chargers if code not in spoken]
        self.fleet = Fleet(mqtt, native, self.metrics, self.world.command, shared=shared)

    def run(self, duration_s: float = math.inf) -> None:
        """In the calling thread, until `stop` or for so many wall seconds; then a clean end."""
        ends = time.monotonic() + duration_s
        try:
            while not self._stop.is_set() and time.monotonic() < ends:
                behind = self._step(self._clock())
                pause = 0.0 if behind else self._pause()
                if self.modems is not None:
                    self.modems.turn(min(pause, _SHORT_TURN_S))
                    pause = 0.0
                self.fleet.turn(pause)
        finally:
            with self._lock:
                self.world.finish()
            if self.modems is not None:
                self.modems.close()
            self.fleet.close()

    def _carry(self, item: Item) -> None:
        if self.modems is not None and item.charger in self.modems.chargers:
            self.modems.carry(item)
        else:
            self.fleet.carry(item)

    def _step(self, now: datetime) -> bool:
        """Let the world come up to now, a piece at a time; whether more is due already."""
        world = self.world
        due = (now - world.start).total_seconds() * world.speed
        with self._lock:
            for item in world.run(due, at_most=_AT_ONCE):
                self._carry(item)
            self.metrics.faults.set(len(world.faults))
            met = list(world.encounters)
            world.encounters.clear()
            behind = world.next_at <= due
        for encounter in met if self._on_encounter else ():
            assert self._on_encounter is not None
            self._on_encounter(encounter)
        return behind

    def _pause(self) -> float:
        passed = (self._clock() - self.world.start).total_seconds()
        return min(max(self.world.next_at / self.world.speed - passed, 0.0), _LONGEST_TURN_S)

    def stop(self) -> None:
        """End `run` soon."""
        self._stop.set()

    def repair(
        self,
        charger: str | None = None,
        connector: int | None = None,
        code: str | None = None,
        *,
        site: str | None = None,
        gateway: str | None = None,
    ) -> None:
        """A crew mends what it finds there; see `World.repair`."""
        with self._lock:
            self.world.repair(charger, connector, code, site=site, gateway=gateway)

    def inject(self, code: str, charger: str, connector: int | None = None) -> None:
        """Break something now. Raises `world.BadTarget`."""
        with self._lock:
            self.world.inject(code, charger, connector)

    def test_charge(self, charger: str, connector: int) -> bool:
        """Plug in a test load; whether it can be tried. Its session tells how it went."""
        with self._lock:
            hit = self.world.chargers[charger]
            self._tests += 1
            return hit.test_charge(hit.connectors[connector], f"test-{self._tests}")

    def works(self, charger: str, connector: int | None = None) -> bool:
        """Whether somebody could charge there now: the truth."""
        with self._lock:
            return self.world.works(charger, connector)
