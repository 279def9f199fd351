"""The two kinds of routers under `/api/v1`: one for what only reads or says a whole state, one for
orders."""

from fastapi import APIRouter, Depends

from api import problems
from api.context import guard_cache
from api.idempotency import OnceRoute, once


def reading(*tags: str) -> APIRouter:
    """Of GET, PUT, PATCH and DELETE, which may be repeated by nature."""
    return APIRouter(prefix="/api/v1", tags=[*tags], dependencies=[Depends(guard_cache)])


def ordering(*tags: str) -> APIRouter:
    """Of every POST: each may carry an Idempotency-Key."""
    return APIRouter(
        prefix="/api/v1",
        tags=[*tags],
        route_class=OnceRoute,
        dependencies=[Depends(guard_cache), Depends(once, scope="function")],
        responses=problems.documented([413]),
    )
