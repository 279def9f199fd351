"""Which decoder reads which topic. A dialect is one module that gives the same Observations.

See docs/add-a-dialect.md.
"""

from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple, Protocol

from ingest.dialects import ebike_dny
from pilewatch import wire


class Decoder(Protocol):
    """Reads one message, or raises `wire.BadMessage` for what is outside the contract."""

    def __call__(
        self,
        topic: str,
        payload: bytes,
        received_at: datetime,
        *,
        replayed: bool = False,
        redelivered: bool = False,
    ) -> wire.Decoded: ...


class Dialect(NamedTuple):
    """One way in which chargers speak over MQTT."""

    name: str
    subscription: str
    speaks: Callable[[str], bool]
    decode: Decoder


DIALECTS: tuple[Dialect, ...] = (
    Dialect("ebike-dny", ebike_dny.SUBSCRIPTION, ebike_dny.speaks, ebike_dny.decode),
    Dialect(
        "native",
        wire.SUBSCRIPTION,
        lambda topic: topic.startswith("pilewatch/"),
        wire.decode,
    ),
)


def decode(
    topic: str,
    payload: bytes,
    received_at: datetime,
    *,
    replayed: bool = False,
    redelivered: bool = False,
) -> wire.Decoded:
    """Let the dialect of this topic read it. Raises `wire.BadMessage`."""
    for dialect in DIALECTS:
        if dialect.speaks(topic):
            return dialect.decode(
                topic, payload, received_at, replayed=replayed, redelivered=redelivered
            )
    raise wire.BadMessage(f"topic {topic[:200]!r} belongs to no dialect")
