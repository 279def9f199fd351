"""OCPI 2.2.1 as the document shows it: what we send of mod_versions and mod_locations."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

_AT = "2026-05-01T08:00:00.000Z"
_CONNECTOR = {
    "id": "1",
    "standard": "DOMESTIC_I",
    "format": "SOCKET",
    "power_type": "AC_1_PHASE",
    "max_voltage": 220,
    "max_amperage": 4,
    "max_electric_power": 800,
    "last_updated": _AT,
}
_EVSE = {
    "uid": "41",
    "evse_id": "CN*PLW*E41",
    "status": "AVAILABLE",
    "capabilities": [],
    "connectors": [_CONNECTOR],
    "physical_reference": "东门 1 号 3",
    "last_updated": _AT,
}
_LOCATION = {
    "country_code": "CN",
    "party_id": "PLW",
    "id": "3",
    "publish": True,
    "name": "东门车棚",
    "address": "万和路 1 号",
    "city": "信阳",
    "postal_code": "464000",
    "country": "CHN",
    "coordinates": {"latitude": "32.130000", "longitude": "114.070000"},
    "evses": [_EVSE],
    "operator": {"name": "信阳充电运营"},
    "time_zone": "Asia/Shanghai",
    "opening_times": {"twentyfourseven": True},
    "charging_when_closed": False,
    "last_updated": _AT,
}


def _example(data: Any) -> ConfigDict:
    envelope: dict[str, Any] = {"status_code": 1000, "status_message": "Success", "timestamp": _AT}
    return ConfigDict(json_schema_extra={"examples": [{"data": data, **envelope}]})


class GeoLocation(BaseModel):
    """Degrees as text, WGS 84."""

    latitude: str
    longitude: str


class BusinessDetails(BaseModel):
    """Who runs it."""

    name: str = Field(max_length=100)


class RegularHours(BaseModel):
    """Open on a weekday; Monday is 1."""

    weekday: int = Field(ge=1, le=7)
    period_begin: str
    period_end: str


class Hours(BaseModel):
    """When it is open."""

    twentyfourseven: bool
    regular_hours: list[RegularHours] = []


class OcpiConnector(BaseModel):
    """A plug or socket."""

    id: str
    standard: str
    format: Literal["SOCKET", "CABLE"]
    power_type: Literal["AC_1_PHASE", "AC_3_PHASE", "DC"]
    max_voltage: int
    max_amperage: int
    max_electric_power: int | None = None
    last_updated: str


class OcpiEvse(BaseModel):
    """A port: one vehicle at a time."""

    uid: str
    evse_id: str | None = None
    status: Literal[
        "AVAILABLE",
        "BLOCKED",
        "CHARGING",
        "INOPERATIVE",
        "OUTOFORDER",
        "PLANNED",
        "REMOVED",
        "RESERVED",
        "UNKNOWN",
    ]
    capabilities: list[str]
    connectors: list[OcpiConnector]
    physical_reference: str | None = None
    last_updated: str


class OcpiLocation(BaseModel):
    """A site."""

    country_code: str
    party_id: str
    id: str
    publish: bool
    name: str
    address: str
    city: str
    postal_code: str | None = None
    country: str
    coordinates: GeoLocation
    evses: list[OcpiEvse]
    operator: BusinessDetails | None = None
    time_zone: str
    opening_times: Hours
    charging_when_closed: bool
    last_updated: str


class Version(BaseModel):
    """A version and where its details are."""

    version: str
    url: str


class Endpoint(BaseModel):
    """Where a module is."""

    identifier: str
    role: Literal["SENDER", "RECEIVER"]
    url: str


class Details(BaseModel):
    """The modules of a version."""

    version: str
    endpoints: list[Endpoint]


class _Envelope(BaseModel):
    """1000: as asked; 2000 and more: your error, `status_message` says which."""

    status_code: int
    status_message: str | None = None
    timestamp: str


_DETAILS_URL = "https://piles.example/ocpi/2.2.1"


class OcpiVersionsAnswer(_Envelope):
    """Which versions there are."""

    model_config = _example([{"version": "2.2.1", "url": _DETAILS_URL}])
    data: list[Version]


class OcpiDetailsAnswer(_Envelope):
    """What there is of a version."""

    model_config = _example(
        {
            "version": "2.2.1",
            "endpoints": [
                {
                    "identifier": "locations",
                    "role": "SENDER",
                    "url": f"{_DETAILS_URL}/locations",
                }
            ],
        }
    )
    data: Details


class OcpiLocationsAnswer(_Envelope):
    """A page of locations."""

    model_config = _example([_LOCATION])
    data: list[OcpiLocation]


class OcpiLocationAnswer(_Envelope):
    """One location."""

    model_config = _example(_LOCATION)
    data: OcpiLocation


class OcpiEvseAnswer(_Envelope):
    """One EVSE."""

    model_config = _example(_EVSE)
    data: OcpiEvse


class OcpiConnectorAnswer(_Envelope):
    """One connector."""

    model_config = _example(_CONNECTOR)
    data: OcpiConnector


class CredentialsRole(BaseModel):
    """Who somebody is in the network."""

    role: str
    business_details: BusinessDetails
    party_id: str
    country_code: str


class Credentials(BaseModel):
    """What to show, where to begin, and who somebody is."""

    token: str
    url: str
    roles: list[CredentialsRole]


CREDENTIALS = {
    "token": "ocpi_…",
    "url": "https://piles.example/ocpi/versions",
    "roles": [
        {
            "role": "CPO",
            "business_details": {"name": "Pilewatch"},
            "party_id": "PLW",
            "country_code": "CN",
        }
    ],
}


class OcpiCredentialsAnswer(_Envelope):
    """Our credentials; without them where `status_code` is an error's."""

    model_config = _example(CREDENTIALS)
    data: Credentials | None = None


class OcpiErrorAnswer(_Envelope):
    """What was wrong: 2001 parameters, 2003 unknown location, EVSE or connector."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "status_code": 2003,
                    "status_message": "there is no location 9",
                    "timestamp": _AT,
                }
            ]
        }
    )
    data: None = None
