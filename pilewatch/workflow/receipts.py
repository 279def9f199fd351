"""What the database's own key signs: the moment of a form, and receipts that can be read out."""

import hashlib
import hmac
from datetime import UTC, datetime
from typing import Literal
from uuid import UUID

from pilewatch.store import queries
from pilewatch.store.pool import Db

_SQL = queries.load("reports")
_DIGITS = 16


def form_stamp(db: Db, now: datetime, about: str) -> str:
    """What a form that is shown now carries; `about` is what it speaks of."""
    moment = str(int(now.timestamp() * 1000))
    return f"{moment}.{_sign(db, f'form/{about}/{moment}').hex()}"


def form_age_s(db: Db, now: datetime, about: str, stamp: str) -> float | None:
    """How long ago the form was shown; None for a stamp that is not ours, or of another form."""
    moment, _, sign = stamp.partition(".")
    if not (moment.isascii() and moment.isdecimal() and len(moment) <= 15):
        return None
    right = _sign(db, f"form/{about}/{moment}").hex()
    if not hmac.compare_digest(right.encode(), sign.encode("utf-8", "replace")):
        return None
    return (now - datetime.fromtimestamp(int(moment) / 1000, UTC)).total_seconds()


def spoken_receipt(db: Db, kind: Literal["phone", "matter"], id: UUID) -> str:
    """Sixteen digits that belong to this client-made id: the same again for a repeat."""
    number = int.from_bytes(_sign(db, f"receipt/{kind}/{id}")[:16], "big")
    return f"{number % 10**_DIGITS:0{_DIGITS}}"


def one_at_a_time(db: Db, id: UUID) -> None:
    """Until the transaction ends, a twin of the order with this client-made id waits."""
    db.execute(_SQL["one_at_a_time"], {"id": str(id)})


def in_groups(token: str) -> str:
    """A spoken receipt as it is read out: four digits at a time."""
    return " ".join(token[at : at + 4] for at in range(0, len(token), 4))


def typed_receipt(text: str) -> str:
    """What was typed or pasted, without the spaces and dashes of a spoken receipt."""
    bare = "".join(text.split()).replace("-", "") if text.strip() else ""
    return bare if bare.isdecimal() else text.strip()


def digest(token: str) -> bytes:
    """What is stored of a receipt."""
    return hashlib.sha256(token.encode("utf-8", "replace")).digest()


def _sign(db: Db, text: str) -> bytes:
    row = db.execute(_SQL["form_key"]).fetchone()
    assert row is not None
    return hmac.digest(bytes(row["key"]), text.encode("utf-8", "replace"), "sha256")
