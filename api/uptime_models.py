"""Uptime's figures, what they leave out, and their history, as they come in and go out."""

from datetime import date, datetime
from typing import Any, Literal

from pydantic import BaseModel, Field

from api.models import Body, Code, Moment, Port, Text, example
from pilewatch.uptime.exclusions import ScopeKind
from pilewatch.uptime.measures import Measure, Reason, Tally

_SECOND = 1_000_000


class PlainAnswer(BaseModel):
    """Available or in use, by the whole time: unknown is down, nothing is left out."""

    percent: float | None
    total_s: float
    up_s: float


class NeviAnswer(BaseModel):
    """23 CFR 680.116(b): `missed` connectors did not exceed 97 %."""

    percent: float | None
    total_s: float
    outage_s: float
    excluded_s: float
    missed: int


class UkAnswer(BaseModel):
    """SI 2023/1168 reg. 7: `ineligible_s` (unknown) counts as reliable, exempt time leaves."""

    percent: float | None
    total_s: float
    down_s: float
    exempt_s: float
    ineligible_s: float


_FIGURES = {
    "connectors": 2,
    "service_s": 5184000.0,
    "working_s": 5097600.0,
    "unavailable_s": 0.0,
    "out_of_order_s": 43200.0,
    "unknown_s": 43200.0,
    "plain": {"percent": 98.33333333333333, "total_s": 5184000.0, "up_s": 5097600.0},
    "nevi": {
        "percent": 99.16666666666667,
        "total_s": 5184000.0,
        "outage_s": 86400.0,
        "excluded_s": 43200.0,
        "missed": 0,
    },
    "uk": {
        "percent": 99.15966386554622,
        "total_s": 5140800.0,
        "down_s": 43200.0,
        "exempt_s": 43200.0,
        "ineligible_s": 0.0,
    },
}


class Figures(BaseModel):
    """The time of some connectors in four parts, and the three figures that are made of it."""

    connectors: int
    service_s: float
    working_s: float
    unavailable_s: float
    out_of_order_s: float
    unknown_s: float
    plain: PlainAnswer
    nevi: NeviAnswer
    uk: UkAnswer


class UptimeRow(Figures):
    """One subject's figures. `code` is null for what belongs to no company."""

    model_config = example(code="wanhe-1a", **_FIGURES)

    code: str | None


class UptimeAnswer(BaseModel):
    """Figures of a period; of one that goes on, as far as is known (`known_until`).

    `never_heard` connectors had not said a word by its end, and are in none of the figures.
    """

    model_config = example(
        month="2026-11",
        span="month",
        by="site",
        known_until="2026-11-25T01:00:00Z",
        complete=False,
        never_heard=0,
        items=[{"code": "wanhe-1a", **_FIGURES}],
        next_cursor=None,
    )

    month: str
    span: str
    by: str
    known_until: datetime | None
    complete: bool
    never_heard: int
    items: list[UptimeRow]
    next_cursor: str | None


class ExcludedAnswer(BaseModel):
    """A piece of time that a figure leaves out, counted once."""

    model_config = example(
        charger="WH-E01",
        connector=2,
        measure="nevi",
        from_at="2026-11-06T00:00:00Z",
        to_at="2026-11-06T06:00:00Z",
        seconds=21600.0,
        reason="utility",
        document="停电公告 2026-118",
        source="downtime/12",
    )

    charger: str
    connector: int
    measure: Measure
    from_at: datetime
    to_at: datetime
    seconds: float
    reason: str
    document: str
    source: str


class VersionAnswer(Figures):
    """A figure as it was published; `why` names what corrected the one before."""

    model_config = example(
        version=2,
        why="downtime/12",
        person="li",
        published_at="2026-12-03T08:00:00Z",
        **_FIGURES,
    )

    version: int
    why: str
    person: str | None
    published_at: datetime


class VersionsAnswer(BaseModel):
    """Every version of a published figure, the first one first."""

    model_config = example(
        items=[
            {
                "version": 2,
                "why": "downtime/12",
                "person": "li",
                "published_at": "2026-12-03T08:00:00Z",
                **_FIGURES,
            }
        ]
    )

    items: list[VersionAnswer]


class ReliabilityRow(BaseModel):
    """Working hours by failures (`mtbf_h`), mean hours of those that ended (`mttr_h`)."""

    group: str
    connectors: int
    failures: int
    mtbf_h: float | None
    mttr_h: float | None
    downtime_h: float


class ParetoRow(BaseModel):
    """A fault's part of all hours, and that of it and all worse ones."""

    code: str
    failures: int
    hours: float
    share: float
    cumulative: float


class WorstRow(BaseModel):
    """A charger, and the hours that its connectors could not be used."""

    charger: str
    site: str
    model: str
    down_h: float
    failures: int


class SurvivalRow(BaseModel):
    """Of so many days after the beginning or a repair: the share without a failure until then."""

    model: str
    periods: int
    failures: int
    median_days: float | None
    after: dict[str, float]


