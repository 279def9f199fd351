"""The live stream on a real server: changes arrive, slow readers and gaps get `reload`."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.live import RELOAD, Notices, Stream, Viewer
from api.people import RESIDENT, person_named
from deploy.embedded import EmbeddedPostgres, wait_for_port
from pilewatch.store.pool import Db, connect
from tests.api.conftest import World
from tests.conftest import make_database

Event = tuple[str, dict[str, Any]]


class Reader:
    """One stream's events, one by one."""

    def __init__(self, lines: Iterator[str]):
        self._lines = lines

    def next(self) -> Event:
        """The next event; comments are passed over."""
        event = ""
        for line in self._lines:
            if line.startswith("event: "):
                event = line[7:]
            elif line.startswith("data: "):
                return event, json.loads(line[6:])
        raise EOFError

    def until(self, event: str) -> dict[str, Any]:
        """The data of the next event of this kind."""
        while True:
            found, data = self.next()
            if found == event:
                return data


@contextlib.contextmanager
def stream(world: World, role: str | None = None, query: str = "") -> Iterator[Reader]:
    """A reader that has been greeted."""
    with (
        httpx.Client(timeout=15) as client,
        client.stream(
            "GET", f"{world.base}/api/v1/live{query}", headers=world.headers(role)
        ) as answer,
    ):
        assert answer.status_code == 200, answer.read()
        assert answer.headers["content-type"].startswith("text/event-stream")
        reader = Reader(answer.iter_lines())
        assert reader.next()[0] == "hello"
        yield reader


def test_a_change_arrives_within_a_second_as_the_lists_tell_it(both: World) -> None:
    port = both.community.connectors[1]
    with both.served(), stream(both) as reader:
        began = time.monotonic()
        both.db.execute("SELECT pg_notify('pilewatch_state', %s)", (str(port),))
        told = reader.until("connector")
        assert time.monotonic() - began < 1
        shown = httpx.get(f"{both.base}/api/v1/chargers/C0/connectors/2").json()
        assert {**told, "age_s": 0} == {**shown, "age_s": 0}


def test_staff_see_tickets_and_incidents_of_their_scope_and_others_only_connectors(
    world: World,
) -> None:
    with (
        world.served(),
        stream(world, "operator") as operator,
        stream(world, "repairer") as repairer,
        stream(world) as anyone,
    ):
        with world.db.transaction():
            foreign = world.ticket(connector=2)
            world.db.execute("UPDATE ticket SET company_id = NULL")
        own = world.ticket(connector=0)
        world.db.execute(
            "INSERT INTO incident (subject_kind, subject_id, site_id, code, family, severity, "
            "effect, detector, phase, started_at) SELECT 'site', id, id, 'power-loss', 'silence', "
            "2, 'out-of-order', 'silence', 'open', now() FROM site"
        )
        world.db.execute("SELECT pg_notify('pilewatch_incident', max(id)::text) FROM incident")
        seen: dict[str, list[Any]] = {"operator": [], "repairer": [], "anyone": []}
        while "incident" not in [event for event, _ in seen["operator"]]:
            event, data = operator.next()
            seen["operator"].append((event, data["id"]))
        world.db.execute("SELECT pg_notify('pilewatch_state', '1')")
        for name, reader in (("operator", operator), ("repairer", repairer), ("anyone", anyone)):
            while (found := reader.next())[0] != "connector":
                seen[name].append((found[0], found[1]["id"]))
        assert {("ticket", foreign), ("ticket", own)} <= set(seen["operator"])
        assert ("ticket", own) in seen["repairer"]
        assert ("ticket", foreign) not in seen["repairer"]
        assert seen["anyone"] == []


def test_a_ticket_message_tells_what_was_agreed(world: World) -> None:
    with world.served(), stream(world, "operator", "?site=s") as reader:
        id = world.ticket()
        assert reader.until("ticket") == {
            "id": id, "state": "open", "code": "relay-open", "severity": 2, "site": "s",
            "charger": "C0", "connector": 1, "version": 1,
        }  # fmt: skip


def test_whoever_is_shut_out_stops_hearing_at_once_and_the_others_go_on(world: World) -> None:
    id = person_named(world.db, "operator")["id"]
    with world.served(), stream(world, "operator") as reader, stream(world, "admin") as other:
        world.ask("admin", "PATCH", f"/persons/{id}", json={"active": False})
        with pytest.raises(EOFError):
            reader.until("never")
        ticket = world.ticket()
        assert other.until("ticket")["id"] == ticket
    assert world.ask("operator", "GET", "/live").status_code == 401


