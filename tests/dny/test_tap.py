"""The tap: what passes is exactly what was sent, whatever becomes of those who listen."""

import random
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from deploy.embedded import free_port
from ingest.ebike import tap as tap_module
from ingest.ebike.metrics import Metrics
from ingest.ebike.tap import Listener, Tap
from pilewatch.clock import utc_now
from pilewatch.dny import fields
from pilewatch.dny.frames import Frame, build
from pilewatch.store.pool import connect
from pilewatch.store.registry import load_registry
from tests.dny.conftest import REGISTRY
from tests.dny.parts import Modem, ask, settings_for, settlement, shown, tap
from tests.ingest.conftest import running, wait_until
from tests.ingest.conftest import settings_for as ingest_settings
from tests.parts import Mosquitto

NOWHERE = "postgresql://nobody@127.0.0.1:1/none"


class Upstream:
    """Somebody else's server: keeps what it gets, sends what it is told to."""

    def __init__(self) -> None:
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.port = self.listening.getsockname()[1]

    def accept(self) -> socket.socket:
        self.listening.settimeout(20)
        accepted, _ = self.listening.accept()
        accepted.settimeout(20)
        return accepted


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    made = Upstream()
    yield made
    made.listening.close()


@contextmanager
def deaf_tap(port: int) -> Iterator[Tap]:
    """A tap whose own side has neither database nor broker."""
    with tap(settings_for(NOWHERE, free_port()), port) as made:
        yield made


def _all(end: socket.socket) -> bytes:
    got = bytearray()
    while data := end.recv(65536):
        got += data
    return bytes(got)


def _exchange(port: int, upstream: Upstream, seed: int) -> None:
    """Random bytes both ways at once, in random pieces, each side ending in its own time."""
    rng = random.Random(seed)
    sent = [rng.randbytes(rng.randint(0, 400_000)), rng.randbytes(rng.randint(0, 400_000))]
    for place in range(2):  # with what we would understand among it
        sent[place] = sent[place][:999] + build(settlement_frame()) * 3 + sent[place][999:]
    modem = socket.create_connection(("127.0.0.1", port), timeout=20)
    server = upstream.accept()
    got: dict[int, bytes] = {}

    def send(end: socket.socket, data: bytes) -> None:
        at = 0
        while at < len(data):
            step = rng.randint(1, 9000)
            end.sendall(data[at : at + step])
            at += step
        end.shutdown(socket.SHUT_WR)

    def read(place: int, end: socket.socket) -> None:
        got[place] = _all(end)

    jobs = [
        threading.Thread(target=send, args=(modem, sent[0])),
        threading.Thread(target=send, args=(server, sent[1])),
        threading.Thread(target=read, args=(0, server)),
        threading.Thread(target=read, args=(1, modem)),
    ]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join(60)
    assert got == {0: sent[0], 1: sent[1]}


def settlement_frame() -> Frame:
    """Something that a listener understands."""
    return Frame(0x04AB373B, 7, fields.SETTLEMENT, settlement().write())


@pytest.mark.parametrize("seed", range(4))
def test_random_bytes_pass_bit_by_bit_both_ways(upstream: Upstream, seed: int) -> None:
    with deaf_tap(upstream.port) as made:
        _exchange(made.port, upstream, seed)


@pytest.mark.parametrize("how", ["stalls", "fails", "is slow and full"])
def test_bytes_flow_while_listening_fails(
    upstream: Upstream, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    released = threading.Event()

    def listen(*_: object) -> None:
        if how == "fails":
            raise RuntimeError("a bug of ours")
        released.wait(60)

    monkeypatch.setattr(tap_module, "_understand", listen)
    if how == "is slow and full":
        monkeypatch.setattr(tap_module, "_BEHIND_BYTES", 1000)
    try:
        with deaf_tap(upstream.port) as made:
            for seed in range(2):
                _exchange(made.port, upstream, seed)
            if how == "is slow and full":
                assert made.metrics.unheard._value.get() > 0
            released.set()
    finally:
        released.set()


def test_one_side_may_end_and_still_hear_the_other(upstream: Upstream) -> None:
    with deaf_tap(upstream.port) as made:
        modem = socket.create_connection(("127.0.0.1", made.port), timeout=20)
        server = upstream.accept()
        modem.sendall(b"last words")
        modem.shutdown(socket.SHUT_WR)
        assert _all(server) == b"last words"
        server.sendall(b"an answer")
        assert modem.recv(100) == b"an answer"
        server.close()
        assert modem.recv(100) == b""


def test_where_there_is_no_upstream_there_is_no_tap(upstream: Upstream) -> None:
    with deaf_tap(free_port()) as made:
        modem = Modem(made.port)
        assert modem.hung_up()


def test_a_side_that_breaks_off_breaks_the_other(upstream: Upstream) -> None:
    with deaf_tap(upstream.port) as made:
        modem = Modem(made.port)
        server = upstream.accept()
        server.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        server.close()
        assert modem.hung_up()
        wait_until(lambda: made.metrics.modems._value.get() == 0)


def test_a_listener_that_is_behind_takes_no_more_than_its_bound() -> None:
    settings = settings_for(NOWHERE, 1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tap_module, "_BEHIND_BYTES", 10_000)
        listener = Listener(settings, clock=utc_now, metrics=Metrics(CollectorRegistry()))
        ears = tap_module.Ears()
        for _ in range(100):
            listener.feed(ears, "up", bytes(1000))
        assert sum(len(piece.data) for piece in listener._pieces) == 10_000


@pytest.mark.mosquitto
def test_what_passes_is_seen_and_settlements_are_kept(
    plain_database_url: str, mosquitto: Mosquitto, upstream: Upstream, tmp_path: Path
) -> None:
    file = tmp_path / "registry.yaml"
    file.write_text(REGISTRY)
    url = plain_database_url
    with connect(url, application="test") as db:
        load_registry(db, file)
    with (
        running(ingest_settings(url, mosquitto.port)),
        tap(settings_for(url, mosquitto.port), upstream.port) as made,
    ):
        modem = Modem(made.port)
        server = upstream.accept()
        modem.beat(0, 7)
        wait_until(lambda: shown(url, "E1") == [("available", []), ("faulted", ["jammed-socket"])])
        modem.say(settlement())
        wait_until(lambda: ask(url, "SELECT session_id FROM charging_session"))
        server.settimeout(1)
        assert len(server.recv(1000)) > 40
        assert modem.hear(0.3) is None, "a tap answers nothing"
        modem.socket.close()
        wait_until(lambda: shown(url, "E1") == [])
