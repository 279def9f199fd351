"""`/open/sites/{code}/feed.atom` and `.rss`: what breaks at a site, and what is mended there."""

from email.utils import format_datetime
from typing import Any
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Request, Response

from api import models
from api.context import Ask, Asked
from api.opendata import markup
from api.opendata.answers import documented, text
from api.pages.words import Speech, language_of
from api.problems import Problem
from pilewatch.store import queries

router = APIRouter(prefix="/open", tags=["open data"])
_OPEN = queries.load("open")
_PAGES = queries.load("pages")
_MOST = 50
_ATOM = markup.Vocabulary({"atom": "http://www.w3.org/2005/Atom"})
_ATOM_EXAMPLE = (
    '<?xml version="1.0" encoding="UTF-8"?><feed xmlns="http://www.w3.org/2005/Atom">'
    "<id>urn:pilewatch:site:wanhe-1a</id><title>东门车棚</title>"
    "<updated>2026-05-01T08:00:00Z</updated></feed>"
)
_RSS_EXAMPLE = (
    '<?xml version="1.0" encoding="UTF-8"?><rss version="2.0"><channel><title>东门车棚</title>'
    "<link>https://piles.example/s/wanhe-1a</link><description>东门车棚</description>"
    "</channel></rss>"
)


@router.get(
    "/sites/{code}/feed.atom",
    response_class=Response,
    summary="A site's news as Atom",
    **documented({"application/atom+xml": text(_ATOM_EXAMPLE)}, 404, security=[{}]),
)
def atom(code: models.PathCode, request: Request, ask: Ask) -> Response:
    """RFC 4287; in Chinese, or as `?lang=en` or the browser says."""
    place, rows, t = _read(code, request, ask)
    root = _ATOM.root("atom:feed", **{"{http://www.w3.org/XML/1998/namespace}lang": t.tag})
    _ATOM.add(root, "atom:id", f"urn:pilewatch:site:{code}")
    _ATOM.add(root, "atom:title", place["name"])
    updated = rows[0]["updated_at"] if rows else ask.now
    _ATOM.add(root, "atom:updated", updated)
    _ATOM.add(_ATOM.add(root, "atom:author"), "atom:name", "Pilewatch")
    base = ask.context.settings.api.public_url.rstrip("/")
    _ATOM.add(root, "atom:link", rel="self", href=f"{base}{request.url.path}")
    _ATOM.add(root, "atom:link", rel="alternate", href=f"{base}/s/{code}")
    for row in rows:
        entry = _ATOM.add(root, "atom:entry")
        _ATOM.add(entry, "atom:id", f"urn:pilewatch:ticket:{row['id']}")
        _ATOM.add(entry, "atom:title", _title(row, t))
        _ATOM.add(entry, "atom:published", row["opened_at"])
        _ATOM.add(entry, "atom:updated", row["updated_at"])
        _ATOM.add(entry, "atom:link", rel="alternate", href=f"{base}/s/{code}")
        _ATOM.add(entry, "atom:summary", _summary(row, t))
    return markup.answer(root, "application/atom+xml")


@router.get(
    "/sites/{code}/feed.rss",
    response_class=Response,
    summary="A site's news as RSS",
    **documented({"application/rss+xml": text(_RSS_EXAMPLE)}, 404, security=[{}]),
)
def rss(code: models.PathCode, request: Request, ask: Ask) -> Response:
    """RSS 2.0, the same as the Atom feed."""
    place, rows, t = _read(code, request, ask)
    base = ask.context.settings.api.public_url.rstrip("/")
    plain = markup.Vocabulary({})
    root = plain.root("rss", version="2.0")
    channel = plain.add(root, "channel")
    plain.add(channel, "title", place["name"])
    plain.add(channel, "link", f"{base}/s/{code}")
    plain.add(channel, "description", place["address"] or place["name"])
    plain.add(channel, "language", t.tag.lower())
    if rows:
        plain.add(channel, "lastBuildDate", format_datetime(rows[0]["updated_at"]))
    for row in rows:
        item = plain.add(channel, "item")
        plain.add(item, "title", _title(row, t))
        plain.add(item, "link", f"{base}/s/{code}")
        plain.add(item, "description", _summary(row, t))
        plain.add(item, "pubDate", format_datetime(row["updated_at"]))
        # A reader shows an item again when its guid is new: each state is news.
        guid = f"urn:pilewatch:ticket:{row['id']}:{row['state']}"
        plain.add(item, "guid", guid, isPermaLink="false")
    return markup.answer(root, "application/rss+xml")


def _read(
    code: str, request: Request, ask: Asked
) -> tuple[dict[str, Any], list[dict[str, Any]], Speech]:
    place = ask.db.execute(_PAGES["site"], {"code": code}).fetchone()
    if place is None:
        raise Problem(404, f"there is no site {code}")
    rows = ask.db.execute(_OPEN["feed"], {"code": code, "limit": _MOST}).fetchall()
    return place, rows, Speech(language_of(request), ZoneInfo(place["timezone"]), ask.now)


def _title(row: dict[str, Any], t: Speech) -> str:
    fault = t(f"fault.{row['code']}")
    where = row["charger"] or ""
    if row["number"] is not None:
        where += f" · {t('port.number', number=row['number'])}"
    return f"{where}: {fault}" if where else fault


def _summary(row: dict[str, Any], t: Speech) -> str:
    return t(f"mend.{row['state']}")
