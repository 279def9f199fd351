"""The same order sent again acts once, whoever repeats it and whenever."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.api.conftest import World

SAID = {"charger": "C1", "connector": 2, "code": "no-output"}


def count(world: World, table: str) -> int:
    """Rows of a table."""
    row = world.db.execute(f"SELECT count(*) FROM {table}").fetchone()
    assert row is not None
    return int(row["count"])


def test_a_repeat_gets_the_first_answer_and_does_nothing(both: World) -> None:
    key = {"Idempotency-Key": str(uuid4())}
    first = both.ask(None, "POST", "/reports", json=SAID, headers=dict(key))
    again = both.ask(None, "POST", "/reports", json=SAID, headers=dict(key))
    assert (again.status_code, again.content) == (201, first.content)
    assert again.headers["idempotent-replayed"] == "true"
    assert "idempotent-replayed" not in first.headers
    assert count(both, "report") == 1


def test_the_same_key_with_another_order_is_refused(world: World) -> None:
    key = {"Idempotency-Key": str(uuid4())}
    world.ask(None, "POST", "/reports", json=SAID, headers=dict(key))
    other = world.ask(None, "POST", "/reports", json={**SAID, "note": "x"}, headers=dict(key))
    assert other.status_code == 422
    assert "Idempotency-Key" in other.json()["detail"]


def test_keys_of_different_people_do_not_meet(world: World) -> None:
    id = world.ticket()
    key = {"Idempotency-Key": "the-same-word"}
    path = f"/tickets/{id}/comments"
    for role in ("operator", "admin"):
        done = world.ask(role, "POST", path, json={"text": "a"}, headers=dict(key))
        assert "idempotent-replayed" not in done.headers
    assert count(world, "ticket_entry") == 3


def test_the_etag_comes_again_too_and_a_refusal_is_repeated_as_it_was(world: World) -> None:
    id = world.ticket()
    key = {"Idempotency-Key": str(uuid4())}
    claim = {"cause": "a", "remedy": "b"}
    refused = world.ask("operator", "POST", f"/tickets/{id}/claim", json=claim, headers=dict(key))
    assert refused.status_code == 409
    accepted = [
        world.ask("operator", "POST", f"/tickets/{id}/accept",
                  headers={"Idempotency-Key": "accept-it-once"})
        for _ in range(2)
    ]  # fmt: skip
    assert accepted[0].headers["etag"] == accepted[1].headers["etag"] == '"2"'
    again = world.ask("operator", "POST", f"/tickets/{id}/claim", json=claim, headers=dict(key))
    assert (again.status_code, again.json()) == (409, refused.json())


def test_a_refusal_for_want_of_rights_leaves_no_key(world: World) -> None:
    id = world.ticket()
    key = {"Idempotency-Key": str(uuid4())}
    world.ask("grid_worker", "POST", f"/tickets/{id}/accept", headers=dict(key))
    assert count(world, "idempotency_key") == 0


def test_a_failure_of_ours_leaves_neither_work_nor_key(world: World) -> None:
    world.db.execute("ALTER TABLE report RENAME TO hidden")
    key = {"Idempotency-Key": str(uuid4())}
    path = "/api/v1/reports"
    assert world.client.post(path, json=SAID, headers=key).status_code == 500
    world.db.execute("ALTER TABLE hidden RENAME TO report")
    assert (count(world, "ticket"), count(world, "idempotency_key")) == (0, 0)
    assert world.client.post(path, json=SAID, headers=key).status_code == 201


@pytest.mark.parametrize("key", ["short", "x" * 129, "with a space"])
def test_a_key_that_is_no_key_is_refused(world: World, key: str) -> None:
    refused = world.ask(None, "POST", "/reports", json=SAID, headers={"Idempotency-Key": key})
    assert refused.status_code == 422


def test_of_twins_at_the_same_moment_one_acts_and_all_get_its_answer(world: World) -> None:
    key = {"Idempotency-Key": str(uuid4())}
    with world.served(), httpx.Client(base_url=world.base, timeout=30) as client:

        def send(_: int) -> httpx.Response:
            return client.post("/api/v1/reports", json=SAID, headers=key)

        with ThreadPoolExecutor(20) as crowd:
            answers = list(crowd.map(send, range(20)))
    assert {a.status_code for a in answers} == {201}
    assert len({a.json()["receipt"] for a in answers}) == 1
    assert sum("idempotent-replayed" not in a.headers for a in answers) == 1
    assert count(world, "report") == 1


def test_of_200_racing_people_exactly_one_takes_each_step(world: World) -> None:
    id = world.ticket()
    steps: list[tuple[str, Any, str]] = [
        ("accept", None, "accepted"),
        ("start", None, "repairing"),
        ("claim", {"cause": "a", "remedy": "b"}, "repaired"),
    ]
    with world.served():
        for version, (step, body, state) in enumerate(steps, 1):
            answers = race(world, f"/api/v1/tickets/{id}/{step}", body, f'"{version}"')
            won = [a for a in answers if a.status_code == 200]
            assert [a.json()["state"] for a in won] == [state]
            lost = [a for a in answers if a.status_code != 200]
            assert {a.status_code for a in lost} == {409, 412}
            for refused in lost:
                told = refused.json()
                assert (told["state"], told["version"]) == (state, version + 1)


def race(world: World, path: str, body: Any, version: str) -> list[httpx.Response]:
    """200 operators at once, half of whom say which version they saw."""
    many = httpx.Limits(max_connections=200)
    with httpx.Client(base_url=world.base, timeout=60, limits=many) as client:

        def send(number: int) -> httpx.Response:
            headers = world.headers("operator")
            if number % 2:
                headers["If-Match"] = version
            return client.post(path, json=body, headers=headers)

        with ThreadPoolExecutor(200) as crowd:
            return list(crowd.map(send, range(200)))
