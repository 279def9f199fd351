"""The part of Protocol Buffers' wire format that Sparkplug B needs, bounded. Pure."""

import struct
from collections.abc import Iterator
from typing import Any, NamedTuple

from pilewatch.wire import BadMessage

MAX_METRICS = 1000
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_FLOAT = struct.Struct("<f")
_DOUBLE = struct.Struct("<d")
_SIGNED_BITS = {1: 8, 2: 16, 3: 32, 4: 64}
"""Sparkplug's Int8 to Int64 come as unsigned numbers."""

Field = tuple[int, int, int | bytes]


class Metric(NamedTuple):
    """One metric; `name` is empty where only its alias was sent. `value` None is null."""

    name: str
    alias: int | None
    value: bool | int | float | str | None
    historical: bool


def metrics(payload: bytes) -> list[Metric]:
    """The metrics of a Sparkplug B payload. Raises `BadMessage`."""
    found: list[Metric] = []
    for number, kind, value in _fields(payload):
        if number == 2 and kind == _BYTES:
            if len(found) >= MAX_METRICS:
                raise BadMessage(f"more than {MAX_METRICS} metrics in one payload")
            found.append(_metric(value))  # type: ignore[arg-type]
    return found


def _metric(data: bytes) -> Metric:
    name, alias, datatype, null, historical = "", None, 0, False, False
    value: Any = None
    for number, kind, said in _fields(data):
        if number == 1 and kind == _BYTES:
            name = _text(said)
        elif kind == _VARINT and number in (2, 4, 5, 7, 10, 11, 14):
            assert isinstance(said, int)
            if number == 2:
                alias = said
            elif number == 4:
                datatype = said
            elif number == 5:
                historical = bool(said)
            elif number == 7:
                null = bool(said)
            else:
                value = bool(said) if number == 14 else said
        elif number == 12 and kind == _FIXED32:
            value = _FLOAT.unpack(said)[0]  # type: ignore[arg-type]
        elif number == 13 and kind == _FIXED64:
            value = _DOUBLE.unpack(said)[0]  # type: ignore[arg-type]
        elif number == 15 and kind == _BYTES:
            value = _text(said)
    if type(value) is int and (bits := _SIGNED_BITS.get(datatype)) is not None:
        value &= (1 << bits) - 1
        value -= (value >> (bits - 1)) << bits
    return Metric(name, alias, None if null else value, historical)


def _text(said: int | bytes) -> str:
    assert isinstance(said, bytes)
    if b"\0" in said:
        raise BadMessage("a text in the payload holds a NUL character")
    try:
        return said.decode()
    except UnicodeDecodeError as error:
        raise BadMessage("a text in the payload is not UTF-8") from error


def _fields(data: bytes) -> Iterator[Field]:
    """(number, wire type, value) of each field; nothing nested is entered."""
    place, end = 0, len(data)
    while place < end:
        tag, place = _varint(data, place)
        number, kind = tag >> 3, tag & 7
        if number == 0:
            raise BadMessage(f"no Sparkplug B payload: field 0 at byte {place}")
        if kind == _VARINT:
            value, place = _varint(data, place)
            yield number, kind, value
            continue
        if kind == _BYTES:
            size, place = _varint(data, place)
        elif kind in (_FIXED64, _FIXED32):
            size = 8 if kind == _FIXED64 else 4
        else:
            raise BadMessage(f"no Sparkplug B payload: wire type {kind} at byte {place}")
        if size > end - place:
            raise BadMessage(
                f"no Sparkplug B payload: a field at byte {place} has {size} bytes, "
                f"{end - place} are left"
            )
        yield number, kind, data[place : place + size]
        place += size


def _varint(data: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if place >= len(data) or shift > 63:
            raise BadMessage(f"no Sparkplug B payload: a number breaks off at byte {place}")
        byte = data[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if not byte & 0x80:
            return value & (1 << 64) - 1, place
        shift += 7
