"""Who changed what, kept for ever: one row in the transaction of the change itself.

The database seals each row at the end of its transaction with the SHA-256 of the seal before and
of its own content, and refuses any later change (migration 0012). `verify` computes the seals
again, without trusting the functions that the database holds.
"""

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from weakref import WeakKeyDictionary

from psycopg.types.json import Jsonb

from pilewatch.store import queries
from pilewatch.store.pool import Db

_SQL = queries.load("audit")
_START = bytes(32)
_SEALED = ("seq", "id", "at", "person_id", "key_id", "session_id", "request_id", "action", "object",
           "before", "after")  # fmt: skip


@dataclass(frozen=True)
class Origin:
    """Through what somebody acts: the number of the key or login session, and the request."""

    key_id: int | None = None
    session_id: int | None = None
    request_id: str | None = None


_HERE = Origin()
_ORIGINS: WeakKeyDictionary[Db, Origin] = WeakKeyDictionary()


@contextmanager
def coming_from(db: Db, origin: Origin) -> Iterator[None]:
    """What is recorded over this connection meanwhile came from there."""
    _ORIGINS[db] = origin
    try:
        yield
    finally:
        del _ORIGINS[db]


def record(
    db: Db,
    now: datetime,
    person_id: int | None,
    action: str,
    about: str,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> None:
    """`action` as `ticket.assign`, `about` as `ticket/12`; nothing personal in the values.

    Without a person it was done with the `pilewatch` command, or by the program itself.
    """
    values = {
        **vars(_ORIGINS.get(db, _HERE)),
        "now": now,
        "person_id": person_id,
        "action": action,
        "object": about,
        "before": None if before is None else Jsonb(dict(before)),
        "after": None if after is None else Jsonb(dict(after)),
    }
    db.execute(_SQL["record"], values)


@dataclass(frozen=True)
class Verdict:
    """`rows` that were checked, the last seal, and what is wrong, in sentences."""

    rows: int
    head: str
    wrong: tuple[str, ...]


def verify(db: Db, head: str | None = None) -> Verdict:
    """Check the whole chain as it stands at one moment.

    `head` is a seal that was kept elsewhere: where it is missing, rows were cut off or everything
    was written anew.
    """
    wrong: list[str] = []
    seal, place, met = _START, 0, head is None
    with db.transaction():
        db.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        for row in db.execute(_SQL["unsealed"]):
            wrong.append(f"row {row['id']} has no seal: it was written past the trigger")
        with db.cursor(name="chain") as rows:
            rows.itersize = 5000
            for row in rows.execute(_SQL["chain"]):
                place += 1
                if row["seq"] != place:
                    wrong.append(
                        f"place {place} is missing: rows were taken out before {row['id']}"
                    )
                    place = row["seq"]
                true = hashlib.sha256(seal + _content(row)).digest()
                if true != bytes(row["hash"]):
                    wrong.append(f"row {row['id']} is not what was sealed, or what is before it")
                # Go on from the stored seal, so that only the place of the change is named.
                seal = bytes(row["hash"])
                met = met or seal.hex() == head
    if not met:
        wrong.append("the kept head is not in the chain: rows were cut off, or all written anew")
    return Verdict(place, seal.hex(), tuple(wrong))


def _content(row: Mapping[str, Any]) -> bytes:
    """The row's own part: of each field its length, a colon and itself; `-` where it is null."""
    return b"".join(_field(row[name]) for name in _SEALED)


def _field(value: object) -> bytes:
    if value is None:
        return b"-"
    text = str(value).encode()
    return b"%d:%b" % (len(text), text)
