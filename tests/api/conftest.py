"""The API over a small community: in the test's process, and as a real server on a free port."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from fastapi.testclient import TestClient
from httpx import Response
from psycopg.types.json import Jsonb

from api.app import create_app
from api.main import Server, server
from api.people import ROLES, add_person, new_api_key
from deploy.embedded import free_port
from pilewatch.clock import Clock, utc_now
from pilewatch.openinghours import week_of
from pilewatch.settings import Alerts, Api, Database, Settings
from pilewatch.store.pool import Db, connect
from tests.workflow.conftest import Community

REACH: dict[str, dict[str, Any]] = {
    "repairer": {"company": "c"},
    "grid_worker": {"grids": ["g"]},
    "device": {"company": "c"},
}
"""Where people of the small community act; the others act everywhere."""


def opens(world: "World", hours: str) -> None:
    """The site's hours, for some time already."""
    world.db.execute(
        "INSERT INTO opening_hours SELECT id, '2020-01-01', %s FROM site",
        (Jsonb(week_of(hours)),),
    )


def listeners(url: str) -> int:
    """How many processes listen to this database for their live streams."""
    with connect(url, application="test") as db:
        row = db.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'pilewatch api live' "
            "AND query = 'LISTEN pilewatch_command' AND state = 'idle' "
            "AND datname = current_database()"
        ).fetchone()
    assert row is not None
    return int(row["count"])


class World:
    """A community, the API over it, and a key of each role."""

    def __init__(
        self,
        db: Db,
        url: str,
        chargers: int = 3,
        *,
        clock: Clock = utc_now,
        alerts: Alerts | None = None,
        **api: Any,
    ):
        self.community = Community(db, chargers)
        self.db = db
        self.url = url
        self.settings = Settings(
            database=Database(url=url, pool_size=4),
            api=Api(port=free_port(), **api),
            alerts=alerts or Alerts(),
        )
        self.app = create_app(self.settings, clock)
        # A crash of the application reaches the test as 500, as it would reach a client.
        self.client = TestClient(self.app, raise_server_exceptions=False)
        self.keys: dict[str, str] = {}
        for role in ROLES:
            self.join(role, role, **REACH.get(role, {}))

    def join(self, login: str, role: str, **reach: Any) -> None:
        """One more person, with a key under this login."""
        person = add_person(self.db, login, login, role, **reach)
        self.keys[login] = new_api_key(self.db, person, "t", datetime.now(UTC))

    def headers(self, role: str | None) -> dict[str, str]:
        """What a request of this role carries."""
        return {} if role is None else {"Authorization": f"Bearer {self.keys[role]}"}

    def ask(self, role: str | None, method: str, path: str, **more: Any) -> Response:
        """One request as this role."""
        headers = {**more.pop("headers", {}), **self.headers(role)}
        answer: Response = self.client.request(method, f"/api/v1{path}", headers=headers, **more)
        assert answer.status_code < 500, answer.text
        return answer

    def ticket(self, code: str = "relay-open", connector: int = 0) -> int:
        """An open ticket on a connector."""
        return self.community.ticket(code, connector)

    @contextmanager
    def served(self) -> Iterator[Server]:
        """The API as a real server that answers and listens; gives it."""
        before = listeners(self.url)
        made = server(self.settings)
        thread = threading.Thread(target=made.run)
        thread.start()
        try:
            until = time.monotonic() + 20
            while not made.started or listeners(self.url) == before:
                assert thread.is_alive() and time.monotonic() < until, "the server did not start"
                time.sleep(0.02)
            yield made
        finally:
            made.should_exit = True
            thread.join(20)
            assert not thread.is_alive()

    @property
    def base(self) -> str:
        """Where the served API answers."""
        return f"http://127.0.0.1:{self.settings.api.port}"


@pytest.fixture
def world(plain_db: Db, plain_database_url: str) -> Iterator[World]:
    """The API over a small community."""
    made = World(plain_db, plain_database_url)
    with made.client:
        yield made


@pytest.fixture
def both(db: Db, database_url: str) -> Iterator[World]:
    """The same on both kinds of server."""
    made = World(db, database_url)
    with made.client:
        yield made
