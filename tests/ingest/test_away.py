"""The broker or the database away for long, and leaving in order."""

from collections.abc import Iterator
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import psutil
import pytest

from deploy.embedded import EmbeddedPostgres, free_port
from pilewatch.store.pool import connect
from pilewatch.store.registry import load_registry
from tests.conftest import make_database
from tests.ingest.conftest import wait_until
from tests.ingest.processes import MESSAGES, IngesterProcess, Load, all_is_stored, stored
from tests.parts import Mosquitto


@pytest.fixture
def broker(parts_folder: Path, mosquitto: Mosquitto, tmp_path: Path) -> Iterator[Mosquitto]:
    """A mosquitto of the test's own, not yet started."""
    own = Mosquitto(parts_folder / f"away-{tmp_path.name}", port=free_port())
    yield own
    own.stop()


def test_a_broker_away_at_the_start_is_awaited_with_growing_pauses(
    registered_plain: str, broker: Mosquitto, tmp_path: Path
) -> None:
    ingester = IngesterProcess(registered_plain, broker.port, tmp_path / "early.log")
    try:
        wait_until(lambda: len(ingester.said("broker is away")) >= 5)
        lines = ingester.said("broker is away")
        assert all("refused" in line["problem"] for line in lines)
        times = [datetime.fromisoformat(line["timestamp"]) for line in lines[:5]]
        pauses = [(b - a).total_seconds() for a, b in pairwise(times)]
        assert pauses[-1] > 0.7 and pauses[-1] > pauses[0]
        broker.start()
        wait_until(lambda: ingester.connections() == 1)
        assert ingester.stop() == 0
    finally:
        ingester.kill()


def test_sigterm_under_load_drains_and_the_next_start_goes_on(
    registered_plain: str, broker: Mosquitto, tmp_path: Path
) -> None:
    broker.start()
    ingester = IngesterProcess(registered_plain, broker.port, tmp_path / "leaving.log")
    try:
        wait_until(lambda: ingester.connections() == 1)
        load = Load(broker.port)
        load.thread.start()
        wait_until(lambda: stored(registered_plain) >= MESSAGES // 4, 60)
        assert ingester.stop() == 0
        assert ingester.said("stopped")[0]["unacknowledged"] == 0
        ingester.start()
        load.finish()
        all_is_stored(registered_plain)
    finally:
        ingester.kill()


@pytest.mark.parametrize("version", ["5", "3.1.1"])
def test_with_the_database_away_the_broker_keeps_what_the_buffer_cannot(
    parts_folder: Path, broker: Mosquitto, tmp_path: Path, registry_file: Path, version: str
) -> None:
    broker.start()
    server = EmbeddedPostgres(parts_folder / f"pg-{tmp_path.name}").start()
    url = make_database(server.url)
    with connect(url, application="t") as db:
        load_registry(db, registry_file)
    ingester = IngesterProcess(
        url,
        broker.port,
        tmp_path / "holding.log",
        PILEWATCH_MQTT__VERSION=version,
        PILEWATCH_INGEST__UNACKNOWLEDGED="300",
    )
    try:
        wait_until(lambda: ingester.connections() == 1)
        server.kill()
        load = Load(broker.port)
        load.thread.start()
        wait_until(lambda: ingester.said("hanging up until the database is back"), 30)
        load.finish()
        memory = psutil.Process(ingester.child.pid).memory_info().rss
        assert memory < 150 * 2**20
        assert ingester.said("hanging up until the database is back")[0]["waiting"] < MESSAGES
        server.start()
        all_is_stored(url)
        assert ingester.stop() == 0
    finally:
        ingester.kill()
        server.stop()
