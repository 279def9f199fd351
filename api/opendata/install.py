"""The open data's place in the application: routes, and errors in each format's own words."""

from fastapi import APIRouter, FastAPI

from api.opendata import credentials, datex, feeds, geojson, georeport, ocpi, service_requests

ROUTERS: tuple[APIRouter, ...] = (
    *(geojson.router, feeds.router, datex.router),
    *(
        ocpi.router,
        credentials.router,
        georeport.discovery_router,
        georeport.router,
        service_requests.router,
        service_requests.orders,
    ),
)


def install(app: FastAPI) -> None:
    """Add the error handlers; the routes are `ROUTERS`."""
    ocpi.install(app)
    georeport.install(app)
