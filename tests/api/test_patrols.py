"""Patrols through the API: plans, rounds, and a worker's offline day that comes in any order."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deploy.embedded import EmbeddedPostgres
from pilewatch.pilecode import address, read_keys
from pilewatch.store.pool import connect
from pilewatch.workflow.verification import sweep_repaired
from tests.api.conftest import World
from tests.conftest import make_database

SECRET = "k1 a-secret-of-the-tests-only"
KEYS = read_keys(SECRET)


@pytest.fixture(scope="module")
def shared(postgres: EmbeddedPostgres) -> Iterator[World]:
    """The API over a small community whose codes are signed."""
    url = make_database(postgres.url)
    with pytest.MonkeyPatch.context() as patch, connect(url, application="test") as db:
        patch.setenv("PILEWATCH_POSTERS__KEYS", SECRET)
        made = World(db, url)
        with made.client:
            yield made


@pytest.fixture
def world(shared: World) -> Iterator[World]:
    """The same, afresh for each test."""
    yield shared
    shared.db.execute(
        "TRUNCATE patrol_plan, inspection, inspection_conflict, ticket, outbox, harsh_day CASCADE; "
        "UPDATE site SET company_id = (SELECT id FROM company), latitude = NULL, longitude = NULL; "
        "DELETE FROM site WHERE code <> 's'; "
        "UPDATE person_grid SET grid_id = (SELECT id FROM grid WHERE code = 'g'); "
        "DELETE FROM grid WHERE code <> 'g'; "
        "UPDATE charger SET kind = 'ebike', installed_on = NULL; "
        "UPDATE person SET company_id = NULL WHERE role = 'operator'"
    )


def at(hours: float) -> str:
    """So many hours from now."""
    return (datetime.now(UTC) + timedelta(hours=hours)).isoformat()


def survey(world: World, **other: Any) -> dict[str, Any]:
    """A survey of the site, and its round."""
    said = {"name": "survey", "kind": "survey", "scope": "site", "code": "s"}
    made = world.ask(
        "operator", "POST", "/patrol-plans", json={**said, "first_due_at": at(48), **other}
    )
    assert made.status_code == 201, made.text
    # As if it had been opened two days ago.
    world.db.execute("UPDATE patrol_round SET opened_at = now() - interval '2 days'")
    found: dict[str, Any] = world.ask("operator", "GET", "/rounds").json()["items"][0]
    return found


def visit(world: World, charger: str = "C0", **other: Any) -> dict[str, Any]:
    """A sound inspection, an hour ago, with the pile's own code."""
    tasks = world.ask("grid_worker", "GET", "/worker/tasks").json()
    [checklist] = tasks["checklists"] or world.ask("admin", "GET", "/checklists").json()["items"]
    answers = [{"item": i["code"], "ok": True} for i in checklist["items"] if "unit" not in i]
    made = {
        "id": str(uuid4()),
        "charger": charger,
        "checklist": checklist["id"],
        "inspected_at": at(-1),
        "answers": answers,
        "scanned": address("https://piles.example", KEYS, charger, 1),
    }
    return {**made, **other}


def failing(made: dict[str, Any], item: str, **how: Any) -> dict[str, Any]:
    """The same with one item that is not well."""
    rest = [a for a in made["answers"] if a["item"] != item]
    return {**made, "id": str(uuid4()), "answers": [*rest, {"item": item, "ok": False, **how}]}


def sync(world: World, *visits: Any, role: str = "grid_worker") -> list[dict[str, Any]]:
    """Hand them in; gives the results."""
    # As a careless phone writes it: also NaN, also half characters.
    body = json.dumps({"inspections": visits})
    head = {"Content-Type": "application/json"}
    answer = world.ask(role, "POST", "/worker/sync", content=body, headers=head)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["results"]
    return found


def count(world: World, table: str) -> int:
    """Rows of a table."""
    row = world.db.execute(f"SELECT count(*) AS n FROM {table}").fetchone()
    assert row is not None
    return int(row["n"])


