"""OCPI 2.2.1 Locations: who may read, pages, changes since, and each status."""

import base64
from datetime import UTC, datetime, timedelta
from typing import Any

import jsonschema
import pytest
from httpx import Response

from tests.api import public_schemas as schemas
from tests.api.conftest import World, opens


class Party:
    """Somebody with a token."""

    def __init__(self, world: World):
        made = world.ask("admin", "POST", "/ocpi-parties", json={"name": "hub"})
        assert made.status_code == 201, made.text
        self.world = world
        self.id = made.json()["id"]
        self.token = base64.b64encode(made.json()["token"].encode()).decode()

    def get(self, path: str, **more: Any) -> Response:
        """One request."""
        headers = {"Authorization": f"Token {self.token}", "X-Request-ID": "r-1"}
        answer: Response = self.world.client.get(f"/ocpi{path}", headers=headers, **more)
        assert answer.status_code < 500, answer.text
        return answer


@pytest.fixture
def party(world: World) -> Party:
    """A party; the site has coordinates and every pile has just been heard."""
    world.db.execute("UPDATE site SET latitude = 32.13, longitude = 114.07, city = '信阳'")
    world.community.heard(datetime.now(UTC))
    return Party(world)


def statuses(party: Party) -> list[str]:
    """Of all ports, in order."""
    [location] = party.get("/2.2.1/locations").json()["data"]
    return [evse["status"] for evse in location["evses"]]


def test_versions_lead_to_the_locations_and_each_object_is_as_the_standard_has_it(
    party: Party,
) -> None:
    [version] = party.get("/versions").json()["data"]
    assert version["version"] == "2.2.1" and version["url"].endswith("/ocpi/2.2.1")
    endpoints = party.get("/2.2.1").json()["data"]["endpoints"]
    assert [(e["identifier"], e["role"]) for e in endpoints] == [
        ("credentials", "SENDER"), ("locations", "SENDER"),
    ]  # fmt: skip
    party.world.db.execute("UPDATE site SET address = repeat('长', 60)")
    opens(party.world, "Mo-Fr 08:00-20:00; Sa 10:00-24:00")
    answer = party.get("/2.2.1/locations")
    assert answer.headers["x-request-id"] == "r-1"
    jsonschema.validate(
        answer.json(), schemas.ocpi_answer({"type": "array", "items": schemas.OCPI_LOCATION})
    )
    [location] = answer.json()["data"]
    assert len(location["opening_times"]["regular_hours"]) == 6
    assert location["city"] == "信阳" and len(location["evses"]) == 6
    root = f"/2.2.1/locations/{location['id']}"
    evse = location["evses"][0]
    for path, schema, told in (
        (root, schemas.OCPI_LOCATION, location),
        (f"{root}/{evse['uid']}", schemas.OCPI_EVSE, evse),
        (f"{root}/{evse['uid']}/1", schemas.OCPI_CONNECTOR, evse["connectors"][0]),
    ):
        one = party.get(path).json()
        jsonschema.validate(one, schemas.ocpi_answer(schema))
        assert one["data"] == told
    for wrong in ("/2.2.1/locations/99", "/2.2.1/locations/x%00", f"{root}/99", f"{root}/x",
                  f"{root}/{evse['uid']}/2"):  # fmt: skip
        answer = party.get(wrong)
        assert (answer.status_code, answer.json()["status_code"]) == (404, 2003), wrong


def test_only_a_known_token_in_base64_is_let_in(party: Party) -> None:
    world, plain = party.world, base64.b64decode(party.token).decode()
    for said in (None, "", "Token", f"Token {plain}", f"Bearer {party.token}", "Token ____",
                 f"Token {base64.b64encode(b'nobody').decode()}"):  # fmt: skip
        headers = {} if said is None else {"Authorization": said}
        answer = world.client.get("/ocpi/versions", headers=headers)
        assert (answer.status_code, answer.json()["status_code"]) == (401, 2000), said
    assert party.get("/versions").status_code == 200
    assert world.ask("operator", "GET", "/ocpi-parties").status_code == 403
    [listed] = world.ask("admin", "GET", "/ocpi-parties").json()["items"]
    assert (listed["name"], listed["token"]) == ("hub", None)
    assert world.ask("admin", "POST", "/ocpi-parties", json={"name": "hub"}).status_code == 409
    assert world.ask("admin", "DELETE", f"/ocpi-parties/{party.id}").status_code == 200
    assert party.get("/versions").status_code == 401
    assert world.ask("admin", "POST", "/ocpi-parties", json={"name": "hub"}).status_code == 201


