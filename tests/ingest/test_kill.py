"""kill -9 of ingester, broker and PostgreSQL under load: published = stored, nothing doubled."""

import random
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from deploy.embedded import EmbeddedPostgres
from pilewatch.store.pool import connect
from pilewatch.store.registry import load_registry
from tests.conftest import make_database
from tests.ingest.conftest import wait_until
from tests.ingest.processes import MESSAGES, IngesterProcess, Load, all_is_stored, stored
from tests.parts import Mosquitto


@contextmanager
def _trip(
    url: str, broker: Mosquitto, tmp_path: Path, registry_file: Path
) -> Iterator[tuple[IngesterProcess, Load]]:
    with connect(url, application="t") as db:
        load_registry(db, registry_file)
    ingester = IngesterProcess(url, broker.port, tmp_path / "ingest.log")
    try:
        wait_until(lambda: ingester.connections() == 1)
        load = Load(broker.port)
        load.thread.start()
        yield ingester, load
        load.finish()
        all_is_stored(url)
        ingester.child.send_signal(signal.SIGTERM)
        assert ingester.child.wait(30) == 0
    finally:
        ingester.kill()


@pytest.fixture
def broker(parts_folder: Path, mosquitto: Mosquitto, tmp_path: Path) -> Iterator[Mosquitto]:
    """A mosquitto of the test's own, since it gets killed."""
    own = Mosquitto(parts_folder / f"kill-{tmp_path.name}").start()
    yield own
    own.stop()


def test_the_ingester_killed_under_load(
    plain_database_url: str, broker: Mosquitto, tmp_path: Path, registry_file: Path
) -> None:
    chance = random.Random(7)
    with _trip(plain_database_url, broker, tmp_path, registry_file) as (ingester, load):
        for kill in range(1, 5):
            target = kill * MESSAGES // 6 + chance.randrange(300)
            wait_until(
                lambda target=target: (
                    stored(plain_database_url) >= target or not load.thread.is_alive()
                ),
                60,
            )
            ingester.kill()
            ingester.start()
            wait_until(lambda kill=kill: ingester.connections() == kill + 1)


def test_the_broker_killed_under_load(
    plain_database_url: str, broker: Mosquitto, tmp_path: Path, registry_file: Path
) -> None:
    with _trip(plain_database_url, broker, tmp_path, registry_file) as (ingester, _):
        for restart in (1, 2):
            wait_until(lambda n=restart: stored(plain_database_url) >= n * MESSAGES // 4, 60)
            broker.kill()
            broker.start()
            wait_until(lambda n=restart: ingester.connections() > n, 60)


def test_postgresql_killed_under_load(
    parts_folder: Path, broker: Mosquitto, tmp_path: Path, registry_file: Path
) -> None:
    server = EmbeddedPostgres(parts_folder / f"pg-{tmp_path.name}").start()
    try:
        url = make_database(server.url)
        with _trip(url, broker, tmp_path, registry_file):
            for restart in (1, 2):
                wait_until(lambda n=restart: stored(url) >= n * MESSAGES // 4, 60)
                server.kill()
                server.start()
    finally:
        server.stop()
