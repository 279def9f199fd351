"""`/ocpi/2.2.1/credentials`: a party registers, renews its tokens, and leaves (OCPI 2.2.1, 7)."""

import base64
import hashlib
import secrets
import uuid
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar

import httpx
import msgspec
from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse
from msgspec import Meta, Struct
from psycopg.types.json import Jsonb

from api.opendata import ocpi_models as models
from api.opendata.ocpi import Asking, Peer, Refusal, answer, shown
from pilewatch.reach import Unreachable, reach
from pilewatch.store import queries
from pilewatch.workflow import audit

router = APIRouter(prefix="/ocpi/2.2.1/credentials", tags=["OCPI"])
_SQL = queries.load("webhooks")
_WAIT_S = 5
_LONGEST = 256 * 1024
_INVALID, _UNUSABLE, _NO_VERSION = 2001, 3001, 3002
_VERSION = "2.2.1"
T = TypeVar("T")
Url = Annotated[str, Meta(pattern=r"^https?://[^\s\x00-\x20\x7f]+$", max_length=255)]
Name = Annotated[str, Meta(min_length=1, max_length=100, pattern=r"^[^\x00]*$")]


class Business(Struct, frozen=True):
    """Whom a role belongs to."""

    name: Name


class Role(Struct, frozen=True):
    """A CredentialsRole; what else it has is of no use to us."""

    role: Literal["CPO", "EMSP", "HUB", "NAP", "NSP", "OTHER", "SCSP"]
    business_details: Business
    party_id: Annotated[str, Meta(pattern=r"^[A-Za-z0-9*]{3}$")]
    country_code: Annotated[str, Meta(pattern=r"^[A-Za-z]{2}$")]


class Credentials(Struct, frozen=True):
    """What a party says: the token to show there, where its versions are, and who it is."""

    token: Annotated[str, Meta(pattern=r"^[\x21-\x7e]{1,64}$")]
    url: Url
    roles: Annotated[list[Role], Meta(min_length=1, max_length=50)]


class _Version(Struct):
    version: str
    url: str


class _Endpoint(Struct):
    identifier: str
    url: str
    role: str = ""


class _Details(Struct):
    endpoints: list[_Endpoint]


@dataclass(frozen=True)
class Found:
    """Where a party takes locations; None: nowhere, it only asks."""

    push_url: str | None


async def _body(request: Request) -> bytes:
    return await request.body()


Body = Annotated[bytes, Depends(_body)]
_EXAMPLE = {
    "token": "t0ken",
    "url": "https://hub.example/ocpi/versions",
    "roles": [
        {
            "role": "EMSP",
            "business_details": {"name": "Hub"},
            "party_id": "HUB",
            "country_code": "CN",
        }
    ],
}


def _documented(*statuses: int, body: bool = True) -> dict[str, Any]:
    said = shown(models.OcpiCredentialsAnswer, *statuses)
    if body:
        schema = {"$ref": "#/components/schemas/Credentials"}
        content = {"application/json": {"schema": schema, "example": _EXAMPLE}}
        said["openapi_extra"] |= {"requestBody": {"required": True, "content": content}}
    return said


@router.get("", summary="Our credentials", **_documented(body=False))
def read(request: Request, peer: Asking) -> JSONResponse:
    """With the token that has been shown."""
    return answer(request, peer.now, _ours(peer, peer.token))


@router.post("", summary="Register", **_documented(400, 405))
def register(request: Request, peer: Asking, body: Body) -> JSONResponse:
    """With the token that an admin has handed over (A), which ends by this: the answer has the one
    to show from now on (C). The party's versions are read with its own (B) first."""
    if peer.registered:
        raise Refusal(405, 2000, "registered already: PUT renews it", allow="GET, PUT, DELETE")
    return _exchange(request, peer, body)


@router.put("", summary="Renew the registration", **_documented(400, 405))
def renew(request: Request, peer: Asking, body: Body) -> JSONResponse:
    """Another token, address or endpoint; the token that was shown ends by this."""
    if not peer.registered:
        raise Refusal(405, 2000, "not registered yet: POST does so", allow="GET, POST")
    return _exchange(request, peer, body)


@router.delete("", summary="Leave", **_documented(405, body=False))
def leave(request: Request, peer: Asking) -> JSONResponse:
    """Its token and pushes end; an admin may let it in anew."""
    if not peer.registered:
        raise Refusal(405, 2000, "not registered", allow="GET, POST")
    with peer.db.transaction():
        peer.db.execute(_SQL["end_party"], {"id": peer.id, "now": peer.now})
        _audit(peer, "leave", {})
    return answer(request, peer.now)


