"""Several ingesters in one group: nothing lost, nothing doubled, whoever leaves and however."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from deploy.embedded import EmbeddedBroker
from pilewatch.store.pool import connect
from tests.ingest.conftest import publisher, wait_until
from tests.ingest.processes import MESSAGES, IngesterProcess, Load, all_is_stored, stored
from tests.parts import Mosquitto


@pytest.fixture(params=["mosquitto-5", "mosquitto-3.1.1", "embedded-3.1.1"])
def broker(
    request: pytest.FixtureRequest, parts_folder: Path, tmp_path: Path
) -> Iterator[tuple[int, str]]:
    """Port and MQTT version of a broker of the test's own."""
    name, version = request.param.split("-")
    folder = parts_folder / f"share-{tmp_path.name}"
    own: Mosquitto | EmbeddedBroker
    if name == "mosquitto":
        request.getfixturevalue("mosquitto")  # skips where there is none
        own = Mosquitto(folder).start()
    else:
        own = EmbeddedBroker(folder).start()
    yield own.port, version
    own.stop()


Join = Callable[[int], list[IngesterProcess]]


@contextmanager
def _members(url: str, broker: tuple[int, str], tmp_path: Path) -> Iterator[Join]:
    """Lets so many more ingesters join the group; gives them when they listen."""
    port, version = broker
    made: list[IngesterProcess] = []
    with ExitStack() as stack:

        def join(more: int) -> list[IngesterProcess]:
            new = []
            for number in range(len(made), len(made) + more):
                member = IngesterProcess(
                    url,
                    port,
                    tmp_path / f"member{number}.log",
                    PILEWATCH_MQTT__SHARE_GROUP="ours",
                    PILEWATCH_MQTT__VERSION=version,
                )
                stack.callback(member.kill)
                new.append(member)
            made.extend(new)
            for member in new:
                wait_until(lambda member=member: member.connections() == 1)
            _listening(url, len(made))
            return new

        yield join


def _listening(url: str, members: int) -> None:
    with connect(url, application="t") as db:
        wait_until(lambda: db.execute("SELECT FROM listener").rowcount == members)


@contextmanager
def _group(
    url: str, broker: tuple[int, str], tmp_path: Path, members: int
) -> Iterator[list[IngesterProcess]]:
    with _members(url, broker, tmp_path) as join:
        yield join(members)


def test_a_group_grows_to_four_and_shrinks_to_one_under_load(
    registered_plain: str, broker: tuple[int, str], tmp_path: Path
) -> None:
    def wait_for(share: float) -> None:
        wait_until(lambda: stored(registered_plain) >= MESSAGES * share, 60)

    with _members(registered_plain, broker, tmp_path) as join:
        group = join(1)
        load = Load(broker[0])
        load.thread.start()
        for share, more in ((0.1, 1), (0.25, 2)):
            wait_for(share)
            group += join(more)
        for share, leaves in ((0.5, 2), (0.75, 1)):
            wait_for(share)
            for member in [group.pop() for _ in range(leaves)]:
                assert member.stop() == 0
                assert member.said("stopped")[0]["unacknowledged"] == 0
        load.finish()
        all_is_stored(registered_plain)


@pytest.mark.parametrize("members", [2, 3])
def test_a_group_shares_the_load_while_one_leaves_and_one_is_killed(
    registered_plain: str, broker: tuple[int, str], tmp_path: Path, members: int
) -> None:
    with _group(registered_plain, broker, tmp_path, members) as group:
        load = Load(broker[0])
        load.thread.start()
        wait_until(lambda: stored(registered_plain) >= MESSAGES // 6, 60)
        group[0].kill()
        group[0].start()
        wait_until(lambda: stored(registered_plain) >= MESSAGES // 3, 60)
        assert group[-1].stop() == 0
        assert group[-1].said("stopped")[0]["unacknowledged"] == 0
        load.finish()
        all_is_stored(registered_plain)


def test_retained_messages_reach_a_new_group(
    registered_plain: str, broker: tuple[int, str], tmp_path: Path
) -> None:
    at = datetime.now(UTC).isoformat()
    up = "pilewatch/v1/C1/up"
    with publisher(broker[0]) as pile:
        online = {"online": True, "at": at, "heartbeatS": 10, "bootId": "b"}
        pile.send(f"{up}/online", json.dumps(online), retain=True)
        status = {"at": at, "connector": 1, "status": "charging"}
        pile.send(f"{up}/status/1", json.dumps(status), retain=True)
    with (
        _group(registered_plain, broker, tmp_path, 2),
        connect(registered_plain, application="t") as db,
    ):
        wait_until(lambda: db.execute("SELECT FROM observation").rowcount == 2)
        state = db.execute("SELECT status FROM connector_state WHERE status_at IS NOT NULL")
        assert state.fetchall() == [{"status": "charging"}]
