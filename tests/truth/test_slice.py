"""A slice of the truth suite: simulated communities through the real writer and engine."""

from collections.abc import Callable

import pytest

from bench.truth.judge import Judged, judge
from bench.truth.play import tickets
from bench.truth.replay import Plan, Replay
from pilewatch.policy import Policy
from pilewatch.store.pool import connect
from simulator.community import Community

QUICK = (
    *("cable-theft", "connector-lock", "controller-memory", "diode-pilot", "display-failure"),
    *("emergency-stop", "flapping", "insulation", "internal-error", "leakage-test-failed"),
    *("no-earth", "offline-charger", "offline-gateway", "over-voltage", "payment-terminal"),
    *("power-loss", "proximity-invalid", "reboot-loop", "short-circuit", "silent-port"),
    *("smoke-fire", "tilt-impact", "under-voltage", "water-ingress", "weak-signal"),
)
"""Faults that need nobody's session to be seen."""
_SMALL = Community(sites=5, grids=2, ebike=10, car=10, ports=(3, 4), guns=(1, 2), gateways=0.4)

Play = Callable[[Plan], Judged]


@pytest.fixture
def play(plain_database_url: str) -> Play:
    """Plays a plan on a fresh database and judges the tickets."""

    def run(plan: Plan) -> Judged:
        with (
            connect(plain_database_url, application="writer") as writer,
            connect(plain_database_url, application="engine") as db,
        ):
            truths = Replay(writer, db, plan, Policy()).run().truth
            return judge(truths, tickets(db))

    return run


@pytest.mark.parametrize("seed", [101, 102])
def test_each_fault_that_shows_itself_at_once_gets_exactly_one_ticket(
    play: Play, seed: int
) -> None:
    judged = play(Plan(seed, QUICK, days=1.4, warm_days=0.05, community=_SMALL))
    assert [(v.truth.code, [t.code for t in v.tickets]) for v in judged.verdicts
            if len(v.tickets) != 1] == []  # fmt: skip
    assert judged.false == []


def test_a_healthy_noisy_day_opens_no_ticket(play: Play) -> None:
    judged = play(Plan(103, (), days=1.0, community=_SMALL))
    assert judged.false == []
