"""What the numbers of the e-bike cabinets mean: the nine statuses and the fault taxonomy.

Sources: AP3000 device protocol V8.6, chapters 3.1, 3.3, 3.4.5, 4.2; host protocol V2.8, 4.7.
"""

from typing import NamedTuple

from pilewatch.faultcodes import UNMAPPED
from pilewatch.model import Status


class PortWord(NamedTuple):
    """A port's status: what it shows, and the fault that it speaks of."""

    status: Status
    code: str | None
    text: str


class StopWord(NamedTuple):
    """Why a session ended. A fault counts after so many such ends in a row at one port: a `1` the
    device itself is sure of, more where it may be the rider's plug or load."""

    text: str
    code: str | None = None
    times: int = 1


class AlarmWord(NamedTuple):
    """An alarm; `of_port` says that its port is one, and else it is of the whole cabinet."""

    code: str
    text: str
    of_port: bool = False


class AnswerWord(NamedTuple):
    """What a device answers to an order to start or stop."""

    text: str
    code: str | None = None


PORT_STATUS: dict[int, PortWord] = {
    0x00: PortWord(Status.AVAILABLE, None, "idle"),
    0x01: PortWord(Status.CHARGING, None, "charging"),
    0x02: PortWord(Status.PREPARING, None, "plugged, not started"),
    0x03: PortWord(Status.FINISHING, None, "plugged and full"),
    0x04: PortWord(Status.FAULTED, "meter-failure", "cannot be metered"),
    0x05: PortWord(Status.CHARGING, None, "float charging"),
    0x06: PortWord(Status.FAULTED, "controller-memory", "memory broken"),
    0x07: PortWord(Status.FAULTED, "jammed-socket", "socket spring jammed"),
    0x08: PortWord(Status.FAULTED, "plug-broken", "bad contact or fuse blown"),
    0x09: PortWord(Status.FAULTED, "relay-welded", "relay welded, by algorithm"),
    0x0A: PortWord(Status.FAULTED, "plug-sensor", "Hall sensor broken"),
    0x0B: PortWord(Status.FAULTED, "relay-open", "relay or fuse broken, pre-check"),
    0x0D: PortWord(Status.FAULTED, "short-circuit", "load short, pre-check"),
    0x0E: PortWord(Status.FAULTED, "relay-welded", "relay welded, filtered pre-check"),
    # Without its card reader a port still starts by QR code.
    0x0F: PortWord(Status.AVAILABLE, "reader-failure", "card chip broken"),
    0x10: PortWord(Status.FAULTED, "meter-failure", "detection circuit broken"),
}
CHARGING_STATUS = frozenset({1, 2, 3, 5})
"""What a port may be while it tells its power; other values are to be left alone there."""

STOP_REASON: dict[int, StopWord] = {
    0x01: StopWord("full"),
    0x02: StopWord("longest time reached"),
    0x03: StopWord("set time reached"),
    0x04: StopWord("set energy reached"),
    0x05: StopWord("unplugged"),
    0x06: StopWord("overload", "overload-port", 3),
    0x07: StopWord("stopped by server"),
    0x08: StopWord("dynamic overload", "overload-port", 3),
    0x09: StopWord("power too small", "plug-broken", 3),
    0x0A: StopWord("ambient too hot", "over-temperature"),
    0x0B: StopWord("port too hot", "over-temperature"),
    0x0C: StopWord("over-current", "over-current"),
    0x0D: StopWord("unplugged-1, perhaps socket jammed", "jammed-socket", 2),
    0x0E: StopWord("no power, perhaps bad contact or fuse", "plug-broken", 2),
    0x0F: StopWord("relay or fuse broken", "relay-open"),
    0x10: StopWord("water", "water-ingress"),
    0x11: StopWord("fire at this port", "smoke-fire"),
    0x12: StopWord("fire at another port", "smoke-fire"),
    0x13: StopWord("door opened by code"),
    0x14: StopWord("door not shut"),
    0x15: StopWord("stopped from outside"),
    0x16: StopWord("stopped by card"),
    0x17: StopWord("forced by server"),
    0x18: StopWord("fire system", "smoke-fire"),
    0x19: StopWord("memory error", "controller-memory"),
    0x1A: StopWord("over-voltage", "over-voltage"),
    0x1B: StopWord("under-voltage", "under-voltage"),
    0x1C: StopWord("low power"),
}

ALARMS: dict[int, AlarmWord] = {
    1: AlarmWord("power-loss", "power cut"),
    2: AlarmWord("water-ingress", "water"),
    3: AlarmWord("smoke-fire", "hot-melt fuse triggered", of_port=True),
    4: AlarmWord("smoke-fire", "smoke"),
    5: AlarmWord("over-temperature", "heat"),
    6: AlarmWord("water-ingress", "water level"),
    7: AlarmWord("tilt-impact", "door sprung open", of_port=True),
}

START_ANSWER: dict[int, AnswerWord] = {
    0x00: AnswerWord("done"),
    0x01: AnswerWord("no charger plugged in"),
    0x02: AnswerWord("the port is already so"),
    0x03: AnswerWord("port faulty"),
    0x04: AnswerWord("no such port"),
    0x05: AnswerWord("several ports wait"),
    0x06: AnswerWord("total power exceeded"),
    0x07: AnswerWord("memory broken", "controller-memory"),
    0x08: AnswerWord("relay or fuse broken", "relay-open"),
    0x09: AnswerWord("relay welded", "relay-welded"),
    0x0A: AnswerWord("load short", "short-circuit"),
    0x0B: AnswerWord("smoke alarm", "smoke-fire"),
    0x0C: AnswerWord("over-voltage", "over-voltage"),
    0x0D: AnswerWord("under-voltage", "under-voltage"),
    0x0E: AnswerWord("no answer from the port"),
}

PORTS_OF_KIND = {0x03: 1, 0x04: 2, 0x05: 10, 0x06: 16, 0x07: 12}
"""How many ports a device has by the highest byte of its physical id; hosts have none."""
HOSTS = frozenset({0x09, 0x0A})
BREAKER_HOST = 0x0A
"""Only such a host's breaker, leakage and wire temperatures mean anything."""


def port_word(raw: int) -> PortWord:
    """A status that the documents do not know is shown as a fault with its number."""
    found = PORT_STATUS.get(raw)
    return found or PortWord(Status.FAULTED, UNMAPPED, f"unknown port status {raw:#04x}")


def stop_word(raw: int) -> StopWord:
    """A reason that the documents do not know is only kept as text."""
    return STOP_REASON.get(raw) or StopWord(f"unknown stop reason {raw:#04x}")


def alarm_word(raw: int) -> AlarmWord:
    """An alarm that the documents do not know is shown as a fault with its number."""
    return ALARMS.get(raw) or AlarmWord(UNMAPPED, f"unknown alarm {raw}")


def answer_word(raw: int) -> AnswerWord:
    """An answer that the documents do not know is only kept as text."""
    return START_ANSWER.get(raw) or AnswerWord(f"unknown answer {raw:#04x}")


def dbm(signal: int) -> float | None:
    """A modem's signal: 0 to 31 as of AT+CSQ, from 100 as of AT+CESQ; None where it has none."""
    if signal <= 31:
        return -113.0 + 2 * signal
    if 100 <= signal <= 197:
        return -140.0 + (signal - 100)
    return None


def device_name(number: int) -> str:
    """What the registry calls a device by: the number printed under its QR code."""
    return f"dny-{number}"
