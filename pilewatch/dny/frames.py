"""Frames of the e-bike cabinets' protocol: a stream of bytes in, frames out, and back. Pure.

Source: AP3000 device protocol V8.6, chapter 1. A frame is `DNY`, length u16, physical id u32,
message id u16, command u8, data, checksum u16, all little endian; the length counts what follows
it, the checksum is the sum of all bytes before it.
"""

import re
from struct import Struct as Layout
from typing import NamedTuple

MAX_BYTES = 256
"""A whole frame has so many bytes at most."""
_HEAD = b"DNY"
_LINK = b"link"
_FIXED = Layout("<3sHIHB")
_SUM = Layout("<H")
_LENGTH_AT, _BODY_AT = 3, 5
_SMALLEST = _FIXED.size + _SUM.size
_ICCID = re.compile(rb"89[0-9A-Fa-f]{18}")
_ICCID_BYTES = 20
_ICCID_BEGUN = re.compile(rb"8(9[0-9A-Fa-f]{0,17})?\Z")
_BLANK = b"\r\n \0"


class BadFrame(ValueError):
    """Bytes that are no frame, or data that its command does not allow; `str()` says why."""


class Frame(NamedTuple):
    """One frame. `physical_id` names the device; an answer has its request's `message_id`."""

    physical_id: int
    message_id: int
    command: int
    data: bytes = b""

    @property
    def kind(self) -> int:
        """What the device is: 3 one socket, 4 two, 5 ten ports, 6 sixteen, 7 twelve, 9 and 0x0A
        hosts."""
        return self.physical_id >> 24

    @property
    def number(self) -> int:
        """The number that is printed under the QR code."""
        return self.physical_id & 0xFFFFFF


class Iccid(NamedTuple):
    """What a modem sends first: the number of its SIM card."""

    text: str


class Link(NamedTuple):
    """The four letters that a modem sends after 30 s of silence."""


class Garbage(NamedTuple):
    """Bytes that were passed over, and why: `garbage`, `length` or `checksum`."""

    why: str
    bytes: int


Item = Frame | Iccid | Link | Garbage


def checksum(data: bytes) -> int:
    """The sum of all bytes, 16 bits of it."""
    return sum(data) & 0xFFFF


def build(frame: Frame) -> bytes:
    """The frame's bytes. Raises `BadFrame` where a field or the whole is too large."""
    length = _SMALLEST + len(frame.data) - _BODY_AT
    if length + _BODY_AT > MAX_BYTES:
        raise BadFrame(f"{len(frame.data)} bytes of data; at most {MAX_BYTES - _SMALLEST} fit")
    fields = (frame.physical_id, frame.message_id, frame.command)
    for value, bits in zip(fields, (32, 16, 8), strict=True):
        if not 0 <= value < 1 << bits:
            raise BadFrame(f"{value} does not fit into {bits} bits")
    body = _FIXED.pack(_HEAD, length, *fields) + frame.data
    return body + _SUM.pack(checksum(body))


def read_frame(data: bytes) -> Frame:
    """Exactly one frame. Raises `BadFrame`, which tells a wrong length from a wrong checksum."""
    if data[:3] != _HEAD:
        raise BadFrame("does not begin with DNY")
    if not _SMALLEST <= len(data) <= MAX_BYTES:
        raise BadFrame(f"{len(data)} bytes; a frame has {_SMALLEST} to {MAX_BYTES}")
    _, length, physical_id, message_id, command = _FIXED.unpack_from(data)
    if length + _BODY_AT != len(data):
        raise BadFrame(f"length: says {length}, but {len(data) - _BODY_AT} bytes follow it")
    said, right = _SUM.unpack(data[-2:])[0], checksum(data[:-2])
    if said != right:
        raise BadFrame(f"checksum: says {said:04X}, right would be {right:04X}")
    return Frame(physical_id, message_id, command, data[_FIXED.size : -2])


def parse(data: bytes) -> tuple[list[Item], bytes]:
    """What a stream holds so far, and the rest (under 256 bytes) that needs more to be known.

    Frames may stick together, be cut anywhere, and have anything between them. After a frame that
    does not hold the search goes on behind its `DNY`, since its length cannot be believed.
    """
    items: list[Item] = []
    at, size = 0, len(data)
    while at < size:
        item, taken = _next(data, at)
        if not taken:
            break
        if item is not None:
            items.append(item)
        at += taken
    return items, data[at:]


def _next(data: bytes, at: int) -> tuple[Item | None, int]:
    """The item at this place and how many bytes it takes; 0 where more must come first."""
    if data.startswith(_HEAD, at):
        return _frame(data, at)
    if data.startswith(_LINK, at):
        return Link(), len(_LINK)
    if found := _ICCID.match(data, at):
        return Iccid(found[0].decode()), _ICCID_BYTES
    if data[at] in _BLANK:
        return None, 1
    if _begun(data, at):
        return None, 0
    end = at + 1
    while end < len(data) and data[end] not in b"Dl8" and data[end] not in _BLANK:
        end += 1
    return Garbage("garbage", end - at), end - at


def _begun(data: bytes, at: int) -> bool:
    """Whether what stands at the end may become something."""
    if len(data) - at >= _ICCID_BYTES:
        return False
    rest = data[at:]
    return _HEAD.startswith(rest) or _LINK.startswith(rest) or bool(_ICCID_BEGUN.match(rest))


def _frame(data: bytes, at: int) -> tuple[Item | None, int]:
    left = len(data) - at
    if left < _BODY_AT:
        return None, 0
    size = _SUM.unpack_from(data, at + _LENGTH_AT)[0] + _BODY_AT
    if not _SMALLEST <= size <= MAX_BYTES:
        return Garbage("length", len(_HEAD)), len(_HEAD)
    if left < size:
        return None, 0
    try:
        return read_frame(data[at : at + size]), size
    except BadFrame:
        return Garbage("checksum", len(_HEAD)), len(_HEAD)
