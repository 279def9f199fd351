"""Chargers' messages at a steady rate, or as fast as the broker takes them.

Speaks MQTT 3.1.1 over a plain socket: paho as publisher would need the core that is measured.
"""

import json
import select
import socket
import struct
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

CHARGERS = 200
PORTS = 4
_UNANSWERED = 2000


class Publisher:
    """Publishes with QoS 1 and counts the broker's acknowledgements."""

    def __init__(self, port: int, client_id: str = ""):
        name = client_id.encode()
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._send(0x10, struct.pack("!H4sBBHH", 4, b"MQTT", 4, 2, 0, len(name)) + name)
        if self._socket.recv(4) != b"\x20\x02\x00\x00":
            raise ConnectionError("the broker refused the publisher")
        self.sent = 0
        self._answers = 0

    def publish(self, topic: str, payload: bytes) -> None:
        """Send one message; wait where the broker is far behind."""
        name = topic.encode()
        self.sent += 1
        number = self.sent % 65535 + 1
        self._send(0x32, struct.pack(f"!H{len(name)}sH", len(name), name, number) + payload)
        if self.sent % 64 == 0:
            self.listen(_UNANSWERED)

    def listen(self, allowed: int = 0) -> None:
        """Read acknowledgements until at most `allowed` messages have none."""
        while True:
            wait = self.sent - self._answers // 4 > allowed
            if not wait and not select.select([self._socket], [], [], 0)[0]:
                return
            answer = self._socket.recv(65536)
            if not answer:
                raise ConnectionError("the broker hung up on the publisher")
            self._answers += len(answer)

    def close(self) -> None:
        """Say goodbye when everything is acknowledged."""
        self.listen()
        self._send(0xE0, b"")
        self._socket.close()

    def _send(self, command: int, body: bytes) -> None:
        head, rest = bytearray([command]), len(body)
        while rest > 127:
            head.append(rest % 128 | 128)
            rest //= 128
        head.append(rest)
        self._socket.sendall(bytes(head) + body)


def meter(number: int, at: datetime) -> tuple[str, bytes]:
    """Topic and payload of the n-th meter value."""
    said = {
        "at": at.isoformat(), "connector": 1 + number % PORTS, "energyWh": number,
        "powerW": 300.5, "voltageV": 221.0, "currentA": 1.4, "temperatureC": 31.5,
        "sessionId": "s",
    }  # fmt: skip
    return f"pilewatch/v1/C{number % CHARGERS}/up/meter", json.dumps(said).encode()


def burst(port: int, count: int) -> None:
    """That many meter values with times 1 ms apart, as fast as possible."""
    publisher = Publisher(port)
    start = datetime.now(UTC) - timedelta(milliseconds=count)
    for number in range(count):
        publisher.publish(*meter(number, start + timedelta(milliseconds=number)))
    publisher.close()


def ticks(rate: float, seconds: float) -> Iterator[int]:
    """0, 1, 2 … each at its time, without drift."""
    start = time.monotonic()
    for number in range(round(rate * seconds)):
        ahead = start + number / rate - time.monotonic()
        if ahead > 0.002:
            time.sleep(ahead)
        yield number


def steady(publisher: Publisher, rate: float, going_on: Callable[[], bool]) -> None:
    """Meter values of now at this rate until `going_on` says no."""
    for number in ticks(rate, 24 * 3600):
        publisher.publish(*meter(number, datetime.now(UTC)))
        if number % 200 == 0 and not going_on():
            return


if __name__ == "__main__":  # python -m bench.load PORT RATE: until its standard input is closed
    made = Publisher(int(sys.argv[1]))
    print("ready", flush=True)

    def _wanted() -> bool:
        return not select.select([sys.stdin], [], [], 0)[0]

    steady(made, float(sys.argv[2]), _wanted)
    made.close()
    print(made.sent)
