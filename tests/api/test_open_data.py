"""GeoJSON, DATEX II, Atom, RSS and Open311, each as its public schema has it."""

from datetime import UTC, datetime, timedelta
from typing import Any
from xml.etree import ElementTree

import jsonschema
import pytest
from httpx import Response

from pilewatch.faultcodes import FAULTS
from tests.api import public_schemas as schemas
from tests.api.conftest import World, opens

ATOM = {"atom": "http://www.w3.org/2005/Atom"}
EGI = "{http://datex2.eu/schema/3/energyInfrastructure}"
FAC = "{http://datex2.eu/schema/3/facilities}"


@pytest.fixture
def place(world: World) -> World:
    """The site has everything that can be told of one; every pile has just been heard."""
    world.db.execute(
        "UPDATE site SET latitude = 32.13, longitude = 114.07, address = '万和路 <1> & 2', "
        "name = E'东门\\x01车棚'"
    )
    opens(world, "Mo-Su 06:00-24:00")
    world.db.execute("UPDATE connector SET max_power_w = 800")
    world.community.heard(datetime.now(UTC))
    return world


def test_geojson_has_every_site_and_how_its_ports_stand(place: World) -> None:
    place.ticket("plug-broken", connector=0)
    place.db.execute("INSERT INTO site (code, grid_id, name) SELECT 't', grid_id, 'T' FROM site")
    answer = place.client.get("/open/sites.geojson")
    assert answer.headers["content-type"] == "application/geo+json"
    jsonschema.validate(answer.json(), schemas.GEOJSON)
    first, second = answer.json()["features"]
    assert first["geometry"]["coordinates"] == [114.07, 32.13] and second["geometry"] is None
    told = first["properties"]
    assert (told["ports"], told["available"], told["out_of_order"]) == (6, 5, 1)


def test_datex_tells_what_stands_where_and_how_it_is_in_the_order_of_the_schema(
    place: World,
) -> None:
    ports = place.community.connectors
    place.db.execute(
        "UPDATE connector SET plug = 'GBT_DC', max_power_w = 60000 WHERE id = %s", (ports[4],)
    )
    place.db.execute("UPDATE connector SET max_power_w = NULL WHERE id = %s", (ports[5],))
    place.db.execute(
        "UPDATE connector_state SET status = 'charging' WHERE connector_id = %s", (ports[1],)
    )
    table = ElementTree.fromstring(place.client.get("/open/datex2/sites.xml").content)
    status = ElementTree.fromstring(place.client.get("/open/datex2/status.xml").content)
    for root in (table, status):
        schemas.check_datex(root)
        assert root.get("modelBaseVersion") == "3"
    words = [element.text for element in status.iter(f"{EGI}status")]
    assert words == ["available", "charging", "available", "available", "available", "available"]
    assert set(words) <= schemas.REFILL_POINT_STATUS
    known = {(e.get("id"), e.get("version")) for e in table.iter() if e.get("version")}
    references = {(e.get("id"), e.get("version")) for e in status.iter(f"{FAC}reference")}
    assert len(references) == 10 and references <= known
    plugs = [element.text for element in table.iter(f"{EGI}connectorType")]
    assert plugs == ["domesticI"] * 4 + ["other"]
    assert [e.text for e in table.iter(f"{EGI}otherConnector")] == ["GB/T 20234.3"]


def test_without_a_site_there_is_no_publication(world: World) -> None:
    world.db.execute("UPDATE connector SET active = false")
    assert world.client.get("/open/datex2/sites.xml").status_code == 404
    assert world.client.get("/open/sites.geojson").json()["features"][0]["properties"]["ports"] == 0


@pytest.mark.parametrize("language", ["en", "zh"])
def test_feeds_tell_what_broke_and_what_became_of_it(place: World, language: str) -> None:
    id = place.ticket("plug-broken", connector=1)
    atom = place.client.get(f"/open/sites/s/feed.atom?lang={language}")
    assert atom.headers["content-type"].startswith("application/atom+xml")
    feed = ElementTree.fromstring(atom.content)
    for need in ("id", "title", "updated", "author/atom:name", "entry/atom:id",
                 "entry/atom:title", "entry/atom:updated"):  # fmt: skip
        found = feed.find(f"atom:{need}", ATOM)
        assert found is not None and found.text, need
    assert feed.findtext("atom:entry/atom:id", None, ATOM) == f"urn:pilewatch:ticket:{id}"
    rss = ElementTree.fromstring(
        place.client.get(f"/open/sites/s/feed.rss?lang={language}").content
    )
    assert rss.get("version") == "2.0"
    for need in ("title", "link", "description", "item/title", "item/guid", "item/pubDate"):
        assert rss.findtext(f"channel/{need}"), need
    before = rss.findtext("channel/item/guid")
    place.ask("repairer", "POST", f"/tickets/{id}/accept")
    rss = ElementTree.fromstring(place.client.get("/open/sites/s/feed.rss").content)
    assert rss.findtext("channel/item/guid") != before
    assert place.client.get("/open/sites/nowhere/feed.rss").status_code == 404


