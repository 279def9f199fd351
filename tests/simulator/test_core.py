"""The core: the same seed gives the same bytes, and a healthy community says nothing wrong."""

import time
from datetime import timedelta
from itertools import pairwise

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pilewatch.model import Kind
from pilewatch.store.registry_file import Registry
from pilewatch.wire import decode
from simulator.community import Community, build
from simulator.messages import Sent
from simulator.scenario import Faults, Network, Scenario, Seconds
from simulator.world import World
from tests.simulator.conftest import BUSY, START, Small, codes, raw

Wanhe = tuple[Scenario, Registry]


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(wanhe: Wanhe) -> None:
    scenario = msgspec.structs.replace(wanhe[0], faults=Faults(scale=300))
    runs = [list(World(scenario, wanhe[1], seed, START).run(7200)) for seed in (5, 5, 6)]
    assert runs[0] == runs[1] != runs[2]
    assert len(runs[0]) > 30_000


def test_one_charger_more_changes_nothing_for_the_others(wanhe: Wanhe) -> None:
    scenario, registry = wanhe
    scenario = msgspec.structs.replace(scenario, faults=Faults(rates={"plug-broken": 500}))
    fewer = Registry(**{**vars(registry), "chargers": dict(list(registry.chargers.items())[:-1])})
    last = list(registry.chargers)[-1]

    def said(of: Registry) -> set[bytes]:
        items = World(scenario, of, 3, START).run(3 * 3600)
        # The spread of the first connects depends on how many there are.
        return {i.payload for i in items if isinstance(i, Sent) and "/session" in i.topic
                and i.charger != last}  # fmt: skip

    assert said(fewer) == said(registry)


def test_a_healthy_community_never_complains_and_all_of_it_decodes(wanhe: Wanhe) -> None:
    scenario = msgspec.structs.replace(wanhe[0], faults=Faults(rates={}))
    world = World(scenario, wanhe[1], 1, START)
    kinds = set()
    for item in world.run(6 * 3600):
        if isinstance(item, Sent):
            decoded = decode(item.topic, item.payload, item.at)
            assert not decoded.unknown_fields
            assert not codes(decoded.observations)
            kinds |= {o.kind for o in decoded.observations}
    assert world.truth == []
    assert {Kind.STATUS, Kind.METER, Kind.SESSION_ENDED, Kind.HEARTBEAT, Kind.ONLINE} <= kinds


@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    seed=st.integers(0, 2**40), scale=st.sampled_from([0, 8000]), speed=st.sampled_from([1, 7, 60])
)
def test_invariants_hold_for_any_seed(seed: int, scale: float, speed: float) -> None:
    community = Community(sites=2, ebike=3, car=2, ports=(3, 6))
    world = World(
        Scenario(community=community, demand=BUSY, faults=Faults(scale=scale)),
        build(community), seed, START, speed=speed,
    )  # fmt: skip
    registers: dict[tuple[str, int], float] = {}
    last = START
    for item in world.run(6 * 3600):
        assert item.at >= last
        last = item.at
        if not isinstance(item, Sent):
            continue
        for o in decode(item.topic, item.payload, item.at).observations:
            if o.energy_wh is not None and o.kind == Kind.METER and not scale:
                assert o.energy_wh >= registers.get((o.charger, o.connector), 0)
                registers[o.charger, o.connector] = o.energy_wh
    world.finish()
    by_place: dict[object, list[object]] = {}
    for truth in world.truth:
        assert truth.end is not None
        assert truth.start <= truth.end
        place = (truth.code, truth.site if truth.charger is None else None, truth.gateway,
                 truth.charger, truth.connector)  # fmt: skip
        by_place.setdefault(place, []).append(truth)
    for truths in by_place.values():
        for a, b in pairwise(truths):
            assert a.end <= b.start  # type: ignore[attr-defined]


def test_speed_shrinks_promises_and_never_writes_the_future() -> None:
    community = Community(sites=1, ebike=1, car=1)
    world = World(Scenario(community=community), build(community), 1, START, speed=100)
    items = [i for i in world.run(20_000) if isinstance(i, Sent)]
    online = next(raw(i) for i in items if i.topic.endswith("/online"))
    assert (online["heartbeatS"], online["meterS"]) == (1, 1)
    beats = [i.at for i in items if i.topic.endswith("S-E0001/up/heartbeat")]
    assert all(b - a <= timedelta(seconds=1.01) for a, b in pairwise(beats))
    assert items[-1].at <= START + timedelta(seconds=200)


def test_a_bad_radio_loses_only_meter_values() -> None:
    good, bad = (
        Small(4),
        Small(4, network=Network(loss=0.3, delay=(Seconds(0), Seconds(2)), duplicates=0.1)),
    )
    for small in (good, bad):
        small.until(8 * 3600)

    def count(small: Small, kind: str) -> int:
        return len({i.payload for i in small.items if isinstance(i, Sent) and kind in i.topic})

    assert count(bad, "/heartbeat") >= 0.99 * count(good, "/heartbeat")
    assert count(bad, "/meter") < 0.9 * count(good, "/meter")


