"""`/api/v1/webhooks` and `/api/v1/ocpi-parties`: programs that want to be told."""

import hashlib
import secrets
from datetime import datetime
from typing import Annotated, Any

from fastapi import Query, Request, Response
from pydantic import AfterValidator, BaseModel, Field, StringConstraints

from api import problems
from api.context import Ask, Asked, IfMatch, Paged, one
from api.models import Big, Body, Code, Id, Listed, Moment, example
from api.problems import Problem
from api.rights import demand, scope
from api.routers import ordering, reading
from pilewatch.store import queries

router, orders = reading("webhooks"), ordering("webhooks")
_SQL = queries.load("webhooks")


def _outside(url: str) -> str:
    if any(ord(letter) <= 0x20 or ord(letter) == 0x7F for letter in url):
        raise ValueError("a URL has no spaces and no control characters")
    return url


Url = Annotated[
    str,
    StringConstraints(max_length=1000, pattern=r"^https?://[A-Za-z0-9._\[\]:-]+(/.*)?$"),
    AfterValidator(_outside),
]
Topic = Annotated[str, StringConstraints(pattern=r"^(ticket|incident)\.(\*|[a-z-]{1,40})$")]
"""`ticket.*`, `incident.*`, or one of theirs as `ticket.opened`."""


class WebhookRequest(Body):
    """Where to POST what. Without sites: all that the asker may see."""

    model_config = example(
        url="https://city.example/pilewatch", topics=["ticket.*"], sites=["wanhe-1a"]
    )

    url: Url
    topics: list[Topic] = Field(min_length=1, max_length=20)
    sites: list[Code] = Field([], max_length=200)


class WebhookChange(Body):
    """What is to be another one; what is left out stays. While it is not `active`, messages
    wait."""

    model_config = example(active=False)

    url: Url | None = None
    topics: list[Topic] | None = Field(None, min_length=1, max_length=20)
    sites: list[Code] | None = Field(None, max_length=200)
    active: bool | None = None


class WebhookAnswer(BaseModel):
    """A subscription; `secret` signs what is sent, and is told once, by POST. `waiting` and `dead`
    are messages under way and given up."""

    model_config = example(
        id=3,
        url="https://city.example/pilewatch",
        topics=["ticket.*"],
        sites=["wanhe-1a"],
        company="xinchong",
        active=True,
        created_by="li",
        created_at="2026-05-01T08:00:00Z",
        version=1,
        waiting=0,
        dead=0,
        secret="whs_…",  # noqa: S106
    )

    id: int
    url: str
    topics: list[str]
    sites: list[str]
    company: str | None
    active: bool
    created_by: str
    created_at: datetime
    version: int
    waiting: int
    dead: int
    secret: str | None = None


class ReplayAnswer(BaseModel):
    """So many messages are sent again."""

    model_config = example(messages=12)

    messages: int


class PartyRequest(Body):
    """A party that reads our locations by OCPI. `push_url` is its receiver interface up to and
    with `…/locations`, `push_token` what it wants to be shown there; both or none."""

    model_config = example(
        name="roaming-hub",
        push_url="https://hub.example/ocpi/emsp/2.2.1/locations",
        push_token="t0ken",  # noqa: S106
    )

    name: Code
    push_url: Url | None = None
    push_token: Code | None = None


class PartyAnswer(BaseModel):
    """A party; `token` is what it has to show, told once, by POST. Once it has registered by
    OCPI's credentials, `roles` are what it says of itself."""

    model_config = example(
        id=1,
        name="roaming-hub",
        push_url="https://hub.example/ocpi/emsp/2.2.1/locations",
        created_at="2026-05-01T08:00:00Z",
        registered_at=None,
        roles=[],
        token="ocpi_…",  # noqa: S106
    )

    id: int
    name: str
    push_url: str | None
    created_at: datetime
    registered_at: datetime | None
    roles: list[dict[str, Any]]
    token: str | None = None


# --- webhooks


