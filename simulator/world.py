"""The simulated community: timed events in a heap, no clock of its own, no input or output.

The same scenario, registry, seed, start and speed give the same messages, byte for byte.
"""

import heapq
import math
import random
from collections import deque
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

from pilewatch.store.registry_file import Registry
from simulator.charger import Charger
from simulator.connector import Connector
from simulator.demand import Calendar, Sky, draw_visit
from simulator.faults import KINDS, Fault
from simulator.messages import LinkChange, Sent
from simulator.scenario import Scenario, Scripted
from simulator.truth import Encounter, EndedBy, Truth

_YEAR = 365.25 * 86400
_FOLLOWED = frozenset(
    {"offline-charger", "offline-gateway", "power-loss", "silent-port"}
    | {"over-voltage", "under-voltage", "phase-loss"}
)
"""Silence and mains: a crew sent for one of them looks at gateway and feeder, too."""
Item = Sent | LinkChange


class BadTarget(ValueError):
    """The fault cannot hit this thing; the text says why and what would be right."""


class World:
    """Chargers, people, weather and faults. All times inside are simulated seconds from `start`.

    `speed` is how many simulated seconds fit into one of the wall clock that messages carry.
    With `repairs` a crew comes by itself; without, only `repair` ends what does not end itself.
    """

    def __init__(
        self,
        scenario: Scenario,
        registry: Registry,
        seed: int,
        start: datetime,
        *,
        speed: float = 1.0,
        repairs: bool = True,
        on_truth: Callable[[Truth], None] | None = None,
    ):
        self.scenario = scenario
        self.registry = registry
        self.seed = seed
        self.start = start
        self.speed = speed
        self.now = 0.0
        self.mark = f"{int(start.timestamp()):x}"
        zone = next(iter(registry.areas.values())).timezone if registry.areas else "Asia/Shanghai"
        self.calendar = Calendar(start, zone)
        self.sky = Sky(scenario.weather, self.calendar, seed)
        self.truth: list[Truth] = []
        self.encounters: deque[Encounter] = deque(maxlen=1000)
        self.faults: dict[str, Fault] = {}
        self._on_truth = on_truth
        self._repairs = repairs
        self._heap: list[tuple[float, int, Callable[..., Any], tuple[Any, ...]]] = []
        self._count = 0
        self._out: list[Item] = []
        self._network = scenario.network
        self._bad_radio = any(
            (scenario.network.loss, scenario.network.delay[1], scenario.network.duplicates,
             scenario.network.reorder)
        )  # fmt: skip
        self.chargers: dict[str, Charger] = {}
        for row in registry.chargers.values():
            if row.active:
                self.chargers[row.code] = Charger(self, row)
        for charger in self.chargers.values():
            charger.start()
        self._await_faults()

    # --- time

    def wall(self, t: float) -> datetime:
        """The wall clock's moment of a simulated one."""
        return self.start + timedelta(seconds=t / self.speed)

    def promise(self, seconds: float) -> int:
        """An interval as promised on the wire: whole wall seconds, at least one."""
        return max(math.ceil(seconds / self.speed - 1e-9), 1)

    def at(self, t: float, act: Callable[..., Any], *args: Any) -> None:
        """Call `act(*args)` at a simulated moment, never in the past."""
        self._count += 1
        heapq.heappush(self._heap, (max(t, self.now), self._count, act, args))

    def after(self, seconds: float, act: Callable[..., Any], *args: Any) -> None:
        """Call `act(*args)` so much later."""
        self.at(self.now + seconds, act, *args)

    @property
    def next_at(self) -> float:
        """When something happens next; infinity where nothing will."""
        return self._heap[0][0] if self._heap else math.inf

    def run(self, until: float, *, at_most: int | None = None) -> Iterator[Item]:
        """Let time pass up to `until` simulated seconds; what is sent comes in order of time.

        With `at_most` it stops after so many events, short of `until`.
        """
        heap, out = self._heap, self._out
        left = -1 if at_most is None else at_most
        while heap and heap[0][0] <= until:
            if left == 0:
                return
            left -= 1
            self.now, _, act, args = heapq.heappop(heap)
            act(*args)
            if out:
                yield from out
                out.clear()
        self.now = max(self.now, until)

    # --- what chargers do to the outside

    def publish(self, charger: Charger, topic: str, payload: bytes, qos: int, retain: bool) -> None:
        """Hand a message to the radio."""
        if not self._bad_radio:
            self._out.append(Sent(self.wall(self.now), charger.code, topic, payload, qos, retain))
            return
        network, rng = self._network, charger.rng
        wait = rng.uniform(*network.delay)
        if rng.random() < network.loss:
            if qos == 0:
                return
            wait += rng.uniform(5, 20)
        if rng.random() < network.reorder:
            wait += rng.uniform(1, 10)
        self.after(wait, self._arrive, charger, topic, payload, qos, retain)
        if qos and rng.random() < network.duplicates:
            self.after(wait + rng.uniform(0, 5), self._arrive, charger, topic, payload, qos, retain)

    def _arrive(self, charger: Charger, topic: str, payload: bytes, qos: int, keep: bool) -> None:
        if charger.link_up:
            self._out.append(Sent(self.wall(self.now), charger.code, topic, payload, qos, keep))

    def link(self, charger: Charger, change: Any) -> None:
        """The radio comes or goes."""
        self._out.append(LinkChange(self.wall(self.now), charger.code, change))

    def command(self, charger: str, payload: bytes) -> None:
        """A `down/command` reached this charger; it is carried out within the next `run`."""
        if charger in self.chargers:
            self.at(self.now, self.chargers[charger].obey, payload)

    def met(self, connector: Connector, fault: Fault) -> None:
        """Somebody could not charge because of this fault."""
        if fault.complaint is not None:
            self.encounters.append(
                Encounter(
                    self.wall(self.now),
                    connector.charger.code,
                    connector.number,
                    fault.complaint,
                    fault.truth.fault,
                )
            )

    def mains(self, charger: Charger, t: float) -> float:
        """Volts of the site's feeder: a little lower in the evening."""
        load = math.sin(math.pi * (self.calendar.hour(t) - 8) / 12)
        return 225.0 - 4.0 * max(load, 0.0) + len(charger.site) % 3

    def send_somebody(self, connector: Connector, number: int = 1_000_000) -> bool:
        """A person like any other plugs in now, as visit `number`; whether they could."""
        charger = connector.charger
        rng = random.Random(f"{self.seed}/{charger.code}/{connector.number}/extra/{self.now}")
        visit = draw_visit(charger.use, rng, number + int(self.now))
        return connector.come(visit)

    # --- faults

    def _await_faults(self) -> None:
        faults = self.scenario.faults
        for number, scripted in enumerate(faults.scripted):
            if not self._fitting(scripted):
                kind = KINDS[scripted.code]
                raise BadTarget(
                    f"faults.scripted[{number}]: {scripted.code} happens to a {kind.scope} "
                    f"of {' or '.join(sorted(kind.kinds))} chargers; none fits"
                )
            before = 20.0 / scripted.pace if scripted.used else 0.0
            self.at(max(scripted.at - before, 0), self._script, scripted, number)
        if faults.rates is None and not faults.mtbf_days:
            rates = {code: kind.per_year for code, kind in KINDS.items()}
        else:
            rates = {**(faults.rates or {})}
            rates |= {code: 365.25 / days for code, days in faults.mtbf_days.items()}
        rates = {code: rate * faults.scale for code, rate in rates.items() if rate * faults.scale}
        for code, charger in self.chargers.items():
            mine = {c: r for c, r in rates.items() if charger.kind in KINDS[c].kinds}
            if mine:
                self._await_fault(charger, mine, f"{self.seed}/{code}/faults", 0)

    def _await_fault(
        self, charger: Charger, rates: dict[str, float], stream: str, number: int
    ) -> None:
        rng = random.Random(f"{stream}/{number}")
        # A shared thing breaks at its own rate, not once for each charger behind it.
        weights = [rate / self._sharers(charger, KINDS[code].scope) for code, rate in rates.items()]
        if not any(weights):
            return
        wait = rng.expovariate(sum(weights) / _YEAR)
        code = rng.choices(list(rates), weights)[0]
        self.after(wait, self._strike, charger, rates, stream, number, code)

    def _sharers(self, charger: Charger, scope: str) -> float:
        if scope == "gateway":
            if charger.gateway is None:
                return math.inf
            return sum(c.gateway == charger.gateway for c in self.chargers.values())
        if scope == "site":
            return sum(c.site == charger.site for c in self.chargers.values())
        return 1.0

    def _strike(
        self, charger: Charger, rates: dict[str, float], stream: str, number: int, code: str
    ) -> None:
        if not charger.active and not any(c.active for c in charger.connectors.values()):
            self._begin(KINDS[code], charger, None, random.Random(f"{stream}/{number}/{code}"))
        self._await_fault(charger, rates, stream, number + 1)

    def _script(self, scripted: Scripted, number: int) -> None:
        rng = random.Random(f"{self.seed}/scripted/{number}")
        kind = KINDS[scripted.code]
        fits = self._fitting(scripted)
        free = [
            c for c in fits if not c.active and not any(p.active for p in c.connectors.values())
        ]
        charger = rng.choice(free or fits)
        connector = charger.connectors.get(scripted.connector or 0)
        if connector is None and kind.scope == "connector":
            connector = rng.choice(list(charger.connectors.values()))
        if scripted.used and connector is not None:
            if kind.visible == "hidden":  # only somebody who comes afterwards can meet it
                self.at(scripted.at + 4 / scripted.pace, self.send_somebody, connector)
            else:
                self.send_somebody(connector)
        self.at(scripted.at, self._begin, kind, charger, connector, rng, scripted)

    def _fitting(self, scripted: Scripted) -> list[Charger]:
        """The chargers that a scripted fault may hit."""
        kind = KINDS[scripted.code]
        return [
            c
            for c in self.chargers.values()
            if c.kind in kind.kinds
            and (kind.scope != "gateway" or c.gateway)
            and scripted.charger in (None, c.code)
            and scripted.gateway in (None, c.gateway)
            and scripted.site in (None, c.site)
        ]

    def inject(
        self,
        code: str,
        charger: str,
        connector: int | None = None,
        at: float | None = None,
        *,
        lasts: float | None = None,
        pace: float = 1.0,
    ) -> None:
        """Break something at a simulated moment (now where none is given).

        A fault of a gateway or site is named by one of its chargers. Raises `BadTarget`.
        """
        kind, hit = KINDS.get(code), self.chargers.get(charger)
        if kind is None:
            raise BadTarget(
                f"{code!r} cannot be simulated; right would be one of {', '.join(KINDS)}"
            )
        if hit is None:
            raise BadTarget(f"there is no charger {charger!r}")
        if hit.kind not in kind.kinds:
            raise BadTarget(f"{code} does not happen to a charger of kind {hit.kind}")
        if kind.scope == "gateway" and hit.gateway is None:
            raise BadTarget(f"{charger} stands behind no gateway")
        if connector is not None and connector not in hit.connectors:
            raise BadTarget(f"{charger} has no connector {connector}")
        rng = random.Random(f"{self.seed}/injected/{code}/{charger}/{connector}/{at}")
        port = None if connector is None else hit.connectors[connector]
        wanted = Scripted(at=at or self.now, code=code, lasts=lasts, pace=pace)  # type: ignore[arg-type]
        when = self.now if at is None else at
        self.at(when, self._begin, kind, hit, port, rng, wanted)

    def _begin(
        self,
        kind: type[Fault],
        charger: Charger,
        connector: Connector | None,
        rng: random.Random,
        scripted: Scripted | None = None,
    ) -> None:
        if kind.scope != "connector":
            connector = None
        elif connector is None:
            connector = rng.choice(list(charger.connectors.values()))
        narrow = kind.scope in ("charger", "connector")
        truth = Truth(
            fault=f"{self.mark}-{len(self.truth) + 1}",
            code=kind.code,
            site=charger.site,
            gateway=charger.gateway if kind.scope == "gateway" else None,
            charger=charger.code if narrow else None,
            connector=connector.number if connector else None,
            start=self.wall(self.now),
            visible=kind.visible,
        )
        # A stream of its own: what a reset can do changes nothing of how the fault goes.
        place = f"{charger.code}/{truth.connector}/{kind.code}/{self.now}"
        soft = random.Random(f"{self.seed}/{place}/soft").random()
        wanted = scripted.soft if scripted else None
        truth.soft = soft < kind.cured_by_reset if wanted is None else wanted
        if any(_same(f.truth, truth) for f in self.faults.values()):
            return
        hit = [c for c in self.chargers.values() if _within(kind.scope, c, charger)]
        ports = [connector] if connector else [p for c in hit for p in c.connectors.values()]
        fault = kind(self, truth, hit, ports, rng, scripted.pace if scripted else 1.0)
        self.faults[truth.fault] = fault
        self.truth.append(truth)
        self._tell(truth)
        for port in ports:
            port.advance(self.now)
            port.active.append(fault)
        if connector is None:
            for each in hit:
                each.active.append(fault)
        fault.begin()
        for port in ports:
            port.advance(self.now)
            port.refresh()
        self._await_end(fault, rng, scripted)

    def _await_end(self, fault: Fault, rng: random.Random, scripted: Scripted | None) -> None:
        lasts = scripted.lasts if scripted else None
        if lasts is None and fault.lasts is not None and scripted is None:
            lasts_for = rng.uniform(*fault.lasts)
            self.after(lasts_for, self.end, fault, "self")
        elif lasts is not None:
            self.after(lasts, self.end, fault, "self")
        elif self._repairs:
            repair = self.scenario.faults.repair
            self.after(rng.uniform(repair.min, repair.max), self.end, fault, "repair")

    def end(self, fault: Fault, by: EndedBy) -> None:
        """The fault is gone; nothing where it already was."""
        if self.faults.pop(fault.truth.fault, None) is None:
            return
        for port in fault.connectors:
            port.advance(self.now)
            port.active.remove(fault)
        for charger in fault.chargers:
            if fault in charger.active:
                charger.active.remove(fault)
        fault.gone = True
        fault.finish()
        for port in fault.connectors:
            port.advance(self.now)
            port.refresh()
        fault.truth.end = self.wall(self.now)
        fault.truth.ended_by = by
        self._tell(fault.truth)

    def repair(
        self,
        charger: str | None = None,
        connector: int | None = None,
        code: str | None = None,
        at: float | None = None,
        *,
        site: str | None = None,
        gateway: str | None = None,
    ) -> None:
        """A crew mends what it finds at this connector, charger, gateway or site.

        With `code` only that fault; a crew sent because of silence or mains follows the cable
        to gateway and feeder.
        """
        self.at(self.now if at is None else at, self._mend, charger, connector, code, site, gateway)

    def _mend(
        self,
        charger: str | None,
        connector: int | None,
        code: str | None,
        site: str | None,
        gateway: str | None,
    ) -> None:
        for fault in list(self.faults.values()):
            truth = fault.truth
            here = self.chargers.get(charger or "")
            at_pile = charger is not None and truth.charger == charger
            at_port = connector is None or truth.connector in (None, connector)
            above = truth.charger is None and any(c is here for c in fault.chargers)
            shared = (gateway is not None and truth.gateway == gateway) or (
                site is not None and truth.site == site
            )
            followed = code in _FOLLOWED and truth.code in _FOLLOWED and above
            wanted = code in (None, truth.code)
            found = (at_pile and at_port) or shared or (above and code is not None)
            if (found and wanted) or followed:
                self.end(fault, "repair")

    def works(self, charger: str, connector: int | None = None) -> bool:
        """Whether somebody who comes now could charge there: the truth."""
        here = self.chargers.get(charger)
        if here is None:
            return False
        if connector is None:
            return all(port.works for port in here.connectors.values())
        return connector in here.connectors and here.connectors[connector].works

    def finish(self) -> None:
        """The run is over: what is still broken ends with it, in the truth only."""
        for fault in self.faults.values():
            fault.truth.end = self.wall(self.now)
            fault.truth.ended_by = "end of run"
            self._tell(fault.truth)
        self.faults.clear()

    def _tell(self, truth: Truth) -> None:
        if self._on_truth is not None:
            self._on_truth(truth)


def _same(a: Truth, b: Truth) -> bool:
    shared = a.charger is None and b.charger is None
    place = (a.site, a.gateway) == (b.site, b.gateway) if shared else a.charger == b.charger
    return a.code == b.code and place and a.connector == b.connector


def _within(scope: str, charger: Charger, hit: Charger) -> bool:
    if scope == "gateway":
        return charger.gateway == hit.gateway
    if scope == "site":
        return charger.site == hit.site
    return charger is hit
