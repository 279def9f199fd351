"""What the meter said during sessions: dead, backward or wrong meters, contacts, ageing, caps.

Each rule sees the latest session of a connector and those before it, as `session_meter` keeps
them; a rule that no longer finds its fault in a good session withdraws it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import takewhile
from statistics import median
from typing import Any

from alerts.incidents import Finding, Key
from pilewatch.faultcodes import FAULTS
from pilewatch.model import SubjectKind
from pilewatch.policy import SessionMeters

SESSION_METER = "session-meter"
_NO_CURRENT_A = 0.0005
"""Below the contract's customary resolution of 1 mA: nothing at all flows."""


@dataclass(frozen=True)
class Metered:
    """One ended session as its meter saw it. Units are those of the names."""

    connector_id: int
    charger_id: int
    kind: str
    max_power_w: float | None
    session_id: str
    ended_at: datetime
    seconds: float | None
    energy_wh: float | None
    samples: int
    valued: int
    absurd: int
    alike: bool
    falls: int
    span_s: float | None
    rise_wh: float | None
    integral_wh: float | None
    volts: float | None
    peak_w: float | None
    peak_a: float | None
    mean_a2: float | None
    start_c: float | None
    peak_c: float | None
    firmware: str | None

    @property
    def currentless(self) -> bool:
        """Voltage was there, and no current at all."""
        return bool(self.volts and self.volts > 100) and (self.peak_a or 0.0) < _NO_CURRENT_A

    @property
    def kelvin_per_a2(self) -> float | None:
        """Rise of temperature for the current's heat; None where it would be noise."""
        if not self.mean_a2 or self.peak_c is None or self.start_c is None:
            return None
        if (self.seconds or 0) < 1200:
            return None
        return (self.peak_c - self.start_c) / self.mean_a2


def session_meter_faults(
    sessions: Sequence[Metered], at: datetime, rule: SessionMeters
) -> list[Finding]:
    """What the newest of a connector's sessions shows, `sessions` being newest first."""
    if not sessions:
        return []
    findings = [*_meter(sessions, at, rule), *_contact(sessions, at, rule)]
    return [*findings, *_cap(sessions, at, rule), *_ageing(sessions, at, rule)]


def _meter(sessions: Sequence[Metered], at: datetime, rule: SessionMeters) -> Iterator[Finding]:
    """The meter itself. May be wrong where a charger sends values seldom, or rounds them."""
    last = sessions[0]
    said = {"session": last.session_id, "samples": last.samples}
    if (last.span_s or 0) < rule.judged_s and last.absurd < rule.absurd:
        return
    if last.absurd >= rule.absurd:
        yield _found("meter-failure", last, at, {**said, "absurd": last.absurd})
    elif last.samples >= rule.alike and last.valued == 0:
        yield _found("meter-failure", last, at, {**said, "values": 0})
    elif last.samples >= rule.alike and last.alike:
        yield _found("meter-failure", last, at, {**said, "frozen": True})
    elif last.falls >= rule.falls:
        yield _found("meter-backwards", last, at, {**said, "falls": last.falls})
    elif last.integral_wh is not None and last.rise_wh is not None:
        off = abs(last.rise_wh - last.integral_wh)
        seen = {**said, "register_wh": last.rise_wh, "power_wh": round(last.integral_wh, 1)}
        if last.integral_wh < rule.mismatch_wh:
            return
        if off > rule.mismatch * last.integral_wh:
            yield _found("meter-mismatch", last, at, seen)
        else:
            yield _gone("meter-failure", last, at)


def _contact(sessions: Sequence[Metered], at: datetime, rule: SessionMeters) -> Iterator[Finding]:
    """Sessions with voltage and without any current: the contact does not close (relay-open), or,
    where a car is given up within a minute, no vehicle is understood (ev-comms).

    May be wrong where one vehicle which takes nothing tries again and again.
    """
    last = sessions[0]
    metered = [s for s in sessions if s.valued]
    if (last.peak_a or 0) > 0.1:
        yield _gone("relay-open", last, at)
        yield _gone("ev-comms", last, at)
    empty = list(takewhile(lambda s: s.currentless, metered))
    brief = [s for s in empty if s.kind == "car" and (s.seconds or 0) < rule.brief_s]
    evidence = {"sessions": [s.session_id for s in empty[:5]], "volts": last.volts}
    if last.currentless and 2 * len(brief) > len(empty) and len(brief) >= rule.unanswered:
        yield _found("ev-comms", last, at, evidence)
    long = [s for s in empty if (s.seconds or 0) >= rule.brief_s]
    if last.currentless and len(long) >= rule.currentless:
        yield _found("relay-open", last, at, evidence)


def _cap(sessions: Sequence[Metered], at: datetime, rule: SessionMeters) -> Iterator[Finding]:
    """Many vehicles reach the same power and none more, where formerly they did.

    May be wrong where one vehicle alone uses the port for weeks.
    """
    last = sessions[0]
    peaks = [s.peak_w for s in sessions if s.peak_w and not s.absurd and s.peak_w > 50]
    for of in range(rule.cap_sessions, min(rule.cap_of, len(peaks) - 1) + 1):
        recent, formerly = peaks[:of], max(peaks[of:])
        top = sorted(recent, reverse=True)[: rule.cap_sessions]
        alike = top[0] - top[-1] <= rule.cap_within * top[0]
        if alike and top[0] < rule.cap_share * formerly:
            seen = {"plateau_w": top[0], "formerly_w": formerly, "of_sessions": of}
            yield _found("derated", last, at, seen)
            return
    if peaks and peaks[0] >= rule.cap_share * max(peaks):
        yield _gone("derated", last, at)


def _ageing(sessions: Sequence[Metered], at: datetime, rule: SessionMeters) -> Iterator[Finding]:
    """The plug's rise for the same current grows from week to week: its contact ages.

    May be wrong where the sun shines on the plug at the hour of the later sessions only.
    """
    last = sessions[0]
    seen = [s for s in sessions if s.kelvin_per_a2 is not None]
    hot = [s for s in seen if (s.peak_c or 0) - (s.start_c or 0) >= rule.drift_least_k]
    rises = [s.kelvin_per_a2 or 0.0 for s in seen]
    if len(rises) < 2 * rule.drift_sessions or len(hot) < rule.drift_sessions:
        return
    now, then = median(rises[: rule.drift_sessions]), median(rises[rule.drift_sessions :])
    evidence = {"kelvin_per_a2": round(now, 4), "formerly": round(then, 4)}
    if then > 0 and now > rule.drift * then:
        yield _found("thermal-drift", last, at, evidence)
    elif now < (1 + rule.drift) / 2 * then:
        yield _gone("thermal-drift", last, at)


def _found(code: str, of: Metered, at: datetime, evidence: dict[str, Any]) -> Finding:
    return Finding(_key(code, of), SESSION_METER, code, present=True, at=at, evidence=evidence)


def _gone(code: str, of: Metered, at: datetime) -> Finding:
    return Finding(_key(code, of), SESSION_METER, code, present=False, at=at)


def _key(code: str, of: Metered) -> Key:
    return Key(SubjectKind.CONNECTOR, of.connector_id, FAULTS[code].family)
