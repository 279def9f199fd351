"""Anonymous words are counted for each address and charger, and addresses are not kept."""

from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from typing import Any

import pytest
from fastapi.testclient import TestClient

from alerts.maintenance import maintain
from api.app import create_app
from api.limits import client_address
from pilewatch.settings import Api, Database, Settings
from pilewatch.store.pool import Db
from tests.api.conftest import World
from tests.workflow.conftest import Community

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
SAID = {"charger": "C1", "code": "no-output"}


class Street:
    """Residents behind a proxy that is believed, at a moment of the test's choosing."""

    def __init__(self, db: Db, url: str, **api: Any):
        self.now = NOON
        self.db = db
        Community(db)
        settings = Settings(
            database=Database(url=url), api=Api(trusted_proxies=("10.0.0.0/8",), **api)
        )
        app = create_app(settings, lambda: self.now)
        self.client = TestClient(app, client=("10.0.0.1", 1))

    def says(self, address: str, said: dict[str, Any] = SAID) -> Any:
        """One report from this address."""
        headers = {"X-Forwarded-For": address}
        return self.client.post("/api/v1/reports", json=said, headers=headers)


@pytest.fixture
def street(db: Db, database_url: str) -> Street:
    """On both kinds of server."""
    return Street(db, database_url)


def test_the_eleventh_word_in_ten_minutes_waits_and_others_may_speak(street: Street) -> None:
    street.now = NOON + timedelta(minutes=4)
    with street.client:
        assert {street.says("198.51.100.7").status_code for _ in range(10)} == {201}
        refused = street.says("198.51.100.7")
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "360")
        assert refused.headers["content-type"] == "application/problem+json"
        assert street.says("198.51.100.8").status_code == 201
        street.now += timedelta(seconds=360)
        assert street.says("198.51.100.7").status_code == 201


def test_the_thirty_first_word_of_a_day_waits_for_the_next(street: Street) -> None:
    with street.client:
        for _ in range(3):
            for _ in range(10):
                assert street.says("2001:db8::1").status_code == 201
            street.now += timedelta(minutes=10)
        # Another address of the same household.
        refused = street.says("2001:db8::2")
        assert (refused.status_code, int(refused.headers["retry-after"])) == (429, 41400)


def test_when_everyone_speaks_of_a_charger_at_once_the_rest_waits_for_a_review(
    street: Street,
) -> None:
    with street.client:
        tickets = {street.says(f"198.51.100.{n}").json()["ticket_id"] for n in range(30)}
        assert tickets == {1}
        waiting = street.says("198.51.100.99")
        assert (waiting.status_code, waiting.json()["ticket_id"]) == (201, None)
        other = street.says("198.51.100.99", {**SAID, "charger": "C2"}).json()
        assert other["ticket_id"] == 2
        danger = street.says("198.51.100.98", {**SAID, "code": "over-temperature"}).json()
        assert danger["ticket_id"] == 1
        street.now += timedelta(minutes=11)
        assert street.says("198.51.100.99").json()["ticket_id"] == 1


def test_refused_reports_count_and_staff_are_not_counted(world: World) -> None:
    wrong = {"charger": "nobody", "code": "no-output"}
    for _ in range(10):
        assert world.ask(None, "POST", "/reports", json=wrong).status_code == 422
    assert world.ask(None, "POST", "/reports", json=wrong).status_code == 429
    assert world.ask("operator", "POST", "/reports", json=SAID).status_code == 201
    answer = world.ask(None, "POST", "/receipts/guess/answer", json={"charges_now": True})
    assert answer.status_code == 429


def test_refused_reports_count_with_an_idempotency_key_too(world: World) -> None:
    wrong = {"charger": "nobody", "code": "no-output"}
    statuses = [
        world.ask(None, "POST", "/reports", json=wrong,
                  headers={"Idempotency-Key": f"word-number-{n}"}).status_code
        for n in range(11)
    ]  # fmt: skip
    assert statuses == [422] * 10 + [429]


def test_no_address_is_kept_and_the_days_secret_goes_with_its_day(street: Street) -> None:
    with street.client:
        street.says("198.51.100.7")
    kept = street.db.execute("SELECT source FROM word_count").fetchall()
    assert len(kept) == 2
    assert all(len(row["source"]) == 32 for row in kept)
    for table in ("daily_salt", "word_count"):
        assert street.db.execute(f"SELECT FROM {table}").fetchone() is not None
    maintain(street.db, Settings(), NOON + timedelta(days=1))
    for table in ("daily_salt", "word_count"):
        assert street.db.execute(f"SELECT FROM {table}").fetchone() is None


TRUSTED = [ip_network("10.0.0.0/8")]


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        ("198.51.100.7", None, "198.51.100.7"),
        ("198.51.100.7", "203.0.113.1", "198.51.100.7"),
        ("10.1.1.1", "203.0.113.1", "203.0.113.1"),
        ("10.1.1.1", "192.0.2.9, 203.0.113.1, 10.2.2.2", "203.0.113.1"),
        ("10.1.1.1", "nonsense", "10.1.1.1"),
        ("10.1.1.1", None, "10.1.1.1"),
        ("2001:db8:1:2:3::4", None, "2001:db8:1:2::/64"),
        ("testclient", "203.0.113.1", "testclient"),
    ],
)
def test_only_trusted_proxies_are_believed(peer: str, forwarded: str | None, address: str) -> None:
    assert client_address(peer, forwarded, TRUSTED) == address
