"""What the meter said during sessions: dead, backward or wrong meters, contacts, ageing, caps.

Each rule sees the latest session of a connector and those before it, as `session_meter` keeps
them; a rule that no longer finds its fault in a good session withdraws it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import takewhile
from math import sqrt
from statistics import median
from typing import Any

from alerts.incidents import Finding, Key
from pilewatch.faultcodes import FAULTS
from pilewatch.model import SubjectKind
from pilewatch.policy import SessionMeters

SESSION_METER = "session-meter"
_WARM_S = 1800
"""Several times what a plug takes to follow its current."""
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
    steady: bool
    falls: int
    span_s: float | None
    rise_wh: float | None
    integral_wh: float | None
    volts: float | None
    peak_w: float | None
    peak_a: float | None
    mean_a2: float | None
    excess_k: float | None
    firmware: str | None
    outdated: bool = False
    """It began before a proven repair."""

    @property
    def currentless(self) -> bool:
        """Voltage was there, and no current at all."""
        return bool(self.volts and self.volts > 100) and (self.peak_a or 0.0) < _NO_CURRENT_A

    @property
    def mismatch(self) -> float:
        """Difference of register and power, as a share of the power's energy."""
        power = self.integral_wh or 0.0
        return abs((self.rise_wh or 0.0) - power) / power if power > 0 else 0.0

    @property
    def surged(self) -> bool:
        """More flowed than the port can give: a short circuit, shorter than between two values."""
        return self.max_power_w is not None and (self.peak_w or 0.0) > 1.5 * self.max_power_w

    @property
    def heat(self) -> float:
        """The mean of the current's square, A²."""
        return self.mean_a2 or 0.0

    @property
    def kelvin_per_a2(self) -> float:
        """The plug's rise for the current's heat; only where `warmed`."""
        return (self.excess_k or 0.0) / (self.heat or 1.0)

    @property
    def sound(self) -> bool:
        """The register followed the power, so that both can be believed."""
        return self.steady and (self.rise_wh or 0) > (self.integral_wh or 0) / 2

    @property
    def warmed(self) -> bool:
        """It lasted long enough for the plug to become warm, and the site's air is known."""
        return bool(
            self.sound
            and self.mean_a2
            and self.excess_k is not None
            and (self.seconds or 0) >= _WARM_S
        )


def session_meter_faults(
    sessions: Sequence[Metered], at: datetime, rule: SessionMeters
) -> list[Finding]:
    """What the newest of a connector's sessions shows, `sessions` being newest first.

    One that began before a proven repair says nothing of what there is now.
    """
    if not sessions or sessions[0].outdated:
        return []
    findings = [*_meter(sessions, at, rule), *_contact(sessions, at, rule)]
    return [*findings, *_cap(sessions, at, rule), *_ageing(sessions, at, rule)]


def _meter(sessions: Sequence[Metered], at: datetime, rule: SessionMeters) -> Iterator[Finding]:
    """The meter itself. May be wrong where a charger sends values seldom, or rounds them."""
    last = sessions[0]
    said = {"session": last.session_id, "samples": last.samples}
    if (last.span_s or 0) < rule.judged_s and last.absurd < rule.absurd:
        return
    if not last.steady:
        return
    if last.absurd >= rule.absurd:
        yield _found("meter-failure", last, at, {**said, "absurd": last.absurd})
    elif last.samples >= rule.alike and last.valued == 0:
        yield _found("meter-failure", last, at, {**said, "values": 0})
    elif last.samples >= rule.alike and last.alike:
        yield _found("meter-failure", last, at, {**said, "frozen": True})
    elif last.falls >= rule.falls:
        yield _found("meter-backwards", last, at, {**said, "falls": last.falls})
    elif last.integral_wh and last.mismatch > rule.mismatch and not last.surged:
        yield from _mismatch(sessions, at, rule)
    elif last.integral_wh:
        yield _gone("meter-failure", last, at)


def _mismatch(sessions: Sequence[Metered], at: datetime, rule: SessionMeters) -> Iterator[Finding]:
    """Register against power over the latest sessions, until enough has flowed to judge.

    May be wrong where the load swings faster than the meter's interval.
    """
    register, power = 0.0, 0.0
    for session in sessions:
        if session.outdated or not session.steady or not session.integral_wh or session.surged:
            continue
        register += session.rise_wh or 0.0
        power += session.integral_wh
        if power >= rule.mismatch_wh:
            break
    if power >= rule.mismatch_wh and abs(register - power) > rule.mismatch * power:
        seen = {"register_wh": round(register, 1), "power_wh": round(power, 1)}
        yield _found("meter-mismatch", sessions[0], at, seen)


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
    empty = list(takewhile(lambda s: s.currentless and not s.outdated, metered))
    if not empty:
        return
    brief = [(s.seconds or 0) < rule.brief_s for s in empty]
    evidence = {"sessions": [s.session_id for s in empty[:5]], "volts": last.volts}
    if last.kind == "car" and len(empty) >= rule.unanswered and all(brief[: rule.unanswered]):
        yield _found("ev-comms", last, at, evidence)
    elif len(empty) >= rule.currentless and not any(brief[: rule.currentless]):
        yield _gone("ev-comms", last, at)
        yield _found("relay-open", last, at, evidence)


