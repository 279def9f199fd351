"""`python -m bench.sweep`: the engine's sweep over 100 k connectors, and events it decides."""

import argparse
import json
import shutil
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median

from alerts.engine import Engine
from alerts.sweeps import SWEEPS
from alerts.turn import Turn
from deploy.embedded import EmbeddedPostgres
from pilewatch.policy import Policy
from pilewatch.store.migrate import migrate
from pilewatch.store.pool import Db, connect

NOW = datetime(2026, 5, 1, 8, tzinfo=UTC)
_PORTS = 10


def populate(db: Db, connectors: int) -> None:
    """Grids of 10 sites of 10 chargers of 10 ports, all healthy, two weeks of sessions."""
    chargers = connectors // _PORTS
    for statement in (
        "INSERT INTO area (code, name) VALUES ('a', 'A')",
        f"INSERT INTO grid (area_id, code, name) SELECT 1, n, n "
        f"FROM generate_series(1, {chargers // 100 + 1}) n",
        f"INSERT INTO site (code, grid_id, name) SELECT n, 1 + n / 10, n "
        f"FROM generate_series(0, {chargers // 10}) n",
        f"INSERT INTO charger (code, site_id, kind, label) SELECT 'C' || n, 1 + n / 10, 'ebike', n "
        f"FROM generate_series(0, {chargers - 1}) n",
        f"INSERT INTO connector (charger_id, number, max_power_w) SELECT c.id, n, 1000 "
        f"FROM charger c, generate_series(1, {_PORTS}) n",
        "INSERT INTO charger_state (charger_id, last_seen_at, confirmed_at, rssi_dbm, clock_lag_s) "
        "SELECT id, %(now)s, %(now)s, -70, 0.2 FROM charger",
        "INSERT INTO connector_state (connector_id, charger_id, status, status_at, confirmed_at, "
        "healthy_since, meter_at, voltage_v, power_w, current_a, temperature_c) "
        "SELECT id, charger_id, 'available', %(now)s - interval '1 hour', %(now)s, "
        "%(now)s - interval '1 day', %(now)s, 221, 0, 0, 25 FROM connector",
        "INSERT INTO charging_session SELECT id, d::text, "
        "%(now)s - d * interval '30 hours' - id %% 800 * interval '1 minute', "
        "%(now)s - d * interval '30 hours' - (id %% 800 - 60) * interval '1 minute', NULL, 400, '' "
        "FROM connector, generate_series(1, 10) d",
    ):
        db.execute(statement, {"now": NOW} if "%(now)s" in statement else None)
    db.execute("INSERT INTO listener VALUES ('b', %s, %s)", (NOW - timedelta(days=1), NOW))
    db.execute("ANALYZE")


def events(db: Db, count: int) -> None:
    """Half of them faults, half recoveries, all of different ports."""
    faulted = json.dumps({"status": "faulted", "was": "available",
                          "errors": [{"code": "connector-lock"}]})  # fmt: skip
    well = json.dumps({"status": "charging", "was": "available", "errors": []})
    db.execute(
        "INSERT INTO event (kind, charger_id, connector_id, observed_at, received_at, payload) "
        "SELECT 'connector.status', charger_id, id, %s, %s, "
        "CASE WHEN id %% 20 = 0 THEN %s ELSE %s END::jsonb "
        "FROM connector ORDER BY id LIMIT %s",
        (NOW, NOW, faulted, well, count),
    )


def main() -> None:
    """Print the figures."""
    ask = argparse.ArgumentParser(prog="bench.sweep", description=__doc__)
    ask.add_argument("--connectors", type=int, default=100_000)
    ask.add_argument("--events", type=int, default=20_000)
    told = ask.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="sweep-"))
    folder.chmod(0o755)
    try:
        server = EmbeddedPostgres(folder / "pg").start()
        try:
            with connect(server.url, application="sweep") as db:
                migrate(db, timescale="off")
                populate(db, told.connectors)
                _measure(db, told.events)
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _measure(db: Db, count: int) -> None:
    policy, took = Policy(), []
    parts: dict[str, list[float]] = {}
    for _ in range(7):
        with db.transaction():
            turn = Turn(db, policy, NOW)
            started = time.perf_counter()
            for part in SWEEPS:
                before = time.perf_counter()
                part(turn)
                parts.setdefault(part.__name__, []).append(time.perf_counter() - before)
            took.append(time.perf_counter() - started)
    print(f"sweep: median {median(took):.3f} s, worst {max(took):.3f} s of {len(took)}")
    for name, times in parts.items():
        print(f"  {name.lstrip('_')}: {median(times):.3f} s")
    events(db, count)
    engine, started, cpu = Engine(db, policy), time.perf_counter(), time.process_time()
    while engine.turn(NOW):
        pass
    elapsed, used = time.perf_counter() - started, time.process_time() - cpu
    print(f"events: {count / elapsed:.0f}/s, {used / count * 1e6:.0f} µs of the engine's CPU each")


if __name__ == "__main__":
    main()
