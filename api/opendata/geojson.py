"""`/open/sites.geojson`: every site as a point with its ports (RFC 7946)."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from api.context import Ask
from api.opendata.answers import documented
from pilewatch.store.places import Place, read_places
from pilewatch.workflow.telling import tell

router = APIRouter(prefix="/open", tags=["open data"])


class Point(BaseModel):
    """Longitude, then latitude, WGS 84."""

    type: Literal["Point"]
    coordinates: Annotated[list[float], Field(min_length=2, max_length=2)]


class Properties(BaseModel):
    """A site in a few words; counts are of ports."""

    code: str
    name: str
    address: str | None
    operator: str | None
    opening_hours: str | None
    ports: int
    available: int
    in_use: int
    out_of_order: int
    unknown: int
    updated_at: str


class Feature(BaseModel):
    """One site; without coordinates its geometry is null."""

    type: Literal["Feature"]
    id: str
    geometry: Point | None
    properties: Properties


class FeatureCollection(BaseModel):
    """Every site."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "type": "FeatureCollection",
                    "features": [
                        {
                            "type": "Feature",
                            "id": "wanhe-1a",
                            "geometry": {"type": "Point", "coordinates": [114.07, 32.13]},
                            "properties": {
                                "code": "wanhe-1a",
                                "name": "东门车棚",
                                "address": "万和路 1 号",
                                "operator": "信阳充电运营",
                                "opening_hours": "24/7",
                                "ports": 20,
                                "available": 14,
                                "in_use": 4,
                                "out_of_order": 1,
                                "unknown": 1,
                                "updated_at": "2026-05-01T08:00:00+00:00",
                            },
                        }
                    ],
                }
            ]
        }
    )

    type: Literal["FeatureCollection"]
    features: list[Feature]


class GeoJson(JSONResponse):
    """RFC 7946."""

    media_type = "application/geo+json"


_DOCUMENTED = documented({}, security=[{}])
_DOCUMENTED["responses"][200] = {"description": "As asked", "model": FeatureCollection}


@router.get(
    "/sites.geojson",
    response_class=GeoJson,
    response_model=None,
    summary="Sites as GeoJSON",
    **_DOCUMENTED,
)
def sites(ask: Ask) -> GeoJson:
    """Every site with how its ports stand now."""
    tell(ask.db, ask.context.clock)
    features = [_feature(place) for place in read_places(ask.db).places]
    collection = {"type": "FeatureCollection", "features": features}
    return GeoJson(collection)


def _feature(place: Place) -> dict[str, Any]:
    point = None
    if place.latitude is not None and place.longitude is not None:
        point = {"type": "Point", "coordinates": [place.longitude, place.latitude]}
    words = [port.status for port in place.standing]
    return {
        "type": "Feature",
        "id": place.code,
        "geometry": point,
        "properties": {
            "code": place.code,
            "name": place.name,
            "address": place.address,
            "operator": place.operator,
            "opening_hours": place.opening_hours,
            "ports": len(words),
            "available": words.count("AVAILABLE"),
            "in_use": sum(words.count(word) for word in ("CHARGING", "RESERVED", "BLOCKED")),
            "out_of_order": words.count("OUTOFORDER") + words.count("INOPERATIVE"),
            "unknown": words.count("UNKNOWN"),
            "updated_at": place.updated_at.isoformat(),
        },
    }
