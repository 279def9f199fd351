"""A community behind the pages, and a real browser before them."""

import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from argon2 import PasswordHasher
from cryptography.fernet import Fernet
from fastapi import FastAPI
from fastapi.testclient import TestClient

from api.app import create_app
from api.people import ROLES, add_person
from pilewatch.clock import Clock, utc_now
from pilewatch.settings import Alerts, Database, Sealing, Settings
from pilewatch.store.pool import Db
from tests.api.conftest import REACH
from tests.workflow.conftest import Community

PASSWORD = "correct horse"
CONTACT_KEY = Fernet.generate_key().decode()


@cache
def _password_hash() -> str:
    """Made once: it is slow by design."""
    return PasswordHasher().hash(PASSWORD)


class World:
    """A community that has just been heard, people of every role, and the application."""

    def __init__(self, db: Db, url: str, clock: Clock = utc_now, **settings: Any):
        self.db = db
        self.community = Community(db)
        self.community.heard(datetime.now(UTC))
        db.execute("UPDATE site SET name = '万和一期东门', repair_phone = '0755-1234567'")
        db.execute("UPDATE charger SET label = '东门 ' || id || ' 号桩'")
        for role in ROLES:
            add_person(db, role, role.title(), role, **REACH.get(role, {}))
        db.execute("UPDATE person SET password_hash = %s", (_password_hash(),))
        usual = {
            "alerts": Alerts(policy_file=Path(__file__).with_name("policy.toml")),
            "sealing": Sealing(keys=CONTACT_KEY),
        }
        self.app: FastAPI = create_app(
            Settings(database=Database(url=url, pool_size=4), **(usual | settings)), clock
        )

    def client(self, role: str | None = None, language: str = "en") -> TestClient:
        """A visitor, logged in as this role."""
        client = TestClient(
            self.app,
            raise_server_exceptions=False,
            follow_redirects=False,
            headers={"Accept-Language": language},
        )
        if role is not None:
            said = {"login": role, "password": PASSWORD}
            assert client.post("/login", data=said).status_code == 303
        return client

    def report(self, client: TestClient, **said: str) -> str:
        """A resident's report through the form, port 2 of C1; gives the receipt's address."""
        told = {"port": "2", "fault": "no-output", **said}
        page = client.get("/report/C1", params={"port": told["port"], "fault": told["fault"]})
        stamp = re.search(r'name="shown" value="([^"]+)"', page.text)
        assert stamp is not None
        sent = client.post("/report/C1", data={**told, "shown": stamp[1]})
        assert sent.status_code == 303, sent.text
        return str(sent.headers["location"])

    def ticket(self, code: str = "relay-open", connector: int = 0) -> int:
        """An open ticket on a connector."""
        return self.community.ticket(code, connector)

    def row(self, sql: str, *values: Any) -> dict[str, Any]:
        """The one row of a query."""
        row = self.db.execute(sql, values).fetchone()  # type: ignore[call-overload]
        assert row is not None
        return dict(row)


@pytest.fixture
def world(plain_db: Db, plain_database_url: str) -> Iterator[World]:
    """The pages over a small community."""
    made = World(plain_db, plain_database_url)
    yield made
    made.app.state.context.pool.close()


@contextmanager
def serve(app: FastAPI) -> Iterator[str]:
    """The pages on a port of their own; gives the address."""
    door = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [door]}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{door.getsockname()[1]}"
    server.should_exit = True
    thread.join(10)


@pytest.fixture
def address(world: World) -> Iterator[str]:
    """The same, served on a port of its own."""
    with serve(world.app) as served:
        yield served
