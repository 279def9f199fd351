"""The people, against the real API over a real database, with a world of their own."""

import random
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from pilewatch.store.pool import Db
from simulator.habits import Habits
from simulator.people import Keys, People, Step, is_false, next_step, story, wait_before
from simulator.truth import Encounter
from tests.api.test_api import World as ApiWorld
from tests.ingest.conftest import wait_until

AT_ONCE = Habits((0, 0), (0, 0), (0, 0), (0, 0), false_claims=0.0)


class Workshop:
    """A world of switches: what is broken, and what was mended."""

    def __init__(self) -> None:
        self.broken: set[tuple[str, int]] = set()
        self.tested: list[tuple[str, int]] = []

    def repair(self, charger: str | None = None, connector: int | None = None,
               code: str | None = None, *, site: str | None = None,
               gateway: str | None = None) -> None:  # fmt: skip
        self.broken = {(c, n) for c, n in self.broken if (c, n) != (charger, connector)}

    def works(self, charger: str, connector: int | None = None) -> bool:
        return (charger, connector) not in self.broken

    def test_charge(self, charger: str, connector: int) -> bool:
        self.tested.append((charger, connector))
        return True


@pytest.fixture
def api(plain_db: Db, plain_database_url: str) -> Iterator[ApiWorld]:
    made = ApiWorld(plain_db, plain_database_url)
    with made.client:
        yield made


def people(api: ApiWorld, workshop: Workshop, habits: Habits = AT_ONCE) -> tuple[People, list[str]]:
    told: list[str] = []
    keys = Keys(**{role: api.keys[role] for role in ("operator", "repairer", "grid_worker")})
    return People(api.client, keys, workshop, habits=habits, company="c", tell=told.append), told


def test_a_ticket_is_brought_to_its_end_with_a_repair_and_a_test_charge(api: ApiWorld) -> None:
    workshop = Workshop()
    workshop.broken = {("C0", 1)}
    id = api.ticket("plug-broken")
    folk, told = people(api, workshop)
    for _ in range(8):
        folk.turn()
    ticket = api.ask("operator", "GET", f"/tickets/{id}").json()
    assert ticket["state"] == "closed"
    assert ticket["evidence"]["kind"] == "inspection"
    assert (ticket["cause"], ticket["remedy"], ticket["part"]) == tuple(
        story("plug-broken").values()
    )
    assert workshop.tested == [("C0", 1)]
    assert "test charge passed" in told[-1]


def test_a_false_claim_comes_back_and_is_mended_the_second_time(api: ApiWorld) -> None:
    workshop = Workshop()
    workshop.broken = {("C0", 1)}
    id = api.ticket("no-output")
    folk, told = people(api, workshop, Habits((0, 0), (0, 0), (0, 0), (0, 0), false_claims=1.0))
    for _ in range(14):
        folk.turn()
    ticket = api.ask("operator", "GET", f"/tickets/{id}").json()
    assert ticket["state"] == "closed"
    actions = [line["action"] for line in ticket["timeline"]]
    assert actions.count("claimed") == 2
    assert "claim-returned" in actions
    assert any("has mended nothing" in line for line in told)


def test_a_resident_reports_once_and_says_at_the_end_that_it_charges(api: ApiWorld) -> None:
    workshop = Workshop()
    workshop.broken = {("C1", 2)}
    folk, told = people(api, workshop)
    met = Encounter(datetime.now(UTC), "C1", 2, "dead-available", "f1")
    folk.met(met)
    folk.met(met)
    for _ in range(10):
        folk.turn()
    tickets = api.ask("operator", "GET", "/tickets").json()["items"]
    assert [(t["code"], t["state"], t["reports"]) for t in tickets] == [
        ("dead-available", "closed", 1)
    ]
    story = api.ask("operator", "GET", f"/tickets/{tickets[0]['id']}").json()["timeline"]
    assert story[-1]["action"] == "resident-confirmed"
    assert told[-1].split() == [
        "resident",
        "C1",
        "port",
        "2",
        "does",
        "it",
        "charge",
        "now?",
        "yes",
    ]


def test_the_api_may_be_away(api: ApiWorld) -> None:
    id = api.ticket("plug-broken")
    folk, _ = people(api, Workshop())
    away = {"left": 3}
    real = api.client.request

    def unsteady(*arguments: Any, **more: Any) -> Any:
        if away["left"]:
            away["left"] -= 1
            raise httpx.ConnectError("refused")
        return real(*arguments, **more)

    folk._http.request = unsteady  # type: ignore[method-assign]
    import threading

    thread = threading.Thread(target=folk.run)
    thread.start()
    try:
        wait_until(
            lambda: real(
                "GET", f"/api/v1/tickets/{id}",
                headers={"Authorization": f"Bearer {api.keys['operator']}"},
            ).json()["state"] == "closed", 40,
        )  # fmt: skip
    finally:
        folk.stop()
        thread.join(20)


def test_what_comes_next_is_decided_by_the_state_alone() -> None:
    steps = {
        state: next_step({"state": state})
        for state in ("open", "reopened", "assigned", "accepted", "repairing", "repaired",
                      "verified", "closed", "rejected", "merged")
    }  # fmt: skip
    assert steps["open"] == steps["reopened"] == Step("operator", "assign")
    assert steps["repairing"] == Step("repairer", "claim")
    assert steps["repaired"] == Step("grid_worker", "inspect")
    assert not any(steps[state] for state in ("verified", "closed", "rejected", "merged"))
    rng = random.Random(1)
    waits = [wait_before(Step("operator", "assign"), Habits(), rng) for _ in range(50)]
    assert 3 <= min(waits) < max(waits) <= 8
    assert not is_false({"timeline": [{"action": "claimed"}]}, Habits(false_claims=1), rng)
