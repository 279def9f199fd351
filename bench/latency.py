"""(c) publish to visible row, and (d) publish to visible ticket, under a steady load.

What is timed carries its own sending time as `at`; another connection polls every 2 ms until it
sees the row or the ticket, so a poll's own delay counts against us.
"""

import json
import select
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from bench.load import CHARGERS, PORTS, Publisher, ticks
from bench.stage import Child, Result, Stage, wait_until
from pilewatch.store.pool import Db, connect

_ROWS = """
SELECT observed_at FROM observation o JOIN charger c ON c.id = o.charger_id
WHERE c.code = 'C0' AND o.connector = 1 AND o.kind = 1 AND o.observed_at > %(after)s
ORDER BY o.observed_at
"""
_TICKETS = """
SELECT t.id, s.status_at AS observed_at
FROM ticket t JOIN connector_state s ON s.connector_id = t.connector_id
WHERE t.id > %(after)s ORDER BY t.id
"""
_SETTLE_S = 3.0


def row_visible(stage: Stage, *, rate: float, seconds: float) -> list[Result]:
    """(c): fifty status messages a second among the load, on a port of their own.

    Three rounds, and the middle one's p99, so that a busy neighbour does not decide.
    """
    child, load = stage.ingester(), _load(stage, rate)
    statuses = ("available", "charging")
    after = datetime.now(UTC)

    def send(publisher: Publisher, number: int) -> None:
        _status(publisher, 0, 1, {"status": statuses[number % 2], "seq": number})

    def look(db: Db) -> list[datetime]:
        nonlocal after
        found = [row["observed_at"] for row in db.execute(_ROWS, {"after": after})]
        after = found[-1] if found else after
        return found

    count = int(50 * seconds)
    rounds = [_timed(stage, send, look, count=count, every_s=1 / 50) for _ in range(3)]
    sent = _loaded(load, child)
    worst = [_percent(waits, 99) for waits in rounds]
    said = (
        f"p50 {median(_percent(waits, 50) for waits in rounds):.0f} ms; p99 of each round "
        f"{', '.join(f'{w:.0f}' for w in worst)}; {3 * count} rows among {sent} at {rate:.0f}/s"
    )
    return [Result("(c) publish to visible row, p99 ms", median(worst), 200, "<", said)]


def ticket_visible(stage: Stage, *, rate: float, faults: int) -> list[Result]:
    """(d): faults of danger to people on a port each, debounced by nothing."""
    policy = Path(stage.folder / "policy.toml")
    policy.write_text("[debounce]\npeople_s = 0\n")
    engine = stage.engine(PILEWATCH_ALERTS__POLICY_FILE=str(policy))
    child, load = stage.ingester(), _load(stage, rate)
    after = 0

    def send(publisher: Publisher, number: int) -> None:
        errors = [{"code": "over-temperature"}]
        port = 1 + number // CHARGERS % PORTS
        _status(publisher, number % CHARGERS, port, {"status": "faulted", "errors": errors})

    def look(db: Db) -> list[datetime]:
        nonlocal after
        rows = db.execute(_TICKETS, {"after": after}).fetchall()
        after = rows[-1]["id"] if rows else after
        return [row["observed_at"] for row in rows]

    waits = _timed(stage, send, look, count=faults, every_s=0.17)
    _loaded(load, child)
    engine.end()
    said = f"{faults} faults, each one ticket, at {rate:.0f} messages a second"
    return [
        Result("(d) publish to ticket, p50 ms", _percent(waits, 50), 300, "<", said),
        Result("(d) publish to ticket, p99 ms", _percent(waits, 99), 1000, "<", ""),
    ]


def _status(publisher: Publisher, charger: int, port: int, said: dict[str, Any]) -> None:
    message = {"at": datetime.now(UTC).isoformat(), "connector": port, **said}
    topic = f"pilewatch/v1/C{charger}/up/status/{port}"
    publisher.publish(topic, json.dumps(message).encode())
    publisher.listen(1000)


def _load(stage: Stage, rate: float) -> Child:
    return stage.child("bench.load", str(stage.broker.port), str(rate))


def _loaded(load: Child, ingester: Child) -> int:
    sent = int(load.finish().split()[-1])
    ingester.end()
    return sent


def _timed(
    stage: Stage,
    send: Callable[[Publisher, int], None],
    look: Callable[[Db], list[datetime]],
    *,
    count: int,
    every_s: float,
) -> list[float]:
    """Milliseconds from each sending to its being seen."""
    time.sleep(_SETTLE_S)
    publisher, waits = Publisher(stage.broker.port), list[float]()
    with connect(stage.server.url, application="bench looks") as db:
        look(db)

        def seen() -> bool:
            now_found = look(db)
            now = datetime.now(UTC)
            waits.extend((now - at).total_seconds() * 1000 for at in now_found)
            return len(waits) >= count

        for number in ticks(1 / every_s, count * every_s):
            send(publisher, number)
            until = time.monotonic() + every_s - 0.004
            while time.monotonic() < until:
                seen()
                select.select([], [], [], 0.002)
        wait_until(seen, 30, pause=0.002)
    publisher.close()
    if len(waits) != count:
        raise RuntimeError(f"{count} were sent and {len(waits)} seen")
    return waits


def _percent(values: list[float], percent: int) -> float:
    return quantiles(values, n=100, method="inclusive")[percent - 1]
