"""Small worlds, and what they said."""

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

import simulator
from pilewatch.model import Observation
from pilewatch.store.registry_file import Registry
from pilewatch.wire import decode
from simulator.community import Community, build
from simulator.messages import LinkChange, Sent
from simulator.scenario import Demand, Faults, Scenario, Seconds, Use, read_scenario
from simulator.world import Item, World

SCENARIOS = Path(simulator.__file__).parent / "scenarios"
START = datetime(2026, 5, 1, 10, tzinfo=UTC)
BUSY = Demand(
    ebike=Use(per_day=60, energy_wh=(40, 90)),
    car=Use(per_day=60, energy_wh=(500, 1500), power_w=(3300, 7000)),
)


def _demand(per_day: float) -> Demand:
    """Short sessions, so that hours are enough to see many."""
    stay = (Seconds(20), Seconds(120))
    return Demand(
        ebike=Use(per_day=per_day, energy_wh=(25, 60), power_w=(200, 400), stay=stay),
        car=Use(per_day=per_day, energy_wh=(400, 1200), power_w=(3300, 6900), stay=stay),
    )


class Small:
    """One site with two gateways' worth of chargers; nothing breaks unless injected."""

    def __init__(self, seed: int = 1, *, per_day: float | None = None, **more: Any):
        community = Community(
            prefix="T", grids=1, sites=1, ebike=2, car=2, ports=(4, 4), guns=(2, 2), gateways=1.0
        )
        demand = BUSY if per_day is None else _demand(per_day)
        self.registry: Registry = build(community)
        scenario = Scenario(
            community=community,
            demand=demand,
            faults=Faults(rates={}),
            heartbeat_s=30,
            meter_s=10,
            idle_meter_s=60,
            **more,
        )
        self.world = World(scenario, self.registry, seed, START, repairs=False)
        self.items: list[Item] = []

    def until(self, seconds: float) -> "Small":
        """Go on; forget what was said before."""
        self.items = list(self.world.run(seconds))
        return self

    def said(self, charger: str, connector: int | None = None) -> list[Observation]:
        """What was observed of a charger, or of one of its connectors, in order."""
        return [
            o
            for item in self.items
            if isinstance(item, Sent) and item.charger == charger
            for o in decode(item.topic, item.payload, item.at).observations
            if connector is None or o.connector == connector
        ]

    def links(self, charger: str) -> list[str]:
        """Connects and drops."""
        return [i.change for i in self.items if isinstance(i, LinkChange) and i.charger == charger]


def codes(observations: Iterable[Observation]) -> set[str]:
    """The fault codes in statuses."""
    return {e.code for o in observations for e in o.errors or ()}


def raw(item: Sent) -> dict[str, Any]:
    """The payload as sent."""
    found: dict[str, Any] = msgspec.json.decode(item.payload)
    return found


@pytest.fixture
def wanhe() -> tuple[Scenario, Registry]:
    """The Wanhe community."""
    return read_scenario(SCENARIOS / "wanhe.yaml")
