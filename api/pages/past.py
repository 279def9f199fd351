"""A charger's past as it is drawn: the states of its ports, its measures, what was wrong."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from api.context import Asked
from api.pages import charts, staff
from api.pages.charts import Frame, Line, Piece
from pilewatch.store.explanation import MEASURES

PRESETS = (6, 24, 168, 720)
"""Hours that one click shows."""
POINTS = 240
_USUAL = 24
_LONGEST = timedelta(days=366)
_HOUR = timedelta(hours=1)
_HOURLY = timedelta(days=3)
"""From this length on the hourly roll-up is read."""
_RAW_STATES = timedelta(days=8)
"""Up to this length each port's own words are shown, beyond it what outlives the observations."""
_SETTLED = timedelta(minutes=70)


@dataclass(frozen=True)
class Wished:
    """The time, and the port, that somebody asked for; `problem` is a word for what was wrong."""

    begins: datetime
    ends: datetime
    hours: int | None
    port: int | None
    problem: str | None = None

    @property
    def length(self) -> timedelta:
        """How long it is."""
        return self.ends - self.begins


@dataclass(frozen=True)
class Mark:
    """An incident on the picture, by its number in the list beside it."""

    place: int
    left: float
    width: float
    incident: dict[str, Any]


@dataclass(frozen=True)
class Past:
    """Everything of one page's pictures."""

    wished: Wished
    frame: Frame
    bands: dict[int, list[Piece]]
    power: Line | None
    temperature: Line | None
    marks: list[Mark]


def wished(now: datetime, zone: ZoneInfo, said: Mapping[str, str]) -> Wished:
    """Reads `hours`, or `from` and `to` (the place's own time, or with an offset), and `port`.

    What cannot be is told, and the last day is shown instead.
    """
    number = said["port"]
    port = int(number) if number.isascii() and number.isdigit() and len(number) <= 3 else None
    hours = said["hours"]
    if hours.isascii() and hours.isdigit() and 0 < int(hours[:5]) <= 8784:
        return Wished(now - timedelta(hours=int(hours[:5])), now, int(hours[:5]), port)
    usual = Wished(now - timedelta(hours=_USUAL), now, _USUAL, port)
    if not said["from"] and not said["to"]:
        return usual
    try:
        begins, ends = (_moment(said[word], zone) for word in ("from", "to"))
    except (ValueError, OverflowError):
        return Wished(usual.begins, usual.ends, _USUAL, port, "unreadable")
    if not timedelta(seconds=30) <= ends - begins <= _LONGEST:
        return Wished(usual.begins, usual.ends, _USUAL, port, "length")
    return Wished(begins, ends, None, port)


def _moment(text: str, zone: ZoneInfo) -> datetime:
    found = datetime.fromisoformat(text)
    return (found if found.tzinfo else found.replace(tzinfo=zone)).astimezone(UTC)


def past(ask: Asked, charger_id: int, asked: Wished) -> Past:
    """Read and draw it."""
    frame = _frame(asked)
    values = {"id": charger_id, "from_at": frame.begins, "to_at": frame.ends}
    since = staff.rows(ask, "silent_since", id=charger_id)
    silent = charts.silences(
        frame,
        staff.rows(ask, "contact", **values),
        since[0]["at"] if since else None,
        ask.now,
    )
    states = "port_states" if asked.length <= _RAW_STATES else "port_intervals"
    incidents = staff.rows(ask, "incidents_between", **values, port=asked.port)
    measured = _measured(ask, frame, asked, values)
    return Past(
        asked,
        frame,
        charts.bands(frame, _ended(staff.rows(ask, states, **values), frame, ask.now), silent),
        charts.line(frame, measured, "power_low", "power_w", "power_high",
                    _limit(incidents, "power_w")),
        charts.line(frame, measured, "temperature_low", "temperature_c", "temperature_high",
                    _limit(incidents, "temperature_c")),
        [
            Mark(
                place,
                frame.at(row["started_at"]),
                max(0.3, frame.at(row["ended_at"] or ask.now) - frame.at(row["started_at"])),
                row,
            )
            for place, row in enumerate(incidents, 1)
        ],
    )  # fmt: skip


def _frame(asked: Wished) -> Frame:
    step = max(asked.length / POINTS, timedelta(seconds=10))
    begins = asked.begins
    if asked.length >= _HOURLY:
        step = _HOUR * max(1, -(-step // _HOUR))
        begins = begins.replace(minute=0, second=0, microsecond=0)
    return Frame(begins, asked.ends, step)


def _measured(
    ask: Asked, frame: Frame, asked: Wished, values: dict[str, Any]
) -> list[dict[str, Any]]:
    more = {**values, "step": frame.step, "port": asked.port}
    if asked.length < _HOURLY:
        return staff.rows(ask, "measured", **more)
    settled = (ask.now - _SETTLED).replace(minute=0, second=0, microsecond=0)
    # Cut at a bin's edge, so that no bin is told twice.
    whole = max(0, (min(settled, frame.ends) - frame.begins) // frame.step)
    raw_from = frame.begins + frame.step * whole
    found = staff.rows(ask, "measured_hourly", **{**more, "to_at": raw_from})
    return found + staff.rows(ask, "measured", **{**more, "from_at": raw_from})


def _ended(rows: list[dict[str, Any]], frame: Frame, now: datetime) -> list[dict[str, Any]]:
    """No state reaches into the future: there is nothing after now."""
    if frame.ends <= now:
        return rows
    numbers = {row["number"] for row in rows}
    rows = [*rows, *({"number": n, "at": now, "status": "future"} for n in numbers)]
    return sorted(rows, key=lambda row: (row["number"], row["at"]))


def _limit(incidents: list[dict[str, Any]], measure: str) -> float | None:
    """The limit that the latest incident of this measure broke."""
    for row in reversed(incidents):
        said = row["evidence"].get("first") or {}
        told = said.get("measure") or MEASURES.get(said.get("code") or row["code"])
        limit = said.get("limit")
        if told == measure and isinstance(limit, int | float):
            return float(limit)
    return None