@router.get(
    "/webhooks",
    response_model=Listed[WebhookAnswer],
    summary="Webhooks",
    **problems.for_staff(),
)
def webhooks(ask: Ask, page: Paged) -> Any:
    """Newest first; a company's operator sees the company's, an area's admin those of its sites."""
    demand(ask.caller, "webhooks")
    rows = _rows(ask, "webhooks", id=None, before=page.before, limit=page.limit, **_narrowed(ask))
    return page.answer(rows, rows)


@router.get(
    "/webhooks/{id}",
    response_model=WebhookAnswer,
    summary="One webhook",
    **problems.for_staff(404),
)
def webhook(id: Id, response: Response, ask: Ask) -> Any:
    """Its ETag is its version, for If-Match."""
    demand(ask.caller, "webhooks")
    return _show(ask, id, response)


@orders.post(
    "/webhooks",
    status_code=201,
    response_model=WebhookAnswer,
    summary="Subscribe",
    **problems.for_staff(),
)
def subscribe(body: WebhookRequest, request: Request, response: Response, ask: Ask) -> Any:
    """Each event is a POST at least once, with the same `Idempotency-Key` each time, signed in
    `X-Pilewatch-Signature: t=UNIX,v1=HMAC-SHA256(secret, "t.body")`."""
    demand(ask.caller, "webhooks")
    secret = request.state.secret = f"whs_{secrets.token_urlsafe(32)}"
    with ask.db.transaction():
        _check_sites(ask, body.sites)
        closed = ask.context.settings.sealing.seal().close(secret)
        values = {
            **body.model_dump(),
            **_narrowed(ask),
            "secret": closed,
            "person_id": ask.caller.id,
        }
        id = _rows(ask, "add_webhook", **values)[0]["id"]
        ask.record("webhook.enter", f"webhook/{id}", None, body.model_dump())
    return {**_show(ask, id, response), "secret": secret}


@router.patch(
    "/webhooks/{id}",
    response_model=WebhookAnswer,
    summary="Change a webhook",
    **problems.for_staff(404, 412),
)
def change(
    id: Id, body: WebhookChange, response: Response, ask: Ask, if_match: IfMatch = None
) -> Any:
    """Another address or choice, or a pause."""
    demand(ask.caller, "webhooks")
    said = body.model_dump(exclude_none=True)
    with ask.db.transaction():
        before = _mine(ask, id, if_match)
        if "sites" in said:
            _check_sites(ask, said["sites"])
        ask.db.execute(_SQL["change_webhook"], {**before, **said, "id": id})
        was = {name: before[name] for name in said}
        ask.record("webhook.change", f"webhook/{id}", was, said)
    return _show(ask, id, response)


@router.delete(
    "/webhooks/{id}",
    response_model=WebhookAnswer,
    summary="End a webhook",
    **problems.for_staff(404, 412),
)
def end(id: Id, ask: Ask, if_match: IfMatch = None) -> Any:
    """Nothing more is sent, what waits is given up, the secret is forgotten."""
    demand(ask.caller, "webhooks")
    with ask.db.transaction():
        before = _mine(ask, id, if_match)
        ask.db.execute(_SQL["end_webhook"], {"id": id, "now": ask.now})
        ask.record("webhook.end", f"webhook/{id}", None, None)
    return {**before, "active": False, "waiting": 0}


@orders.post(
    "/webhooks/{id}/replay",
    status_code=202,
    response_model=ReplayAnswer,
    summary="Send again",
    **problems.for_staff(404),
)
def replay(
    id: Id,
    ask: Ask,
    from_at: Annotated[
        Moment, Query(alias="from", description="What happened then or later is sent again")
    ],
) -> Any:
    """All that was meant for this webhook since then, in order and with the keys of the first
    time; 30 days are kept."""
    demand(ask.caller, "webhooks")
    with ask.db.transaction():
        _mine(ask, id, None)
        told = _rows(ask, "replay_webhook", id=id, from_at=from_at)[0]
        ask.record("webhook.replay", f"webhook/{id}", None, {"from": from_at.isoformat()})
    return told


