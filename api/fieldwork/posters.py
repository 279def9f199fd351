"""`/api/v1/posters`: what hangs at each pile, new versions, and their pages to print."""

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import Query, Response
from pydantic import BaseModel, Field

from api import problems
from api.context import Ask, Asked, Paged, Word
from api.fieldwork.sheets import MissingKey, Size, content_of, sheets
from api.models import Body, Code, Listed, example
from api.problems import Problem
from api.rights import demand, scope
from api.routers import ordering, reading
from pilewatch.workflow.posters import Hanging, digest_of, make_poster, poster_piles, state_of

router, orders = reading("posters"), ordering("posters")
_MOST = 500
"""So many pages are made at once."""
Site = Annotated[Word, Query(description="Of this site", examples=["wanhe-1a"])]
Charger = Annotated[Word, Query(description="Of this charger", examples=["WH-E01"])]


class Pdf(Response):
    """A document to print."""

    media_type = "application/pdf"


class PosterRequest(Body):
    """The poster of one charger, or those of a whole site."""

    model_config = example(site="wanhe-1a")

    site: Code | None = Field(None, examples=["wanhe-1a"])
    charger: Code | None = Field(None, examples=["WH-E01"])


class PosterAnswer(BaseModel):
    """A pile's poster: `number` is the newest version made, `seen_number` the one that a patrol
    scanned last.

    unmade; outdated: what it says has changed, make it anew; unseen: made, not yet scanned; stale:
    an older version hangs there; current.
    """

    model_config = example(
        charger="WH-E01",
        label="1号柜",
        site="wanhe-1a",
        state="stale",
        number=3,
        made_at="2026-05-01T08:00:00Z",
        seen_number=2,
        seen_at="2026-05-20T08:00:00Z",
    )

    charger: str
    label: str
    site: str
    state: Literal["unmade", "outdated", "unseen", "stale", "current"]
    number: int | None
    made_at: datetime | None
    seen_number: int | None
    seen_at: datetime | None


class PostersMade(BaseModel):
    """So many piles have a new version; the others' newest says the same."""

    model_config = example(made=3, unchanged=5, signed=True)

    made: int
    unchanged: int
    signed: bool


@router.get(
    "/posters",
    response_model=Listed[PosterAnswer],
    summary="Which piles have the present poster",
    **problems.for_staff(),
)
def posters(ask: Ask, page: Paged, site: Site = None, charger: Charger = None) -> Any:
    """By pile; what patrols scanned tells which version hangs there."""
    demand(ask.caller, "read")
    rows = poster_piles(
        ask.db,
        **{**scope(ask.caller), "site": site, "charger": charger},
        after=page.after,
        limit=page.limit,
    )
    return page.answer(rows, [_shown(ask, row) for row in rows])


@orders.post(
    "/posters", response_model=PostersMade, summary="Make new versions", **problems.for_staff()
)
def make(body: PosterRequest, ask: Ask) -> Any:
    """Only where what the poster says has changed since its newest version."""
    demand(ask.caller, "plan")
    if (body.site is None) == (body.charger is None):
        raise Problem(422, "either site or charger is needed")
    with ask.db.transaction():
        rows = _piles(ask, body.site, body.charger, 422)
        made = 0
        for row in rows:
            content = content_of(row, _url(ask))
            if make_poster(ask.db, ask.now, row["id"], content, _key_id(ask), ask.caller.id):
                made += 1
                about = f"charger/{row['code']}"
                after = {"number": (row["number"] or 0) + 1}
                before = {"number": row["number"]}
                ask.record("poster.make", about, before, after)
    return {"made": made, "unchanged": len(rows) - made, "signed": _key_id(ask) is not None}


@router.get(
    "/posters.pdf",
    response_class=Pdf,
    summary="Pages to print",
    **problems.for_staff(404, 409),
)
def pages(
    ask: Ask,
    site: Site = None,
    charger: Charger = None,
    size: Annotated[Size, Query(description="Paper: a4 or a5")] = "a4",
) -> Response:
    """The newest version of a charger's poster, or of each of a site's, one page each. Not for
    those whose presence the codes are to show."""
    demand(ask.caller, "plan")
    if (site is None) == (charger is None):
        raise Problem(422, "either site or charger is needed")
    rows = _piles(ask, site, charger, 404)
    unmade = [row["code"] for row in rows if row["number"] is None]
    if unmade:
        raise Problem(409, f"{unmade[0]} has no poster yet: POST /api/v1/posters first")
    try:
        made = sheets(rows, ask.context.settings.posters.keyring(), size)
    except MissingKey as error:
        raise Problem(
            409, f"the key {error} is no longer there: POST /api/v1/posters makes new versions"
        ) from error
    name = f"poster-{charger or site}".encode("ascii", "replace").decode().replace('"', "?")
    return Pdf(made, headers={"Content-Disposition": f'inline; filename="{name}.pdf"'})


def _piles(ask: Asked, site: str | None, charger: str | None, status: int) -> list[dict[str, Any]]:
    narrowed = {**scope(ask.caller), "site": site, "charger": charger, "limit": _MOST + 1}
    rows = poster_piles(ask.db, **narrowed)
    if not rows:
        raise Problem(status, "there is no such pile or site, or it is not yours")
    if len(rows) > _MOST:
        raise Problem(422, f"more than {_MOST} piles: name them one by one")
    return rows


def _shown(ask: Asked, row: dict[str, Any]) -> dict[str, Any]:
    digest = digest_of(content_of(row, _url(ask)), _key_id(ask))
    hanging = Hanging(row["number"], row["digest"], row["seen_number"])
    return {**row, "charger": row["code"], "state": state_of(hanging, digest)}


def _url(ask: Asked) -> str:
    return ask.context.settings.api.public_url.rstrip("/")


def _key_id(ask: Asked) -> str | None:
    keys = ask.context.settings.posters.keyring()
    return keys[0][0] if keys else None
