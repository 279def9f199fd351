"""`/ocpi/…`: the Locations module of OCPI 2.2.1, as its sender."""

import base64
import binascii
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, FastAPI, Header, Path, Query, Request
from fastapi.responses import JSONResponse

from api.context import Context
from api.opendata import ocpi_models as models
from api.problems import documented
from pilewatch.settings import Ocpi
from pilewatch.store import queries
from pilewatch.store.places import Place, Port, read_places
from pilewatch.store.pool import Db
from pilewatch.workflow import ocpi
from pilewatch.workflow.telling import tell

router = APIRouter(prefix="/ocpi", tags=["OCPI"])
_SQL = queries.load("webhooks")
_MOST = 100
"""Locations of one page, whatever `limit` says."""
_INVALID, _UNKNOWN = 2001, 2003
T = TypeVar("T")


class Refusal(Exception):
    """An OCPI error: `status` is HTTP's, `code` is OCPI's."""

    def __init__(self, status: int, code: int, message: str, *, allow: str | None = None):
        super().__init__(message)
        self.status = status
        self.code = code
        self.headers = {} if allow is None else {"Allow": allow}


@dataclass(frozen=True)
class Peer:
    """A request of a known party, that has shown `token`."""

    db: Db
    now: datetime
    context: Context
    id: int
    registered: bool
    token: str

    @property
    def party(self) -> Ocpi:
        """Who we are to it."""
        return self.context.settings.ocpi

    @property
    def base(self) -> str:
        """Where our OCPI is."""
        return self.context.settings.api.public_url.rstrip("/") + "/ocpi"


def _peer(
    request: Request,
    authorization: Annotated[str | None, Header(include_in_schema=False)] = None,
) -> Iterator[Peer]:
    context: Context = request.app.state.context
    scheme, _, token = (authorization or "").partition(" ")
    if scheme != "Token":
        raise Refusal(401, 2000, "a token is needed: Authorization: Token <Base64 of the token>")
    try:
        plain = base64.b64decode(token.strip(), validate=True)
    except (ValueError, binascii.Error) as error:
        raise Refusal(401, 2000, "the token is not Base64, as OCPI 2.2.1 wants it") from error
    with context.pool.connection() as db:
        known = {"hash": hashlib.sha256(plain).digest()}
        row = db.execute(_SQL["party_by_token"], known).fetchone()
        if row is None:
            raise Refusal(401, 2000, "this token is unknown or was ended")
        registered = row["registered_at"] is not None
        yield Peer(db, context.clock(), context, row["id"], registered, plain.decode())


Asking = Annotated[Peer, Depends(_peer, scope="function")]
Id = Annotated[str, Path(description="As the list tells it")]


def install(app: FastAPI) -> None:
    """Errors of this module leave in OCPI's envelope, and each answer repeats the ids of its
    request."""

    @app.exception_handler(Refusal)
    def _refused(request: Request, error: Refusal) -> JSONResponse:
        now = request.app.state.context.clock()
        return answer(
            request,
            now,
            status=error.status,
            code=error.code,
            message=str(error),
            headers=error.headers,
        )


def answer(
    request: Request,
    now: datetime,
    data: Any = None,
    *,
    status: int = 200,
    code: int = 1000,
    message: str = "Success",
    headers: dict[str, str] | None = None,
) -> JSONResponse:
    """The envelope of OCPI around `data`."""
    body = {"status_code": code, "status_message": message, "timestamp": ocpi.moment(now)}
    told = body if data is None else {"data": data, **body}
    repeated = {
        name: request.headers[name][:36]
        for name in ("X-Request-ID", "X-Correlation-ID")
        if name in request.headers
    }
    return JSONResponse(told, status, {"Cache-Control": "no-store", **repeated, **(headers or {})})


def shown(answer: type, *statuses: int) -> dict[str, Any]:
    """What the OpenAPI document says of an operation."""
    responses = documented({422, 429, 503})
    responses[200] = {"model": answer, "description": "As asked"}
    causes = {401: "No known token", 404: "No such object", 400: "Wrong", 405: "Not now"}
    for status, cause in causes.items():
        if status in {401, *statuses}:
            responses[status] = {"model": models.OcpiErrorAnswer, "description": cause}
    return {
        "response_model": None,
        "responses": responses,
        "openapi_extra": {"security": [{"ocpi": []}]},
    }


@router.get("/versions", summary="Versions", **shown(models.OcpiVersionsAnswer))
def versions(request: Request, peer: Asking) -> JSONResponse:
    """Where a party begins."""
    return answer(request, peer.now, [{"version": "2.2.1", "url": f"{peer.base}/2.2.1"}])