def test_a_worker_gets_the_whole_day_in_one_answer_and_a_304_while_it_is_the_same(
    world: World,
) -> None:
    round = survey(world)
    answer = world.ask("grid_worker", "GET", "/worker/tasks")
    tasks = answer.json()
    [mine] = tasks["rounds"]
    assert (mine["id"], mine["stops"], mine["done"]) == (round["id"], 3, 0)
    assert [(s["charger"], s["ports"]) for s in mine["stops_in_order"]] == [
        ("C0", [1, 2]), ("C1", [1, 2]), ("C2", [1, 2]),
    ]  # fmt: skip
    [checklist] = tasks["checklists"]
    assert {s["checklist"] for s in mine["stops_in_order"]} == {checklist["id"]}
    assert checklist["name"]["zh"] and len(checklist["items"]) == 12
    assert set(tasks["texts"]) == {"zh", "en"} and not tasks["more"]
    tag = {"If-None-Match": answer.headers["etag"]}
    assert world.ask("grid_worker", "GET", "/worker/tasks", headers=tag).status_code == 304
    sync(world, visit(world))
    changed = world.ask("grid_worker", "GET", "/worker/tasks", headers=dict(tag))
    assert changed.json()["rounds"][0]["done"] == 1


def test_an_offline_day_fills_its_round_whatever_the_order_and_however_often(world: World) -> None:
    round = survey(world)
    day = [visit(world, code, round=round["id"]) for code in ("C2", "C0", "C1")]
    assert [r["outcome"] for r in sync(world, day[1])] == ["accepted"]
    results = sync(world, *day, day[0])
    assert [(r["status"], r["outcome"]) for r in results] == [
        (201, "accepted"), (200, "duplicate"), (201, "accepted"), (200, "duplicate"),
    ]  # fmt: skip
    assert all(r["presence"] == "proven" and r["late"] is False for r in results)
    done = world.ask("grid_worker", "GET", f"/rounds/{round['id']}").json()
    assert (done["state"], done["done"], done["late"]) == ("done", 3, 0)
    assert count(world, "inspection") == 3
    stops = world.ask("operator", "GET", f"/rounds/{round['id']}/stops?limit=2").json()
    assert [s["inspection"] for s in stops["items"]] == [day[1]["id"], day[2]["id"]]
    rest = world.ask(
        "operator", "GET", f"/rounds/{round['id']}/stops?cursor={stops['next_cursor']}"
    )
    assert [s["charger"] for s in rest.json()["items"]] == ["C2"]


def test_the_same_id_with_other_content_is_a_conflict_and_kept_beside(world: World) -> None:
    survey(world)
    first = visit(world)
    other = {**first, "note": "another"}
    nothing = {**first, "latitude": float("nan"), "longitude": 1.0}
    number = {"item": "surface-temperature", "value": float("inf")}
    nothing_either = {**first, "answers": [*first["answers"], number]}
    assert [r["status"] for r in sync(world, nothing, nothing_either)] == [422, 422]
    assert [r["status"] for r in sync(world, first, other, other)] == [201, 409, 409]
    foreign = sync(world, first, role="admin")
    assert foreign[0]["outcome"] == "conflict", "another person's word is another word"
    kept = world.ask("admin", "GET", f"/inspections/{first['id']}").json()
    assert (kept["note"], kept["conflicts"], kept["worker"]) == (None, 2, "grid_worker")
    assert sync(world, {**first, "answers": first["answers"]})[0]["outcome"] == "duplicate"


