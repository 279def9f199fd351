"""How often programs may ask, and answers that are made once for many."""

import asyncio
import threading
import time
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import httpx
from starlette.types import Message, Receive, Scope, Send

from api.pace import Buckets
from api.remembered import Memory, Remembered
from pilewatch.store.pool import Db
from tests.api.conftest import World


def in_a_loop(story: Coroutine[Any, Any, None]) -> None:
    """In a thread of its own: a browser's test may have left a loop in this one."""
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, story).result()


class Hand:
    """A clock that a test moves."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_bucket_fills_evenly_and_says_when_to_come_again() -> None:
    clock = Hand()
    buckets = Buckets("address", 60, clock)
    for left in range(59, -1, -1):
        taken = buckets.take("a")
        assert taken is not None and (taken.remaining, taken.wait_s) == (left, 0)
    empty = buckets.take("a")
    assert empty is not None and (empty.remaining, empty.wait_s, empty.reset_s) == (0, 1, 60)
    assert empty.headers == {
        "RateLimit-Policy": '"address";q=60;w=60',
        "RateLimit": '"address";r=0;t=60',
    }
    other = buckets.take("b")
    assert other is not None and other.remaining == 59
    clock.now += 2.5
    later = buckets.take("a")
    assert later is not None and (later.remaining, later.wait_s) == (1, 0)
    clock.now += 3600
    rested = buckets.take("a")
    assert rested is not None and rested.remaining == 59
    assert Buckets("address", 0).take("a") is None


def test_programs_are_paced_by_address_or_known_key_and_pages_are_not(
    plain_db: Db, plain_database_url: str
) -> None:
    world = World(plain_db, plain_database_url, requests_per_address=12, requests_per_key=40)
    with world.client:
        first = world.ask(None, "GET", "/me")
        assert first.headers["ratelimit"] == '"address";r=11;t=5'
        assert first.headers["ratelimit-policy"] == '"address";q=12;w=60'
        known = world.ask("operator", "GET", "/me")  # not known yet: counts for the address
        assert known.headers["ratelimit"].startswith('"address";r=10')
        assert world.ask("operator", "GET", "/me").headers["ratelimit"] == '"key";r=39;t=2'
        made_up = [
            world.client.get("/api/v1/me", headers={"Authorization": f"Bearer pw_{n}"}).status_code
            for n in range(14)
        ]
        assert set(made_up[:9]) == {401} and set(made_up[11:]) == {429}
        refused = world.ask(None, "GET", "/sites")
        assert (refused.status_code, refused.headers["content-type"]) == (
            429,
            "application/problem+json",
        )
        assert 1 <= int(refused.headers["retry-after"]) <= 10
        assert refused.json()["type"].endswith(":too-many-requests")
        for path in ("/", "/healthz", "/static/pilewatch.css"):
            assert world.client.get(path).status_code == 200
        assert world.client.get("/open/sites.geojson").status_code == 429
        assert world.client.get("/ocpi/versions").status_code == 429
        assert world.ask("operator", "GET", "/me").status_code == 200


class Kitchen:
    """An application that counts how often it is asked, and answers when it is let."""

    def __init__(self) -> None:
        self.asked = 0
        self.let = asyncio.Event()
        self.status = 200

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.asked += 1
        body = b"%d" % self.asked
        await self.let.wait()
        headers = [(b"etag", b'"%s"' % body), (b"content-length", b"1")]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": body})


class Counter:
    """Asks through the memory."""

    def __init__(self) -> None:
        self.kitchen = Kitchen()
        self.clock = Hand()
        self.memory = Memory(self.clock)
        self.app = Remembered(self.kitchen, self.memory)

    async def ask(
        self, *headers: tuple[bytes, bytes], path: str = "/api/v1/sites", query: bytes = b""
    ) -> Message:
        """The answer: its start with the body."""
        said: list[Message] = []

        async def send(message: Message) -> None:
            said.append(message)

        async def receive() -> Message:
            raise AssertionError("nobody reads a body")

        scope = {"type": "http", "method": "GET", "path": path, "query_string": query,
                 "headers": list(headers)}  # fmt: skip
        await self.app(scope, receive, send)
        return {**said[0], "body": said[1]["body"]}


def test_many_who_ask_at_once_wait_for_one_answer_and_the_next_get_it_from_memory() -> None:
    async def story() -> None:
        c = Counter()
        waiting = [asyncio.create_task(c.ask()) for _ in range(20)]
        await asyncio.sleep(0)
        c.kitchen.let.set()
        assert {(await one)["body"] for one in waiting} == {b"1"}
        assert (await c.ask())["body"] == b"1"
        same = await c.ask((b"if-none-match", b'"1"'))
        assert (same["status"], same["body"]) == (304, b"")
        assert c.kitchen.asked == 1
        for own in ((b"authorization", b"x"), (b"cookie", b"x"), (b"cache-control", b"no-cache")):
            await c.ask(own)
        assert c.kitchen.asked == 4
        await c.ask(path="/api/v1/me")
        await c.ask(path="/api/v1/me")
        assert c.kitchen.asked == 6
        for query in (b"x=1", b"x=2"):
            await c.ask(path="/api/v1/connectors", query=query)
            await c.ask(path="/open/sites.geojson", query=query)
        assert c.kitchen.asked == 9  # there the query means nothing

    in_a_loop(story())


def test_nothing_older_than_a_second_is_told_and_a_change_brings_a_new_answer_soon() -> None:
    async def story() -> None:
        c = Counter()
        c.kitchen.let.set()
        await c.ask()
        c.memory.forget_state()
        assert (await c.ask())["body"] == b"1"  # nobody waits …
        await asyncio.sleep(0.01)
        assert (await c.ask())["body"] == b"2"  # … and the new one is there
        c.clock.now += 0.6
        await c.ask()
        await asyncio.sleep(0.01)
        assert (await c.ask())["body"] == b"3"
        c.clock.now += 1.0
        assert (await c.ask())["body"] == b"4"

    in_a_loop(story())


def test_an_answer_that_changed_while_it_was_made_is_made_again_and_errors_are_not_kept() -> None:
    async def story() -> None:
        c = Counter()
        first = asyncio.create_task(c.ask())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        c.memory.forget_state()
        c.kitchen.let.set()
        assert (await first)["body"] == b"1"
        await c.ask()
        await asyncio.sleep(0.01)
        assert (await c.ask())["body"] == b"2"
        c.clock.now += 5
        c.kitchen.status = 503
        assert (await c.ask())["status"] == 503
        c.kitchen.status = 200
        assert (await c.ask())["status"] == 200

    in_a_loop(story())


def test_memory_is_bounded_in_number_and_bytes() -> None:
    async def story() -> None:
        c = Counter()
        c.kitchen.let.set()
        for number in range(1200):
            await c.ask(path=f"/api/v1/sites/{number}/busy-hours")
        assert len(c.memory.kept) == 500
        assert c.memory.bytes == sum(len(a.body) for a in c.memory.kept.values())

    in_a_loop(story())


def test_a_change_that_the_database_announces_is_seen_at_once_by_everyone(world: World) -> None:
    with world.served():
        url = f"{world.base}/api/v1/connectors?site=s"
        world.community.heard(datetime.now(UTC))
        assert httpx.get(url).json()["items"][0]["status"] == "available"
        port = world.community.connectors[0]
        world.db.execute(
            "UPDATE connector_state SET status = 'charging' WHERE connector_id = %s", (port,)
        )
        world.db.execute("SELECT pg_notify('pilewatch_state', %s)", (str(port),))
        began = time.monotonic()
        while httpx.get(url).json()["items"][0]["status"] != "charging":
            assert time.monotonic() - began < 1.5
        assert threading.active_count() < 60