@router.get("/2.2.1", summary="Modules of 2.2.1", **shown(models.OcpiDetailsAnswer))
def details(request: Request, peer: Asking) -> JSONResponse:
    """Locations are sent, and credentials exchanged; there is nothing else."""
    endpoints = [
        {"identifier": module, "role": "SENDER", "url": f"{peer.base}/2.2.1/{module}"}
        for module in ("credentials", "locations")
    ]
    return answer(request, peer.now, {"version": "2.2.1", "endpoints": endpoints})


@router.get(
    "/2.2.1/locations",
    summary="Locations",
    **shown(models.OcpiLocationsAnswer, 400),
)
def locations(
    request: Request,
    peer: Asking,
    date_from: Annotated[
        str | None,
        Query(description="Only what changed then or later (UTC)"),
    ] = None,
    date_to: Annotated[str | None, Query(description="Only what changed before then (UTC)")] = None,
    offset: Annotated[str, Query(description="Locations to skip")] = "0",
    limit: Annotated[str, Query(description=f"Of one page; {_MOST} at most")] = str(_MOST),
) -> JSONResponse:
    """Every site with coordinates, changed ones by `date_from`; `Link`, `X-Total-Count` and
    `X-Limit` as the transport chapter has them."""
    from_at, to_at = _moment("date_from", date_from), _moment("date_to", date_to)
    skipped, wanted = _number("offset", offset, 0), _number("limit", limit, 1)
    of_page = min(wanted, _MOST)
    tell(peer.db, peer.context.clock)
    found = read_places(
        peer.db, located=True, from_at=from_at, to_at=to_at, offset=skipped, limit=of_page
    )
    headers = {"X-Total-Count": str(found.total), "X-Limit": str(_MOST)}
    if skipped + of_page < found.total:
        asked = {"date_from": date_from, "date_to": date_to}
        query = {k: v for k, v in asked.items() if v is not None}
        query |= {"offset": str(skipped + of_page), "limit": str(of_page)}
        headers["Link"] = f'<{peer.base}/2.2.1/locations?{urlencode(query)}>; rel="next"'
    data = [ocpi.location(place, peer.party) for place in found.places]
    return answer(request, peer.now, data, headers=headers)


def _moment(name: str, text: str | None) -> datetime | None:
    """OCPI's moments are UTC, with or without Z."""
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
        found = found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        right = "right would be as 2026-05-01T00:00:00Z"
        raise Refusal(400, _INVALID, f"{name}: {right}") from error
    return found


def _number(name: str, text: str, least: int) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 13 and int(text) >= least):
        raise Refusal(400, _INVALID, f"{name}: a whole number from {least} on is needed")
    return int(text)


@router.get(
    "/2.2.1/locations/{location_id}",
    summary="One location",
    **shown(models.OcpiLocationAnswer, 404),
)
def location(location_id: Id, request: Request, peer: Asking) -> JSONResponse:
    """With its EVSEs."""
    return answer(request, peer.now, ocpi.location(_place(peer, location_id), peer.party))


@router.get(
    "/2.2.1/locations/{location_id}/{evse_uid}",
    summary="One EVSE",
    **shown(models.OcpiEvseAnswer, 404),
)
def evse(location_id: Id, evse_uid: Id, request: Request, peer: Asking) -> JSONResponse:
    """One port."""
    port = _port(_place(peer, location_id), evse_uid)
    return answer(request, peer.now, ocpi.evse(port, peer.party))


@router.get(
    "/2.2.1/locations/{location_id}/{evse_uid}/{connector_id}",
    summary="One connector",
    **shown(models.OcpiConnectorAnswer, 404),
)
def connector(
    location_id: Id, evse_uid: Id, connector_id: Id, request: Request, peer: Asking
) -> JSONResponse:
    """The plug of a port."""
    port = _port(_place(peer, location_id), evse_uid)
    if connector_id != "1":
        raise Refusal(404, _UNKNOWN, f"there is no connector {connector_id} of EVSE {evse_uid}")
    return answer(request, peer.now, ocpi.connector(port))


def _place(peer: Peer, id: str) -> Place:
    tell(peer.db, peer.context.clock)
    number = int(id) if id.isascii() and id.isdigit() and len(id) < 19 else 0
    found = read_places(peer.db, id=number, located=True).places
    return _first(found, f"location {id}")


def _port(place: Place, uid: str) -> Port:
    return _first([p for p in place.ports if str(p.id) == uid], f"EVSE {uid} of {place.id}")


def _first(found: list[T], what: str) -> T:
    if not found:
        raise Refusal(404, _UNKNOWN, f"there is no {what}")
    return found[0]
