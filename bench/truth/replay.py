"""A simulated community played through the real writer and engine, in the community's own time.

World -> messages -> decode -> BatchBuilder -> ObservationStore.write -> Engine.turn, on a real
database and without a broker. Residents report what they met, and a crew closes the tickets of
faults that are over, by the same functions that the API calls.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import groupby
from uuid import UUID

from alerts.engine import Engine
from alerts.maintenance import roll_up
from bench.truth.judge import explains
from ingest.batch import BatchBuilder, Message, read
from pilewatch.faultcodes import FAULTS
from pilewatch.policy import Policy
from pilewatch.store.observations import ObservationStore, microseconds
from pilewatch.store.pool import Db
from pilewatch.store.registry import write_registry
from pilewatch.workflow.desk import Actor, act, get_ticket
from pilewatch.workflow.inspections import record_inspection
from pilewatch.workflow.reports import file_report
from pilewatch.workflow.tickets import Accept, Claim
from simulator.community import Community, build
from simulator.faults import KINDS
from simulator.messages import WILL, LinkChange, Sent, topic
from simulator.scenario import Demand, Faults, Network, Scenario, Scripted, Seconds, Use
from simulator.truth import Truth
from simulator.world import Item, World

START = datetime(2026, 4, 1, 16, tzinfo=UTC)
"""Midnight in Shanghai."""
_DAY = 86400.0
_SETTLE = timedelta(minutes=45)
"""How long after a fault's end the crew still leaves its ticket alone."""
_REST = 0.2
"""Days that a pile is left alone between two faults."""
_UNHURRIED = frozenset({"hidden", "shown"})
_TOLD_AT_ONCE = frozenset({"offline-charger", "offline-gateway", "power-loss", "silent-port"})
"""Shown by silence: they need no session, and would hide what else goes on."""


COMMUNITY = Community(sites=6, grids=2, ebike=18, car=12, ports=(4, 6), guns=(1, 2), gateways=0.5)

CROWD = Community(sites=12, grids=4, ebike=72, car=48, ports=(4, 6), guns=(1, 2), gateways=0.5)
"""Many chargers for a short time: so many healthy charger-days take the fewest turns."""


@dataclass(frozen=True)
class Plan:
    """What one run plays. `warm_days` go by before the first fault, for habits to form."""

    seed: int
    codes: tuple[str, ...] = tuple(sorted(KINDS))
    days: float = 14.0
    warm_days: float = 4.0
    noise: bool = True
    step_s: float = 60.0
    reports: float = 0.5
    community: Community = COMMUNITY
    visits: float = 4.0
    """Times the usual demand: a week's experience in fewer days."""


@dataclass
class Played:
    """What came of it: the truth, and what was sent, for whoever else wants to judge it."""

    world: World
    truth: list[Truth]
    messages: int = 0
    turns: int = 0
    listeners: list[Callable[[datetime, list[Item]], None]] = field(default_factory=list)


def scenario_of(plan: Plan) -> Scenario:
    """The scripted faults of a plan, each at a moment and place of its own.

    What sites and gateways share breaks at one site only, one thing after the other: in the dark
    no other fault could show itself. The rest is spread over the chargers of the other sites.
    """
    chance = random.Random(f"{plan.seed}/plan")
    registry = build(plan.community)
    dark = next(iter(registry.gateways.values())).site
    piles = [c for c in registry.chargers.values() if c.site != dark]
    codes = list(plan.codes)
    chance.shuffle(codes)
    chance.shuffle(piles)
    shared = [code for code in codes if KINDS[code].scope in ("site", "gateway")]
    own = [code for code in codes if code not in shared]
    span = plan.days - plan.warm_days
    scripted = []
    for place, code in enumerate(shared):
        at = plan.warm_days + span * (place + 0.2 * chance.random()) / len(shared)
        lasts = min(0.6 * span / len(shared), 2.0)
        scripted.append(_scripted(code, at, lasts, site=dark))
    taken: dict[str, list[tuple[float, float]]] = {}
    lengths = {code: _lasts(code, span) for code in own}
    # The long ones first: in the gaps between them there is room for all.
    for code in sorted(own, key=lambda code: -lengths[code]):
        lasts = lengths[code]
        fits = [c for c in piles if c.kind in KINDS[code].kinds] or piles
        # One pile's second fault would hide behind its first: other moments are tried, too.
        tries = [
            (_overlap(taken.get(pile.code, []), at, lasts), pile, at)
            for at in _moments(plan, chance, lasts)
            for pile in fits
        ]
        _, pile, at = min(tries, key=lambda tried: tried[0])
        taken.setdefault(pile.code, []).append((at, at + lasts + _REST))
        piles.remove(pile)
        piles.append(pile)
        scripted.append(_scripted(code, at, lasts, charger=pile.code))
    usual = Demand()
    quiet = _holiday(plan, chance)
    noisy = Network(loss=0.01, delay=(Seconds(0), Seconds(3)), duplicates=0.02, reorder=0.02)
    return Scenario(
        community=plan.community,
        heartbeat_s=120,
        idle_meter_s=600,
        demand=Demand(
            ebike=_busier(usual.ebike, plan, *quiet), car=_busier(usual.car, plan, *quiet)
        ),
        faults=Faults(rates={}, scripted=scripted),
        network=noisy if plan.noise else Network(),
    )