def test_a_failed_item_is_a_report_and_a_ticket_that_no_charging_can_close(world: World) -> None:
    survey(world)
    broken = failing(visit(world), "earth")
    broken = failing(broken, "socket", ports=[2])
    [result] = sync(world, broken)
    assert (result["passed"], result["complete"], len(result["tickets"])) == (False, True, 2)
    tickets = [world.ask("operator", "GET", f"/tickets/{id}").json() for id in result["tickets"]]
    by_code = {t["code"]: t for t in tickets}
    assert set(by_code) == {"no-earth", "plug-broken"}
    assert by_code["no-earth"]["subject"]["kind"] == "charger"
    assert by_code["plug-broken"]["subject"]["connector"] == 2
    assert [t["reports"] for t in tickets] == [1, 1]
    for ticket in tickets:
        world.ask("operator", "POST", f"/tickets/{ticket['id']}/accept")
        said = {"cause": "worn", "remedy": "mended"}
        world.ask("operator", "POST", f"/tickets/{ticket['id']}/claim", json=said)
    now = datetime.now(UTC)
    port = world.community.connectors[1]
    world.community.session(port, now + timedelta(hours=1), now + timedelta(hours=2), 900)
    with world.db.transaction():
        swept = sweep_repaired(world.db, world.community.policy, now + timedelta(hours=3))
    assert swept.verified == [by_code["plug-broken"]["id"]]
    mended = visit(world, inspected_at=at(0))
    [result] = sync(world, mended)
    assert result["verified_tickets"] == [by_code["no-earth"]["id"]]
    story = world.ask("operator", "GET", f"/tickets/{by_code['no-earth']['id']}").json()
    assert (story["state"], story["evidence"]["inspection"]) == ("closed", mended["id"])


def test_a_claim_goes_back_only_where_its_own_matter_failed(world: World) -> None:
    survey(world)
    ids = [world.ticket("relay-open", port) for port in (0, 1)]
    ids.append(world.ticket("plug-broken", 1))
    for id in ids:
        world.ask("operator", "POST", f"/tickets/{id}/accept")
        world.ask("operator", "POST", f"/tickets/{id}/claim", json={"cause": "a", "remedy": "b"})
    seen = failing(visit(world, inspected_at=at(0), test_charges=[1]), "socket", ports=[2])
    [result] = sync(world, seen)
    assert result["verified_tickets"] == [], "an inspection that failed proves no other repair"
    states = [world.community.state(id) for id in ids]
    assert states == ["repaired", "repaired", "repairing"]
    [result] = sync(world, visit(world, inspected_at=at(0), test_charges=[1]))
    assert result["verified_tickets"] == [ids[0]], "only the port that was tried"


def test_what_was_repaired_before_the_phone_came_home_opens_no_second_ticket(world: World) -> None:
    survey(world)
    id = world.ticket("plug-broken", 1)
    world.ask("operator", "POST", f"/tickets/{id}/accept")
    world.ask("operator", "POST", f"/tickets/{id}/claim", json={"cause": "a", "remedy": "b"})
    sync(world, visit(world, inspected_at=at(0), test_charges=[2]))
    assert world.community.state(id) == "closed"
    [late] = sync(world, failing(visit(world, inspected_at=at(-3)), "socket", ports=[2]))
    assert late["rules"] == ["settled-meanwhile"]
    assert late["tickets"] == [] and count(world, "ticket") == 1


_PILE = address("https://x", KEYS, "C0", 4)
_NEAR = {"latitude": 31.2, "longitude": 121.4001}
_FAR = {"latitude": 31.3, "longitude": 121.4}
PRESENCE: list[tuple[str | None, dict[str, Any], str, str]] = [
    (address("https://x", KEYS, "C1", 4), {}, "wrong-pile", "signed"),
    ("https://x/p/C1", {}, "wrong-pile", "unsigned"),
    ("https://x/p/C0", {}, "unproven", "unsigned"),
    (f"https://x/p/C0?s=k1.1.{'A' * 22}", {}, "unproven", "bad-signature"),
    (None, {}, "unproven", "not-scanned"),
    (_PILE, {}, "proven", "signed"),
    (_PILE, _NEAR, "proven", "signed-and-near"),
    (_PILE, _FAR, "unproven", "far-away"),
    (_PILE, {**_FAR, "accuracy_m": 20_000}, "proven", "signed-and-near"),
]


