"""`pilewatch bench growth`: what ten or a hundred million rows do to writing, pages, retention.

400 ports say one row in five minutes, so that a million rows are nine days and ten million a
quarter. At a million rows, and again at `--rows`, the same questions are asked over the API in
this process, and the same messages written as an ingester writes them. Printed are ratios of the
two, never times alone. Older rows are made by the server itself, straight into the days'
partitions; `--database` measures on another server (its contents stay), for example TimescaleDB.
"""

import argparse
import contextlib
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
from fastapi.testclient import TestClient
from psycopg.conninfo import make_conninfo
from pydantic import SecretStr

from api.app import create_app
from api.people import add_person, new_api_key
from bench.stage import Result, report
from deploy.embedded import EmbeddedPostgres
from ingest.batch import BatchBuilder, Message, read
from pilewatch.settings import Database, Settings
from pilewatch.store.migrate import migrate
from pilewatch.store.observations import ObservationStore, microseconds
from pilewatch.store.pool import Db, connect

_CHARGERS, _PORTS, _EVERY = 40, 10, timedelta(minutes=5)
_DAY = timedelta(days=1)
_ROWS_A_DAY = _CHARGERS * _PORTS * (_DAY // _EVERY)
_FIRST = 1_000_000
_ROUNDS = 40
_WRITTEN = 20_000
_PARTS = 8
_BATCH = 1000

_PLACES = f"""
INSERT INTO area (code, name) VALUES ('a', 'A');
INSERT INTO grid (area_id, code, name) SELECT id, 'g', 'G' FROM area;
INSERT INTO company (code, name) VALUES ('c', 'C');
INSERT INTO site (code, grid_id, company_id, name) SELECT 's' || n, g.id, c.id, 'S'
FROM grid g, company c, generate_series(1, {_ROUNDS}) n;
INSERT INTO charger (code, site_id, kind, label) SELECT 'C' || n, s.id, 'ebike', 'x'
FROM generate_series(1, {_CHARGERS}) n JOIN site s ON s.code = 's' || (1 + n % {_ROUNDS});
INSERT INTO connector (charger_id, number, max_power_w)
SELECT c.id, n, 1000 FROM charger c, generate_series(1, {_PORTS}) n;
INSERT INTO charger_state (charger_id, last_seen_at, confirmed_at) SELECT id, now(), now()
FROM charger;
INSERT INTO connector_state (connector_id, charger_id, status, status_at, confirmed_at)
SELECT id, charger_id, 'available', now(), now() FROM connector
"""
_DAYS_ROWS = """
INSERT INTO observation (observed_at, received_at, charger_id, connector, kind, seq, connector_id,
    session_id, energy_wh, power_w, voltage_v, current_a, temperature_c, residual_current_ma)
SELECT t, t + interval '1 s', n.charger_id, n.number, 2, 0, n.id, 's' || date(t), 1e5 + n.id,
       300 * random(), 220 + 5 * random(), random(), 20 + 9 * random(), random()
FROM generate_series(%(day)s::timestamptz, %(day)s + interval '86399 s', %(every)s) t
CROSS JOIN connector n
"""
# What a community of this size does in a day: sessions, faults, tickets, contact lost and found.
_DAYS_LIFE = (
    """INSERT INTO charging_session
       SELECT id, %(day)s::date || '/' || n, %(day)s + n * interval '8 h',
              %(day)s + n * interval '8 h' + interval '2 h', NULL, 400, 'full'
       FROM connector, generate_series(0, 2) n""",
    """INSERT INTO observation_hour (connector_id, hour, samples, energy_wh, power_avg_w,
           power_max_w, voltage_min_v, voltage_max_v, current_max_a, temperature_max_c,
           sessions_ended)
       SELECT id, h, 12, 100, 100, 300, 220, 226, 1, 30, 0 FROM connector,
           generate_series(%(day)s::timestamptz, %(day)s + interval '23 h', interval '1 h') h""",
    """INSERT INTO state_change
       SELECT id, %(day)s + id %% 800 * interval '1 min' + n * interval '3 h',
              (ARRAY['faulted', 'working'])[1 + n]
       FROM connector, generate_series(0, 1) n
       WHERE id %% 40 = extract(doy FROM %(day)s::timestamptz)::int %% 40""",
    """INSERT INTO ticket (subject_kind, subject_id, site_id, charger_id, connector_id, code,
           family, severity, state, company_id, opened_at, deadline_at, claimed_at, closed_at,
           evidence, cause, remedy)
       SELECT 'connector', n.id, c.site_id, c.id, n.id, 'no-output', 'f' || date(%(day)s), 2,
              'closed', s.company_id, %(day)s, %(day)s + interval '2 days',
              %(day)s + interval '5 h', %(day)s + interval '6 h', '{"kind": "session"}',
              '插座磨损', '更换插座'
       FROM connector n JOIN charger c ON c.id = n.charger_id JOIN site s ON s.id = c.site_id
       WHERE n.id %% 40 = extract(doy FROM %(day)s::timestamptz)::int %% 40""",
)
_KEPT_DAYS = 70
"""Sessions, tickets and roll-ups outlive the rows: so much of them is there from the start."""
_SIZE = """
SELECT sum(pg_total_relation_size(c.oid))::bigint AS bytes
FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = 'observation'::regclass
"""


def main(argv: list[str] | None = None) -> int:
    """Print the table; 1 where a target is missed."""
    ask = argparse.ArgumentParser(prog="pilewatch bench growth", description=__doc__)
    ask.add_argument("--rows", type=int, default=10_000_000, help="how many to grow to")
    ask.add_argument("--database", help="URL of a server where a database may be made")
    told = ask.parse_args(argv)
    with _server(told.database) as url, connect(url, application="growth") as db:
        results = _Growth(db, url).run(max(told.rows, 2 * _FIRST))
    return report(results)


@contextlib.contextmanager
def _server(url: str | None) -> Iterator[str]:
    """A database of its own, dropped in the end."""
    if url is None:
        with tempfile.TemporaryDirectory() as folder:
            Path(folder).chmod(0o755)
            server = EmbeddedPostgres(Path(folder) / "pg").start()
            try:
                yield server.url
            finally:
                server.stop()
        return
    name = f"growth_{time.time_ns()}"
    with connect(url, application="growth") as admin:
        admin.execute(f"CREATE DATABASE {name}")
        try:
            yield make_conninfo(url, dbname=name)
        finally:
            admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


class _Growth:
    """One database while it grows into the past."""

    def __init__(self, db: Db, url: str):
        self.db = db
        migrate(db)
        for statement in _PLACES.split(";\n"):
            db.execute(statement)
        self.today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        self.oldest = self.today
        self.rows = 0
        for days in range(1, _KEPT_DAYS + 1):
            self._live(self.today - days * _DAY)
        self.store = ObservationStore(db, retention_days=36500)
        self.known = self.store.find_chargers([f"C{n}" for n in range(1, _CHARGERS + 1)])
        self.key = new_api_key(
            db, add_person(db, "bench", "Bench", "admin"), "bench", datetime.now(UTC)
        )
        self.settings = Settings(database=Database(url=SecretStr(url), pool_size=2))

    def run(self, rows: int) -> list[Result]:
        """All figures."""
        self._grow(_FIRST)
        pages, rate = self._pages(), self._rate(1)
        self._grow(rows)
        results = [
            Result(f"{what}, against at 1 M rows", after / pages[what], 1.2, "<=",
                   f"{after * 1000:.1f} ms at {self.rows / 1e6:.0f} M rows")
            for what, after in self._pages().items()
        ]  # fmt: skip
        late = self._rate(2)
        results += [
            Result("written a second, against at 1 M rows", late / rate, 0.9, ">=",
                   f"{late:.0f} rows a second"),
            *self._space(),
        ]  # fmt: skip
        return results

    def _grow(self, rows: int) -> None:
        """Days are added before those that are there."""
        while self.rows < rows:
            self.oldest -= _DAY
            values = {"day": self.oldest, "every": _EVERY}
            self.db.execute("SELECT ensure_observation_day(%s)", (self.oldest.date(),))
            self.db.execute(_DAYS_ROWS, values)
            if self.oldest < self.today - _KEPT_DAYS * _DAY:
                self._live(self.oldest)
            self.rows += _ROWS_A_DAY
            if self.rows // 10_000_000 != (self.rows - _ROWS_A_DAY) // 10_000_000:
                print(f"  {self.rows / 1e6:.0f} M rows", file=sys.stderr, flush=True)
        self.db.execute("DELETE FROM interval_progress")
        since = min(self.oldest, self.today - _KEPT_DAYS * _DAY)
        self.db.execute("INSERT INTO interval_progress VALUES (true, %s, %s)", (self.today, since))
        for table in ("observation", "observation_hour", "charging_session", "ticket"):
            self.db.execute(f"VACUUM (ANALYZE) {table}")
        self.db.execute("CHECKPOINT")

    def _live(self, day: datetime) -> None:
        with self.db.transaction():
            self.db.execute("SET LOCAL session_replication_role = replica")  # no index of words
            for statement in _DAYS_LIFE:
                self.db.execute(statement, {"day": day})

    def _pages(self) -> dict[str, float]:
        """Seconds of each question, the least disturbed of some rounds."""
        week = (self.today - 7 * _DAY).isoformat().replace("+00:00", "Z")
        until = self.today.isoformat().replace("+00:00", "Z")
        month = (self.today.replace(day=1) - _DAY).strftime("%Y-%m")
        span = f"from={week}&to={until}"
        asked = {
            "a site now": "/api/v1/connectors?site=s{round}",
            "a charger's 7 days": f"/api/v1/chargers/C1/series?connector=1&measure=power_w&{span}",
            "what it said in 7 days": f"/api/v1/chargers/C1/observations?limit=500&{span}",
            "the board": "/api/v1/tickets?limit=100",
            "uptime of a month": f"/api/v1/uptime?month={month}&by=connector",
            "the ledger": "/api/v1/ledger?limit=100",
        }
        app, headers = create_app(self.settings), {"Authorization": f"Bearer {self.key}"}
        with TestClient(app, headers=headers) as client:
            return {what: self._least(client, path) for what, path in asked.items()}

    def _least(self, client: TestClient, path: str) -> float:
        """Each round asks for another site, because answers are remembered for a second."""

        def once(number: int) -> None:
            answer = client.get(path.replace("{round}", str(number)))
            if answer.status_code != 200:
                raise RuntimeError(f"{path}: {answer.status_code} {answer.text[:300]}")

        return min(_took(partial(once, number)) for number in range(1, _ROUNDS + 1))

    def _rate(self, take: int) -> float:
        """Rows a second that an ingester's batches bring into today's partition, in the least
        disturbed of some parts."""
        took = []
        for part in range(_PARTS):
            began = self.today + timedelta(seconds=600 * part + 6000 * take)
            batches = list(self._batches(began, _WRITTEN))
            started = time.perf_counter()
            written = 0
            for messages in batches:
                built = BatchBuilder(self.known, lambda *_: True).add_all(map(read, messages))
                written += self.store.write(built.build(), datetime.now(UTC)).inserted
            took.append(written / (time.perf_counter() - started))
            assert written == _WRITTEN, written
        return max(took)

    def _batches(self, began: datetime, count: int) -> Iterator[list[Message]]:
        messages: list[Message] = []
        for number in range(count):
            at = began + timedelta(milliseconds=number * 20)
            said: dict[str, Any] = {
                "connector": 1 + number // _CHARGERS % _PORTS, "at": at.isoformat(),
                "powerW": 210.5, "voltageV": 226.1, "currentA": 0.9, "temperatureC": 24.0,
                "energyWh": 1000.0 + number,
            }  # fmt: skip
            topic = f"pilewatch/v1/C{1 + number % _CHARGERS}/up/meter"
            payload = msgspec.json.encode(said)
            us = microseconds(at)
            messages.append(Message(topic, payload, len(payload), us, 1, number, False, False, 1))
            if len(messages) == _BATCH:
                yield messages
                messages = []

    def _space(self) -> list[Result]:
        """Bytes of a row with its index, and what dropping all but the latest days costs."""
        row = self.db.execute(_SIZE).fetchone()
        bytes_ = int(row["bytes"] or 0) if row else 0
        took = _took(
            lambda: self.db.execute(
                "SELECT drop_observations_before(%s)", (self.oldest + 30 * _DAY,)
            )
        )
        return [
            Result("bytes of an observation", bytes_ / self.rows, 400, "<=", f"{bytes_:,} in all"),
            Result("seconds to drop the 30 oldest days", took, 1.0, "<", "whole partitions"),
        ]


def _took(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


if __name__ == "__main__":
    sys.exit(main())
