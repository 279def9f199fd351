"""Writes Sparkplug B payloads, for tests and the fuzzer."""

import struct


def varint(value: int) -> bytes:
    found = b""
    while value > 0x7F:
        found += bytes([value & 0x7F | 0x80])
        value >>= 7
    return found + bytes([value])


def field(number: int, value: bytes | int) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def metric(
    name: str = "", value: object = None, *, alias: int | None = None, datatype: int = 0
) -> bytes:
    found = field(1, name.encode()) if name else b""
    found += b"" if alias is None else field(2, alias)
    found += field(4, datatype) if datatype else b""
    if value is None:
        return found + field(7, 1)
    if isinstance(value, bool):
        return found + field(14, int(value))
    if isinstance(value, int):
        return found + field(11 if datatype in (4, 8) else 10, value)
    if isinstance(value, float):
        return found + varint(13 << 3 | 1) + struct.pack("<d", value)
    return found + field(15, str(value).encode())


def payload(*metrics: bytes, seq: int = 0) -> bytes:
    return field(1, 1777813800000) + b"".join(field(2, m) for m in metrics) + field(3, seq)
