"""How sessions of a DNY device are named, so that each repeat has the same name. Pure."""

from zlib import crc32

from pilewatch.dny import fields
from pilewatch.dny.fields import Settlement


def session_id(physical_id: int, port: int, start_mode: int, order: bytes) -> str | None:
    """The session of an order (`port` counts from 0); None where it has no number.

    An order that the device made itself holds the card's number behind its seven bytes of date and
    time: only these are kept, which are unique at one port.
    """
    if not any(order):
        return None
    if start_mode == fields.BY_SERVER:
        return order.hex()
    return f"{physical_id & 0xFFFFFF}-{port + 1}-{order[:7].hex()}"


def settled_session(physical_id: int, said: Settlement) -> str:
    """The session that is settled; one without an order is named by what it came to."""
    named = session_id(physical_id, said.port, said.start_mode, said.order)
    return (
        named or f"{physical_id & 0xFFFFFF}-{said.port + 1}-{settlement_key(physical_id, said):x}"
    )


def settlement_key(physical_id: int, said: Settlement) -> int:
    """The same for each repeat of a settlement. Its time is that of sending, so it is left out."""
    same = (physical_id, said.duration, said.max_power, said.energy, said.port, said.start_mode,
            said.stop, said.order)  # fmt: skip
    return crc32(repr(same).encode())
