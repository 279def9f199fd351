"""Faults that a device said once and never takes back. Pure; the clock is passed in.

A device says a fault once (an alarm, the reason why a session stopped) and says nowhere that it is
over. So such a fault is *held* until something contradicts it: see `contradicted`.
"""

from dataclasses import replace
from datetime import datetime, timedelta

from ingest.ebike.cabinet import Cabinet, Doubt, Held
from pilewatch.dny import fields
from pilewatch.dny.fields import Fields, celsius
from pilewatch.dny.words import stop_word

HOT_C = 80.0
"""Ambient and port alarm temperature that devices are delivered with (command 0x84)."""
_LIVE_V = 100.0
_NOMINAL_V = 220.0
_UNSURE = timedelta(hours=24)
"""Ends that only may be a fault count together within so long."""


def forget(cabinet: Cabinet, before: datetime) -> Cabinet:
    """Without what has been held since before this moment and was never said again."""
    kept = tuple(held for held in cabinet.held if held.since >= before)
    return cabinet if kept == cabinet.held else replace(cabinet, held=kept)


def contradicted(held: tuple[Held, ...], said: Fields | None) -> tuple[Held, ...]:
    """What is left of it beside a heartbeat that shows the mains as they should be."""
    if not held or not isinstance(said, fields.Heartbeat | fields.OldHeartbeat):
        return held
    volts = said.voltage / 10
    over = set()
    if volts >= _LIVE_V:
        over.add("power-loss")
    if 0.85 * _NOMINAL_V <= volts <= 1.1 * _NOMINAL_V:
        over |= {"over-voltage", "under-voltage"}
    return tuple(h for h in held if h.code not in over or h.source.startswith("host"))


def delivered(cabinet: Cabinet, port: int) -> Cabinet:
    """Energy came out of this port: whatever ends and answers said of it is over."""
    held = tuple(
        h for h in cabinet.held if h.port != port or not h.source.startswith(("stop", "answer"))
    )
    doubts = tuple(d for d in cabinet.doubts if d.port != port)
    if (held, doubts) == (cabinet.held, cabinet.doubts):
        return cabinet
    return replace(cabinet, held=held, doubts=doubts)


def stopped(cabinet: Cabinet, port: int, stop: int, at: datetime) -> Cabinet:
    word = stop_word(stop)
    if word.code is None:
        return cabinet
    before = next((d for d in cabinet.doubts if d.port == port), None)
    again = before is not None and before.code == word.code and at - before.at <= _UNSURE
    times = 1 + (before.times if before is not None and again else 0)
    others = tuple(d for d in cabinet.doubts if d.port != port)
    cabinet = replace(cabinet, doubts=(*others, Doubt(port, word.code, times, at)))
    if times < word.times:
        return cabinet
    return hold(cabinet, Held(f"stop {stop:#04x}", port, word.code, word.text, at))


def warm(cabinet: Cabinet, what: str, port: int, raw: int | None, at: datetime) -> Cabinet:
    degrees = celsius(raw)
    if degrees is None:
        return cabinet
    source = f"{what} temperature"
    if degrees < HOT_C:
        return release(cabinet, source, port)
    return hold(cabinet, Held(source, port, "over-temperature", f"{HOT_C:g} °C or more", at))


def hold(cabinet: Cabinet, held: Held) -> Cabinet:
    known = {(h.source, h.port): h for h in cabinet.held}
    known[held.source, held.port] = held
    return replace(cabinet, held=tuple(known.values()))


def release(cabinet: Cabinet, source: str, port: int) -> Cabinet:
    kept = tuple(h for h in cabinet.held if (h.source, h.port) != (source, port))
    return cabinet if len(kept) == len(cabinet.held) else replace(cabinet, held=kept)