# --- Open311


def ask(world: World, path: str, **query: Any) -> Response:
    """A GET of GeoReport."""
    answer: Response = world.client.get(f"/open311/v2/{path}", params=query)
    assert answer.status_code < 500, answer.text
    return answer


def report(world: World, format: str = "json", **fields: Any) -> Response:
    """A POST of GeoReport with a worker's key."""
    said = {"service_code": "no-output", "api_key": world.keys["grid_worker"], **fields}
    answer: Response = world.client.post(f"/open311/v2/requests.{format}", data=said)
    assert answer.status_code < 500, answer.text
    return answer


def test_services_and_their_definitions_come_in_both_formats(place: World) -> None:
    [endpoint] = place.client.get("/open311/discovery.json").json()["endpoints"]
    assert endpoint["url"].endswith("/open311/v2")
    assert endpoint["formats"] == ["text/xml", "application/json"]
    found = ElementTree.fromstring(place.client.get("/open311/discovery.xml").content)
    assert found.tag == "discovery" and found.findtext("endpoints/endpoint/url") == endpoint["url"]
    formats = [e.text for e in found.findall("endpoints/endpoint/formats/format")]
    assert formats == endpoint["formats"]
    services = ask(place, "services.json", lang="en").json()
    jsonschema.validate(services, schemas.SERVICES)
    assert {one["service_code"] for one in services} == set(FAULTS)
    listed = ElementTree.fromstring(ask(place, "services.xml").content)
    assert listed.tag == "services" and len(listed.findall("service/service_code")) == len(FAULTS)
    one = ask(place, "services/no-output.json").json()
    jsonschema.validate(one, schemas.DEFINITION)
    written = ElementTree.fromstring(ask(place, "services/no-output.xml").content)
    assert written.tag == "service_definition"
    codes = [e.text for e in written.findall("attributes/attribute/code")]
    assert codes == [attribute["code"] for attribute in one["attributes"]]
    unknown = ask(place, "services/teapot.json")
    assert unknown.status_code == 404
    assert unknown.json()[0]["code"] == "404"
    said = ElementTree.fromstring(ask(place, "services/teapot.xml").content)
    assert (said.tag, said.findtext("error/code")) == ("errors", "404")
    assert ask(place, "services.json", jurisdiction_id="elsewhere").status_code == 404
    assert ask(place, "services.json", jurisdiction_id="pilewatch").status_code == 200
    assert ask(place, "services.yaml").status_code == 422


def test_a_report_from_another_app_becomes_a_ticket_and_its_story_is_told(place: World) -> None:
    fields = {"lat": "32.1305", "long": "114.0702", "attribute[charger]": "C0",
              "attribute[connector]": "2", "description": "没反应", "phone": "13800000000",
              "email": "a@b.example", "first_name": "张"}  # fmt: skip
    made = report(place, **fields)
    assert made.status_code == 201, made.text
    id = made.json()[0]["service_request_id"]
    told = ask(place, f"requests/{id}.json", lang="en").json()
    jsonschema.validate(told, schemas.REQUESTS)
    assert (told[0]["status"], told[0]["address_id"]) == ("open", "C0")
    assert "没反应" not in str(told) and "13800000000" not in str(told)
    kept = place.db.execute("SELECT source, note FROM report").fetchone()
    assert kept == {"source": "open311", "note": "没反应"}
    dumped = str(place.db.execute("SELECT r::text, t::text FROM report r, ticket t").fetchall())
    assert "13800000000" not in dumped and "a@b.example" not in dumped
    written = ElementTree.fromstring(ask(place, f"requests/{id}.xml").content)
    assert written.findtext("request/service_request_id") == id
    assert written.findtext("request/address") == "万和路 <1> & 2 x 2"
    token = made.json()[0]["service_notice"].rpartition("/")[2]
    assert ask(place, f"tokens/{token}.json").json() == [{"token": token, "service_request_id": id}]
    assert ask(place, "tokens/nothing.xml").status_code == 404
    again = ElementTree.fromstring(report(place, "xml", **fields).content)
    assert again.findtext("request/service_request_id") == id
    place.ask("operator", "POST", f"/tickets/{id}/reject", json={"reason": "a test"})
    assert ask(place, f"requests/{id}.json").json()[0]["status"] == "closed"


