"""Migrations: from an empty database, from each earlier version, and twice."""

import pytest

from pilewatch.store.migrate import MigrationError, all_migrations, migrate
from pilewatch.store.pool import connect
from tests.parts import database_on


def _empty(server_url: str, name: str) -> str:
    with connect(server_url, application="tests") as db:
        db.execute(f"DROP DATABASE IF EXISTS {name}")
        db.execute(f"CREATE DATABASE {name}")
    return database_on(server_url, name)


def _tables(url: str) -> set[str]:
    with connect(url, application="tests") as db:
        rows = db.execute(
            "SELECT table_name || '.' || column_name || ' ' || data_type AS c "
            "FROM information_schema.columns WHERE table_schema = 'public'"
        )
        return {row["c"] for row in rows}


def test_every_earlier_version_arrives_at_the_same_schema(server_url: str) -> None:
    whole = _empty(server_url, "m_whole")
    with connect(whole, application="tests") as db:
        assert migrate(db)
        assert migrate(db) == []
    for version in sorted({m.version for m in all_migrations()})[:-1]:
        url = _empty(server_url, f"m_from_{version}")
        with connect(url, application="tests") as db:
            migrate(db, up_to=version)
            migrate(db)
        assert _tables(url) == _tables(whole)


def test_an_edited_migration_and_a_newer_database_are_refused(server_url: str) -> None:
    with connect(_empty(server_url, "m_refused"), application="tests") as db:
        migrate(db)
        db.execute("INSERT INTO schema_migration VALUES (9999, 'future', NULL, 'x')")
        with pytest.raises(MigrationError, match="newer version"):
            migrate(db)
        db.execute("DELETE FROM schema_migration WHERE version = 9999")
        db.execute("UPDATE schema_migration SET checksum = 'x' WHERE version = 1")
        with pytest.raises(MigrationError, match="was changed after it ran"):
            migrate(db)


def test_timescale_can_be_required(plain_db: object, postgres: object) -> None:
    url = _empty(postgres.url, "m_require")  # type: ignore[attr-defined]
    with connect(url, application="tests") as db, pytest.raises(MigrationError, match="require"):
        migrate(db, timescale="require")
