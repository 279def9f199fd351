"""How often a pile has to be inspected: the rules' interval, shortened by evidence. Pure."""

from dataclasses import dataclass
from math import floor, isfinite
from typing import Literal

from pilewatch.faultcodes import FAULTS
from pilewatch.model import Severity
from pilewatch.policy import Patrols

Word = Literal["faults", "reports", "failed-items", "age", "use", "weather"]


@dataclass(frozen=True)
class Evidence:
    """What speaks against a pile; counts are those of the policy's `look_back_days`.

    `faults` are incidents and tickets by fault code. `age_years`, `sessions_a_day` (for
    each port) and `harsh_days` (storm, flood, great heat) are None where nobody knows.
    """

    faults: tuple[tuple[str, int], ...] = ()
    reports: int = 0
    failed_items: int = 0
    age_years: float | None = None
    sessions_a_day: float | None = None
    harsh_days: int | None = None


@dataclass(frozen=True)
class Reason:
    """One kind of evidence, what there was of it (faults: by code too), and what it weighs."""

    word: Word
    amount: float
    weight: float
    codes: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True)
class Interval:
    """Every `days` instead of `instead_of`, for these reasons, the heaviest first."""

    days: int
    instead_of: int
    reasons: tuple[Reason, ...] = ()


def interval(rule: Patrols, planned_days: int, longest_days: int, evidence: Evidence) -> Interval:
    """The interval of one pile in a plan of `planned_days`.

    Never longer than `longest_days`, whatever was planned; more evidence never makes it longer.
    `shortest_days` bounds only what evidence does: a plan may be tighter by itself.
    """
    base = max(1, min(planned_days, longest_days))
    reasons = _reasons(rule, evidence)
    risk = sum(reason.weight for reason in reasons)
    days = min(base, max(rule.shortest_days, floor(base / (1 + risk))))
    return Interval(days, base, reasons if days < base else ())


def _reasons(rule: Patrols, seen: Evidence) -> tuple[Reason, ...]:
    weights = rule.weights
    by_severity = (weights.people_fault, weights.equipment_fault, weights.notice_fault)
    grown = _beyond(seen.age_years, rule.young_years)
    used = _beyond(seen.sessions_a_day, rule.usual_sessions_a_day)
    harsh = seen.harsh_days or 0
    fault_weight = sum(n * by_severity[_severity(code) - 1] for code, n in seen.faults)
    found = (
        Reason("faults", sum(n for _, n in seen.faults), fault_weight, seen.faults),
        Reason("reports", seen.reports, seen.reports * weights.report),
        Reason("failed-items", seen.failed_items, seen.failed_items * weights.failed_item),
        Reason("age", round(seen.age_years or 0, 1), grown * weights.year_of_age),
        Reason("use", round(seen.sessions_a_day or 0, 1), used * weights.session_a_day),
        Reason("weather", harsh, harsh * weights.harsh_day),
    )
    heavy = [reason for reason in found if reason.weight > 0]
    return tuple(sorted(heavy, key=lambda reason: -reason.weight))


def _severity(code: str) -> int:
    """A code that only another version of the program knows counts as a notice."""
    return FAULTS[code].severity if code in FAULTS else Severity.NOTICE


def _beyond(amount: float | None, usual: float) -> float:
    return max(0.0, amount - usual) if amount is not None and isfinite(amount) else 0.0
