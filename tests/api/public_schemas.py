"""What the public schemas demand of what we publish, in words of our own.

OCPI: https://github.com/ocpi/ocpi, branch release-2.2.1-bugfixes, mod_locations.asciidoc and
types.asciidoc. GeoReport: https://wiki.open311.org/GeoReport_v2/. GeoJSON: RFC 7946. DATEX II:
DATEXII_3_EnergyInfrastructure.xsd and DATEXII_3_Facilities.xsd of version 3.5, docs.datex2.eu.
Atom: RFC 4287.
"""

from typing import Any, get_args
from xml.etree.ElementTree import Element

from pilewatch.plugs import PlugType

Schema = dict[str, Any]


def _object(required: Schema, optional: Schema | None = None) -> Schema:
    return {
        "type": "object",
        "required": list(required),
        "properties": {**required, **(optional or {})},
        "additionalProperties": False,
    }


def _text(longest: int) -> Schema:
    return {"type": "string", "minLength": 1, "maxLength": longest}


_AT = {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z?$"}
_TIME = {"type": "string", "pattern": "^([0-1][0-9]|2[0-4]):[0-5][0-9]$"}
OCPI_CONNECTOR = _object(
    {
        "id": _text(36),
        "standard": {"enum": list(get_args(PlugType))},
        "format": {"enum": ["SOCKET", "CABLE"]},
        "power_type": {
            "enum": ["AC_1_PHASE", "AC_2_PHASE", "AC_2_PHASE_SPLIT", "AC_3_PHASE", "DC"]
        },
        "max_voltage": {"type": "integer", "minimum": 1},
        "max_amperage": {"type": "integer", "minimum": 1},
        "last_updated": _AT,
    },
    {"max_electric_power": {"type": "integer", "minimum": 1}},
)
OCPI_EVSE = _object(
    {
        "uid": _text(36),
        "status": {
            "enum": [
                *("AVAILABLE", "BLOCKED", "CHARGING", "INOPERATIVE", "OUTOFORDER", "PLANNED"),
                *("REMOVED", "RESERVED", "UNKNOWN"),
            ]
        },
        "connectors": {"type": "array", "minItems": 1, "items": OCPI_CONNECTOR},
        "last_updated": _AT,
    },
    {
        "evse_id": {
            "type": "string",
            "pattern": r"^[A-Z]{2}\*?[A-Z0-9]{3}\*?E[A-Z0-9][A-Z0-9*]{0,30}$",
        },
        "capabilities": {"type": "array", "items": {"type": "string"}},
        "physical_reference": _text(16),
    },
)
_HOURS = _object(
    {"twentyfourseven": {"type": "boolean"}},
    {
        "regular_hours": {
            "type": "array",
            "minItems": 1,
            "items": _object(
                {
                    "weekday": {"type": "integer", "minimum": 1, "maximum": 7},
                    "period_begin": _TIME,
                    "period_end": _TIME,
                }
            ),
        }
    },
)
OCPI_LOCATION = _object(
    {
        "country_code": {"type": "string", "pattern": "^[A-Z]{2}$"},
        "party_id": {"type": "string", "pattern": "^[A-Z0-9]{3}$"},
        "id": _text(36),
        "publish": {"type": "boolean"},
        "address": _text(45),
        "city": _text(45),
        "country": {"type": "string", "pattern": "^[A-Z]{3}$"},
        "coordinates": _object(
            {
                "latitude": {"type": "string", "pattern": r"^-?[0-9]{1,2}\.[0-9]{5,7}$"},
                "longitude": {"type": "string", "pattern": r"^-?[0-9]{1,3}\.[0-9]{5,7}$"},
            }
        ),
        "time_zone": _text(255),
        "last_updated": _AT,
    },
    {
        "name": _text(255),
        "postal_code": _text(10),
        "evses": {"type": "array", "items": OCPI_EVSE},
        "operator": _object({"name": _text(100)}),
        "opening_times": _HOURS,
        "charging_when_closed": {"type": "boolean"},
    },
)


def ocpi_answer(data: Schema) -> Schema:
    """The envelope of a success."""
    return _object(
        {"data": data, "status_code": {"const": 1000}, "timestamp": _AT},
        {"status_message": {"type": "string"}},
    )


_DATE = {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(Z|[+-]\d\d:\d\d)$"}
_NUMBER = {"type": ["number", "null"]}
REQUEST = _object(
    {
        "service_request_id": _text(40),
        "status": {"enum": ["open", "closed"]},
        "status_notes": {"type": "string"},
        "service_name": _text(200),
        "service_code": _text(64),
        "description": {"type": "string"},
        "agency_responsible": {"type": "string"},
        "service_notice": {"type": "string"},
        "requested_datetime": _DATE,
        "updated_datetime": _DATE,
        "expected_datetime": _DATE,
        "address": {"type": "string"},
        "address_id": {"type": "string"},
        "zipcode": {"type": "string"},
        "lat": _NUMBER,
        "long": _NUMBER,
        "media_url": {"type": "string"},
    }
)
REQUESTS = {"type": "array", "items": REQUEST}
SERVICES = {
    "type": "array",
    "minItems": 1,
    "items": _object(
        {
            "service_code": _text(64),
            "service_name": _text(200),
            "description": {"type": "string"},
            "metadata": {"type": "boolean"},
            "type": {"enum": ["realtime", "batch", "blackbox"]},
            "keywords": {"type": "string"},
            "group": {"type": "string"},
        }
    ),
}
DEFINITION = _object(
    {
        "service_code": _text(64),
        "attributes": {
            "type": "array",
            "items": _object(
                {
                    "variable": {"type": "boolean"},
                    "code": _text(64),
                    "datatype": {
                        "enum": [
                            *("string", "number", "datetime", "text"),
                            *("singlevaluelist", "multivaluelist"),
                        ]
                    },
                    "required": {"type": "boolean"},
                    "datatype_description": {"type": "string"},
                    "order": {"type": "integer", "minimum": 1},
                    "description": {"type": "string"},
                    "values": {"type": "array"},
                }
            ),
        },
    }
)
GEOJSON = _object(
    {
        "type": {"const": "FeatureCollection"},
        "features": {
            "type": "array",
            "items": _object(
                {
                    "type": {"const": "Feature"},
                    "geometry": {
                        "anyOf": [
                            {"type": "null"},
                            _object(
                                {
                                    "type": {"const": "Point"},
                                    "coordinates": {
                                        "type": "array",
                                        "prefixItems": [
                                            {"type": "number", "minimum": -180, "maximum": 180},
                                            {"type": "number", "minimum": -90, "maximum": 90},
                                        ],
                                        "minItems": 2,
                                        "maxItems": 2,
                                    },
                                }
                            ),
                        ]
                    },
                    "properties": {"type": ["object", "null"]},
                },
                {"id": {"type": ["string", "number"]}},
            ),
        },
    }
)

_FACILITY = "name? lastUpdated? operatingHours? locationReference? operator?"
_STATUS = "reference lastUpdated?"
DATEX: dict[str, str] = {
    "payload/EnergyInfrastructureTablePublication": (
        "publicationTime publicationCreator energyInfrastructureTable+"
    ),
    "payload/EnergyInfrastructureStatusPublication": (
        "publicationTime publicationCreator energyInfrastructureSiteStatus*"
    ),
    "publicationCreator": "country nationalIdentifier",
    "energyInfrastructureTable": "energyInfrastructureSite+",
    "energyInfrastructureSite": f"{_FACILITY} typeOfSite? energyInfrastructureStation*",
    "energyInfrastructureStation": (
        f"{_FACILITY} totalMaximumPower? numberOfRefillPoints? refillPoint*"
    ),
    "refillPoint": (
        f"{_FACILITY} usageType* numberOfConnectors? availableVoltage* availableChargingPower* "
        "connector*"
    ),
    "connector": (
        "connectorType otherConnector? chargingMode? connectorFormat? maxPowerAtSocket voltage? "
        "maximumCurrent?"
    ),
    "name": "values",
    "values": "value+",
    "operatingHours": "label?",
    "operator": "name",
    "locationReference": "pointByCoordinates?",
    "pointByCoordinates": "pointCoordinates",
    "pointCoordinates": "latitude longitude",
    "energyInfrastructureSiteStatus": f"{_STATUS} energyInfrastructureStationStatus*",
    "energyInfrastructureStationStatus": f"{_STATUS} isAvailable? refillPointStatus*",
    "refillPointStatus": f"{_STATUS} status",
}
"""Which elements may stand in which, in this order; `?`, `*` and `+` as in a DTD. An element that
is not named here has text only."""
REFILL_POINT_STATUS = {
    *("available", "blocked", "charging", "faulted", "inoperative", "occupied", "outOfOrder"),
    *("outOfStock", "planned", "removed", "reserved", "unavailable", "unknown"),
}
_IDENTIFIED = {
    *("energyInfrastructureTable", "energyInfrastructureSite", "energyInfrastructureStation"),
    *("refillPoint", "operator"),
}
_XSI = "{http://www.w3.org/2001/XMLSchema-instance}type"


def check_datex(element: Element) -> None:
    """Raises `AssertionError` where the order or an attribute is not as the schema has it."""
    word = element.tag.rpartition("}")[2]
    kind = element.get(_XSI, "").rpartition(":")[2]
    model = DATEX.get(f"{word}/{kind}", DATEX.get(word))
    children = [child.tag.rpartition("}")[2] for child in element]
    if model is None:
        assert not children, f"{word} has {children}"
        if word not in ("reference",):
            assert element.text, word
        return
    assert word not in _IDENTIFIED or {"id", "version"} <= set(element.keys()), word
    left = list(children)
    for part in model.split():
        name, sign = part.rstrip("?*+"), part[-1]
        count = 0
        while left and left[0] == name:
            left.pop(0)
            count += 1
        least, most = {"?": (0, 1), "*": (0, 10**9), "+": (1, 10**9)}.get(sign, (1, 1))
        assert least <= count <= most, f"{word}: {count} of {name}"
    assert not left, f"{word}: {left} at a wrong place"
    for child in element:
        check_datex(child)