def _cap(sessions: Sequence[Metered], at: datetime, rule: SessionMeters) -> Iterator[Finding]:
    """Many vehicles reach the same power and none more, where formerly they did.

    Few are enough where all of the latest stop at exactly the same, far below: a car at a tenth of
    its power charges for a day. May be wrong where one vehicle alone uses the port for weeks.
    """
    last = sessions[0]
    powers = [s for s in sessions if s.peak_w and s.sound and s.peak_w > 50]
    peaks = [s.peak_w or 0.0 for s in powers]
    since = sum(1 for _ in takewhile(lambda s: not s.outdated, powers))
    for of in (2, rule.flat_sessions):
        if of <= since and _flat(peaks[:of], peaks[of:], rule, few=of < rule.flat_sessions):
            seen = {"plateau_w": max(peaks[:of]), "formerly_w": max(peaks[of:])}
            yield _found("derated", last, at, seen)
            return
    for of in range(rule.cap_sessions, min(rule.cap_of, since, len(peaks) - 1) + 1):
        recent, formerly = peaks[:of], max(peaks[of:])
        top = sorted(recent, reverse=True)[: rule.cap_sessions]
        alike = top[0] - top[-1] <= rule.cap_within * top[0]
        if alike and top[0] < rule.cap_share * formerly:
            seen = {"plateau_w": top[0], "formerly_w": formerly, "of_sessions": of}
            yield _found("derated", last, at, seen)
            return
    if peaks and peaks[0] >= rule.cap_share * max(peaks):
        yield _gone("derated", last, at)


def _flat(
    latest: Sequence[float], before: Sequence[float], rule: SessionMeters, *, few: bool
) -> bool:
    """Whether the latest all stop at the same watts, where formerly more flowed.

    `few` are believed only far below everything that was ever seen here.
    """
    if not before or (few and len(before) < rule.flat_known):
        return False
    most = min(before) / 2 if few else rule.flat_share * max(before)
    return max(latest) - min(latest) <= rule.flat_within * max(latest) and max(latest) < most


def _ageing(sessions: Sequence[Metered], at: datetime, rule: SessionMeters) -> Iterator[Finding]:
    """The plug is hotter for the same current than it was: its contact ages.

    Heat is the current's square times a resistance, which is fitted over several sessions, lately
    and formerly; how well that explained the former ones says what is noise here. May be wrong
    where the sun begins to shine on this plug alone.
    """
    seen = [s for s in sessions if s.warmed]
    of = _lately(seen, rule)
    late, rest = seen[:of], seen[of:]
    early = rest[len(rest) // 2 :]
    if len(rest) < rule.drift_known or any(s.outdated for s in late):
        return
    # One session beside a fault of the neighbours is no trend.
    now, then = _resistance(late), max(_resistance(early), _middle(early))
    lately = (now, _middle(late), late[0].kelvin_per_a2)
    noise = max(rule.drift_noise_k, _unexplained(rest)) / sum(s.heat**2 for s in late) ** 0.5
    evidence = {"kelvin_per_a2": round(now, 4), "formerly": round(then, 4)}
    if then > 0 and min(lately) > rule.drift * then and now - then > 3 * noise:
        yield _found("thermal-drift", sessions[0], at, evidence)
    elif max(lately[1:]) < (1 + rule.drift) / 2 * then:
        yield _gone("thermal-drift", sessions[0], at)


def _lately(seen: Sequence[Metered], rule: SessionMeters) -> int:
    """How many of the newest are judged: they reach over a day's course of air and sun."""
    span = timedelta(seconds=rule.drift_span_s)
    within = sum(1 for _ in takewhile(lambda s: seen[0].ended_at - s.ended_at < span, seen))
    return max(rule.drift_sessions, within + 1)


def _middle(of: Sequence[Metered]) -> float:
    return median(s.kelvin_per_a2 for s in of)


def _resistance(of: Sequence[Metered]) -> float:
    """Kelvin for each square ampere: least squares through the origin."""
    return sum(s.heat * (s.excess_k or 0) for s in of) / sum(s.heat**2 for s in of)


def _unexplained(of: Sequence[Metered]) -> float:
    """Kelvin (root mean square) that the current does not explain in these sessions."""
    each = _resistance(of)
    return sqrt(sum(((s.excess_k or 0) - each * s.heat) ** 2 for s in of) / len(of))


def _found(code: str, of: Metered, at: datetime, evidence: dict[str, Any]) -> Finding:
    return Finding(_key(code, of), SESSION_METER, code, present=True, at=at, evidence=evidence)


def _gone(code: str, of: Metered, at: datetime) -> Finding:
    return Finding(_key(code, of), SESSION_METER, code, present=False, at=at)


def _key(code: str, of: Metered) -> Key:
    return Key(SubjectKind.CONNECTOR, of.connector_id, FAULTS[code].family)
