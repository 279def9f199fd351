"""Places and ports as others are told of them, and since when each is so."""

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pilewatch.openinghours import text_of
from pilewatch.plugs import Outlet
from pilewatch.store import queries
from pilewatch.store.pool import Db

_SQL = queries.load("open")
_ALL = 1_000_000


@dataclass(frozen=True)
class Port:
    """One connector; `status` is a word of OCPI, `updated_at` when it or the equipment changed."""

    id: int
    number: int
    charger: str
    label: str
    kind: str
    outlet: Outlet
    status: str
    equipped_at: datetime
    updated_at: datetime


@dataclass(frozen=True)
class Place:
    """One site. `described_at` is when its own description changed, `updated_at` when anything
    of it did."""

    id: int
    code: str
    name: str
    address: str | None
    city: str | None
    postal_code: str | None
    latitude: float | None
    longitude: float | None
    opening_hours: str | None
    area: str
    timezone: str
    operator: str | None
    phone: str | None
    described_at: datetime
    updated_at: datetime
    ports: tuple[Port, ...] = ()

    @property
    def standing(self) -> tuple[Port, ...]:
        """Without those that have been taken away."""
        return tuple(port for port in self.ports if port.status != "REMOVED")


@dataclass(frozen=True)
class Found:
    """A piece of a list, and how long the whole is."""

    places: list[Place]
    total: int


def read_places(
    db: Db,
    *,
    id: int | None = None,
    code: str | None = None,
    located: bool = False,
    from_at: datetime | None = None,
    to_at: datetime | None = None,
    offset: int = 0,
    limit: int = _ALL,
) -> Found:
    """Sites in a steady order with all their ports; `located`: only those with coordinates.

    `from_at` is inclusive and `to_at` exclusive, of the last change.
    """
    values = {"id": id, "code": code, "located": located, "from_at": from_at, "to_at": to_at}
    rows = db.execute(_SQL["told_places"], {**values, "offset": offset, "limit": limit}).fetchall()
    total = rows[0]["total"] if rows else 0
    if not rows and offset:
        first = db.execute(_SQL["told_places"], {**values, "offset": 0, "limit": 1}).fetchone()
        total = first["total"] if first else 0
    ports = _ports(db, [row["id"] for row in rows])
    places = []
    for row in rows:
        del row["total"]
        week = row.pop("week")
        hours = None if week is None else text_of(week)
        places.append(Place(**row, opening_hours=hours, ports=tuple(ports[row["id"]])))
    return Found(places, total)


def _ports(db: Db, sites: list[int]) -> dict[int, list[Port]]:
    found: dict[int, list[Port]] = defaultdict(list)
    for row in db.execute(_SQL["told_ports"], {"sites": sites}):
        found[row["site_id"]].append(_port(row))
    return found


def _port(row: dict[str, Any]) -> Port:
    outlet = Outlet.of(
        row["kind"],
        plug=row["plug"],
        power_type=row["power_type"],
        volts=row["max_voltage_v"],
        amperes=row["max_current_a"],
        watts=row["max_power_w"],
    )
    words = ("id", "number", "charger", "label", "kind", "status", "equipped_at", "updated_at")
    return Port(**{word: row[word] for word in words}, outlet=outlet)