def test_presence_is_what_the_scanned_code_shows(world: World) -> None:
    survey(world)
    world.db.execute("UPDATE site SET latitude = 31.2, longitude = 121.4")
    for scanned, more, presence, why in PRESENCE:
        [result] = sync(world, visit(world, scanned=scanned, **more))
        found = (result["outcome"], result["presence"], result["presence_why"])
        assert found == ("accepted", presence, why)
        wrong = presence == "wrong-pile"
        assert result["rules"] == (["wrong-pile"] if wrong else [])
        codes = [
            world.ask("operator", "GET", f"/tickets/{id}").json()["code"]
            for id in result["tickets"]
        ]
        assert codes == (["poster-missing"] if wrong else [])


def test_a_phone_whose_clock_is_ahead_proves_no_repair(world: World) -> None:
    survey(world)
    id = world.ticket("relay-open", 0)
    world.ask("operator", "POST", f"/tickets/{id}/accept")
    world.ask("operator", "POST", f"/tickets/{id}/claim", json={"cause": "a", "remedy": "b"})
    [result] = sync(world, visit(world, inspected_at=at(5), test_charges=[1]))
    assert (result["rules"], result["verified_tickets"]) == (["clock-ahead"], [])
    assert world.community.state(id) == "repaired"


def test_what_cannot_be_taken_is_refused_by_itself_and_the_rest_is_kept(world: World) -> None:
    survey(world)
    good = visit(world)
    bad: list[tuple[Any, int, str]] = [
        ({**good, "id": "x"}, 422, "Invalid UUID"),
        ({**good, "id": str(uuid4()), "charger": "C9"}, 404, "charger C9 in your grids"),
        ({**good, "id": str(uuid4()), "checklist": 99}, 404, "checklist 99"),
        ({**good, "id": str(uuid4()), "answers": []}, 422, "socket: an answer is needed"),
        ({**good, "id": str(uuid4()), "test_charges": [7]}, 422, "no port 7"),
        ({**good, "id": str(uuid4()), "inspected_at": "1970-01-01T00:00:00Z"}, 422, "before 2020"),
        ({**good, "id": str(uuid4()), "inspected_at": "2026-05-01T08:00:00"}, 422, "timezone"),
        ({**good, "id": str(uuid4()), "note": "a\0b"}, 422, "NUL"),
        ({**good, "id": str(uuid4()), "more": 1}, 422, "unknown field `more`"),
        ({}, 422, "required field"),
    ]
    results = sync(world, *(item for item, _, _ in bad), good)
    assert [(r["status"], r["outcome"]) for r in results] == [
        *((status, "refused") for _, status, _ in bad), (201, "accepted"),
    ]  # fmt: skip
    for result, (_, _, told) in zip(results, bad, strict=False):
        assert any(told in problem for problem in result["problems"]), result
    electrical = {**good, "id": str(uuid4())}
    world.db.execute("UPDATE charger SET kind = 'car'")
    [refused] = sync(world, electrical)
    assert "patrol-ebike is not for chargers of type ac" in refused["problems"][0]


def test_a_stop_is_filled_only_by_what_was_wholly_looked_at(world: World) -> None:
    round = survey(world)
    made = visit(world, round=round["id"])
    rest = [a for a in made["answers"] if a["item"] != "earth"]
    [result] = sync(world, {**made, "answers": [*rest, {"item": "earth", "skipped": "locked"}]})
    assert (result["complete"], result["rules"], result["late"]) == (False, ["incomplete"], None)
    elsewhere = visit(world, round=round["id"] + 7)
    assert sync(world, elsewhere)[0]["rules"] == ["not-in-round"]