def test_every_status_has_its_word_and_what_is_not_heard_of_is_unknown(party: Party) -> None:
    world, ports = party.world, party.world.community.connectors
    words = ["available", "charging", "reserved", "faulted", "unavailable", "finishing"]
    for port, word in zip(ports, words, strict=True):
        world.db.execute(
            "UPDATE connector_state SET status = %s WHERE connector_id = %s", (word, port)
        )
    expected = ["AVAILABLE", "CHARGING", "RESERVED", "OUTOFORDER", "INOPERATIVE", "CHARGING"]
    assert statuses(party) == expected
    said = {"charger": "C0", "connector": 1, "code": "blocked"}
    assert world.ask(None, "POST", "/reports", json=said).status_code == 201
    assert statuses(party)[0] == "BLOCKED"
    world.ticket("plug-broken")
    assert statuses(party)[0] == "OUTOFORDER"
    world.community.heard(datetime.now(UTC) - timedelta(minutes=4))
    assert set(statuses(party)) == {"UNKNOWN"}
    world.db.execute("UPDATE connector SET active = false WHERE id = %s", (ports[5],))
    assert statuses(party)[5] == "REMOVED"
    [location] = party.get("/2.2.1/locations").json()["data"]
    assert "evse_id" not in location["evses"][5]


def test_changes_are_found_by_their_moment_and_nothing_else_is(party: Party) -> None:
    world = party.world
    first = party.get("/2.2.1/locations").json()["data"][0]["last_updated"]
    again = party.get("/2.2.1/locations").json()["data"][0]["last_updated"]
    assert again == first
    later = datetime.now(UTC).isoformat()

    def since(moment: str) -> int:
        answer = party.get("/2.2.1/locations", params={"date_from": moment})
        assert answer.headers["x-total-count"] == str(len(answer.json()["data"]))
        return len(answer.json()["data"])

    assert (since(first), since(later)) == (1, 0)
    world.db.execute(
        "UPDATE connector_state SET status = 'charging' WHERE connector_id = %s",
        (world.community.connectors[2],),
    )
    assert since(later) == 1
    [location] = party.get("/2.2.1/locations").json()["data"]
    changed = [e["uid"] for e in location["evses"] if e["last_updated"] > first]
    assert changed == [str(world.community.connectors[2])]
    assert {c["last_updated"] for e in location["evses"] for c in e["connectors"]} == {first}
    until = {"date_to": location["last_updated"]}
    assert party.get("/2.2.1/locations", params=until).json()["data"] == []
    later = datetime.now(UTC).isoformat()
    world.db.execute("UPDATE connector SET max_power_w = 7000 WHERE number = 1")
    assert since(later) == 1
    for wrong in ({"date_from": "yesterday"}, {"offset": "-1"}, {"limit": "0"}, {"limit": "x"},
                  {"date_to": "9999-12-31T23:59:59-23:59"}, {"offset": "9" * 30}):  # fmt: skip
        answer = party.get("/2.2.1/locations", params=wrong)
        assert (answer.status_code, answer.json()["status_code"]) == (400, 2001), wrong


def test_pages_lead_through_all_locations_once(party: Party) -> None:
    party.world.db.execute(
        "INSERT INTO site (code, grid_id, name, latitude, longitude) "
        "SELECT 's' || n, grid_id, 'S' || n, 30, 100 FROM site, generate_series(1, 4) n"
    )
    party.world.db.execute(
        "INSERT INTO site (code, grid_id, name) SELECT 'nowhere', grid_id, 'N' FROM site LIMIT 1"
    )
    seen: list[str] = []
    path = "/2.2.1/locations?limit=2&date_from=2020-01-01T00:00:00Z"
    for _ in range(3):
        answer = party.get(path)
        assert answer.headers["x-total-count"] == "5" and int(answer.headers["x-limit"]) >= 2
        seen += [one["id"] for one in answer.json()["data"]]
        link = answer.headers.get("link")
        if link is not None:
            assert link.endswith('>; rel="next"') and "date_from=2020" in link
            path = link[1:].partition(">")[0].partition("/ocpi")[2]
    assert link is None and len(seen) == len(set(seen)) == 5
    beyond = party.get("/2.2.1/locations?offset=50")
    assert (beyond.json()["data"], beyond.headers["x-total-count"]) == ([], "5")
