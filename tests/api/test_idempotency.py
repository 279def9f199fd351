"""The same order sent again acts once, whoever repeats it and whenever."""

import json
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
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


def test_of_200_racing_people_exactly_one_takes_each_step_of_a_tickets_life(world: World) -> None:
    id, other = world.ticket(), world.ticket(connector=1)
    claimed = {"cause": "a", "remedy": "b"}
    life: list[tuple[str, Any, str]] = [
        ("assign", {"company": "c"}, "assigned"),
        ("accept", None, "accepted"),
        ("pause", {"reason": "part"}, "accepted"),
        ("resume", None, "accepted"),
        ("start", None, "repairing"),
        ("claim", claimed, "repaired"),
        ("reopen", {"reason": "a"}, "reopened"),
        ("reject", {"reason": "a"}, "rejected"),
        ("reopen", {"reason": "b"}, "reopened"),
        ("merge", {"into": other}, "merged"),
    ]
    with world.served(), Crowd(world) as crowd:
        for version, (step, body, state) in enumerate(life, 1):
            asked = world.headers("operator")
            seen = {**asked, "If-Match": f'"{version}"'}
            # What may be done again is a race only for those who say what they saw.
            others = seen if step == "assign" else asked
            path = f"/tickets/{id}/{step}"
            many = 20 if step in ("assign", "pause", "resume", "reject") else 100
            answers = crowd.post([(path, body, seen), (path, body, others)] * many)
            assert [told["state"] for status, told in answers if status == 200] == [state], step
            lost = [(status, told) for status, told in answers if status != 200]
            assert {status for status, _ in lost} == ({412} if step == "assign" else {409, 412})
            now = {(told["state"], told["version"]) for _, told in lost}
            assert now == {(state, version + 1)}, step
    steps = [word for word in world.community.timeline(id) if word != "opened"]
    assert steps == ["assigned", "accepted", "paused", "resumed", "started", "claimed", "reopened",
                     "rejected", "reopened", "merged"]  # fmt: skip
    assert world.community.timeline(other).count("merged-here") == 1


def test_of_200_racing_workers_exactly_one_verifies_a_claim(world: World) -> None:
    id = world.ticket()
    world.ask("operator", "POST", f"/tickets/{id}/accept")
    world.ask("operator", "POST", f"/tickets/{id}/claim", json={"cause": "a", "remedy": "b"})
    body = {"charger": "C0", "connector": 1, "passed": True, "test_charge": True}
    with world.served(), Crowd(world) as crowd:
        asked = world.headers("grid_worker")
        answers = crowd.post(
            [("/inspections", {**body, "id": str(uuid4())}, asked) for _ in range(200)]
        )
    assert {status for status, _ in answers} == {201}
    assert sum(told["verified_tickets"] == [id] for _, told in answers) == 1
    steps = world.community.timeline(id)
    assert (steps.count("verified"), steps.count("closed")) == (1, 1)


def test_merging_two_tickets_into_each_other_lets_one_win(world: World) -> None:
    asked = world.headers("operator")
    with world.served(), Crowd(world) as crowd:
        for connector in range(4):
            one, two = (world.ticket(code, connector) for code in ("relay-open", "no-earth"))
            answers = crowd.post([
                (f"/tickets/{id}/merge", {"into": into}, asked)
                for id, into in ((one, two), (two, one)) * 10
            ])  # fmt: skip
            assert sorted(status for status, _ in answers) == [200] + [409] * 19


Order = tuple[str, Any, dict[str, str]]
"""Path, body and headers of a POST."""


class Crowd:
    """200 people with a connection each to the served API."""

    def __init__(self, world: World):
        port = world.settings.api.port
        self.people = [HTTPConnection("127.0.0.1", port, timeout=60) for _ in range(200)]
        self.threads = ThreadPoolExecutor(len(self.people))

    def __enter__(self) -> "Crowd":
        return self

    def __exit__(self, *_: object) -> None:
        self.threads.shutdown()
        for connection in self.people:
            connection.close()

    def post(self, orders: list[Order]) -> list[tuple[int, dict[str, Any]]]:
        """All these side by side: each one's status and answer."""

        def send(connection: HTTPConnection, order: Order) -> tuple[int, dict[str, Any]]:
            path, body, headers = order
            json_type = {"Content-Type": "application/json"}
            text = None if body is None else json.dumps(body)
            connection.request("POST", f"/api/v1{path}", text, {**json_type, **headers})
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())

        return list(self.threads.map(send, self.people, orders))
