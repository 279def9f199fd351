"""What a device must hear to stay online. Pure.

Source: AP3000 device protocol V8.6, chapter 3; host protocol V2.8, 4.2. A settlement's answer is
not among them: it follows our commit.
"""

from datetime import datetime

from pilewatch.dny import fields
from pilewatch.dny.frames import Frame

DONE = b"\x00"
_UNKNOWN_CARD = 1
_WITH_DONE = frozenset({fields.REGISTER, fields.HEARTBEAT, fields.OLD_HEARTBEAT})
_WITH_TIME = frozenset({fields.TIME, fields.HOST_TIME})


def answer(frame: Frame, now: datetime) -> Frame | None:
    """The answer that goes out at once; None where there is none."""
    if frame.command in _WITH_DONE:
        return frame._replace(data=DONE)
    if frame.command in _WITH_TIME:
        return frame._replace(data=int(now.timestamp()).to_bytes(4, "little"))
    if frame.command == fields.ORDER_BEGUN and frame.data:
        return frame._replace(data=frame.data[:1] + DONE)
    if frame.command == fields.CARD and len(frame.data) >= 6:
        # Nobody is a customer here: no card starts anything.
        card, port = frame.data[:4], frame.data[5:6]
        return frame._replace(data=card + bytes([_UNKNOWN_CARD, 0]) + bytes(4) + port)
    return None


def settled(frame: Frame) -> Frame:
    """The answer after which a device deletes its copy of a settlement."""
    return frame._replace(data=DONE)