def _lasts(code: str, span: float) -> float:
    """Days for which a fault of one charger stays, where `span` days are played with faults."""
    slow = KINDS[code].visible in _UNHURRIED and code not in _TOLD_AT_ONCE
    return min(3.0, 0.6 * span) if slow else min(0.4, 0.3 * span)


def _moments(plan: Plan, chance: random.Random, lasts: float) -> Iterator[float]:
    """Days at which a fault may begin."""
    room = plan.days - plan.warm_days - lasts
    for _ in range(13):
        yield plan.warm_days + room * chance.random()


def _overlap(taken: list[tuple[float, float]], at: float, lasts: float) -> float:
    """Days for which something else is wrong there in this time."""
    until = at + lasts + _REST
    return sum(max(0.0, min(end, until) - max(start, at)) for start, end in taken)


def _scripted(
    code: str, at: float, lasts: float, *, site: str | None = None, charger: str | None = None
) -> Scripted:
    return Scripted(
        at=Seconds(at * _DAY),
        code=code,
        site=site,
        charger=charger,
        lasts=Seconds(lasts * _DAY),
        pace=14.0 if code == "thermal-drift" else 1.0,
        used=True,
    )


def _holiday(plan: Plan, chance: random.Random) -> tuple[tuple[int, ...], float]:
    """A few days on which people are away, and the share of visits that is left."""
    if not plan.noise:
        return (), 1.0
    first, length = chance.randrange(max(1, int(plan.days))), chance.randint(1, 3)
    return tuple(range(first, first + length)), chance.uniform(0.15, 0.6)


def _busier(use: Use, plan: Plan, quiet_days: tuple[int, ...], quiet_share: float) -> Use:
    return Use(
        quiet_days=quiet_days,
        quiet_share=quiet_share,
        per_day=use.per_day * plan.visits,
        hours=use.hours,
        energy_wh=(use.energy_wh[0] / 2, use.energy_wh[1] / 2),
        power_w=use.power_w,
        stay=(use.stay[0], Seconds(1200)),
    )


