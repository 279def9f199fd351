"""Policies that people wrote: kept, tried on history by whoever claims them, and put in force.

What was saved last is in force everywhere; before the first save it is the settings' policy file.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

import structlog
from psycopg.types.json import Jsonb

from pilewatch.policy import BadPolicy, Policy, read_policy
from pilewatch.store import queries
from pilewatch.store.pool import Db

_SQL = queries.load("policies")
_LOG = structlog.get_logger()


@dataclass(frozen=True)
class Trial:
    """A draft that this process is to try."""

    id: int
    text: str
    begins: datetime
    ends: datetime


@lru_cache(maxsize=8)
def _read(id: int, text: str) -> Policy | None:
    """Rows never change their text, so each is read, and complained of, once."""
    try:
        return read_policy(text, f"policy {id}")
    except BadPolicy as error:
        _LOG.error("the saved policy is of another version; the file's is used", error=str(error))
        return None


def in_force(db: Db, otherwise: Policy) -> Policy:
    """The policy that was saved last, or the file's where none was, or none that can be read."""
    row = db.execute(_SQL["in_force"]).fetchone()
    found = None if row is None else _read(row["id"], row["text"])
    return otherwise if found is None else found


def text_in_force(db: Db) -> str | None:
    """Its text; None where nobody has saved one."""
    row = db.execute(_SQL["in_force"]).fetchone()
    return None if row is None else str(row["text"])


def add_draft(
    db: Db, now: datetime, text: str, person_id: int, begins: datetime, ends: datetime
) -> int:
    """Keep a draft to be tried on this time; gives its id. Raises `BadPolicy`."""
    read_policy(text, "policy")
    values = {"text": text, "person_id": person_id, "from_at": begins, "to_at": ends}
    row = db.execute(_SQL["add_draft"], {**values, "now": now}).fetchone()
    assert row is not None
    return int(row["id"])


def drafts(
    db: Db, *, id: int | None = None, before: int = 2**63 - 1, limit: int = 20
) -> list[dict[str, Any]]:
    """One draft, or those before an id, the newest first."""
    return db.execute(_SQL["drafts"], {"id": id, "before": before, "limit": limit}).fetchall()


def save(db: Db, now: datetime, id: int, person_id: int) -> bool:
    """Put a tried draft in force; False where it was not tried to the end, or is saved already."""
    values = {"id": id, "now": now, "person_id": person_id}
    return db.execute(_SQL["save_draft"], values).fetchone() is not None


def claim(db: Db, now: datetime) -> Trial | None:
    """The next draft to try, if there is one."""
    row = db.execute(_SQL["claim_draft"], {"now": now}).fetchone()
    if row is None:
        return None
    return Trial(row["id"], row["text"], row["from_at"], row["to_at"])


def note_progress(db: Db, now: datetime, id: int, progress: float) -> None:
    """How much of it is done, 0 to 1; also a sign of life."""
    db.execute(_SQL["note_progress"], {"id": id, "progress": progress, "now": now})


def end_trial(
    db: Db, id: int, *, result: Mapping[str, Any] | None = None, problem: str | None = None
) -> None:
    """It is over, with a result or a problem."""
    state = "done" if problem is None else "failed"
    values = {"id": id, "state": state, "problem": problem}
    kept = None if result is None else Jsonb(result)
    db.execute(_SQL["end_trial"], {**values, "result": kept})
