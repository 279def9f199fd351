"""OCPI 2.2.1 credentials: a party registers, renews and leaves, with a server of its own."""

import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from httpx import Response

from pilewatch.settings import Alerts
from pilewatch.store.pool import Db
from tests.api.conftest import World


def _coded(token: str) -> str:
    return f"Token {base64.b64encode(token.encode()).decode()}"


class Hub:
    """A party's own server: versions, and the modules of one."""

    def __init__(self) -> None:
        self.token = "hub-token-1"
        self.asked: list[tuple[str, str | None]] = []
        self.answers: dict[str, bytes] = {}
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                hub.asked.append((self.path, self.headers.get("Authorization")))
                known = self.headers.get("Authorization") == _coded(hub.token)
                body = hub.answers.get(self.path, b"") if known else b"{}"
                self.send_response(200 if known else 401)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                return

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.says("/versions", [{"version": "2.1.1", "url": f"{self.url}/old"},
                                {"version": "2.2.1", "url": f"{self.url}/new"}])  # fmt: skip
        self.push = f"{self.url}/emsp/locations"
        self.says("/new", {"version": "2.2.1", "endpoints": [
            {"identifier": "locations", "role": "SENDER", "url": f"{self.url}/wrong"},
            {"identifier": "locations", "role": "RECEIVER", "url": self.push},
        ]})  # fmt: skip

    def says(self, path: str, data: Any) -> None:
        """What is answered there from now on."""
        self.answers[path] = json.dumps(
            {"data": data, "status_code": 1000, "timestamp": "2026-05-01T00:00:00Z"}
        ).encode()

    def credentials(self, **other: Any) -> dict[str, Any]:
        """What the hub says of itself."""
        role = {"role": "HUB", "party_id": "HUB", "country_code": "CN",
                "business_details": {"name": "信阳漫游"}}  # fmt: skip
        return {"token": self.token, "url": f"{self.url}/versions", "roles": [role], **other}


@pytest.fixture
def hub() -> Iterator[Hub]:
    """One that runs."""
    hub = Hub()
    threading.Thread(target=hub.server.serve_forever, daemon=True).start()
    yield hub
    hub.server.shutdown()
    hub.server.server_close()


@pytest.fixture
def near(plain_db: Db, plain_database_url: str) -> Iterator[World]:
    """Parties may be on this machine."""
    made = World(plain_db, plain_database_url, alerts=Alerts(private_webhooks=True))
    with made.client:
        yield made


def ask(world: World, method: str, token: str, body: Any = None, **more: Any) -> Response:
    """One request about credentials."""
    sent = {"json": body} if body is not None else more
    answer: Response = world.client.request(
        method, "/ocpi/2.2.1/credentials", headers={"Authorization": _coded(token)}, **sent
    )
    assert answer.status_code < 500, answer.text
    return answer


def let_in(world: World) -> str:
    """An admin lets a party in; gives its first token."""
    made = world.ask("admin", "POST", "/ocpi-parties", json={"name": "hub"}).json()
    token: str = made["token"]
    return token


def listed(world: World) -> list[Any]:
    """The parties that an admin sees."""
    found: list[Any] = world.ask("admin", "GET", "/ocpi-parties").json()["items"]
    return found


def test_a_party_registers_renews_and_leaves(near: World, hub: Hub) -> None:
    first = let_in(near)
    assert ask(near, "GET", first).json()["data"]["token"] == first
    assert ask(near, "PUT", first, hub.credentials()).status_code == 405
    answer = ask(near, "POST", first, hub.credentials())
    ours = answer.json()["data"]
    assert answer.json()["status_code"] == 1000 and ours["roles"][0]["role"] == "CPO"
    assert hub.asked == [(path, _coded(hub.token)) for path in ("/versions", "/new")]
    assert ask(near, "GET", first).status_code == 401, "the first token has ended"
    second = ours["token"]
    again = ask(near, "POST", second, hub.credentials())
    assert (again.status_code, again.headers["allow"]) == (405, "GET, PUT, DELETE")
    versions = near.client.get(ours["url"].removeprefix(str(near.client.base_url)),
                               headers={"Authorization": _coded(second)})  # fmt: skip
    assert versions.json()["data"][0]["version"] == "2.2.1"
    [party] = listed(near)
    assert party["push_url"] == hub.push and party["registered_at"]
    assert party["roles"][0]["business_details"]["name"] == "信阳漫游"
    row = near.db.execute("SELECT push_token FROM ocpi_party").fetchone()
    seal = near.settings.sealing.seal()
    assert row is not None and seal.open(row["push_token"]) == hub.token

    hub.token = "hub-token-2"
    third = ask(near, "PUT", second, hub.credentials()).json()["data"]["token"]
    assert ask(near, "GET", second).status_code == 401
    assert ask(near, "DELETE", third).status_code == 200
    assert ask(near, "GET", third).status_code == 401 and listed(near) == []
    steps = near.db.execute(
        "SELECT action FROM audit WHERE action LIKE 'ocpi-party.%' ORDER BY id"
    ).fetchall()
    assert [row["action"].split(".")[1] for row in steps][-3:] == ["register", "renew", "leave"]


@pytest.mark.parametrize(
    ("wrong", "status", "code"),
    [
        ({"token": ""}, 200, 2001),
        ({"token": "a b"}, 200, 2001),
        ({"url": "ftp://x"}, 200, 2001),
        ({"roles": []}, 200, 2001),
        ({"roles": [{"role": "KING"}]}, 200, 2001),
        ({"url": "http://127.0.0.1:9/"}, 200, 3001),
        ({"token": "another"}, 200, 3001),
    ],
)
def test_what_is_wrong_registers_nobody(
    near: World, hub: Hub, wrong: dict[str, Any], status: int, code: int
) -> None:
    token = let_in(near)
    answer = ask(near, "POST", token, hub.credentials(**wrong))
    assert (answer.status_code, answer.json()["status_code"]) == (status, code), answer.text
    assert ask(near, "GET", token).status_code == 200, "its first token still counts"


def test_hostile_answers_of_a_party_are_refused(near: World, hub: Hub) -> None:
    token = let_in(near)
    for body in (b"", b"[]", b"{}", b"null", b"\xff", b'{"data": {}}', b"[" * 100_000,
                 b'{"data": [{"version": 2, "url": 3}]}', b" " * 300_000):  # fmt: skip
        hub.answers["/versions"] = body
        answer = ask(near, "POST", token, hub.credentials())
        assert answer.json()["status_code"] == 3001, body[:20]
    hub.says("/versions", [{"version": "2.1.1", "url": "x"}])
    assert ask(near, "POST", token, hub.credentials()).json()["status_code"] == 3002
    for body in (b"", b"{", b"\xff", b"[" * 100_000):
        assert ask(near, "POST", token, content=body).status_code == 400, body[:20]


def test_a_party_is_read_only_on_the_public_internet(world: World, hub: Hub) -> None:
    token = let_in(world)
    answer = ask(world, "POST", token, hub.credentials())
    assert answer.json()["status_code"] == 3001 and "public" in answer.json()["status_message"]
    assert hub.asked == []
