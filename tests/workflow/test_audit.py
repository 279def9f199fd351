"""The audit: append-only, sealed in the order of commits, and honest about what is missing."""

import random
import threading
from datetime import UTC, datetime

import psycopg
import pytest

from pilewatch.store.migrate import migrate
from pilewatch.store.pool import Db, connect
from pilewatch.workflow.audit import Origin, coming_from, record, verify
from tests.parts import database_on

NOW = datetime(2026, 5, 1, 8, 0, 0, 123456, tzinfo=UTC)


def _write(db: Db, count: int) -> None:
    for number in range(count):
        about = {"text": '充不进电 \\ "é"', "number": number, "part": 1.50, "none": None}
        record(db, NOW, None, "ticket.note", f"ticket/{number}", None, about)


def _past_the_guard(db: Db, sql: str) -> None:
    """What somebody does who owns the database."""
    with db.transaction():
        db.execute("ALTER TABLE audit DISABLE TRIGGER USER")
        db.execute(sql)  # type: ignore[call-overload]
        db.execute("ALTER TABLE audit ENABLE TRIGGER USER")


def test_the_chain_is_whole_and_tells_where_each_change_came_from(plain_db: Db) -> None:
    assert verify(plain_db).rows == 0
    with coming_from(plain_db, Origin(key_id=3, session_id=None, request_id="abc")):
        _write(plain_db, 3)
    _write(plain_db, 2)
    found = verify(plain_db)
    assert (found.rows, found.wrong) == (5, ())
    rows = plain_db.execute(
        "SELECT seq, key_id, request_id, hash FROM audit ORDER BY id"
    ).fetchall()
    assert [row["seq"] for row in rows] == [1, 2, 3, 4, 5]
    assert [(row["key_id"], row["request_id"]) for row in rows] == [(3, "abc")] * 3 + [
        (None, None)
    ] * 2
    assert found.head == bytes(rows[-1]["hash"]).hex()


def test_the_database_refuses_to_change_what_was_written(plain_db: Db) -> None:
    _write(plain_db, 2)
    before = verify(plain_db)
    for sql in (
        "UPDATE audit SET action = 'x'",
        "UPDATE audit SET seq = seq",
        "UPDATE audit SET hash = NULL",
        "DELETE FROM audit",
        "TRUNCATE audit",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="append-only"):
            plain_db.execute(sql)  # type: ignore[call-overload]
        assert verify(plain_db) == before


def test_a_program_that_does_not_own_the_table_reads_and_writes_it_and_no_more(
    plain_db: Db,
) -> None:
    plain_db.execute("DROP ROLE IF EXISTS clerk")
    plain_db.execute("CREATE ROLE clerk")
    plain_db.execute("GRANT SELECT, INSERT ON audit TO clerk")
    plain_db.execute("SET ROLE clerk")
    _write(plain_db, 2)
    plain_db.execute("CREATE TEMP TABLE audit (LIKE public.audit)")
    plain_db.execute("INSERT INTO public.audit (at, action, object) VALUES (now(), 'x', 'y')")
    plain_db.execute("DROP TABLE pg_temp.audit")
    assert (verify(plain_db).rows, verify(plain_db).wrong) == (3, ())
    for sql in ("UPDATE audit SET hash = hash", "DELETE FROM audit", "TRUNCATE audit",
                "ALTER TABLE audit DISABLE TRIGGER USER"):  # fmt: skip
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            plain_db.execute(sql)  # type: ignore[call-overload]
    plain_db.execute("RESET ROLE")
    plain_db.execute("DROP OWNED BY clerk")
    plain_db.execute("DROP ROLE clerk")


def test_nobody_brings_a_seal_along(plain_db: Db) -> None:
    _write(plain_db, 1)
    plain_db.execute(
        "INSERT INTO audit (at, action, object, seq, hash) "
        "VALUES (now(), 'x', 'y', 99, sha256('forged'))"
    )
    assert verify(plain_db).wrong == ()
    assert verify(plain_db).rows == 2


