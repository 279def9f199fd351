"""Bytes of the broker, cut at any place, and bytes that are no MQTT."""

import socket

import pytest

from ingest.stream import Malformed, Publish, Stream, acknowledgements

V3 = b"\x33\x09\x00\x03a/b\x01\x02{}" + b"\x30\x07\x00\x03a/b{}"
V5 = b"\x3a\x0c\x00\x03a/b\x01\x02\x02\x01\x01{}"
PINGRESP = b"\xd0\x00"


def _read(packets: bytes, cut: int, *, v5: bool) -> tuple[list[Publish], list[bytes]]:
    ours, broker = socket.socketpair()
    with ours, broker:
        stream = Stream(ours, v5=v5)
        published, others = [], []
        for part in (packets[:cut], packets[cut:]):
            if part:
                broker.sendall(part)
                stream.fill()
            published += stream.publishes()
            while stream.other_waits():
                others.append(stream.recv(2))
                published += stream.publishes()
        return published, others


@pytest.mark.parametrize("cut", range(len(V3 + PINGRESP + V3) + 1))
def test_packets_come_whole_wherever_they_were_cut(cut: int) -> None:
    first = Publish(b"a/b", b"{}", 1, 0x102, True, False)
    second = Publish(b"a/b", b"{}", 0, 0, False, False)
    published, others = _read(V3 + PINGRESP + V3, cut, v5=False)
    assert published == [first, second, first, second]
    assert others == [PINGRESP]


def test_a_packet_of_mqtt_5_has_properties() -> None:
    published, _ = _read(V5, 5, v5=True)
    assert published == [Publish(b"a/b", b"{}", 1, 0x102, False, True)]


@pytest.mark.parametrize(
    "packet",
    [
        b"\x32\x02\x00\xff",
        b"\x32\x00",
        b"\x36\x09\x00\x03a/b\x01\x02{}",
        b"\x30\xff\xff\xff\xff\x01",
        b"\x30\x05\x00\x09a/b",
    ],
)
def test_what_is_no_mqtt_ends_the_connection(packet: bytes) -> None:
    with pytest.raises(Malformed, match="the broker sent"):
        _read(packet, 0, v5=False)


def test_acknowledgements_are_one_write() -> None:
    assert acknowledgements([1, 0x1234]) == b"\x40\x02\x00\x01\x40\x02\x12\x34"


def test_what_the_socket_does_not_take_at_once_is_sent_later() -> None:
    ours, broker = socket.socketpair()
    with ours, broker:
        ours.setblocking(False)
        stream = Stream(ours, v5=True)
        stream.send(b"x" * 5_000_000)
        stream.flush()
        assert stream.wants_write
        received = 0
        while stream.wants_write:
            received += len(broker.recv(1_000_000))
            stream.flush()
        ours.shutdown(socket.SHUT_WR)
        while part := broker.recv(1_000_000):
            received += len(part)
        assert received == 5_000_000
