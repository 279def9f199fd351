"""Messages out of a stream of websocket bytes that only passes by. Pure.

`Splitter` finds the borders of messages, in the relay's own loop, so that a message that nobody had
time for can be left out as a whole; `Inflater` and `unmask` are for whoever reads them later.
"""

import zlib
from typing import NamedTuple

from websockets.utils import apply_mask

MAX_MESSAGE = 256 * 1024
_CONTROL = 8
_TEXT, _BINARY = 1, 2


class Part(NamedTuple):
    """One frame's payload, still masked, and its mask (empty for none)."""

    payload: bytes
    mask: bytes


class Passed(NamedTuple):
    """One whole message as it passed."""

    parts: tuple[Part, ...]
    compressed: bool


class OutOfStep(ValueError):
    """What passes is no websocket, or we lost our place in it."""


class Splitter:
    """Fed with all bytes of one direction after the handshake."""

    def __init__(self) -> None:
        self._held = bytearray()
        self._skip = 0
        self._parts: list[Part] = []
        self._size = 0
        self._compressed = False
        self.too_long = 0
        """Messages left out because of their length."""
        self.frames = 0

    def feed(self, data: bytes) -> list[Passed]:
        """The messages that these bytes complete. Raises `OutOfStep`."""
        if self._skip:
            passed = min(self._skip, len(data))
            self._skip -= passed
            data = data[passed:]
        self._held += data
        found = []
        while (message := self._next()) is not None:
            if message.parts:
                found.append(message)
        return found

    def _next(self) -> Passed | None:
        """A message, one without parts for what is no message, None where bytes are missing."""
        held = self._held
        head = _head(held)
        if head is None:
            return None
        start, length, mask = head
        data_frame = not held[0] & _CONTROL
        too_long = self._size + length > MAX_MESSAGE
        if not too_long and len(held) < start + length:
            return None
        self.frames += 1
        first = held[0]
        payload = b"" if too_long else bytes(held[start : start + length])
        missing = max(start + length - len(held), 0)
        del held[: start + length]
        self._skip = missing
        if not data_frame:
            return Passed((), False)
        return self._take(first, Part(payload, mask), length, too_long)

    def _take(self, first: int, part: Part, length: int, too_long: bool) -> Passed:
        kind, last = first & 0x0F, bool(first & 0x80)
        if kind in (_TEXT, _BINARY):
            self._parts, self._size = [], 0
            self._compressed = bool(first & 0x40)
        elif kind != 0:
            raise OutOfStep(f"opcode {kind}")
        self._size += length
        if not too_long:
            self._parts.append(part)
        if not last:
            return Passed((), False)
        whole = Passed(tuple(self._parts), self._compressed)
        self._parts, self._size, long = [], 0, self._size > MAX_MESSAGE
        if long:
            self.too_long += 1
            return Passed((), False)
        return whole


def _head(held: bytearray) -> tuple[int, int, bytes] | None:
    """Where the payload starts, its length, and the mask; None where bytes are missing."""
    if len(held) < 2:
        return None
    if held[0] & 0x30:
        raise OutOfStep("reserved bits")
    length, start = held[1] & 0x7F, 2
    if length >= 126:
        size = 2 if length == 126 else 8
        if len(held) < start + size:
            return None
        length = int.from_bytes(held[start : start + size], "big")
        start += size
    masked = bool(held[1] & 0x80)
    if len(held) < start + 4 * masked:
        return None
    return start + 4 * masked, length, bytes(held[start : start + 4 * masked])


class Inflater:
    """Undoes permessage-deflate (RFC 7692) for one direction."""

    def __init__(self, *, keeps_context: bool):
        self._keeps_context = keeps_context
        self._inflate = zlib.decompressobj(wbits=-15)

    def read(self, passed: Passed) -> bytes:
        """The message. Raises `OutOfStep` where it cannot be read; then none after it can."""
        data = b"".join(
            apply_mask(part.payload, part.mask) if part.mask else part.payload
            for part in passed.parts
        )
        if not passed.compressed:
            return data
        try:
            out = self._inflate.decompress(data + b"\x00\x00\xff\xff", MAX_MESSAGE)
        except zlib.error as error:
            raise OutOfStep(str(error)) from error
        if self._inflate.unconsumed_tail:
            raise OutOfStep("too long when inflated")
        if not self._keeps_context:
            self._inflate = zlib.decompressobj(wbits=-15)
        return out
