"""(e) Memory of the ingester while the database is really away and everybody goes on publishing."""

import time

from bench.stage import Result, Stage, wait_until


def measure(stage: Stage, *, rate: float, away_s: float) -> list[Result]:
    """Kill PostgreSQL, start it again later, and count what is stored."""
    stage.empty()
    child = stage.ingester()
    load = stage.child("bench.load", str(stage.broker.port), str(rate))
    peak = 0.0

    def watch(seconds: float) -> None:
        nonlocal peak
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            peak = max(peak, child.measured.memory_info().rss / 2**20)
            time.sleep(0.2)

    watch(10)
    stage.server.kill()
    watch(away_s)
    stage.server.start()
    back = time.monotonic()
    watch(5)
    sent = int(load.finish().split()[-1])

    def drained() -> bool:
        watch(0.3)
        return stage.one("SELECT count(*) FROM observation") >= sent

    wait_until(drained, 60 + away_s)
    caught_up = time.monotonic() - back
    stored = stage.one("SELECT count(*) FROM observation")
    child.end()
    said = (
        f"{away_s:.0f} s without database, {sent} published, {stored} stored, "
        f"all {caught_up:.0f} s after its return"
    )
    return [
        Result("(e) peak memory of the ingester, MiB", peak, 150, "<", said),
        Result("(e) published and not stored", abs(sent - stored), 0, "<=", ""),
    ]
