"""The tap: what passes is untouched, whatever it is; what is heard is published aside."""

import json
import random
import socket
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.frames import Frame, Opcode
from websockets.sync.server import ServerConnection, serve

from deploy.embedded import free_port
from ingest.ocpp.eavesdrop import Eavesdropper
from ingest.ocpp.line import Line
from ingest.ocpp.metrics import Metrics
from ingest.ocpp.passing import Inflater, Passed, Splitter
from pilewatch.clock import utc_now
from pilewatch.settings import Mqtt
from tests.ingest.conftest import wait_until
from tests.ocpp.conftest import basic, ears, pile, tap
from tests.parts import Mosquitto

SHAKEN = b"HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Protocol: ocpp1.6\r\n\r\n"


@contextmanager
def system(answer: Callable[[ServerConnection], None], **more: object) -> Iterator[int]:
    """Another OCPP system on the `websockets` library; gives its port."""
    with serve(answer, "127.0.0.1", 0, subprotocols=["ocpp1.6"], **more) as server:  # type: ignore[arg-type]
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.socket.getsockname()[1]
        server.shutdown()
        thread.join(10)


def answers_all(socket: ServerConnection) -> None:
    """Says yes to everything; closes with 4001 when it is told `bye`."""
    for message in socket:
        if message == "bye":
            return socket.close(4001, "as you wish")
        frame = json.loads(message)
        said = {"interval": 300, "transactionId": 42, "idTagInfo": {"status": "Accepted"}}
        socket.send(json.dumps([3, frame[1], said]))
    return None


def _receive(socket: socket.socket, size: int) -> bytes:
    data = bytearray()
    while len(data) < size and (more := socket.recv(65536)):
        data += more
    return bytes(data)


def test_the_very_bytes_pass_both_ways(mosquitto: Mosquitto) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    rng = random.Random(1)
    up, down = rng.randbytes(700_000), rng.randbytes(900_000)
    with tap(mosquitto.port, listener.getsockname()[1], "/base") as running:
        charger = socket.create_connection(("127.0.0.1", running.port), 10)
        charger.sendall(b"GET /ocpp/C%31?x=1 HTTP/1.1\r\nHOST: tap:1\r\nX-Odd:  \xff\r\n\r\n")
        there, _ = listener.accept()
        there.settimeout(10)
        host = f"127.0.0.1:{listener.getsockname()[1]}".encode()
        wanted = (b"GET /base/ocpp/C%31?x=1 HTTP/1.1\r\nHost: " + host
                  + b"\r\nX-Odd:  \xff\r\n\r\n")  # fmt: skip
        assert _receive(there, len(wanted)) == wanted
        sending = [
            threading.Thread(target=charger.sendall, args=(up,)),
            threading.Thread(target=there.sendall, args=(SHAKEN + down,)),
        ]
        got: dict[str, bytes] = {}
        reading = [
            threading.Thread(target=lambda: got.update(up=_receive(there, len(up)))),
            threading.Thread(target=lambda: got.update(down=_receive(charger, len(SHAKEN + down)))),
        ]
        for thread in sending + reading:
            thread.start()
        for thread in sending + reading:
            thread.join(30)
        assert got == {"up": up, "down": SHAKEN + down}
        charger.close()
        assert there.recv(1) == b""
        there.close()
    listener.close()


@pytest.mark.parametrize("compression", ["deflate", None])
def test_what_is_overheard_is_published(mosquitto: Mosquitto, compression: str | None) -> None:
    now = datetime.now(UTC).isoformat()
    with (
        system(answers_all, compression=compression) as upstream,
        tap(mosquitto.port, upstream) as running,
        ears(mosquitto.port) as heard,
    ):
        with pile(running.port, "T1", compression=compression) as p:
            p.call("BootNotification", {"chargePointVendor": "V", "chargePointModel": "M"})
            assert heard.next("T1 online", vendor="V")["heartbeatS"] == 300
            fault = {"connectorId": 1, "status": "Faulted", "errorCode": "HighTemperature"}
            p.call("StatusNotification", fault)
            assert heard.next("T1 status/1")["errors"][0]["code"] == "over-temperature"
            assert p.socket.ping().wait(10)
            start = {"connectorId": 1, "idTag": "SECRET", "meterStart": 10, "timestamp": now}
            p.call("StartTransaction", start)
            assert heard.next("T1 session", phase="started")["sessionId"] == "42"
            p.call("StopTransaction", {"transactionId": 42, "meterStop": 60, "timestamp": now})
            assert heard.next("T1 session", phase="ended")["energyWh"] == 50
            p.socket.send("bye")
            with pytest.raises(ConnectionClosed) as closed:
                p.socket.recv(timeout=10)
            assert (closed.value.rcvd and closed.value.rcvd.code) == 4001
        heard.next("T1 online", online=False)


