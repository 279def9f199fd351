"""What a month of uptime of 10,000 connectors costs, beside reading the same rows bare.

`python -m bench.uptime`: embedded PostgreSQL only. `--connectors` for another size.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from psycopg.rows import tuple_row

from deploy.embedded import EmbeddedPostgres
from pilewatch.store.migrate import migrate
from pilewatch.store.pool import Db, connect
from pilewatch.uptime.periods import period
from pilewatch.uptime.reading import places, sums, tallies

_PORTS = 20
_ROUNDS = 3
_SECONDS = 3.0
_RATIO = 15.0
_MONTH = "2026-03"

_FLEET = """
INSERT INTO area (code, name) VALUES ('a', 'A');
INSERT INTO grid (area_id, code, name) SELECT id, 'g', 'G' FROM area;
INSERT INTO company (code, name) VALUES ('c', 'C');
INSERT INTO person (login, name, role) VALUES ('p', 'P', 'admin');
INSERT INTO site (code, grid_id, company_id, name)
SELECT 's' || n, (SELECT id FROM grid), (SELECT id FROM company), 'S' FROM generate_series(1, 50) n;
INSERT INTO charger (code, site_id, kind, label)
SELECT 'C' || n, (SELECT min(id) FROM site) + n % 50, 'ebike', 'x'
FROM generate_series(1, {chargers}) n;
INSERT INTO connector (charger_id, number)
SELECT c.id, n FROM charger c, generate_series(1, {ports}) n;
INSERT INTO state_change
SELECT c.id, '2026-02-01Z'::timestamptz + n * interval '37 hours' + c.id % 1000 * interval '1 s',
       (ARRAY['working', 'faulted', 'working', 'unavailable'])[1 + n % 4]
FROM connector c, generate_series(0, 40) n;
INSERT INTO contact_change
SELECT c.id, '2026-02-01Z'::timestamptz + n * interval '29 hours' + c.id % 1000 * interval '1 s',
       n % 2 = 0
FROM charger c, generate_series(0, 50) n;
INSERT INTO incident (subject_kind, subject_id, site_id, charger_id, connector_id, code, family,
                      severity, effect, detector, phase, started_at, ended_at)
SELECT 'connector', n.id, c.site_id, c.id, n.id, 'relay-open', 'relay', 2, 'out-of-order',
       'reported', 'cleared', '2026-03-05Z', '2026-03-07Z'
FROM connector n JOIN charger c ON c.id = n.charger_id WHERE n.id % 5 = 0;
INSERT INTO exclusion (scope_kind, scope_id, reason, document, from_at, to_at, entered_by,
                       entered_at)
SELECT 'site', s.id, 'utility', 'd', '2026-03-06Z', '2026-03-08Z', p.id, now()
FROM site s, person p;
INSERT INTO opening_hours
SELECT id, '2026-01-01', (SELECT jsonb_object_agg(d, '[["06:00", "23:00"]]'::jsonb)
                          FROM generate_series(1, 7) d) FROM site WHERE id % 2 = 0;
INSERT INTO interval_progress VALUES (true, '2026-05-01Z', '2026-01-01Z');
"""
_BARE = (
    "SELECT connector_id, at, state FROM state_change "
    "WHERE at >= '2026-02-28 16:00Z' AND at < '2026-03-31 16:00Z'",
    "SELECT charger_id, at, heard FROM contact_change "
    "WHERE at >= '2026-02-28 16:00Z' AND at < '2026-03-31 16:00Z'",
)


def main() -> int:
    """Print the line of the least disturbed round; exit 1 if a target is missed."""
    parser = argparse.ArgumentParser(prog="bench.uptime", description=__doc__)
    parser.add_argument("--connectors", type=int, default=10_000)
    count = parser.parse_args().connectors
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        server = EmbeddedPostgres(Path(name) / "pg").start()
        try:
            with connect(server.url, application="bench uptime") as db:
                return _measure(db, count)
        finally:
            server.stop()


def _measure(db: Db, count: int) -> int:
    migrate(db)
    for statement in _FLEET.format(chargers=count // _PORTS, ports=_PORTS).split(";\n"):
        if statement.strip():
            db.execute(statement)
    db.execute("ANALYZE")
    rows = 0

    def bare() -> None:
        nonlocal rows
        with db.cursor(row_factory=tuple_row, binary=True) as cursor:
            rows = sum(len(cursor.execute(query).fetchall()) for query in _BARE)

    def month() -> None:
        found = sums(tallies(db, places(db), period(_MONTH)), "connector")
        assert len(found) == count // _PORTS * _PORTS

    took = [(_timed(bare), _timed(month)) for _ in range(_ROUNDS)]
    bare_s, month_s = min(b for b, _ in took), min(m for _, m in took)
    ratio = median(m / b for b, m in took)
    good = month_s < _SECONDS * count / 10_000 and ratio < _RATIO
    print(
        f"uptime of {count} connectors' month: {month_s:.2f} s; {rows} rows read bare: "
        f"{bare_s:.2f} s; ratio {ratio:.1f}  (< {_RATIO:g})  {'pass' if good else 'MISS'}"
    )
    return 0 if good else 1


def _timed(work: Callable[[], None]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


if __name__ == "__main__":
    sys.exit(main())