class AnalysisAnswer(BaseModel):
    """What happened in a period. A failure put something out of order; silence is none."""

    model_config = example(
        reliability=[
            {
                "group": "DNY-12",
                "connectors": 120,
                "failures": 4,
                "mtbf_h": 21450.5,
                "mttr_h": 9.25,
                "downtime_h": 61.5,
            }
        ],
        pareto=[
            {
                "code": "relay-open",
                "failures": 3,
                "hours": 30.0,
                "share": 0.8,
                "cumulative": 0.8,
            }
        ],
        worst=[
            {
                "charger": "WH-E01",
                "site": "wanhe-1a",
                "model": "DNY-12",
                "down_h": 22.5,
                "failures": 2,
            }
        ],
        survival=[
            {
                "model": "DNY-12",
                "periods": 14,
                "failures": 4,
                "median_days": None,
                "after": {"30": 0.71},
            }
        ],
    )

    reliability: list[ReliabilityRow]
    pareto: list[ParetoRow]
    worst: list[WorstRow]
    survival: list[SurvivalRow]


class ExclusionRequest(Body):
    """What is left out, why, and what proves it. A connector is a port's number on the charger."""

    model_config = example(
        scope="charger",
        code="WH-E01",
        reason="vandalism",
        document="police report 2026-4711",
        from_at="2026-11-06T00:00:00Z",
        to_at="2026-11-06T06:00:00Z",
        note="cable cut",
    )

    scope: ScopeKind = Field(examples=["charger"])
    code: Code = Field(examples=["WH-E01"])
    connector: Port | None = Field(None, examples=[3])
    reason: Reason = Field(examples=["vandalism"])
    document: Text = Field(examples=["police report 2026-4711"])
    from_at: Moment
    to_at: Moment
    note: Text | None = Field(None, examples=["cable cut"])


class ExclusionChange(Body):
    """What is to be another one; what is left out stays."""

    model_config = example(document="police report 2026-4711, appendix")

    reason: Reason | None = None
    document: Text | None = None
    from_at: Moment | None = None
    to_at: Moment | None = None
    note: Text | None = None


class ExclusionAnswer(BaseModel):
    """Time that is left out. Withdrawn ones leave out nothing, and are kept."""

    model_config = example(
        id=3,
        scope="charger",
        code="WH-E01",
        connector=None,
        reason="vandalism",
        document="police report 2026-4711",
        note="cable cut",
        from_at="2026-11-06T00:00:00Z",
        to_at="2026-11-06T06:00:00Z",
        entered_by="li",
        entered_at="2026-11-07T08:00:00Z",
        withdrawn_at=None,
        version=1,
    )

    id: int
    scope: str
    code: str | None
    connector: int | None
    reason: Reason
    document: str
    note: str | None
    from_at: datetime
    to_at: datetime
    entered_by: str
    entered_at: datetime
    withdrawn_at: datetime | None
    version: int


Day = Literal["1", "2", "3", "4", "5", "6", "7"]
_WEEK = {str(day): [["08:00", "22:00"]] for day in range(1, 8)}


class HoursRequest(Body):
    """Weekly hours from a day on, by the site's clock; Monday is 1. A day left out is closed."""

    model_config = example(from_on="2026-01-01", week=_WEEK)

    from_on: date = Field(ge=date(2020, 1, 1), le=date(2100, 1, 1))
    week: dict[Day, list[tuple[str, str]]] = Field(examples=[_WEEK])


class HoursVersion(BaseModel):
    """Weekly hours that hold from a day on."""

    from_on: date
    week: dict[str, list[tuple[str, str]]]


class HoursAnswer(BaseModel):
    """A site's opening hours, the first ones first; without any it is open round the clock."""

    model_config = example(
        site="wanhe-1a",
        timezone="Asia/Shanghai",
        hours=[{"from_on": "2026-01-01", "week": _WEEK}],
    )

    site: str
    timezone: str
    hours: list[HoursVersion]


def figures(tally: Tally) -> dict[str, Any]:
    """The figures of this time, in seconds and percent."""

    def percent(share: float | None) -> float | None:
        return None if share is None else 100 * share

    return {
        "connectors": tally.connectors,
        "service_s": tally.service / _SECOND,
        "working_s": tally.working / _SECOND,
        "unavailable_s": tally.unavailable / _SECOND,
        "out_of_order_s": tally.out_of_order / _SECOND,
        "unknown_s": tally.unknown / _SECOND,
        "plain": {
            "percent": percent(tally.plain),
            "total_s": tally.service / _SECOND,
            "up_s": tally.working / _SECOND,
        },
        "nevi": {
            "percent": percent(tally.nevi),
            "total_s": tally.nevi_total / _SECOND,
            "outage_s": tally.nevi_outage / _SECOND,
            "excluded_s": tally.nevi_excluded / _SECOND,
            "missed": tally.nevi_missed,
        },
        "uk": {
            "percent": percent(tally.uk),
            "total_s": tally.uk_total / _SECOND,
            "down_s": tally.uk_down / _SECOND,
            "exempt_s": tally.uk_exempt / _SECOND,
            "ineligible_s": tally.uk_ineligible / _SECOND,
        },
    }