class Replay:
    """One run over one fresh, migrated database: one connection to write, one to decide."""

    def __init__(self, writer: Db, db: Db, plan: Plan, policy: Policy):
        self.db = db
        self.plan = plan
        self.policy = policy
        registry = build(plan.community)
        write_registry(db, registry)
        scenario = scenario_of(plan)
        self.world = World(scenario, registry, plan.seed, START, repairs=False)
        self.store = ObservationStore(writer, retention_days=36500)
        self.known = self.store.find_chargers(self.world.chargers)
        self.engine = Engine(db, policy)
        self.played = Played(self.world, self.world.truth)
        self.chance = random.Random(f"{plan.seed}/people")
        self.worker = self._worker()
        self._heard = 0
        if plan.noise:
            self._make_noise()

    def run(self) -> Played:
        """Play it to its end."""
        step, until = self.plan.step_s, self.plan.days * _DAY
        while self.world.now < until:
            t = self.world.now + step
            items = list(self.world.run(t))
            now = self.world.wall(t)
            self.take(items, now)
            for listen in self.played.listeners:
                listen(now, items)
            self.turn(now)
            self._people(now)
            if t % 3600 < step:
                roll_up(self.db, now)
            if t % 900 < step:
                self._crew(now)
        self.world.finish()
        return self.played

    def take(self, items: list[Item], now: datetime) -> None:
        """What an ingester does with a batch."""
        for part in _parts(items):
            builder = BatchBuilder(self.known, lambda *_: True)
            batch = builder.add_all(map(read, messages_of(part))).build()
            self.store.write(batch, now)
        self.played.messages += len(items)
        self.db.execute(
            "INSERT INTO listener VALUES ('truth', %s, %s) ON CONFLICT (client_id) "
            "DO UPDATE SET alive_at = excluded.alive_at",
            (START - timedelta(hours=1), now),
        )

    def turn(self, now: datetime) -> None:
        """The engine decides all that waits."""
        while self.engine.turn(now):
            pass
        self.played.turns += 1

    # --- people

    def _worker(self) -> int:
        row = self.db.execute(
            "INSERT INTO person (login, name, role) VALUES ('truth', 'T', 'grid_worker') "
            "RETURNING id"
        ).fetchone()
        assert row is not None
        return int(row["id"])

    def _people(self, now: datetime) -> None:
        """Some of those who could not charge say so, in the code that they would choose."""
        while self.world.encounters:
            met = self.world.encounters.popleft()
            if self.chance.random() >= self.plan.reports:
                continue
            charger = self.known[met.charger]
            row = self.db.execute(
                "SELECT site_id FROM charger WHERE id = %s", (charger.id,)
            ).fetchone()
            assert row is not None
            with self.db.transaction():
                file_report(
                    self.db,
                    self.policy,
                    now,
                    source="phone",
                    site_id=row["site_id"],
                    charger_id=charger.id,
                    connector_id=charger.connectors[met.connector],
                    code=met.code,
                    note=None,
                )

    def _crew(self, now: datetime) -> None:
        """Whose fault is over is claimed and tested, so that the next one finds a clean desk."""
        rows = self.db.execute(
            "SELECT t.id, t.code, t.charger_id, c.code AS charger, s.code AS site FROM ticket t "
            "LEFT JOIN charger c ON c.id = t.charger_id JOIN site s ON s.id = t.site_id "
            "WHERE t.state IN ('open', 'reopened') AND t.opened_at < %s ORDER BY t.id",
            (now - _SETTLE,),
        ).fetchall()
        for row in rows:
            if not self._still_ill(row["code"], row["site"], row["charger"], now):
                self._repair(row["id"], row["charger_id"], now)

    def _still_ill(self, code: str, site: str, charger: str | None, now: datetime) -> bool:
        """Whether what the ticket speaks of is there, or was a moment ago."""
        return any(
            truth.site == site
            and (FAULTS[truth.code].family == FAULTS[code].family or explains(truth.code, code))
            and (charger is None or truth.charger in (None, charger))
            and (truth.end is None or now - truth.end < _SETTLE)
            for truth in self.world.truth
        )

    def _repair(self, ticket_id: int, charger_id: int | None, now: datetime) -> None:
        actor = Actor("person", self.worker)
        with self.db.transaction():
            if get_ticket(self.db, ticket_id).state not in ("open", "reopened"):
                return
            act(self.db, self.policy, now, ticket_id, Accept(), actor)
            act(self.db, self.policy, now, ticket_id, Claim("looked", "mended"), actor)
            if charger_id is not None:
                record_inspection(
                    self.db,
                    self.policy,
                    now,
                    id=UUID(int=self.chance.getrandbits(128)),
                    charger_id=charger_id,
                    connector_id=None,
                    person_id=self.worker,
                    inspected_at=now,
                    passed=True,
                    test_charge=True,
                    answers=[],
                    note=None,
                )

    # --- noise beyond the radio's

    def _make_noise(self) -> None:
        """Clocks that drift within what is tolerated, and gateways that restart."""
        chance = random.Random(f"{self.plan.seed}/noise")
        for charger in self.world.chargers.values():
            charger.clock_offset_s = chance.uniform(-60, 60)
        gateways = sorted({c.gateway for c in self.world.chargers.values() if c.gateway})
        for gateway in gateways:
            for _ in range(round(self.plan.days)):
                at, away = chance.uniform(0, self.plan.days * _DAY), chance.uniform(5, 40)
                self.world.at(at, self._restart, gateway, away)

    def _restart(self, gateway: str, away: float) -> None:
        for charger in self.world.chargers.values():
            if charger.gateway == gateway and charger.link_up:
                charger.blink(away)


def _parts(items: list[Item]) -> Iterator[list[Item]]:
    """Batches as large as ingesters write them where links come and go: seconds, not a minute."""
    if not any(isinstance(item, LinkChange) for item in items):
        yield items
        return
    for _, part in groupby(items, key=lambda item: int(item.at.timestamp()) // 15):
        yield list(part)


def messages_of(items: list[Item]) -> Iterator[Message]:
    """As the broker would bring them: a connection that breaks publishes its will."""
    for item in items:
        at = microseconds(item.at)
        if isinstance(item, Sent):
            yield Message(
                item.topic, item.payload, len(item.payload), at, item.qos, 0, False, False, 1
            )
        elif isinstance(item, LinkChange) and item.change == "drop":
            will = topic(item.charger, "online")
            yield Message(will, WILL, len(WILL), at, 1, 0, False, False, 1)
