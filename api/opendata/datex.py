"""`/open/datex2/…`: DATEX II v3 (3.5), EnergyInfrastructure: what stands where, and how it is.

Order and names of elements follow DATEXII_3_EnergyInfrastructure.xsd, _Facilities, _Common and
_LocationReferencing of the v3.5 schemas (https://docs.datex2.eu).
"""

from datetime import datetime
from xml.etree.ElementTree import Element

from fastapi import APIRouter, Response

from api.context import Ask, Asked
from api.opendata import markup
from api.opendata.answers import documented, text
from api.problems import Problem
from pilewatch.store.places import Place, Port, read_places
from pilewatch.workflow.telling import tell

router = APIRouter(prefix="/open/datex2", tags=["open data"])
MEDIA_TYPE = "application/xml"
_SCHEMA = "http://datex2.eu/schema/3"
_XSI = "http://www.w3.org/2001/XMLSchema-instance"
_D2 = markup.Vocabulary(
    {
        "d2": f"{_SCHEMA}/d2Payload",
        "com": f"{_SCHEMA}/common",
        "egi": f"{_SCHEMA}/energyInfrastructure",
        "fac": f"{_SCHEMA}/facilities",
        "loc": f"{_SCHEMA}/locationReferencing",
        "xsi": _XSI,
    }
)
_TYPE = _D2.name("xsi:type")
STATUS = {
    "AVAILABLE": "available",
    "BLOCKED": "blocked",
    "CHARGING": "charging",
    "INOPERATIVE": "unavailable",
    "OUTOFORDER": "outOfOrder",
    "RESERVED": "reserved",
    "UNKNOWN": "unknown",
}
"""RefillPointStatusEnum by the word of OCPI. Its `inoperative` is for what is not yet, or no
longer, there."""
_PLUGS = {
    "CHADEMO": "chademo",
    "IEC_62196_T1": "iec62196T1",
    "IEC_62196_T1_COMBO": "iec62196T1COMBO",
    "IEC_62196_T2": "iec62196T2",
    "IEC_62196_T2_COMBO": "iec62196T2COMBO",
    "IEC_62196_T3A": "iec62196T3A",
    "IEC_62196_T3C": "iec62196T3C",
    "IEC_60309_2_single_16": "iec60309x2single16",
    "IEC_60309_2_three_16": "iec60309x2three16",
    "IEC_60309_2_three_32": "iec60309x2three32",
    "IEC_60309_2_three_64": "iec60309x2three64",
    "PANTOGRAPH_BOTTOM_UP": "pantographBottomUp",
    "PANTOGRAPH_TOP_DOWN": "pantographTopDown",
    "TESLA_R": "teslaR",
    "TESLA_S": "teslaS",
    **{f"DOMESTIC_{letter}": f"domestic{letter}" for letter in "ABCDEFGHIJKLMNO"},
}
_OTHERS = {"GBT_AC": "GB/T 20234.2", "GBT_DC": "GB/T 20234.3"}
_EXAMPLE = (
    '<?xml version="1.0" encoding="UTF-8"?>'
    f'<d2:payload xmlns:d2="{_SCHEMA}/d2Payload" xmlns:egi="{_SCHEMA}/energyInfrastructure" '
    f'xmlns:xsi="{_XSI}" xsi:type="egi:{{0}}" lang="zh" modelBaseVersion="3"/>'
)


@router.get(
    "/sites.xml",
    response_class=Response,
    summary="Static data as DATEX II",
    **documented(
        {MEDIA_TYPE: text(_EXAMPLE.format("EnergyInfrastructureTablePublication"))},
        404,
        security=[{}],
    ),
)
def table(ask: Ask) -> Response:
    """EnergyInfrastructureTablePublication: sites, stations, charging points, connectors."""
    root = _publication(ask, "EnergyInfrastructureTablePublication")
    places = _places(ask)
    newest = max(place.updated_at for place in places)
    sites = _D2.add(root, "egi:energyInfrastructureTable", id="pilewatch", version=_version(newest))
    for place in places:
        _site(sites, place)
    return markup.answer(root, MEDIA_TYPE)


@router.get(
    "/status.xml",
    response_class=Response,
    summary="Dynamic data as DATEX II",
    **documented(
        {MEDIA_TYPE: text(_EXAMPLE.format("EnergyInfrastructureStatusPublication"))},
        404,
        security=[{}],
    ),
)
def status(ask: Ask) -> Response:
    """EnergyInfrastructureStatusPublication: how each charging point is now."""
    root = _publication(ask, "EnergyInfrastructureStatusPublication")
    for place in _places(ask):
        site = _D2.add(root, "egi:energyInfrastructureSiteStatus")
        _reference(site, place.code, place.described_at)
        _D2.add(site, "fac:lastUpdated", place.updated_at)
        for code, ports in _stations(place).items():
            station = _D2.add(site, "egi:energyInfrastructureStationStatus")
            _reference(station, code, _equipped(ports))
            _D2.add(station, "fac:lastUpdated", max(port.updated_at for port in ports))
            broken = {"INOPERATIVE", "OUTOFORDER", "UNKNOWN"}
            works = any(port.status not in broken for port in ports)
            _D2.add(station, "egi:isAvailable", str(works).lower())
            for port in ports:
                point = _D2.add(
                    station,
                    "egi:refillPointStatus",
                    **{_TYPE: "egi:ElectricChargingPointStatus"},
                )
                _reference(point, _point_id(port), port.equipped_at)
                _D2.add(point, "fac:lastUpdated", port.updated_at)
                _D2.add(point, "egi:status", STATUS[port.status])
    return markup.answer(root, MEDIA_TYPE)


