"""Posters: a new version where what they say has changed, and which piles hang behind."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from psycopg.types.json import Jsonb

from pilewatch.store import queries
from pilewatch.store.pool import Db

_SQL = queries.load("posters")
State = Literal["unmade", "outdated", "unseen", "stale", "current"]
_ALL = 1_000_000


@dataclass(frozen=True)
class Hanging:
    """A pile's poster: the newest version made, and the one that a patrol scanned last."""

    made: int | None
    made_digest: bytes | None
    seen: int | None


def state_of(hanging: Hanging, digest: bytes) -> State:
    """`digest` is that of what the poster ought to say now.

    outdated: print it anew; stale: an older version hangs there; unseen: no patrol has scanned one.
    """
    if hanging.made is None:
        return "unmade"
    if hanging.made_digest != digest:
        return "outdated"
    if hanging.seen is None:
        return "unseen"
    return "stale" if hanging.seen < hanging.made else "current"


def digest_of(content: Mapping[str, Any], key_id: str | None) -> bytes:
    """SHA-256 of all that makes two posters the same; the signing key is a part of it."""
    text = json.dumps([content, key_id], ensure_ascii=False, sort_keys=True)
    return hashlib.sha256(text.encode()).digest()


def poster_piles(db: Db, **narrowed: Any) -> list[dict[str, Any]]:
    """Active piles by id with their posters, within a site, a charger and a caller's scope."""
    wide = dict.fromkeys(("site", "charger", "company_id", "grids"))
    return db.execute(
        _SQL["poster_piles"], {**wide, "after": 0, "limit": _ALL, **narrowed}
    ).fetchall()


def make_poster(
    db: Db,
    now: datetime,
    charger_id: int,
    content: Mapping[str, Any],
    key_id: str | None,
    person_id: int | None,
) -> bool:
    """Keep a new version; False where the newest says the same. In the caller's transaction."""
    values = {
        "charger_id": charger_id,
        "digest": digest_of(content, key_id),
        "content": Jsonb(dict(content)),
        "key_id": key_id,
        "now": now,
        "person_id": person_id,
    }
    db.execute(_SQL["lock_charger"], values)
    return db.execute(_SQL["add_poster"], values).fetchone() is not None