WRONG: list[tuple[dict[str, str], int, str]] = [
    ({"api_key": ""}, 403, "api_key"),
    ({"api_key": "pw_nobody"}, 403, "api_key"),
    ({"jurisdiction_id": "elsewhere"}, 404, "jurisdiction_id"),
    ({"service_code": ""}, 400, "service_code"),
    ({"service_code": "teapot"}, 404, "service_code"),
    ({}, 400, "lat and long"),
    ({"lat": "nan", "long": "114"}, 400, "lat, long"),
    ({"lat": "32.13"}, 400, "lat, long"),
    ({"lat": "95", "long": "1"}, 400, "lat, long"),
    ({"lat": "32.2", "long": "114.07"}, 404, "300 m"),
    ({"address_id": "nowhere"}, 404, "address_id"),
    ({"address_id": "x\0"}, 404, "address_id"),
    ({"address_id": "s", "attribute[connector]": "1"}, 400, "attribute[charger]"),
    ({"address_id": "C0", "attribute[connector]": "0x1"}, 400, "attribute[connector]"),
    ({"address_id": "C0", "attribute[connector]": "77"}, 404, "no such pile"),
    ({"address_id": "s", "attribute[charger]": "C9"}, 404, "no such pile"),
    ({"address_id": "C0", "description": "x" * 4001}, 400, "description"),
]


def test_what_does_not_fit_is_refused_in_the_words_of_the_standard(place: World) -> None:
    for fields, status, told in WRONG:
        answer = report(place, **fields)
        assert answer.status_code == status, (fields, answer.text)
        [error] = answer.json()
        assert error["code"] == str(status) and told in error["description"], fields
    assert place.db.execute("SELECT FROM report").fetchall() == []


def test_lists_of_requests_keep_to_ninety_days_and_to_what_was_asked(place: World) -> None:
    old, new = place.ticket("plug-broken", 0), place.ticket("relay-open", 1)
    place.db.execute(
        "UPDATE ticket SET opened_at = opened_at - interval '100 days' WHERE id = %s", (old,)
    )

    def ids(**query: Any) -> list[int]:
        answer = ask(place, "requests.json", **query)
        jsonschema.validate(answer.json(), schemas.REQUESTS)
        return [int(one["service_request_id"]) for one in answer.json()]

    now = datetime.now(UTC)
    long_ago = (now - timedelta(days=110)).isoformat()
    assert ids() == [new]
    assert ids(start_date=long_ago) == [old]
    assert ids(start_date=long_ago, end_date=now.isoformat()) == [new]
    assert ids(end_date=(now - timedelta(days=95)).isoformat()) == [old]
    assert ids(service_request_id=f"{old},{new}") == [new, old]
    assert ids(service_code="relay-open,no-output") == [new]
    assert ids(service_code="no-output") == [] == ids(status="closed")
    assert ids(status="open,closed") == [new]
    for wrong in ({"status": "gone"}, {"start_date": "soon"}, {"end_date": "0001-01-01T00:00:00Z"}):
        assert ask(place, "requests.json", **wrong).status_code == 400, wrong
    assert ask(place, "requests/x.json").status_code == 404
    assert ask(place, "requests.json", service_request_id="1,x").status_code == 404
    place.db.execute(
        "INSERT INTO ticket (subject_kind, subject_id, site_id, code, family, severity, state, "
        "opened_at, deadline_at) SELECT 'site', id, id, 'blocked', 'f' || n, 3, 'open', now(), "
        "now() FROM site, generate_series(1, 1005) n"
    )
    assert len(ids()) == 1000


def test_a_body_that_is_no_form_is_refused_and_no_entity_is_ever_expanded(place: World) -> None:
    bomb = b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><x>&b;</x>'
    for kind in (
        "text/xml",
        "application/xml",
        "application/json",
        "multipart/form-data; boundary=x",
    ):
        answer = place.client.post(
            "/open311/v2/requests.xml", content=bomb, headers={"Content-Type": kind}
        )
        assert 400 <= answer.status_code < 500, kind
        assert b"aaaaaaaa" not in answer.content