def test_a_worker_of_another_grid_sees_and_does_nothing_here(world: World) -> None:
    round = survey(world)
    made = visit(world)
    world.db.execute(
        "INSERT INTO grid (area_id, code, name) VALUES (1, 'h', 'H'); "
        "UPDATE person_grid SET grid_id = (SELECT id FROM grid WHERE code = 'h')"
    )
    assert world.ask("grid_worker", "GET", "/worker/tasks").json()["rounds"] == []
    assert world.ask("grid_worker", "GET", f"/rounds/{round['id']}").status_code == 404
    assert world.ask("grid_worker", "GET", "/patrol-plans").json()["items"] == []
    assert world.ask("grid_worker", "GET", "/patrol-intervals").json()["items"] == []
    assert [r["status"] for r in sync(world, made)] == [404]
    refused = world.ask("operator", "PATCH", f"/rounds/{round['id']}",
                        json={"worker": "grid_worker"})  # fmt: skip
    assert refused.status_code == 422 and "no grid worker of this place" in refused.text


def test_plans_change_by_their_version_on_record(world: World) -> None:
    said = {"name": "p", "scope": "grid", "code": "g", "interval_days": 90}
    made = world.ask("operator", "POST", "/patrol-plans", json={**said, "first_due_at": at(900)})
    assert (made.status_code, made.headers["etag"]) == (201, '"1"')
    path = f"/patrol-plans/{made.json()['id']}"
    tag = {"If-Match": made.headers["etag"]}
    change = {"interval_days": 30, "worker": "grid_worker"}
    changed = world.ask("operator", "PATCH", path, json=change, headers=dict(tag)).json()
    assert (changed["interval_days"], changed["worker"], changed["version"]) == (
        30, "grid_worker", 2,
    )  # fmt: skip
    late = world.ask("operator", "PATCH", path, json=change, headers=dict(tag))
    assert (late.status_code, late.json()["version"]) == (412, 2)
    assert "patrol plan has been changed" in late.json()["detail"]
    longer = world.ask("operator", "PATCH", path, json={"interval_days": 100})
    assert longer.status_code == 422 and "1 to 90" in longer.json()["detail"]
    everybody = world.ask("operator", "PATCH", path, json={"everybody": True}).json()
    assert everybody["worker"] is None
    for role, status in (("grid_worker", 403), ("repairer", 403), ("operator", 200)):
        assert world.ask(role, "DELETE", path).status_code == status
    assert world.ask("operator", "DELETE", path).status_code == 422
    about = f"patrol-plan/{made.json()['id']}"
    rows = world.db.execute("SELECT action FROM audit WHERE object = %s ORDER BY id", (about,))
    assert [row["action"] for row in rows] == [
        "patrol.enter", "patrol.change", "patrol.change", "patrol.end",
    ]  # fmt: skip


def test_a_companys_operator_plans_only_where_all_is_its_own(world: World) -> None:
    world.db.execute(
        "UPDATE person SET company_id = (SELECT id FROM company) WHERE role = 'operator'; "
        "INSERT INTO site (code, grid_id, name) SELECT 'free', id, 'F' FROM grid"
    )
    said = {"name": "p", "interval_days": 90, "first_due_at": at(1)}
    for scope, code, status in (("site", "s", 201), ("site", "free", 403), ("area", "a", 403)):
        body = {**said, "scope": scope, "code": code}
        assert world.ask("operator", "POST", "/patrol-plans", json=body).status_code == status
    nowhere = {**said, "scope": "grid", "code": "nowhere"}
    assert world.ask("operator", "POST", "/patrol-plans", json=nowhere).status_code == 422


def test_a_round_is_given_to_another_while_it_is_open(world: World) -> None:
    round = survey(world, worker="admin")
    assert world.ask("grid_worker", "GET", "/worker/tasks").json()["rounds"] == []
    path = f"/rounds/{round['id']}"
    given = world.ask("operator", "PATCH", path, json={"worker": None}, headers={"If-Match": '"1"'})
    assert (given.json()["worker"], given.headers["etag"]) == (None, '"2"')
    assert len(world.ask("grid_worker", "GET", "/worker/tasks").json()["rounds"]) == 1
    stale = world.ask("operator", "PATCH", path, json={"worker": None}, headers={"If-Match": '"1"'})
    assert stale.status_code == 412
    sync(world, *(visit(world, code) for code in ("C0", "C1", "C2")))
    closed = world.ask("operator", "PATCH", path, json={"worker": "grid_worker"})
    assert closed.status_code == 422 and "the round is done" in closed.json()["detail"]


