"""Who changed what, kept for ever: one row in the transaction of the change itself."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from pilewatch.store import queries
from pilewatch.store.pool import Db

_SQL = queries.load("workflow")


def record(
    db: Db,
    now: datetime,
    person_id: int | None,
    action: str,
    about: str,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> None:
    """`action` as `ticket.assign`, `about` as `ticket/12`; nothing personal in the values."""
    values = {
        "now": now,
        "person_id": person_id,
        "action": action,
        "object": about,
        "before": None if before is None else Jsonb(dict(before)),
        "after": None if after is None else Jsonb(dict(after)),
    }
    db.execute(_SQL["audit"], values)
