"""What a charger has said: its observations one by one, and measures over time."""

import base64
import binascii
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any

from fastapi import Query
from pydantic import AwareDatetime, BaseModel

from api import problems
from api.context import Ask, Asked
from api.models import Big, Listed, PathCode, example
from api.problems import Problem
from api.rights import demand, scope
from api.routers import reading
from pilewatch.model import Kind

router = reading("history")
_HOUR = timedelta(hours=1)
_SETTLED = timedelta(minutes=70)
"""Hours that ended so long ago (and ten minutes) have been rolled up by a living engine."""
_LONGEST = timedelta(days=366)

From = Annotated[
    AwareDatetime | None,
    Query(alias="from", description="Begin, inclusive; a day before `to` if absent"),
]
To = Annotated[AwareDatetime | None, Query(alias="to", description="End, exclusive; now if absent")]
Number = Annotated[
    int | None, Query(ge=0, le=999, description="Only this connector; 0: the charger itself")
]


class Said(StrEnum):
    """Kinds of observations by their names."""

    STATUS = "status"
    METER = "meter"
    SESSION_STARTED = "session_started"
    SESSION_ENDED = "session_ended"
    SESSION_REFUSED = "session_refused"
    HEARTBEAT = "heartbeat"
    ONLINE = "online"
    OFFLINE = "offline"
    RESULT = "result"


class Measure(StrEnum):
    """What can be drawn over time."""

    POWER = "power_w"
    TEMPERATURE = "temperature_c"
    VOLTAGE = "voltage_v"
    CURRENT = "current_a"
    ENERGY = "energy_wh"


@dataclass(frozen=True)
class Span:
    """A piece of time, and how it is cut."""

    begins: datetime
    ends: datetime
    step: timedelta

    @property
    def hourly(self) -> bool:
        """Whether the hourly roll-up is fine enough."""
        return self.step >= _HOUR