def test_a_refusal_goes_through_and_an_absent_upstream_is_told(mosquitto: Mosquitto) -> None:
    def teapot(socket: ServerConnection, request: object) -> object:
        assert request.headers["Authorization"] == basic("T1")["Authorization"]  # type: ignore[attr-defined]
        return socket.respond(418, "no coffee\n")  # type: ignore[arg-type]

    with (
        system(answers_all, process_request=teapot) as upstream,
        tap(mosquitto.port, upstream) as running,
        pytest.raises(InvalidStatus) as refused,
        pile(running.port, "T1"),
    ):
        pass
    assert refused.value.response.status_code == 418
    with (
        tap(mosquitto.port, free_port()) as running,
        pytest.raises(InvalidStatus) as refused,
        pile(running.port, "T1"),
    ):
        pass
    assert refused.value.response.status_code == 502


def test_without_broker_everything_passes(mosquitto: Mosquitto) -> None:
    with (
        system(answers_all) as upstream,
        tap(free_port(), upstream) as running,
        pile(running.port, "T1") as p,
    ):
        for _ in range(50):
            assert p.call("Heartbeat", {})["interval"] == 300


@pytest.fixture
def forgetful(tmp_path: Path) -> Iterator[Mosquitto]:
    """A broker for thousands of messages; one that saves each change needs half a minute."""
    broker = Mosquitto(tmp_path / "mosquitto", extra="persistence false").start()
    yield broker
    broker.stop()


def test_a_stalled_listener_drops_on_its_own_side_and_catches_up(forgetful: Mosquitto) -> None:
    metrics = Metrics(CollectorRegistry())
    line = Line(Mqtt(host="127.0.0.1", port=forgetful.port), "stalled", metrics)
    line.client.connect("127.0.0.1", forgetful.port)
    line.client.loop_start()
    listening = Eavesdropper(line, clock=utc_now, metrics=metrics)
    ear = listening.listen("T2")
    ear.from_upstream(SHAKEN)
    beat = Frame(Opcode.TEXT, b'[2,"1","Heartbeat",{}]').serialize(mask=True)
    for _ in range(12_000):  # nobody reads yet
        ear.from_charger(beat)
    dropped = metrics.dropped.labels("no room")
    assert dropped._value.get() == 2_001  # the first place is taken by the connection itself
    with ears(forgetful.port) as heard:
        listening.start()
        wait_until(lambda: listening._heard.qsize() < 5_000)
        free = {"connectorId": 3, "status": "Available", "errorCode": "NoError"}
        last = json.dumps([2, "2", "StatusNotification", free])
        ear.from_charger(Frame(Opcode.TEXT, last.encode()).serialize(mask=True))
        heard.next("T2 status/3")
    listening.stop()
    line.stop()


@given(
    st.lists(st.tuples(st.binary(max_size=300), st.booleans(), st.booleans()), max_size=6),
    st.randoms(use_true_random=False),
)
def test_messages_are_found_however_the_bytes_come(
    sent: list[tuple[bytes, bool, bool]], rng: random.Random
) -> None:
    squeeze = zlib.compressobj(wbits=-15)
    wire = b""
    for data, compress, halved in sent:
        squeezed, body = compress and bool(data), data
        if squeezed:
            body = (squeeze.compress(data) + squeeze.flush(zlib.Z_SYNC_FLUSH))[:-4]
        cut = rng.randrange(len(body) + 1) if halved else len(body)
        first = Frame(Opcode.TEXT, body[:cut], fin=not halved).serialize(mask=True)
        wire += bytes([first[0] | 0x40 * squeezed]) + first[1:]
        wire += Frame(Opcode.PING, b"x").serialize(mask=True)
        if halved:
            wire += Frame(Opcode.CONT, body[cut:]).serialize(mask=True)
    splitter, found = Splitter(), list[Passed]()
    while wire:
        step = rng.randrange(1, 50)
        found += splitter.feed(wire[:step])
        wire = wire[step:]
    inflater = Inflater(keeps_context=True)
    assert [inflater.read(passed) for passed in found] == [data for data, _, _ in sent]


def test_a_message_too_long_to_keep_is_left_out_and_the_next_is_read() -> None:
    splitter = Splitter()
    long = Frame(Opcode.BINARY, b"x" * 400_000).serialize(mask=True)
    wire = long + Frame(Opcode.TEXT, b"next").serialize(mask=True)
    found = [m for start in range(0, len(wire), 7000) for m in splitter.feed(wire[start:][:7000])]
    assert [Inflater(keeps_context=True).read(m) for m in found] == [b"next"]
    assert splitter.too_long == 1