def test_a_dead_modem_brings_its_sessions_later_with_their_own_time() -> None:
    small = Small(per_day=300)
    small.until(600)
    small.world.inject("offline-charger", "T-E0001")
    small.until(5000)
    assert small.links("T-E0001") == ["drop"]
    small.world.repair("T-E0001")
    small.until(5100)
    late = [
        i for i in small.items if isinstance(i, Sent) and i.topic.endswith("T-E0001/up/session")
    ]
    observed = [decode(i.topic, i.payload, i.at).observations[0].observed_at for i in late]
    ages = [(i.at - at).total_seconds() for i, at in zip(late, observed, strict=True)]
    assert max(ages) > 60


def test_commands_are_answered() -> None:
    small, number = Small(per_day=0), 0
    small.until(60)

    def order(name: str, connector: int | None = None, **more: object) -> list[str]:
        nonlocal number
        number += 1
        body = {"commandId": f"{name}-{number}", "issuedAt": "2026-05-01T00:00:00Z", "name": name,
                "expiresAt": "2027-05-01T00:00:00Z", "connector": connector, **more}  # fmt: skip
        small.world.command("T-E0001", msgspec.json.encode(body))
        small.until(small.world.now + 900)
        return [str(o.reason) for o in small.said("T-E0001") if o.kind == Kind.RESULT]

    assert order("startTest", 1) == ["accepted", "done"]
    assert next(o.energy_wh for o in small.said("T-E0001", 1) if o.kind == Kind.SESSION_ENDED) > 50
    assert order("triggerStatus") == ["done"]
    assert order("reset") == ["accepted", "done"]
    assert small.links("T-E0001") == ["drop", "connect"]
    assert order("setAvailability", 2, args={"available": False}) == ["done"]
    assert small.said("T-E0001", 2)[0].status == "unavailable"
    assert order("startTest", 2) == ["failed"]
    assert order("unlock", 1) == ["done"]
    assert order("unlock", 77) == ["rejected"]
    assert order("unlock", 1, expiresAt="2020-01-01T00:00:00Z") == ["rejected"]
    small.world.inject("no-output", "T-E0001", 3)
    assert order("startTest", 3) == ["accepted", "failed"]
    small.world.command("T-E0001", b"\xff{nonsense")
    small.until(small.world.now + 60)


def _reset(small: Small, id: str) -> list[str]:
    expires = (small.world.wall(small.world.now) + timedelta(seconds=60)).isoformat()
    body = {"commandId": id, "name": "reset", "expiresAt": expires}
    small.world.command("T-E0001", msgspec.json.encode(body))
    small.until(small.world.now + 60)
    return [str(o.reason) for o in small.said("T-E0001") if o.kind == Kind.RESULT]


def test_a_reset_cures_what_is_soft_and_never_what_is_not() -> None:
    ends = set()
    for seed in range(12):
        small = Small(seed, per_day=0)
        small.until(60)
        small.world.inject("internal-error", "T-E0001", 2)
        small.world.inject("relay-welded", "T-E0001", 3)
        small.until(120)
        soft = small.world.truth[0].soft
        assert not small.world.truth[1].soft
        for again in range(2):  # a second reset does not throw the dice anew
            assert _reset(small, f"r{again}") == ["accepted", "done"]
            assert small.world.truth[0].ended_by == ("reset" if soft else None)
            assert small.world.truth[1].ended_by is None
        last = [o.status for o in small.said("T-E0001", 2) if o.kind == Kind.STATUS]
        assert last[-1] == ("available" if soft else "faulted"), "said anew after the boot"
        ends.add(soft)
    assert ends == {True, False}


def test_a_command_that_comes_twice_is_obeyed_once() -> None:
    small = Small(per_day=0)
    small.until(60)
    assert _reset(small, "r1") == ["accepted", "done"]
    boots = small.world.chargers["T-E0001"].boots
    assert _reset(small, "r1") == ["done"], "only its answer is said again"
    assert small.world.chargers["T-E0001"].boots == boots


def test_a_community_of_2000_chargers_runs_at_20000_messages_a_second() -> None:
    community = Community(sites=200, ebike=1400, car=600)
    world = World(Scenario(community=community), build(community), 1, START)
    started = time.process_time()
    count = sum(1 for _ in world.run(1200))
    assert count / (time.process_time() - started) > 20_000


def test_a_crew_at_one_pile_follows_the_cable_to_gateway_and_feeder() -> None:
    for code in ("offline-gateway", "power-loss", "over-voltage", "phase-loss"):
        small = Small()
        small.until(60)
        small.world.inject(code, "T-E0001")
        small.until(120)
        small.world.repair("T-E0001", 1)
        small.until(130)
        assert small.world.truth[0].end is None
        small.world.repair("T-E0001", 1, "offline-charger")
        small.until(140)
        assert small.world.truth[0].ended_by == "repair"
