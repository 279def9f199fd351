"""What the figures are made of, read in whole sets: connectors with their layers, and sums."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from psycopg.rows import tuple_row

from pilewatch.store import queries
from pilewatch.store.pool import Db
from pilewatch.uptime.building import built_until
from pilewatch.uptime.measures import CLOSED, Layers, Left, LeftOut, Tally, count
from pilewatch.uptime.periods import Period, closed, microseconds, moment
from pilewatch.uptime.spans import Span, Spans, melt, steps

_SQL = queries.load("uptime")
Level = Literal["connector", "charger", "site", "company", "area"]
LEVELS: tuple[Level, ...] = ("connector", "charger", "site", "company", "area")
_EVERYTHING = ("area", "company", "site", "charger", "connector", "company_id", "grids")


@dataclass(frozen=True)
class Place:
    """A connector and all that it is a part of."""

    id: int
    number: int
    max_power_w: float | None
    charger_id: int
    charger: str
    gateway_id: int | None
    model: str | None
    site_id: int
    site: str
    grid_id: int
    area_id: int
    area: str
    timezone: str
    company_id: int | None
    company: str | None
    active: bool
    charger_active: bool

    @property
    def standing(self) -> bool:
        """Not retired, by itself or with its charger."""
        return self.active and self.charger_active

    def scopes(self) -> tuple[tuple[str, int | None], ...]:
        """What a window or an incident over it may be about."""
        return (
            ("connector", self.id),
            ("charger", self.charger_id),
            ("gateway", self.gateway_id),
            ("site", self.site_id),
            ("grid", self.grid_id),
            ("area", self.area_id),
        )

    def subject(self, level: Level) -> tuple[int | None, str | None]:
        """Id and code of what it belongs to at this level."""
        match level:
            case "connector":
                return self.id, f"{self.charger}/{self.number}"
            case "charger":
                return self.charger_id, self.charger
            case "site":
                return self.site_id, self.site
            case "company":
                return self.company_id, self.company
            case "area":
                return self.area_id, self.area


@dataclass(frozen=True)
class Row:
    """One line of the figures: a subject and its time."""

    level: Level
    id: int | None
    code: str | None
    tally: Tally


def places(db: Db, **asked: Any) -> list[Place]:
    """Connectors within what is asked: codes of area, company, site, charger, connector's number,
    and the caller's scope `company_id`, `grids`."""
    values = {**dict.fromkeys(_EVERYTHING), **asked}
    return [Place(**row) for row in db.execute(_SQL["places"], values)]


def layers_of(db: Db, found: list[Place], period: Period) -> Iterator[tuple[Place, Layers]]:
    """Each connector that was in service within the period, with its layers.

    A connector's service begins with its first word. A retired charger's ends with its last one,
    that of a retired connector of a living charger with its last change.
    """
    until = built_until(db)
    if not found or until is None:
        return
    spans = {zone: period.span(zone) for zone in {place.timezone for place in found}}
    low = min(span[0] for span in spans.values())
    high = min(max(span[1] for span in spans.values()), microseconds(until))
    if low >= high:
        return
    read = _Read(db, found, moment(low), moment(high))
    for place in found:
        begins, ends = spans[place.timezone]
        layers = read.layers(place, (begins, min(ends, high)))
        if layers is not None:
            yield place, layers


def tallies(db: Db, found: list[Place], period: Period) -> list[tuple[Place, Tally]]:
    """Each connector's time in the period."""
    return [(place, count(layers)) for place, layers in layers_of(db, found, period)]


def sums(counted: Iterable[tuple[Place, Tally]], level: Level) -> list[Row]:
    """Added up by what the connectors belong to, in the order of the connectors."""
    groups: dict[tuple[int | None, str | None], list[Tally]] = defaultdict(list)
    for place, tally in counted:
        groups[place.subject(level)].append(tally)
    return [Row(level, id, code, add(many)) for (id, code), many in groups.items()]


def add(many: list[Tally]) -> Tally:
    """All of them together."""
    found = many[0] if many else Tally()
    for tally in many[1:]:
        found += tally
    return found


