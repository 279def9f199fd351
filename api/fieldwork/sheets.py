"""A poster's content from the registry and the catalogues, and its pages as PDF."""

from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import Any, Literal

import segno

from api.fieldwork.words import LANGUAGES, phrases
from api.pages.words import catalogue
from pilewatch import paper
from pilewatch.pilecode import Keys, address

TEMPLATE = "poster.typ"
LAYOUT = 1
"""Counts up with each change of `poster.typ` that makes what hangs outside outdated."""
Size = Literal["a4", "a5"]
_STEPS = (1, 2, 3, 4)


class MissingKey(LookupError):
    """The key that signed this version is no longer there: make a new version."""


def content_of(pile: Mapping[str, Any], public_url: str) -> dict[str, Any]:
    """All that the poster of a row of `poster_piles` says now, but for its number."""
    return {
        "layout": LAYOUT,
        "public_url": public_url,
        "charger": pile["code"],
        "label": pile["label"],
        "site": pile["site_name"],
        "address": pile["address"] or "",
        "phone": pile["phone"],
        **{language: _phrases(language, pile["kind"]) for language in LANGUAGES},
    }


def sheets(piles: Sequence[Mapping[str, Any]], keys: Keys, size: Size) -> bytes:
    """One page for the newest version of each pile, as it was made. Raises `MissingKey`."""
    return paper.pdf("api.fieldwork", TEMPLATE, *drawing(piles, keys, size))


def drawing(
    piles: Sequence[Mapping[str, Any]], keys: Keys, size: Size
) -> tuple[dict[str, Any], paper.Pictures]:
    """The template's data and pictures."""
    pictures, told = {}, []
    for place, pile in enumerate(piles):
        content, name = pile["content"], f"qr-{place}.svg"
        key = _key(keys, pile["key_id"])
        pictures[name] = _qr(address(content["public_url"], key, pile["code"], pile["number"]))
        told.append({**content, "qr": name, **_numbered(content, pile["number"])})
    return {"size": size, "piles": told}, pictures


def _phrases(language: str, kind: str) -> dict[str, Any]:
    t, pages = phrases(language), catalogue(language)
    words = ("scan", "scan.more", "guide", "phone", "fire", "version")
    return {
        **{word.rpartition(".")[2]: t[f"poster.{word}"] for word in words},
        "kind": t[f"poster.kind.{kind}"],
        "steps": [pages[f"guide.{kind}.{step}"] for step in _STEPS],
    }


def _numbered(content: Mapping[str, Any], number: int) -> dict[str, Any]:
    return {
        language: {
            **content[language],
            "version": content[language]["version"].format(number=number),
        }
        for language in LANGUAGES
    }


def _key(keys: Keys, id: str | None) -> Keys:
    if id is None:
        return ()
    found = tuple(key for key in keys if key[0] == id)
    if not found:
        raise MissingKey(id)
    return found


def _qr(code: str) -> bytes:
    # Level Q: a quarter of it may be scratched or dirty.
    picture = BytesIO()
    segno.make(code, error="q").save(picture, kind="svg", scale=8, border=2)
    return picture.getvalue()
