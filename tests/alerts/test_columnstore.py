"""The columnstore is used where a server has one, and missing nowhere else.

Debian's TimescaleDB is Apache-only, so what can be shown here is that nothing needs it.
"""

from datetime import UTC, datetime, timedelta

from alerts.maintenance import compress
from pilewatch.store.pool import Db

NOW = datetime(2026, 5, 20, tzinfo=UTC)
_ROWS = """
INSERT INTO observation (observed_at, received_at, charger_id, connector, kind, seq, power_w)
SELECT at, at, 1, 1, 2, 0, 7 FROM generate_series(
    %(first)s::timestamptz, %(last)s::timestamptz, interval '6 hours') at
"""


def _fill(db: Db) -> int:
    first = NOW - timedelta(days=5)
    for days in range(7):
        db.execute("SELECT ensure_observation_day(%s)", ((first + timedelta(days=days)).date(),))
    return db.execute(_ROWS, {"first": first, "last": NOW}).rowcount


def test_a_server_without_columnstore_keeps_its_rows_as_they_are(db: Db) -> None:
    rows = _fill(db)
    assert compress(db, NOW) == 0
    assert db.execute("SELECT count(*) AS n FROM observation").fetchone() == {"n": rows}


def test_a_server_that_refuses_to_compress_stops_no_housekeeping(db: Db) -> None:
    rows = _fill(db)
    db.execute(
        "CREATE OR REPLACE FUNCTION compress_observations_before(before timestamptz) "
        "RETURNS integer LANGUAGE plpgsql AS $$ BEGIN RAISE feature_not_supported; END $$"
    )
    assert compress(db, NOW) == 0
    assert db.execute("SELECT count(*) AS n FROM observation").fetchone() == {"n": rows}


def test_what_the_columnstore_asks_of_timescaledb_is_there(db: Db) -> None:
    """The views and columns that the migration's function reads, on the server that has them."""
    if db.execute("SELECT FROM pg_extension WHERE extname = 'timescaledb'").fetchone() is None:
        assert db.execute("SELECT FROM pg_proc WHERE proname = 'compress_chunk'").fetchone() is None
        return
    _fill(db)
    chunks = db.execute(
        "SELECT count(*) AS n FROM timescaledb_information.chunks WHERE hypertable_name = "
        "'observation' AND NOT is_compressed AND range_end <= %s", (NOW,)
    ).fetchone()  # fmt: skip
    assert chunks == {"n": 5}
    table = db.execute(
        "SELECT compression_enabled FROM timescaledb_information.hypertables "
        "WHERE hypertable_name = 'observation'"
    ).fetchone()
    assert table == {"compression_enabled": False}
    assert db.execute("SELECT FROM pg_proc WHERE proname = 'compress_chunk'").fetchone() is not None
    license = db.execute("SELECT current_setting('timescaledb.license') AS name").fetchone()
    assert license == {"name": "apache"}