def test_an_unknown_site_has_no_stream(world: World) -> None:
    assert world.ask(None, "GET", "/live?site=nowhere").status_code == 404


def test_too_many_changes_or_words_that_nobody_knows_mean_reload(world: World) -> None:
    with world.served(), stream(world) as reader:
        for payload in ("*", "nonsense", ",".join(map(str, range(1, 500)))):
            world.db.execute("SELECT pg_notify('pilewatch_state', %s)", (payload,))
            assert reader.next() == ("reload", {})


def test_beyond_the_most_streams_comes_a_problem_and_a_place_is_free_again_afterwards(
    plain_db: Db, plain_database_url: str
) -> None:
    world = World(plain_db, plain_database_url, max_streams=1)
    with world.served():
        with stream(world):
            refused = httpx.get(f"{world.base}/api/v1/live")
            assert (refused.status_code, refused.headers["retry-after"]) == (503, "30")
            assert refused.headers["content-type"] == "application/problem+json"
        until = time.monotonic() + 5
        while True:
            with httpx.stream("GET", f"{world.base}/api/v1/live") as answer:
                if answer.status_code == 200:
                    break
            assert time.monotonic() < until, "the place did not become free"


def test_a_reader_that_stops_reading_gets_reload_and_costs_no_memory(
    plain_db: Db, plain_database_url: str
) -> None:
    world = World(plain_db, plain_database_url, chargers=150)
    everything = ",".join(map(str, world.community.connectors))
    with world.served() as made, socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.connect(("127.0.0.1", world.settings.api.port))
        slow.sendall(b"GET /api/v1/live HTTP/1.1\r\nHost: x\r\n\r\n")
        text = b""
        while b"hello" not in text:
            text += slow.recv(2000)
        [kept] = made.config.app.state.live._streams  # type: ignore[union-attr]
        most = 0
        until = time.monotonic() + 60
        while not (kept._waiting and kept._waiting[0] is RELOAD):
            assert time.monotonic() < until, "the reader never fell behind"
            world.db.execute("SELECT pg_notify('pilewatch_state', %s)", (everything,))
            most = max(most, len(kept._waiting))
        assert most <= 1000
        slow.settimeout(20)
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        while b"event: reload" not in text:
            text = text[-100:] + slow.recv(1 << 20)


def test_after_the_database_came_back_everyone_reloads_and_changes_arrive_again(
    parts_folder: Path,
) -> None:
    server = EmbeddedPostgres(parts_folder / "restarted", settings={"fsync": "off"}).start()
    try:
        url = make_database(server.url)
        with connect(url, application="test") as db:
            world = World(db, url)
        with world.served(), stream(world) as reader:
            server.stop()
            gone = httpx.get(f"{world.base}/readyz", timeout=10)
            assert (gone.status_code, gone.json()["status"]) == (503, 503)
            server.start()
            assert reader.until("reload") == {}
            with connect(url, application="test") as db:
                db.execute("SELECT pg_notify('pilewatch_state', '1')")
            assert reader.until("connector")["charger"] == "C0"
    finally:
        server.stop()


def test_sigterm_ends_streams_and_the_process_at_once(world: World) -> None:
    port = world.settings.api.port
    child = subprocess.Popen(
        [sys.executable, "-m", "deploy.command", "api"],
        env={
            **os.environ,
            "PILEWATCH_DATABASE__URL": world.url,
            "PILEWATCH_API__PORT": str(port),
        },
    )
    try:
        wait_for_port(port, child, "the API", 30)
        with stream(world) as reader:
            child.send_signal(signal.SIGTERM)
            with pytest.raises(EOFError):
                reader.until("never")
            assert child.wait(4) == 0
    finally:
        child.kill()


def test_a_full_queue_becomes_one_reload_and_goes_on_after_it() -> None:
    waiting = Stream(Viewer(RESIDENT, None))
    for number in range(1001):
        waiting.put(str(number).encode())
    waiting.put(b"more")
    assert list(waiting._waiting) == [RELOAD]


def test_notices_gather_ids_until_there_are_too_many() -> None:
    notices = Notices()
    notices.note("pilewatch_state", "3,4")
    notices.note("pilewatch_ticket", "7")
    assert (notices.connectors, notices.tickets, notices.everything) == ({3, 4}, {7}, False)
    notices.note("pilewatch_state", "*")
    assert notices.everything
