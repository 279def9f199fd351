"""Why there is an incident: its evidence, and the measure around it for a picture."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from pilewatch.store import queries
from pilewatch.store.pool import Db

_SQL = queries.load("explain")
EVERYTHING: Mapping[str, Any] = dict.fromkeys(("company_id", "person_id", "grids"))
_AROUND = timedelta(minutes=30)
"""How much is shown before the incident began and after it ended."""
_LONGEST = timedelta(hours=24)
"""Of a long incident its beginning is shown."""

MEASURES: dict[str, str] = {
    "relay-welded": "power_w",
    "over-voltage": "voltage_v",
    "under-voltage": "voltage_v",
    "phase-loss": "voltage_v",
    "over-current": "current_a",
    "overload-port": "power_w",
    "derated": "power_w",
    "over-temperature": "temperature_c",
    "thermal-drift": "temperature_c",
    "ground-fault": "residual_current_ma",
    "no-output": "power_w",
    "meter-backwards": "energy_wh",
    "meter-mismatch": "energy_wh",
}
"""The measure in which a fault shows; a detector may name another as `evidence.measure`."""
UNITS: dict[str, str] = {
    "power_w": "W",
    "voltage_v": "V",
    "current_a": "A",
    "temperature_c": "°C",
    "residual_current_ma": "mA",
    "energy_wh": "Wh",
}


@dataclass(frozen=True)
class Chart:
    """A measure of one connector in steps; each bin has at, samples, min, avg, max."""

    measure: str
    connector: int
    limit: float | None
    step: timedelta
    bins: list[dict[str, Any]]

    @property
    def unit(self) -> str:
        """What the values are counted in."""
        return UNITS[self.measure]


@dataclass(frozen=True)
class Explanation:
    """An incident's row with place, ticket, parent and members, and its chart if it has one."""

    incident: dict[str, Any]
    chart: Chart | None

    @property
    def first(self) -> dict[str, Any] | None:
        """What was seen first."""
        return self._seen("first")

    @property
    def latest(self) -> dict[str, Any] | None:
        """What was seen last."""
        return self._seen("latest")

    def _seen(self, word: str) -> dict[str, Any] | None:
        said: dict[str, Any] | None = self.incident["evidence"].get(word)
        return said

    @property
    def ports(self) -> list[int]:
        """At which connectors a fault of the whole charger is seen."""
        return list(self.incident["evidence"].get("ports", []))


def explain(
    db: Db,
    incident_id: int,
    now: datetime,
    *,
    narrowed: Mapping[str, Any] = EVERYTHING,
    points: int = 120,
) -> Explanation | None:
    """The incident with at most so many points of its measure; None where there is none, or not
    within what the asker sees (company_id, person_id, grids; None: all)."""
    row = db.execute(_SQL["incident"], {**narrowed, "id": incident_id}).fetchone()
    return None if row is None else Explanation(row, _chart(db, row, now, points))


def _chart(db: Db, row: dict[str, Any], now: datetime, points: int) -> Chart | None:
    evidence = row["evidence"]
    said = evidence.get("first") or {}
    measure = said.get("measure") or MEASURES.get(said.get("code") or row["code"])
    ports = evidence.get("ports") or [1]
    connector = row["connector"] or ports[0]
    if row["charger_id"] is None or measure not in UNITS:
        return None
    begins = row["started_at"] - _AROUND
    ends = min((row["ended_at"] or now) + _AROUND, now + timedelta(seconds=1), begins + _LONGEST)
    if ends <= begins:
        return None
    step = max((ends - begins) / points, timedelta(seconds=1))
    values = {
        "charger_id": row["charger_id"],
        "connector": connector,
        "measure": measure,
        "from_at": begins,
        "to_at": ends,
        "step": step,
    }
    bins = db.execute(_SQL["measure"], values).fetchall()
    limit = said.get("limit")
    number = float(limit) if isinstance(limit, int | float) else None
    return Chart(measure, connector, number, step, bins) if bins else None
