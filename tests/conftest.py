"""Real parts for the tests: PostgreSQL (embedded), TimescaleDB, mosquitto, the embedded broker.

Optional parts are skipped where absent; with PILEWATCH_REQUIRE_PARTS=1 (as in CI) their absence
is an error. `make parts` installs them.
"""

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from deploy.embedded import EmbeddedBroker, EmbeddedPostgres
from deploy.pictures import CHROMIUM_FLAGS
from pilewatch.store.migrate import migrate
from pilewatch.store.pool import Db, connect
from tests.parts import Mosquitto, TimescaleServer, database_on, missing_part

_UNSAFE = {"fsync": "off", "full_page_writes": "off"}
"""Servers of the tests' session never outlive the machine."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The files that take minutes come first, so that no worker waits for another at the end."""
    long = ("tests/trip/", "tests/truth/", "tests/deploy/", "tests/pages/", "tests/ingest/")
    place = {folder: number for number, folder in enumerate(long)}

    def rank(item: pytest.Item) -> int:
        folder = "/".join([*item.nodeid.split("/")[:2], ""])
        return place.get(folder, len(place))

    items.sort(key=rank)


def _need(what: str, reason: str | None) -> None:
    if reason is None:
        return
    if os.environ.get("PILEWATCH_REQUIRE_PARTS") == "1":
        pytest.fail(f"{what}: {reason}", pytrace=False)
    pytest.skip(f"{what}: {reason}")


@pytest.fixture(scope="session")
def parts_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that the server's unprivileged user can reach."""
    folder = tmp_path_factory.mktemp("parts")
    for step in [folder, *folder.parents]:  # of one worker of several, the session, the user
        if step.stat().st_uid != os.getuid() or step.stat().st_mode & 0o1000 or step == step.parent:
            break
        step.chmod(step.stat().st_mode | 0o055)
    return folder


@pytest.fixture(scope="session")
def postgres(parts_folder: Path) -> Iterator[EmbeddedPostgres]:
    """The session's plain PostgreSQL server."""
    server = EmbeddedPostgres(parts_folder / "pg", settings=_UNSAFE).start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def timescale(parts_folder: Path) -> Iterator[TimescaleServer]:
    """The session's TimescaleDB server."""
    _need("TimescaleDB", missing_part("timescale"))
    server = TimescaleServer(parts_folder / "ts", settings=_UNSAFE).start()
    yield server
    server.stop()


@pytest.fixture
def mosquitto(parts_folder: Path) -> Iterator[Mosquitto]:
    """A mosquitto broker of the test's own: nothing is retained in it, nobody is subscribed."""
    _need("mosquitto", missing_part("mosquitto"))
    broker = Mosquitto(parts_folder / f"mosquitto-{uuid.uuid4().hex}").start()
    yield broker
    broker.stop()


@pytest.fixture(scope="session")
def embedded_broker(parts_folder: Path) -> Iterator[EmbeddedBroker]:
    """The session's rumqttd broker from the wheel."""
    broker = EmbeddedBroker(parts_folder / "rumqttd").start()
    yield broker
    broker.stop()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """The session's Chromium."""
    _need("Chromium", missing_part("browser"))
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=CHROMIUM_FLAGS
        )
        yield chromium
        chromium.close()


@pytest.fixture(params=["plain", pytest.param("timescale", marks=pytest.mark.timescale)])
def server_url(request: pytest.FixtureRequest) -> str:
    """Each kind of server in turn: the URL of its superuser."""
    name = "postgres" if request.param == "plain" else "timescale"
    url: str = request.getfixturevalue(name).url
    return url


def make_database(server_url: str) -> str:
    """A fresh, migrated database on this server; gives its URL."""
    name = f"t_{uuid.uuid4().hex[:12]}"
    template = "pilewatch_template"
    with connect(server_url, application="tests") as db:
        made = db.execute("SELECT FROM pg_database WHERE datname = %s", (template,)).fetchone()
        if made is None:
            db.execute(f"CREATE DATABASE {template}")
            with connect(database_on(server_url, template), application="t") as fresh:
                migrate(fresh)
            # TimescaleDB's scheduler would sit in it, and a template must be unused.
            db.execute(f"ALTER DATABASE {template} ALLOW_CONNECTIONS false")
            db.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s",
                (template,),
            )
        db.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")
    return database_on(server_url, name)


@pytest.fixture
def database_url(server_url: str) -> Iterator[str]:
    """A fresh, migrated database, once on plain PostgreSQL and once on TimescaleDB."""
    url = make_database(server_url)
    yield url
    with connect(server_url, application="tests") as db:
        db.execute(f"DROP DATABASE {url.rsplit('/', 1)[1]} WITH (FORCE)")


@pytest.fixture
def db(database_url: str) -> Iterator[Db]:
    """A connection to `database_url`."""
    with connect(database_url, application="test") as connection:
        yield connection


@pytest.fixture
def plain_database_url(postgres: EmbeddedPostgres) -> Iterator[str]:
    """A fresh, migrated database on plain PostgreSQL only, where the kind does not matter."""
    url = make_database(postgres.url)
    yield url
    with connect(postgres.url, application="tests") as db:
        db.execute(f"DROP DATABASE {url.rsplit('/', 1)[1]} WITH (FORCE)")


@pytest.fixture
def plain_db(plain_database_url: str) -> Iterator[Db]:
    """A connection to `plain_database_url`."""
    with connect(plain_database_url, application="test") as connection:
        yield connection
