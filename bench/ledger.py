"""`python -m bench.ledger`: pages of the ledger at a million tickets, beside a bare page by key.

Each query is answered as the API answers it (the rows read and joined, no HTTP). The reference of
the same run is `SELECT * FROM ticket WHERE id < … ORDER BY id DESC LIMIT 100`. `--tickets N` is for
trying.
"""

import argparse
import contextlib
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any

from api.ledger.words import kind_names
from bench.stage import Result, report
from deploy.embedded import EmbeddedPostgres
from pilewatch.store.migrate import migrate
from pilewatch.store.pool import Db, connect
from pilewatch.workflow.figures import Month, figures, read_lines
from pilewatch.workflow.ledger import Mark, Wanted, lines

NOW = datetime(2026, 11, 25, tzinfo=UTC)
EVERYTHING: dict[str, Any] = dict.fromkeys(("company_id", "owner_id", "person_id", "grids"))
_LIMIT_MS = 100.0
_ROUNDS = 15

_PLACES = """
INSERT INTO area (code, name) SELECT 'a' || i, '社区' || i FROM generate_series(1, 20) i;
INSERT INTO grid (area_id, code, name)
SELECT a.id, 'g' || a.id || '-' || i, '第' || i || '网格' FROM area a, generate_series(1, 5) i;
INSERT INTO company (code, name) SELECT 'co' || i, '公司' || i FROM generate_series(1, 40) i;
INSERT INTO site (code, grid_id, company_id, name)
SELECT 's' || g.id || '-' || i, g.id, 1 + (g.id * 7 + i) % 40, '小区' || g.id || '号' || i || '棚'
FROM grid g, generate_series(1, 10) i;
INSERT INTO charger (code, site_id, kind, label)
SELECT 'WH-E' || s.id || '-' || i, s.id, 'ebike', i || '号柜' FROM site s, generate_series(1, 10) i;
INSERT INTO connector (charger_id, number) SELECT id, 1 FROM charger;
"""
# The older ones are closed, one in twelve of them late; of the newest thousandth most are open.
_TICKETS = """
INSERT INTO ticket (subject_kind, subject_id, site_id, charger_id, connector_id, code, family,
                    severity, state, company_id, opened_at, deadline_at, claimed_at, verified_at,
                    closed_at, evidence, cause, remedy)
SELECT 'connector', n.id, c.site_id, c.id, n.id,
       (ARRAY['no-output', 'plug-broken', 'offline-charger', 'meter-mismatch'])[1 + i % 4],
       'f' || i, CASE WHEN i % 500 = 0 THEN 1 ELSE 2 + i % 2 END,
       CASE WHEN new AND i % 10 < 8 THEN 'accepted' WHEN i % 50 = 3 THEN 'rejected'
            ELSE 'closed' END,
       s.company_id, at, at + interval '48 hours',
       CASE WHEN NOT (new AND i % 10 < 8) THEN at + interval '1 hour' * (1 + i % 52) END,
       NULL, CASE WHEN NOT (new AND i % 10 < 8) THEN at + interval '1 hour' * (2 + i % 52) END,
       '{"kind": "session"}', (ARRAY['插座磨损', '进水受潮', '空开跳闸'])[1 + i % 3],
       (ARRAY['更换插座', '除湿', '合闸复位'])[1 + i % 3]
FROM generate_series(1, %(tickets)s) i
CROSS JOIN LATERAL (SELECT i > %(tickets)s * 0.999 AS new, %(now)s::timestamptz
                    - (%(tickets)s - i) * (interval '2 years' / %(tickets)s) AS at) o
JOIN connector n ON n.id = 1 + (i::bigint * 7919) %% 10000
JOIN charger c ON c.id = n.charger_id JOIN site s ON s.id = c.site_id
"""
_ENTRIES = """
INSERT INTO ticket_entry (ticket_id, at, actor_kind, action, to_state, note, data)
SELECT id, opened_at, CASE WHEN id % 3 = 0 THEN 'resident' ELSE 'engine' END, 'opened', 'open',
       CASE WHEN id % 3 = 0 THEN (ARRAY[
            '插上没反应，充不进电', '屏幕不亮扫不了码', '插头发烫有焦味', '充了一晚上没充满',
            '老人代步车充电器跳闸'])[1 + id % 5]
            || CASE WHEN id % 9999 = 0 THEN '，门口的银杏树倒了' ELSE '' END END, '{}'
FROM ticket
"""
_BARE = "SELECT * FROM ticket WHERE id < %s ORDER BY id DESC LIMIT 100"