def test_each_piles_interval_is_shown_with_its_reasons_in_words(world: World) -> None:
    world.db.execute("UPDATE charger SET installed_on = now() - interval '3290 days'")
    found = world.ask("operator", "GET", "/patrol-intervals?site=s&language=en&limit=2").json()
    assert [row["charger"] for row in found["items"]] == ["C0", "C1"]
    assert found["next_cursor"]
    first = found["items"][0]
    assert (first["days"], first["instead_of"]) == (64, 90)
    assert first["text"] == "every 64 days instead of 90: 9 years old"
    today = datetime.now(UTC).date()
    for days, kind in ((0, "heat"), (1, "storm"), (1, "flood"), (61, "flood")):
        day = {"area": "a", "day": str(today - timedelta(days=days)), "kind": kind}
        assert world.ask("operator", "POST", "/harsh-days", json=day).status_code == 201
    listed = world.ask("repairer", "GET", "/harsh-days?area=a").json()["items"]
    assert [row["kind"] for row in listed] == ["heat", "flood"]
    found = world.ask("operator", "GET", "/patrol-intervals?site=s&language=zh").json()["items"]
    assert found[0]["text"] == "每 59 天一次（原为 90 天）：已用 9 年；恶劣天气 2 天"


def test_twenty_phones_that_hand_in_the_same_at_once_leave_it_once(world: World) -> None:
    round = survey(world)
    made = visit(world)
    day = [visit(world, code, round=round["id"]) for code in ("C0", "C1", "C2")]
    day.append(failing(made, "housing"))
    with world.served(), httpx.Client(base_url=world.base, timeout=60) as client:

        def send(place: int) -> list[dict[str, Any]]:
            turned = day[place % 4 :] + day[: place % 4]
            # Half of them in one transaction, half in four.
            key = {"Idempotency-Key": str(uuid4())} if place % 2 else {}
            answer = client.post(
                "/api/v1/worker/sync",
                json={"inspections": turned},
                headers={**key, **world.headers("grid_worker")},
            )
            assert answer.status_code == 200, answer.text
            found: list[dict[str, Any]] = answer.json()["results"]
            return found

        with ThreadPoolExecutor(20) as crowd:
            results = [r for one in crowd.map(send, range(20)) for r in one]
    assert {r["outcome"] for r in results} == {"accepted", "duplicate"}
    assert sum(r["outcome"] == "accepted" for r in results) == 4
    assert (count(world, "inspection"), count(world, "ticket"), count(world, "report")) == (4, 1, 1)
    assert world.ask("operator", "GET", f"/rounds/{round['id']}").json()["state"] == "done"


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=5,
)


def test_no_phone_breaks_the_hand_in_and_a_repeat_is_never_a_second_one(world: World) -> None:
    survey(world)
    good = visit(world)

    @settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.dictionaries(st.sampled_from([*good, "round", "note", "latitude"]), JUNK, max_size=3),
           st.integers(0, 3))  # fmt: skip
    def hand_in(odd: dict[str, Any], id: int) -> None:
        said = {**deepcopy(good), "id": f"00000000-0000-4000-8000-00000000000{id}", **odd}
        first, second = sync(world, said, said)
        assert first["outcome"] in ("accepted", "duplicate", "conflict", "refused")
        if first["outcome"] != "accepted":
            assert second["outcome"] == first["outcome"]
        else:
            assert second["outcome"] == "duplicate"

    hand_in()
    assert count(world, "inspection") <= 4
