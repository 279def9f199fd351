"""Connections to PostgreSQL. Every connection speaks UTC, and rows come as dicts."""

from typing import Any, TypeAlias

from psycopg import AsyncConnection, Connection
from psycopg.rows import DictRow, dict_row
from psycopg_pool import ConnectionPool

Row: TypeAlias = DictRow
Db: TypeAlias = Connection[Row]
Pool: TypeAlias = ConnectionPool[Db]

_KEEPALIVES: dict[str, Any] = {
    "keepalives_idle": 30,
    "keepalives_interval": 5,
    "keepalives_count": 3,
}


def connect(url: str, *, application: str, wait_s: int = 5, **more: Any) -> Db:
    """One connection of its own, autocommit: open each transaction with `db.transaction()`."""
    return Connection.connect(
        url,
        autocommit=True,
        row_factory=dict_row,
        application_name=application,
        connect_timeout=wait_s,
        options="-c timezone=UTC",
        **_KEEPALIVES,
        **more,
    )


async def connect_async(url: str, *, application: str) -> AsyncConnection[Row]:
    """The same for code that waits for notifications in an event loop."""
    return await AsyncConnection.connect(
        url,
        autocommit=True,
        row_factory=dict_row,
        application_name=application,
        connect_timeout=5,
        options="-c timezone=UTC",
        **_KEEPALIVES,
    )


def open_pool(url: str, *, size: int, application: str) -> Pool:
    """A pool that is filled in the background; borrow with `with pool.connection() as db`."""
    return ConnectionPool(
        url,
        min_size=1,
        max_size=size,
        open=True,
        timeout=10,
        check=ConnectionPool.check_connection,
        kwargs={
            "autocommit": True,
            "row_factory": dict_row,
            "application_name": application,
            "connect_timeout": 5,
            "options": "-c timezone=UTC",
            **_KEEPALIVES,
        },
    )
