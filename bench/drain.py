"""(a) CPU a message and (b) throughput: a full queue at the broker is drained.

Each process is started and connected first, then held (SIGSTOP) while the queue fills, so
neither its start nor the publisher takes part in what is measured.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
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
    return _drain(stage, child, count, lambda: "done" in child.said())


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
    result = _drain(stage, child, count, lambda: stage.one(newest) == count - 1)
    stored = stage.one("SELECT count(*) FROM observation") - already
    if stored != count:
        raise RuntimeError(f"{count} messages published, {stored} stored")
    return result


def _drain(stage: Stage, child: Child, count: int, drained: Callable[[], bool]) -> Drained:
    with child.held():
        burst(stage.broker.port, count)
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


def measure(stage: Stage, *, pairs: int, count: int, only: set[str]) -> list[Result]:
    """Interleaved runs, and the median of each, so that a busy neighbour does not decide."""
    runs = {"bare": bare, "ingester": ingester}
    if "b" in only:
        runs["prototype"] = prototype
    found: dict[str, list[Drained]] = {name: [] for name in runs}
    for _ in range(pairs):
        for name, run in runs.items():
            found[name].append(run(stage, count))
    middle = {name: _median(those) for name, those in found.items()}
    results = [_cost(middle)] if "a" in only else []
    if "b" in only:
        results += _throughput(middle, one_by_one(stage, count // 20))
    return results


def _median(runs: list[Drained]) -> Drained:
    return Drained(
        median(run.cpu_us for run in runs),
        median(run.per_s for run in runs),
        median(run.database_us for run in runs),
    )


def _cost(middle: dict[str, Drained]) -> Result:
    ours, bare_us = middle["ingester"], middle["bare"].cpu_us
    said = f"{ours.cpu_us:.1f} / {bare_us:.1f} us; PostgreSQL {ours.database_us:.1f} us beside it"
    return Result("(a) CPU a message / bare subscriber's", ours.cpu_us / bare_us, 1.6, "<=", said)


def _throughput(middle: dict[str, Drained], alone: Drained) -> list[Result]:
    ours, model = middle["ingester"].per_s, middle["prototype"].per_s
    return [
        Result(
            "(b) throughput / insert-and-commit",
            ours / alone.per_s,
            10,
            ">=",
            f"{ours:.0f} / {alone.per_s:.0f} a second",
        ),
        Result(
            "(b) messages a second",
            ours,
            20_000 / 24_000 * model,
            ">=",
            f"20/24 of the prototype's {model:.0f} a second",
        ),
    ]
