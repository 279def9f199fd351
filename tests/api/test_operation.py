"""Caching, places, health and figures."""

import socket
import time
from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

from api.app import create_app
from deploy.embedded import EmbeddedPostgres
from pilewatch.settings import Database, Settings
from tests.api.conftest import World


@pytest.mark.parametrize("path", ["/sites", "/chargers", "/connectors", "/tickets", "/incidents"])
def test_a_list_that_has_not_changed_is_not_sent_again(world: World, path: str) -> None:
    world.ticket()
    first = world.ask("operator", "GET", path)
    same = {"If-None-Match": first.headers["etag"]}
    again = world.ask("operator", "GET", path, headers=dict(same))
    assert (again.status_code, again.content) == (304, b"")
    world.community.heard(world.community.db.execute("SELECT now() AS t").fetchone()["t"])  # type: ignore[index]
    world.ticket("plug-broken", connector=3)
    changed = world.ask("operator", "GET", path, headers=dict(same))
    assert changed.status_code == (304 if path == "/incidents" else 200)


def test_what_staff_see_is_kept_in_no_cache_and_public_state_is_asked_again(world: World) -> None:
    assert world.ask("operator", "GET", "/tickets").headers["cache-control"] == "no-store"
    assert world.ask(None, "GET", "/sites").headers["cache-control"] == "no-cache"
    assert world.ask(None, "GET", "/tickets").headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("place", "status"),
    [
        ({"site": "s"}, 201),
        ({"charger": "C0"}, 201),
        ({"site": "s", "charger": "C0", "connector": 2}, 201),
        ({"site": "t", "charger": "C0"}, 422),
        ({"site": "s", "charger": "nobody"}, 422),
        ({"charger": "C0", "connector": 7}, 422),
        ({"site": "nowhere"}, 422),
        ({"site": "s", "connector": 1}, 422),
        ({}, 422),
    ],
)
def test_a_place_is_what_is_named_and_nothing_near_it(
    world: World, place: dict[str, object], status: int
) -> None:
    world.db.execute(
        "INSERT INTO site (code, grid_id, name) SELECT 't', grid_id, 'T' FROM site WHERE code = 's'"
    )
    answer = world.ask(None, "POST", "/reports", json={**place, "code": "no-output"})
    assert answer.status_code == status
    kept = world.db.execute("SELECT charger_id, connector_id FROM report").fetchall()
    known = {"charger": "charger_id", "connector": "connector_id"}
    for row in kept:
        assert all((row[column] is not None) == (word in place) for word, column in known.items())


def test_a_database_without_the_schema_is_not_ready(postgres: EmbeddedPostgres) -> None:
    app = create_app(Settings(database=Database(url=postgres.url)))
    with TestClient(app) as client:
        answer = client.get("/readyz")
    assert answer.status_code == 503
    assert "migrate" in answer.json()["detail"]


def test_a_database_that_says_nothing_is_told_within_three_seconds() -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = f"postgresql://nobody@127.0.0.1:{mute.getsockname()[1]}/x"
        app = create_app(Settings(database=Database(url=url)))
        client = TestClient(app, raise_server_exceptions=False)
        began = time.monotonic()
        answer = client.get("/readyz")
        took = time.monotonic() - began
        app.state.context.pool.close()
    assert (answer.status_code, took < 3) == (503, True)
    assert answer.headers["content-type"] == "application/problem+json"


def test_requests_are_counted_by_template_and_nothing_else(world: World) -> None:
    world.ask(None, "GET", "/sites/s")
    world.ask(None, "GET", "/sites/t")
    world.client.request("HACK", "/somewhere/else")
    text = world.client.get("/metrics").text
    requests = "pilewatch_api_requests_total"
    assert f'{requests}{{method="GET",route="/api/v1/sites/{{code}}",status="200"}} 1.0' in text
    assert f'{requests}{{method="GET",route="/api/v1/sites/{{code}}",status="404"}} 1.0' in text
    assert f'{requests}{{method="other",route="unmatched",status="404"}} 1.0' in text
    assert "pilewatch_api_request_seconds_bucket" in text
    assert "pilewatch_api_streams 0.0" in text
    assert 'pilewatch_api_pool{figure="pool_size"}' in text


def test_a_body_beyond_the_limit_is_refused_before_it_is_read(world: World) -> None:
    huge = b'{"charger": "' + b"x" * 300_000 + b'"}'
    answer = world.client.post("/api/v1/reports", content=huge)
    assert answer.status_code == 413
    assert answer.headers["content-type"] == "application/problem+json"

    def pieces() -> Iterator[bytes]:
        for _ in range(40):
            yield b" " * 10_000

    assert world.client.post("/api/v1/reports", content=pieces()).status_code == 413