def _publication(ask: Asked, kind: str) -> Element:
    party = ask.context.settings.ocpi
    root = _D2.root("d2:payload", **{_TYPE: f"egi:{kind}", "lang": "zh", "modelBaseVersion": "3"})
    _D2.add(root, "com:publicationTime", ask.now)
    creator = _D2.add(root, "com:publicationCreator")
    _D2.add(creator, "com:country", party.country_code.lower())
    _D2.add(creator, "com:nationalIdentifier", party.party_id)
    return root


def _places(ask: Asked) -> list[Place]:
    tell(ask.db, ask.context.clock)
    places = [place for place in read_places(ask.db).places if place.standing]
    if not places:
        raise Problem(404, "there is no site with chargers yet")
    return places


def _site(parent: Element, place: Place) -> None:
    version = _version(place.described_at)
    site = _D2.add(parent, "egi:energyInfrastructureSite", id=place.code, version=version)
    _multilingual(site, "fac:name", place.name)
    _D2.add(site, "fac:lastUpdated", place.described_at)
    if place.opening_hours == "24/7":
        _D2.add(site, "fac:operatingHours", **{_TYPE: "fac:OpenAllHours"})
    elif place.opening_hours is not None:
        kind = {_TYPE: "fac:OperatingHoursSpecification", "id": f"{place.code}-hours"}
        hours = _D2.add(site, "fac:operatingHours", **kind, version=version)
        _D2.add(hours, "fac:label", place.opening_hours)
    if place.latitude is not None:
        point = _D2.add(site, "fac:locationReference", **{_TYPE: "loc:PointLocation"})
        coordinates = _D2.add(_D2.add(point, "loc:pointByCoordinates"), "loc:pointCoordinates")
        _D2.add(coordinates, "loc:latitude", place.latitude)
        _D2.add(coordinates, "loc:longitude", place.longitude)
    if place.operator is not None:
        kind = {_TYPE: "fac:OrganisationSpecification", "id": f"{place.code}-operator"}
        operator = _D2.add(site, "fac:operator", **kind, version=version)
        _multilingual(operator, "fac:name", place.operator)
    _D2.add(site, "egi:typeOfSite", "other")
    for code, ports in _stations(place).items():
        _station(site, code, ports)


def _station(parent: Element, code: str, ports: list[Port]) -> None:
    equipped = _equipped(ports)
    station = _D2.add(
        parent, "egi:energyInfrastructureStation", id=code, version=_version(equipped)
    )
    _multilingual(station, "fac:name", ports[0].label)
    _D2.add(station, "fac:lastUpdated", equipped)
    watts = [port.outlet.watts for port in ports if port.outlet.watts is not None]
    if len(watts) == len(ports):
        _D2.add(station, "egi:totalMaximumPower", sum(watts))
    _D2.add(station, "egi:numberOfRefillPoints", len(ports))
    for port in ports:
        _point(station, port)


def _point(parent: Element, port: Port) -> None:
    kind = {_TYPE: "egi:ElectricChargingPoint", "id": _point_id(port)}
    point = _D2.add(parent, "egi:refillPoint", **kind, version=_version(port.equipped_at))
    _multilingual(point, "fac:name", f"{port.label} {port.number}")
    _D2.add(point, "fac:lastUpdated", port.equipped_at)
    usage = "electricBike" if port.kind == "ebike" else "electricVehicle"
    _D2.add(point, "egi:usageType", usage)
    _D2.add(point, "egi:numberOfConnectors", 1)
    outlet = port.outlet
    _D2.add(point, "egi:availableVoltage", outlet.volts)
    if outlet.watts is None:
        return  # a connector without its power does not fit the schema
    _D2.add(point, "egi:availableChargingPower", outlet.watts)
    connector = _D2.add(point, "egi:connector")
    plug = _PLUGS.get(outlet.plug)
    _D2.add(connector, "egi:connectorType", plug or "other")
    if plug is None:
        _D2.add(connector, "egi:otherConnector", _OTHERS.get(outlet.plug, outlet.plug))
    _D2.add(connector, "egi:connectorFormat", "otherCable" if outlet.cable else "socket")
    _D2.add(connector, "egi:maxPowerAtSocket", outlet.watts)
    _D2.add(connector, "egi:voltage", outlet.volts)
    _D2.add(connector, "egi:maximumCurrent", round(outlet.amperes, 1))


def _multilingual(parent: Element, word: str, said: str) -> None:
    values = _D2.add(_D2.add(parent, word), "com:values")
    _D2.add(values, "com:value", said, lang="zh")


def _reference(parent: Element, id: str, at: datetime) -> None:
    about = {"targetClass": "fac:FacilityObject", "id": id, "version": _version(at)}
    _D2.add(parent, "fac:reference", **about)


def _stations(place: Place) -> dict[str, list[Port]]:
    found: dict[str, list[Port]] = {}
    for port in place.standing:
        found.setdefault(port.charger, []).append(port)
    return found


def _equipped(ports: list[Port]) -> datetime:
    return max(port.equipped_at for port in ports)


def _version(at: datetime) -> str:
    return str(int(at.timestamp()))


def _point_id(port: Port) -> str:
    return f"{port.charger}-{port.number}"