def span(now: datetime, begins: datetime | None, ends: datetime | None, points: int = 1) -> Span:
    """The asked time in at most so many steps, whole hours where the roll-up serves them.

    Raises `Problem` 422 where it ends before it begins or is longer than a year.
    """
    try:
        ends = (ends or now).astimezone(UTC)
        begins = (begins or ends - timedelta(days=1)).astimezone(UTC)
        length = ends - begins
    except OverflowError as error:
        raise Problem(422, "from, to: out of range") from error
    if not timedelta(0) < length <= _LONGEST:
        raise Problem(422, "from, to: `from` must be before `to`, by 366 days at most")
    step = max(timedelta(seconds=1), length / points)
    if step >= _HOUR:
        step = _HOUR * -(-step // _HOUR)
        begins = begins.replace(minute=0, second=0, microsecond=0)
    return Span(begins, ends, step)


class ObservationAnswer(BaseModel):
    """One thing that a charger said; units are those of the names."""

    model_config = example(
        observed_at="2026-05-01T08:00:00Z",
        received_at="2026-05-01T08:00:01Z",
        connector=3,
        kind="meter",
        seq=-1,
        status=None,
        errors=None,
        session_id="s-81",
        reason=None,
        energy_wh=412,
        power_w=180,
        voltage_v=221,
        current_a=0.82,
        temperature_c=31,
        soc=None,
        residual_current_ma=None,
        data=None,
    )

    observed_at: datetime
    received_at: datetime
    connector: int
    kind: str
    seq: int
    status: str | None
    errors: list[dict[str, Any]] | None
    session_id: str | None
    reason: str | None
    energy_wh: float | None
    power_w: float | None
    voltage_v: float | None
    current_a: float | None
    temperature_c: float | None
    soc: float | None
    residual_current_ma: float | None
    data: dict[str, Any] | None


class Bin(BaseModel):
    """A piece of a series; what is not known of it is null."""

    at: datetime
    samples: int
    min: float | None = None
    avg: float | None = None
    max: float | None = None
    sum: float | None = None


class SeriesAnswer(BaseModel):
    """A measure of one connector over time; bins without a value are left out."""

    model_config = example(
        charger="WH-E01",
        connector=3,
        measure="power_w",
        step_s=300,
        bins=[{"at": "2026-05-01T08:00:00Z", "samples": 10, "min": 0, "avg": 176.5, "max": 190}],
    )

    charger: str
    connector: int
    measure: str
    step_s: float
    bins: list[Bin]


@router.get(
    "/chargers/{code}/observations",
    response_model=Listed[ObservationAnswer],
    summary="What a charger has said",
    **problems.for_staff(404),
)
def observations(
    code: PathCode,
    ask: Ask,
    begins: From = None,
    ends: To = None,
    connector: Number = None,
    kind: Annotated[list[Said] | None, Query(description="Only these kinds")] = None,
    limit: Annotated[int, Query(ge=1, le=500, description="Rows of one page")] = 100,
    cursor: Annotated[
        str | None, Query(max_length=200, description="`next_cursor` of the page before")
    ] = None,
) -> Any:
    """Newest first, by the charger's clock."""
    demand(ask.caller, "read")
    place = _charger(ask, code, connector)
    asked = span(ask.now, begins, ends)
    rows = ask.rows(
        "observations",
        charger_id=place["charger_id"],
        connector=connector,
        kinds=None if kind is None else [int(Kind[word.name]) for word in kind],
        from_at=asked.begins,
        to_at=asked.ends,
        limit=limit,
        **_read_cursor(cursor),
    )
    following = _cursor(rows[-1]) if len(rows) == limit else None
    for row in rows:
        row["kind"] = Kind(row["kind"]).name.lower()
    return {"items": rows, "next_cursor": following}


def _cursor(row: dict[str, Any]) -> str:
    words = (row["observed_at"].isoformat(), row["seq"], row["connector"], row["kind"])
    return base64.urlsafe_b64encode(" ".join(map(str, words)).encode()).decode()


def _read_cursor(cursor: str | None) -> dict[str, Any]:
    names = ("at", "at_seq", "at_connector", "at_kind")
    if cursor is None:
        return dict.fromkeys(names)
    try:
        at, *numbers = base64.urlsafe_b64decode(cursor.encode("ascii")).decode("ascii").split(" ")
        seq, connector, kind = map(int, numbers)
        moment = datetime.fromisoformat(at).astimezone(UTC)
        if abs(seq) > Big or abs(connector) > 999 or abs(kind) > 99:
            raise ValueError("out of range")
    except (ValueError, OverflowError, binascii.Error) as error:
        raise Problem(422, "cursor: use the next_cursor of the page before") from error
    return dict(zip(names, (moment, seq, connector, kind), strict=True))


@router.get(
    "/chargers/{code}/series",
    response_model=SeriesAnswer,
    summary="A measure over time",
    **problems.for_staff(404),
)
def series(
    code: PathCode,
    ask: Ask,
    connector: Annotated[int, Query(ge=1, le=999, description="The connector's number")],
    measure: Annotated[Measure, Query(description="What to draw; the unit is in its name")],
    begins: From = None,
    ends: To = None,
    points: Annotated[int, Query(ge=1, le=2000, description="Bins at most")] = 300,
) -> Any:
    """Least, mean and most of each bin; of energy, what was delivered in it (`sum`). Steps of an
    hour or more come from the hourly roll-up, which does not keep each of them."""
    demand(ask.caller, "read")
    place = _charger(ask, code, connector)
    if place["connector_id"] is None:
        raise Problem(404, f"there is no connector {connector} of charger {code}")
    asked = span(ask.now, begins, ends, points)
    values = {**place, "connector": connector, "measure": measure.value, "step": asked.step}
    raw = "series_energy" if measure == Measure.ENERGY else "series"
    bins: list[dict[str, Any]] = []
    begins_raw = asked.begins
    if asked.hourly:
        settled = (ask.now - _SETTLED).replace(minute=0, second=0, microsecond=0)
        # Cut at a bin's edge, so that no bin is told twice.
        begins_raw += asked.step * max(0, (min(settled, asked.ends) - asked.begins) // asked.step)
        bins += ask.rows("series_hourly", **values, from_at=asked.begins, to_at=begins_raw)
    if begins_raw < asked.ends:
        bins += ask.rows(raw, **values, from_at=begins_raw, to_at=asked.ends)
    return {
        "charger": code,
        "connector": connector,
        "measure": measure.value,
        "step_s": asked.step.total_seconds(),
        "bins": bins,
    }


def _charger(ask: Asked, code: str, connector: int | None) -> dict[str, Any]:
    narrowed = scope(ask.caller)
    rows = ask.rows("charger_for", code=code, connector=connector, **narrowed)
    if not rows:
        raise Problem(404, f"there is no charger {code}")
    return rows[0]