def seed(db: Db, tickets: int) -> None:
    """Twenty areas, a thousand sites, ten thousand piles, and so many tickets over two years."""
    for statement in _PLACES.split(";"):
        if statement.strip():
            db.execute(statement)
    with db.transaction():
        db.execute("SET LOCAL session_replication_role = replica")  # the lines are made at once
        values = {"tickets": tickets, "now": NOW}
        db.execute(_TICKETS.replace(" % ", " %% "), values)
        db.execute(_ENTRIES)
    made = db.execute("SELECT indexdef FROM pg_indexes WHERE indexname = 'ledger_words'").fetchone()
    assert made is not None
    db.execute("DROP INDEX ledger_words")  # made at once in the end: that is much faster
    for first in range(1, tickets + 1, 50_000):
        several = "SELECT ledger_take_tickets(array(SELECT generate_series(%s, %s)::bigint))"
        db.execute(several, (first, min(first + 49_999, tickets)))
    for statement in (made["indexdef"], "VACUUM ANALYZE", "CHECKPOINT"):
        db.execute(statement)


def took(work: Callable[[], Any]) -> float:
    """Milliseconds: the median of some rounds, after a first that warms."""
    work()
    found = []
    for _ in range(_ROUNDS):
        began = time.perf_counter()
        work()
        found.append((time.perf_counter() - began) * 1000)
    return median(found)


def measure(db: Db, tickets: int) -> list[Result]:
    """One line a query: its milliseconds, and how many times the bare page they are."""

    def page(after: Mark | None = None, scope: dict[str, Any] = EVERYTHING, **wanted: Any) -> int:
        rows = lines(
            db, NOW, Wanted(**wanted), kind_names(), narrowed=scope, after=after, limit=100
        )
        return len(rows)

    deep = Mark(NOW - timedelta(days=600), 0)
    month: dict[str, Any] = {
        "from_at": NOW - timedelta(days=400),
        "to_at": NOW - timedelta(days=370),
    }
    company = {**EVERYTHING, "company_id": 7, "owner_id": 7, "person_id": 1}
    queries: dict[str, Callable[[], int]] = {
        "first page": page,
        "deep page": lambda: page(deep),
        "a site": lambda: page(site="s50-5"),
        "an area and a month": lambda: page(area="a7", **month),
        "a company's scope": lambda: page(scope=company),
        "overdue now, one grid": lambda: page(grid="g3-2", overdue=True),
        "open": lambda: page(settled=False),
        "severity 1, a company": lambda: page(severity=1, company="co9"),
        "text: rare 银杏树": lambda: page(text="银杏树"),
        "text: common 充不进电": lambda: page(text="充不进电"),
        "text: 焦味 in a month": lambda: page(text="焦味", **month),
        "text: a kind's name and a word": lambda: page(text="插头 跳闸"),
        "text: code WH-E777-3": lambda: page(text="WH-E777-3"),
        "text: 焦味, a site": lambda: page(text="焦味", site="s50-5"),
        "text: two that never meet": lambda: page(text="银杏树 焦味 扫不了码"),
    }
    bare = took(lambda: db.execute(_BARE, (tickets // 2,)).fetchall())
    results = [Result("bare page by primary key, ms", bare, _LIMIT_MS, "<", "the reference")]
    for name, query in queries.items():
        spent = took(query)
        said = f"{spent / bare:.1f} x bare, {query()} lines"
        results.append(Result(f"{name}, ms", spent, _LIMIT_MS, "<", said))
    asked = Month(2026, 10, datetime.now(UTC).astimezone().tzinfo or UTC)  # type: ignore[arg-type]
    spent = took(lambda: figures(read_lines(db, asked, 7, EVERYTHING), asked, NOW))
    results.append(
        Result("figures of an area's month, ms", spent, 2000, "<", f"{spent / bare:.0f} x bare")
    )
    return results


def main() -> int:
    """Print the table; exit 1 if a target is missed."""
    parser = argparse.ArgumentParser(prog="bench.ledger", description=__doc__)
    parser.add_argument("--tickets", type=int, default=1_000_000)
    tickets = parser.parse_args().tickets
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        folder.chmod(0o755)
        server = EmbeddedPostgres(folder / "pg", settings={"fsync": "off", "max_wal_size": "4GB"})
        server.start()
        stack.callback(server.stop)
        with connect(server.url, application="bench") as db:
            migrate(db)
            began = time.monotonic()
            seed(db, tickets)
            print(f"{tickets} tickets seeded in {time.monotonic() - began:.0f} s", flush=True)
            return report(measure(db, tickets))


if __name__ == "__main__":
    sys.exit(main())
