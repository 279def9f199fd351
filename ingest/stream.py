"""The bytes between us and the broker: read ahead, written together.

paho reads each packet in three calls of the system, writes each acknowledgement in one, and
makes some thirty objects of a PUBLISH. So PUBLISH and PUBACK, which are nearly all of the
traffic, are read and written here in bulk, and paho gets every other packet, whole.
"""

import socket
import ssl
import struct
from collections.abc import Iterable, Iterator
from typing import NamedTuple

_READ_BYTES = 256 * 1024
_PUBLISH = 0x30
_MID = struct.Struct(">H")
_LATER = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class Malformed(ValueError):
    """The broker sent what is no MQTT; the connection is of no further use."""


class Publish(NamedTuple):
    """One PUBLISH packet. `mid` is 0 for QoS 0."""

    topic: bytes
    payload: bytes
    qos: int
    mid: int
    retain: bool
    dup: bool


def acknowledgements(mids: Iterable[int]) -> bytes:
    """A PUBACK for each of these; the same bytes in MQTT 3.1.1 and 5."""
    return b"".join([b"\x40\x02" + mid.to_bytes(2, "big") for mid in mids])


class Stream:
    """Stands before a connected socket, in the calling thread alone; paho takes it for one."""

    def __init__(self, transport: socket.socket, *, v5: bool):
        self._transport = transport
        self._v5 = v5
        self._ahead = b""
        self._start = 0
        self._unsent = bytearray()
        self.broken = False
        """The other side is gone; the next `recv` tells how."""

    # --- what paho and select use

    def fileno(self) -> int:
        """Of the socket."""
        return self._transport.fileno()

    def setblocking(self, flag: bool) -> None:
        """As the socket's."""
        self._transport.setblocking(flag)

    def pending(self) -> int:
        """Bytes that TLS has decrypted and select does not see."""
        return self._transport.pending() if isinstance(self._transport, ssl.SSLSocket) else 0

    def recv(self, size: int) -> bytes:
        """For paho: of what was read ahead, else of the socket."""
        if self._start == len(self._ahead):
            return self._transport.recv(size)
        taken = self._ahead[self._start : self._start + size]
        self._start += len(taken)
        return taken

    def send(self, data: bytes) -> int:
        """Keep for the next `flush`."""
        self._unsent += data
        return len(data)

    def close(self) -> None:
        """Send what can be sent at once, and close."""
        self.flush()
        self._transport.close()

    # --- what the link uses

    @property
    def wants_write(self) -> bool:
        """Whether something waits for `flush`."""
        return bool(self._unsent)

    def flush(self) -> None:
        """Send as much as the socket takes now."""
        try:
            while self._unsent:
                del self._unsent[: self._transport.send(self._unsent)]
        except _LATER:
            pass
        except OSError:
            self.broken = True
            self._unsent.clear()

    def fill(self) -> None:
        """Read what lies ready, up to a bound."""
        try:
            data = self._transport.recv(_READ_BYTES)
        except _LATER:
            return
        except OSError:
            data = b""
        if data:
            self._ahead = self._ahead[self._start :] + data
        else:
            self.broken, self._ahead = True, b""
        self._start = 0

    def other_waits(self) -> bool:
        """Whether a whole packet of another type than PUBLISH is next."""
        ahead, start = self._ahead, self._start
        if start == len(ahead) or ahead[start] & 0xF0 == _PUBLISH:
            return False
        body, length = _number(ahead, start + 1)
        return 0 <= body + length <= len(ahead) if body else False

    def publishes(self) -> Iterator[Publish]:
        """Each PUBLISH that lies here whole, up to a packet of another type."""
        ahead, size = self._ahead, len(self._ahead)
        start = self._start
        while start < size and ahead[start] & 0xF0 == _PUBLISH:
            body, length = _number(ahead, start + 1)
            end = body + length
            if not body or end > size:
                return
            self._start = end
            yield self._publish(ahead[start], ahead, body, end)
            start = end

    def _publish(self, head: int, packet: bytes, at: int, end: int) -> Publish:
        qos = head >> 1 & 3
        try:
            topic_end = at + 2 + _MID.unpack_from(packet, at)[0]
            topic, mid, at = packet[at + 2 : topic_end], 0, topic_end
            if qos:
                mid, at = _MID.unpack_from(packet, at)[0], at + 2
            if self._v5:
                at, length = _number(packet, at)
                at += length
        except struct.error:
            raise Malformed("the broker sent a PUBLISH that is cut short") from None
        if at > end or qos == 3:
            raise Malformed("the broker sent a PUBLISH whose lengths do not fit")
        return Publish(topic, packet[at:end], qos, mid, bool(head & 1), bool(head & 8))


def _number(data: bytes, at: int) -> tuple[int, int]:
    """MQTT's variable byte integer: where it ends, and its value; (0, 0) where it is incomplete."""
    value = shift = 0
    for place in range(at, min(at + 4, len(data))):
        byte = data[place]
        value |= (byte & 127) << shift
        if byte < 128:
            return place + 1, value
        shift += 7
    if len(data) >= at + 4:
        raise Malformed("the broker sent a length of more than four bytes")
    return 0, 0