def _narrowed(ask: Asked) -> dict[str, Any]:
    narrowed = scope(ask.caller)
    return {key: narrowed[key] for key in ("company_id", "grids")}


def _seen(ask: Asked, id: int) -> dict[str, Any]:
    rows = _rows(ask, "webhooks", id=id, before=Big, limit=1, **_narrowed(ask))
    return one(rows, f"webhook {id}")


def _mine(ask: Asked, id: int, if_match: str | None) -> dict[str, Any]:
    """The webhook, locked. Raises `Problem` 404 and 412."""
    _rows(ask, "lock_webhook", id=id)
    row = _seen(ask, id)
    if if_match not in (None, "*", f'"{row["version"]}"'):
        raise Problem(412, "the webhook has been changed meanwhile", version=row["version"])
    return row


def _show(ask: Asked, id: int, response: Response) -> dict[str, Any]:
    row = _seen(ask, id)
    response.headers["ETag"] = f'"{row["version"]}"'
    return row


def _check_sites(ask: Asked, sites: list[str]) -> None:
    if not sites and _narrowed(ask)["grids"] is not None:
        raise Problem(422, "sites: name those of your area")
    unknown = _rows(ask, "unknown_sites", sites=sites, **_narrowed(ask))
    if unknown:
        raise Problem(422, f"sites: there is no site {unknown[0]['code']}, or it is not yours")


# --- parties of OCPI


@router.get(
    "/ocpi-parties",
    response_model=Listed[PartyAnswer],
    summary="Parties of OCPI",
    **problems.for_staff(),
)
def parties(ask: Ask, page: Paged) -> Any:
    """Who reads our locations."""
    _demand_all(ask)
    rows = _rows(ask, "parties", id=None, before=page.before, limit=page.limit)
    return page.answer(rows, rows)


@orders.post(
    "/ocpi-parties",
    status_code=201,
    response_model=PartyAnswer,
    summary="Let a party in",
    **problems.for_staff(409),
)
def let_in(body: PartyRequest, request: Request, ask: Ask) -> Any:
    """It gets a token for `/ocpi`, and changes pushed where it has said where to."""
    _demand_all(ask)
    if (body.push_url is None) != (body.push_token is None):
        raise Problem(422, "push_url and push_token: both or none")
    token = request.state.secret = f"ocpi_{secrets.token_urlsafe(32)}"
    with ask.db.transaction():
        seal, shown = ask.context.settings.sealing.seal(), body.push_token
        values = {
            **body.model_dump(),
            "push_token": shown and seal.close(shown),
            "hash": hashlib.sha256(token.encode()).digest(),
        }
        made = _rows(ask, "add_party", **values)
        if not made:
            raise Problem(409, f"there is a party {body.name} already")
        id = made[0]["id"]
        said = {"name": body.name, "push_url": body.push_url}
        ask.record("ocpi-party.enter", f"ocpi-party/{id}", None, said)
        row = one(_rows(ask, "parties", id=id, before=Big, limit=1), f"party {id}")
    return {**row, "token": token}


@router.delete(
    "/ocpi-parties/{id}",
    response_model=PartyAnswer,
    summary="Let a party in no longer",
    **problems.for_staff(404),
)
def let_out(id: Id, ask: Ask) -> Any:
    """Its token ends, and so do pushes."""
    _demand_all(ask)
    with ask.db.transaction():
        row = one(_rows(ask, "parties", id=id, before=Big, limit=1), f"party {id}")
        ask.db.execute(_SQL["end_party"], {"id": id, "now": ask.now})
        ask.record("ocpi-party.end", f"ocpi-party/{id}", None, None)
    return row


def _demand_all(ask: Asked) -> None:
    """A party reads all locations. Raises `Problem` 403 for an admin of areas."""
    demand(ask.caller, "ocpi")
    if scope(ask.caller)["grids"] is not None:
        raise Problem(403, "only for an admin of the whole installation")


def _rows(ask: Asked, query: str, /, **values: Any) -> list[dict[str, Any]]:
    return ask.db.execute(_SQL[query], {"now": ask.now, **values}).fetchall()
