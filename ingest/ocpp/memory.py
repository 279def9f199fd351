"""What the gateway keeps in PostgreSQL: passwords, transactions, frames that broke the standard."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from ingest.ocpp.orders import PATIENCE, Waiting
from ingest.ocpp.station import Session
from pilewatch.store import queries
from pilewatch.store.pool import Db

_SQL = queries.load("ocpp")
_HASHER = PasswordHasher(time_cost=1, memory_cost=8 * 1024, parallelism=1)
"""Cheaper than for people: passwords of chargers are made by us, and a thousand come at once."""
_KEPT = timedelta(days=90)
_KEPT_BYTES = 4096


class Known(NamedTuple):
    """What is known of an id that wants to connect."""

    registered: bool
    secret_hash: str | None
    booted: bool
    """Has told before who it is."""
    ports: Sequence[int]
    sessions: Sequence[Session]
    waiting: Sequence[Waiting]
    """Resets that it accepted and whose end was not seen."""


def find(db: Db, charger: str) -> Known:
    """Look an id up."""
    row = db.execute(_SQL["find_charger"], {"charger": charger}).fetchone()
    assert row is not None
    sessions = [
        Session(t["own_id"] or str(t["id"]), t["connector"], t["register_wh"], ended=t["ended"])
        for t in db.execute(_SQL["transactions_of"], {"charger": charger})
    ]
    waiting = [
        Waiting(c["command_id"], "reset", c["accepted_at"] + PATIENCE)
        for c in db.execute(_SQL["resets_of"], {"charger": charger})
    ]
    hashed = row["secret_hash"]
    return Known(row["known"], hashed, row["booted"], row["ports"], sessions, waiting)


def fits(secret_hash: str, password: bytes) -> bool:
    """Whether it is the password; takes some milliseconds of a core."""
    try:
        return _HASHER.verify(secret_hash, password)
    except (VerificationError, InvalidHashError):
        return False


def set_password(db: Db, charger: str, password: bytes, now: datetime) -> None:
    """Only its hash is kept."""
    values = {"charger": charger, "secret_hash": _HASHER.hash(password), "now": now}
    db.execute(_SQL["set_credential"], values)


def drop_password(db: Db, charger: str) -> bool:
    """Let it in no more; whether there was one."""
    return db.execute(_SQL["drop_credential"], {"charger": charger}).rowcount > 0


def begin(db: Db, charger: str, connector: int, at: datetime, register_wh: float) -> int:
    """The number of a transaction of 1.6; the same one for the same start."""
    values = {
        "charger": charger,
        "connector": connector,
        "started_at": at,
        "register_wh": register_wh,
    }
    row = db.execute(_SQL["begin_transaction"], values).fetchone()
    assert row is not None
    return int(row["id"])


def begin_own(db: Db, charger: str, session: Session, at: datetime) -> None:
    """Keep a transaction of 2.0.1, which has a number already."""
    values = {
        "charger": charger,
        "own_id": session.id,
        "connector": session.connector,
        "started_at": at,
        "register_wh": session.register_wh or 0.0,
    }
    db.execute(_SQL["begin_own_transaction"], values)


def end(db: Db, charger: str, session: str, now: datetime) -> None:
    """It is over."""
    db.execute(_SQL["end_transaction"], {"charger": charger, "session": session, "now": now})


def trim(db: Db, now: datetime) -> None:
    """Forget transactions that no charger will speak of again."""
    db.execute(_SQL["trim_transactions"], {"before": now - _KEPT})


def keep_bad_frame(
    db: Db, charger: str, data: bytes, size: int, reason: str, now: datetime
) -> None:
    """Show it to the operator; `data` is free of cards."""
    values = {
        "now": now,
        "topic": f"ocpp/{charger}",
        "payload": data[:_KEPT_BYTES],
        "size": size,
        "reason": reason,
        "charger": charger,
    }
    db.execute(_SQL["keep_bad_frame"], values)