def _exchange(request: Request, peer: Peer, body: bytes) -> JSONResponse:
    said = _read(body)
    private = peer.context.settings.alerts.private_webhooks
    found = find_endpoints(said, private=private)
    token = f"ocpi_{secrets.token_urlsafe(32)}"
    roles = msgspec.to_builtins(said.roles)
    closed = peer.context.settings.sealing.seal().close(said.token)
    values = {
        "id": peer.id,
        "now": peer.now,
        "again": peer.registered,
        "hash": _hash(peer.token),
        "new_hash": _hash(token),
        "versions_url": said.url,
        "roles": Jsonb(roles),
        "push_url": found.push_url,
        "push_token": None if found.push_url is None else closed,
    }
    with peer.db.transaction():
        if peer.db.execute(_SQL["register_party"], values).fetchone() is None:
            raise Refusal(401, 2000, "this token was used meanwhile")
        told = {"versions_url": said.url, "push_url": found.push_url, "roles": roles}
        _audit(peer, "renew" if peer.registered else "register", told)
    return answer(request, peer.now, _ours(peer, token))


def _ours(peer: Peer, token: str) -> dict[str, Any]:
    party = peer.party
    role = {
        "role": "CPO",
        "business_details": {"name": party.name},
        "party_id": party.party_id,
        "country_code": party.country_code,
    }
    return {"token": token, "url": f"{peer.base}/versions", "roles": [role]}


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def _audit(peer: Peer, step: str, after: dict[str, Any]) -> None:
    about = f"ocpi-party/{peer.id}"
    audit.record(peer.db, peer.now, None, f"ocpi-party.{step}", about, None, after)


def _read(body: bytes) -> Credentials:
    """Raises `Refusal`: 400 for what is no JSON, as the transport chapter wants it, else 2001."""
    try:
        said = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError) as error:
        raise Refusal(400, _INVALID, f"the body is no JSON: {error}") from error
    try:
        return msgspec.convert(said, Credentials)
    except msgspec.ValidationError as error:
        raise Refusal(200, _INVALID, f"these are no credentials: {error}") from error


def find_endpoints(said: Credentials, *, private: bool) -> Found:
    """Read the party's versions and the modules of ours. Raises `Refusal` 3001 and 3002."""
    versions = _fetch(said.url, said.token, list[_Version], private=private)
    url = next((one.url for one in versions if one.version == _VERSION), None)
    if url is None:
        raise Refusal(200, _NO_VERSION, f"{said.url} has no version {_VERSION}")
    details = _fetch(url, said.token, _Details, private=private)
    for one in details.endpoints:
        if (one.identifier, one.role) == ("locations", "RECEIVER"):
            try:
                return Found(msgspec.convert(one.url, Url))
            except msgspec.ValidationError as error:
                raise Refusal(200, _UNUSABLE, f"locations: {error}") from error
    return Found(None)


def _fetch(url: str, token: str, shape: type[T], *, private: bool) -> T:
    """The `data` of an OCPI answer; never more of it than is of use."""
    headers = {
        "Authorization": f"Token {base64.b64encode(token.encode()).decode()}",
        "X-Request-ID": str(uuid.uuid4()),
        "X-Correlation-ID": str(uuid.uuid4()),
    }
    try:
        there = reach(url, private=private)
        with (
            httpx.Client(timeout=_WAIT_S) as client,
            client.stream(
                "GET", there.url, headers={**headers, **there.headers}, extensions=there.extensions
            ) as got,
        ):
            got.raise_for_status()
            content = b""
            for piece in got.iter_bytes():
                content += piece
                if len(content) > _LONGEST:
                    raise Unreachable("the answer is too long")
        said = msgspec.json.decode(content)
        data = said.get("data") if isinstance(said, dict) else None
        return msgspec.convert(data, shape)
    except (Unreachable, msgspec.MsgspecError, RecursionError) as error:
        raise Refusal(200, _UNUSABLE, f"{url}: {error}") from error
    except httpx.HTTPStatusError as error:
        raise Refusal(200, _UNUSABLE, f"{url}: answered {error.response.status_code}") from error
    except (httpx.HTTPError, UnicodeError) as error:
        raise Refusal(200, _UNUSABLE, f"{url}: {type(error).__name__}") from error
