"""Locations of OCPI 2.2.1 (mod_locations): plain objects from places. Pure."""

from datetime import UTC, datetime
from typing import Any

from pilewatch.openinghours import ALWAYS, read_opening_hours
from pilewatch.settings import Ocpi
from pilewatch.store.places import Place, Port


def moment(at: datetime) -> str:
    """OCPI's DateTime: UTC, to the millisecond, as a poller gives it back in `date_from`."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def location(place: Place, party: Ocpi) -> dict[str, Any]:
    """A Location with its EVSEs. `place` has coordinates."""
    found: dict[str, Any] = {
        "country_code": party.country_code,
        "party_id": party.party_id,
        "id": str(place.id),
        "publish": True,
        "name": place.name[:255],
        "address": (place.address or place.name)[:45],
        "city": (place.city or place.area)[:45],
        "country": party.country,
        "coordinates": {
            "latitude": f"{place.latitude:.6f}",
            "longitude": f"{place.longitude:.6f}",
        },
        "evses": [evse(port, party) for port in place.ports],
        "time_zone": place.timezone,
        "opening_times": opening_times(place.opening_hours),
        "charging_when_closed": False,
        "last_updated": moment(place.updated_at),
    }
    if place.postal_code:
        found["postal_code"] = place.postal_code[:10]
    if place.operator:
        found["operator"] = {"name": place.operator[:100]}
    return found


def opening_times(hours: str | None) -> dict[str, Any]:
    """Hours of OCPI; without a word about it a site is open at all times."""
    if hours is None or hours == ALWAYS:
        return {"twentyfourseven": True}
    regular = [
        {"weekday": s.weekday, "period_begin": s.begins, "period_end": s.ends}
        for s in read_opening_hours(hours)
    ]
    return {"twentyfourseven": False, "regular_hours": regular}


def evse(port: Port, party: Ocpi) -> dict[str, Any]:
    """An EVSE with its one connector."""
    found: dict[str, Any] = {
        "uid": str(port.id),
        "status": port.status,
        "capabilities": [],
        "connectors": [connector(port)],
        "physical_reference": f"{port.label[:12]} {port.number}",
        "last_updated": moment(port.updated_at),
    }
    if port.status != "REMOVED":
        found["evse_id"] = f"{party.country_code}*{party.party_id}*E{port.id}"
    return found


def connector(port: Port) -> dict[str, Any]:
    """The connector of an EVSE."""
    outlet = port.outlet
    found: dict[str, Any] = {
        "id": "1",
        "standard": outlet.plug,
        "format": "CABLE" if outlet.cable else "SOCKET",
        "power_type": outlet.power_type,
        "max_voltage": round(outlet.volts),
        "max_amperage": max(1, round(outlet.amperes)),
        "last_updated": moment(port.equipped_at),
    }
    if outlet.watts is not None:
        found["max_electric_power"] = round(outlet.watts)
    return found