_CRIMES = {
    "UPDATE audit SET after = '{\"number\": 7}' WHERE seq = 3": "row 3 is not what was sealed",
    "UPDATE audit SET request_id = 'r' WHERE seq = 3": "row 3 is not what was sealed",
    "UPDATE audit SET at = at + interval '1 microsecond' WHERE seq = 5": "row 5 is not what was",
    "UPDATE audit SET at = 'infinity' WHERE seq = 2": "row 2 is not what was sealed",
    "UPDATE audit a SET object = b.object FROM audit b WHERE a.seq + b.seq = 11": "row 6 is not",
    "DELETE FROM audit WHERE seq = 3": "place 3 is missing",
    "DELETE FROM audit WHERE seq = 1": "place 1 is missing",
    "INSERT INTO audit (at, action, object) VALUES (now(), 'x', 'y')": "has no seal",
}


def test_whatever_was_changed_behind_its_back_is_named(plain_db: Db) -> None:
    _write(plain_db, 6)
    whole = verify(plain_db)
    plain_db.execute("CREATE TABLE kept AS SELECT * FROM audit")
    for sql, said in _CRIMES.items():
        _past_the_guard(plain_db, sql)
        wrong = verify(plain_db).wrong
        assert any(said in sentence for sentence in wrong), (sql, wrong)
        _past_the_guard(plain_db, "DELETE FROM audit")
        _past_the_guard(
            plain_db, "INSERT INTO audit OVERRIDING SYSTEM VALUE SELECT * FROM kept ORDER BY id"
        )
        assert verify(plain_db) == whole


def test_rows_cut_off_the_end_are_missed_by_a_kept_head_only(plain_db: Db) -> None:
    _write(plain_db, 4)
    head = verify(plain_db).head
    _write(plain_db, 2)
    assert verify(plain_db, head).wrong == ()
    _past_the_guard(plain_db, "DELETE FROM audit WHERE seq > 3")
    _write(plain_db, 2)
    assert verify(plain_db).wrong == ()
    assert "cut off" in verify(plain_db, head).wrong[0]


def test_what_was_written_before_the_seals_is_sealed_by_the_migration(server_url: str) -> None:
    with connect(server_url, application="tests") as db:
        db.execute("DROP DATABASE IF EXISTS m_audit")
        db.execute("CREATE DATABASE m_audit")
    with connect(database_on(server_url, "m_audit"), application="tests") as db:
        migrate(db, up_to=9)
        for number in range(3):
            db.execute(
                "INSERT INTO audit (at, action, object, after) "
                "VALUES (%s, 'a', %s, '{\"b\": 1.0}')",
                (NOW, f"x/{number}"),
            )
        migrate(db)
        _write(db, 1)
        found = verify(db)
        assert (found.rows, found.wrong) == (4, ())


def test_two_hundred_racing_writers_make_one_chain_without_a_deadlock(
    plain_db: Db, plain_database_url: str
) -> None:
    """Some record before they lock a row, some after: an early lock of the chain would deadlock."""
    plain_db.execute("CREATE TABLE raced AS SELECT 1 AS id, 0 AS steps")
    failed: list[Exception] = []

    def race(seed: int) -> None:
        order = random.Random(seed)
        with connect(plain_database_url, application="test") as db:
            for _ in range(10):
                steps = [
                    lambda: record(db, NOW, None, "matter.step", "matter/1"),
                    lambda: db.execute("UPDATE raced SET steps = steps + 1"),
                ]
                order.shuffle(steps)
                try:
                    with db.transaction():
                        for step in steps:
                            step()
                        if order.random() < 0.1:
                            raise psycopg.Rollback
                except psycopg.Error as error:
                    failed.append(error)

    threads = [threading.Thread(target=race, args=(seed,)) for seed in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    row = plain_db.execute("SELECT steps FROM raced").fetchone()
    found = verify(plain_db)
    assert row is not None
    assert (found.rows, found.wrong) == (row["steps"], ())
    assert 150 < found.rows <= 200
