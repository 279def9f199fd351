"""(a) CPU a message and (b) throughput: a full queue at the broker is drained.

Each process is started and connected first, then held (SIGSTOP) while the queue fills, so
neither its start nor the publisher takes part in what is measured.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from statistics import median

from bench.load import CHARGERS, PORTS, Publisher, burst
from bench.stage import Child, Result, Stage, wait_until

_NEWEST = """
SELECT coalesce((
    SELECT energy_wh::bigint FROM observation o JOIN charger c ON c.id = o.charger_id
    WHERE c.code = '{charger}' AND o.connector = {connector} AND o.kind = 2
    ORDER BY o.observed_at DESC LIMIT 1), -1)
"""


@dataclass(frozen=True)
class Drained:
    """One run: microseconds of CPU and messages a second."""

    cpu_us: float
    per_s: float
    database_us: float = 0.0


def bare(stage: Stage, count: int) -> Drained:
    """The bare subscriber."""
    child = stage.child("bench.bare", str(stage.broker.port), str(count))
    fill = partial(burst, stage.broker.port, count)
    return drain(stage, child, count, fill, lambda: "done" in child.said())


def prototype(stage: Stage, count: int) -> Drained:
    """The short program that does nothing but move rows."""
    return _into_database(stage, "bench.prototype", count)


def one_by_one(stage: Stage, count: int) -> Drained:
    """Insert and commit for each message."""
    return _into_database(stage, "bench.one_by_one", count)


def ingester(stage: Stage, count: int) -> Drained:
    """Ours. A first thousand warms its caches, as any day in its life does."""
    stage.empty()
    child = stage.ingester()
    burst(stage.broker.port, 1000)
    wait_until(lambda: stage.one("SELECT count(*) FROM observation") == 1000, 60)
    return _stored(stage, child, count, already=1000)


def _into_database(stage: Stage, module: str, count: int) -> Drained:
    stage.empty()
    child = stage.child(module, str(stage.broker.port), stage.server.url)
    return _stored(stage, child, count)


def _stored(stage: Stage, child: Child, count: int, already: int = 0) -> Drained:
    newest = _NEWEST.format(charger=f"C{(count - 1) % CHARGERS}", connector=1 + (count - 1) % PORTS)
    fill = partial(burst, stage.broker.port, count)
    result = drain(stage, child, count, fill, lambda: stage.one(newest) == count - 1)
    stored = stage.one("SELECT count(*) FROM observation") - already
    if stored != count:
        raise RuntimeError(f"{count} messages published, {stored} stored")
    return result


def drain(
    stage: Stage, child: Child, count: int, fill: Callable[[], None], drained: Callable[[], bool]
) -> Drained:
    """What it costs this child, connected and held while the queue fills, to empty it."""
    with child.held():
        fill()
        cpu, database = child.cpu(), stage.database_cpu()
        began = time.monotonic()
    wait_until(drained, 180)
    seconds = time.monotonic() - began
    result = Drained(
        cpu_us=(child.cpu() - cpu) / count * 1e6,
        per_s=count / seconds,
        database_us=(stage.database_cpu() - database) / count * 1e6,
    )
    child.end()
    Publisher(stage.broker.port, "bench").close()  # what others publish must not be kept for it
    return result


def measure(stage: Stage, *, rounds: int, count: int, only: set[str]) -> list[Result]:
    """Each in turn, some rounds, and the median of the rounds' ratios: a busy neighbour burdens
    what runs beside each other alike, and does not decide."""
    names = ["bare", "ingester"] if "a" in only else ["ingester"]
    if "b" in only:
        names += ["prototype", "one_by_one"]
    runs = {"bare": bare, "ingester": ingester, "prototype": prototype, "one_by_one": one_by_one}
    found: list[dict[str, Drained]] = []
    for _ in range(rounds):
        found.append(
            {n: runs[n](stage, count // 20 if n == "one_by_one" else count) for n in names}
        )
    results = [_cost(found)] if "a" in only else []
    return results + (_throughput(found) if "b" in only else [])


def _cost(found: list[dict[str, Drained]]) -> Result:
    ratio = median(r["ingester"].cpu_us / r["bare"].cpu_us for r in found)
    ours, model = (median(r[name].cpu_us for r in found) for name in ("ingester", "bare"))
    beside = median(r["ingester"].database_us for r in found)
    said = f"{ours:.1f} / {model:.1f} us; PostgreSQL {beside:.1f} us beside it"
    return Result("(a) CPU a message / bare subscriber's", ratio, 1.6, "<=", said)


def _throughput(found: list[dict[str, Drained]]) -> list[Result]:
    def ratio(name: str) -> float:
        return median(r["ingester"].per_s / r[name].per_s for r in found)

    ours, model, alone = (
        median(r[name].per_s for r in found) for name in ("ingester", "prototype", "one_by_one")
    )
    return [
        Result(
            "(b) throughput / insert-and-commit",
            ratio("one_by_one"),
            10,
            ">=",
            f"{ours:.0f} / {alone:.0f} a second",
        ),
        Result(
            "(b) throughput / prototype",
            ratio("prototype"),
            20 / 24,
            ">=",
            f"{ours:.0f} / {model:.0f} a second; 20 k are asked where it makes 24 k",
        ),
    ]