class _Read:
    """Everything between two moments, read once for all connectors."""

    def __init__(self, db: Db, found: list[Place], from_at: datetime, to_at: datetime):
        self.range = microseconds(from_at), microseconds(to_at)
        within = {"from_at": from_at, "to_at": to_at}
        chargers = sorted({place.charger_id for place in found})
        self._states = self._steps(db, "states", {**within, "ids": [p.id for p in found]})
        contacts = self._steps(db, "contacts", {**within, "ids": chargers})
        ends = self.range[1]
        self._heard = {id: steps(line, ends).get(True, []) for id, line in contacts.items()}
        self._faults: dict[tuple[str, int], list[tuple[str, Span]]] = defaultdict(list)
        for row in db.execute(_SQL["faults"], within):
            key = row["subject_kind"], row["subject_id"]
            self._faults[key].append((row["code"], (row["begins"], row["ends"])))
        self._left: dict[tuple[str, int], list[tuple[int, Left]]] = defaultdict(list)
        for place, row in enumerate(db.execute(_SQL["left_out"], within)):
            spans = [(row["begins"], row["ends"])]
            left = Left(spans, row["reason"], row["document"], row["source"])
            self._left[row["scope_kind"], row["scope_id"]].append((place, left))
        self._shut = self._closed(db, found)
        self._shared: dict[tuple[int, ...], LeftOut] = {}

    @staticmethod
    def _steps(db: Db, name: str, values: dict[str, Any]) -> dict[int, list[tuple[int, Any]]]:
        lines: dict[int, list[tuple[int, Any]]] = defaultdict(list)
        with db.cursor(row_factory=tuple_row, binary=True) as cursor:
            for id, at, value in cursor.execute(_SQL[name], values).fetchall():
                lines[id].append((at, value))
        return lines

    def _closed(self, db: Db, found: list[Place]) -> dict[int, Left]:
        sites = {place.site_id: place for place in found}
        hours: dict[int, list[tuple[Any, Any]]] = defaultdict(list)
        for row in db.execute(_SQL["opening_hours"], {"ids": list(sites)}):
            hours[row["site_id"]].append((row["from_on"], row["week"]))
        shut = {}
        for id, weeks in hours.items():
            spans = closed(weeks, sites[id].timezone, self.range)
            shut[id] = Left(spans, CLOSED, f"site/{sites[id].site}/hours", "hours")
        return shut

    def layers(self, place: Place, window: Span) -> Layers | None:
        """None where the connector was not in service within the window."""
        line = self._states.get(place.id)
        if not line:
            return None
        heard = self._heard.get(place.charger_id, [])
        begins, ends = max(window[0], line[0][0]), window[1]
        if not place.charger_active:
            ends = min(ends, heard[-1][1] if heard else begins)
        elif not place.active:
            ends = min(ends, line[-1][0])
        if begins >= ends:
            return None
        return Layers(
            window=(begins, ends),
            said=steps(line, self.range[1]),
            heard=heard,
            left=self._left_of(place),
            **self._troubles(place),
        )

    def _troubles(self, place: Place) -> dict[str, Spans]:
        pieces: dict[str, list[Span]] = {"out": [], "quiet": [], "weak": []}
        names = {"silent-port": "quiet", "derated": "weak"}
        for kind, id in place.scopes()[:4]:
            for code, span in self._faults.get((kind, id), ()) if id is not None else ():
                pieces[names.get(code, "out")].append(span)
        return {name: melt(spans) for name, spans in pieces.items() if spans}

    def _left_of(self, place: Place) -> LeftOut:
        """Shared by all connectors that leave out the same, so that it is melted once."""
        found = [
            numbered
            for kind, id in place.scopes()
            if id is not None
            for numbered in self._left.get((kind, id), ())
        ]
        found.sort(key=lambda numbered: numbered[0])
        key = (*(number for number, _ in found), place.site_id)
        shared = self._shared.get(key)
        if shared is None:
            pieces = [left for _, left in found]
            if (shut := self._shut.get(place.site_id)) is not None:
                pieces.append(shut)
            shared = self._shared[key] = LeftOut(tuple(pieces))
        return shared
