"""E-bike cabinets whose modem puts their bytes into MQTT unread: `…/up/raw`. Pure.

Nothing answers such a device over this way, and each message is read by itself: an alarm lasts
until the next heartbeat. Where the modem can be pointed at us, `pilewatch ebike-gateway` is better.
"""

import re
from datetime import datetime

from ingest.dialects.heard import Heard, Make, make
from ingest.ebike.cabinet import Cabinet, ports
from ingest.ebike.hearing import hear
from pilewatch.dny.fields import Fields, read_fields
from pilewatch.dny.frames import BadFrame, Frame, Garbage, parse
from pilewatch.model import Kind, Observation
from pilewatch.wire import MAX_PAYLOAD, ROOT, BadMessage, Decoded

BASES = ("dny/{modem}",)
_TOPIC = re.compile(rf"{ROOT}/[A-Za-z0-9._-]{{1,64}}/up/raw")


def speaks(topic: str) -> bool:
    """`raw` below the native root, where a modem's rights end with its name."""
    return topic.endswith("/up/raw") and _TOPIC.fullmatch(topic) is not None


def ebike_dny(bases: tuple[str, ...] = BASES) -> Make:
    """The dialect of modems below these bases; a frame names its cabinet itself. `BadPattern`."""
    what = "e-bike cabinets behind a transparent modem"
    told = make("ebike-dny", what, bases, ("up/raw",), _read)
    return told._replace(listens=tuple(one._replace(charger=None) for one in told.listens))


def _read(heard: Heard) -> list[Observation]:
    return decode(heard.path, heard.payload, heard.received_at).observations


def decode(
    topic: str,
    payload: bytes,
    received_at: datetime,
    *,
    replayed: bool = False,
    redelivered: bool = False,
) -> Decoded:
    """Read the frames of one message, each of whatever slave it names.

    Raises `BadMessage` where nothing in the payload can be used.
    """
    if len(payload) > MAX_PAYLOAD:
        raise BadMessage(f"payload has {len(payload)} bytes; at most {MAX_PAYLOAD} are allowed")
    items, rest = parse(payload)
    frames = dict.fromkeys(item for item in items if isinstance(item, Frame))
    wrong = [item.why for item in items if isinstance(item, Garbage)]
    if not frames and (wrong or rest):
        said = ", ".join(dict.fromkeys(wrong)) or "cut short"
        raise BadMessage(f"payload has no whole frame: {said}; right would be DNY frames")
    observations: list[Observation] = []
    unknown, unread = bool(wrong or rest), ""
    for frame in frames:
        try:
            fields = read_fields(frame.command, frame.data)
        except BadFrame as error:
            unread = f"command {frame.command:#04x}: {error}"
            continue
        unknown |= fields is None
        observations += _observe(frame, fields, received_at)
    if unread and not observations:
        raise BadMessage(unread)
    return Decoded(observations, unknown or bool(unread))


def _observe(frame: Frame, fields: Fields | None, at: datetime) -> list[Observation]:
    heard = hear(Cabinet(frame.physical_id), frame, fields, at)
    said = heard.observations
    kind = Kind.CONFIRM if heard.named else Kind.STATUS
    digest = said[0].digest if said else None
    shown = ports(heard.cabinet).items()
    name = heard.cabinet.name
    return [*said, *(port.observed(name, n, at, kind=kind, digest=digest) for n, port in shown)]
