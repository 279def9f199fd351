"""The first steps of an installation: its first admin, and messages that try the way out."""

import hashlib
import secrets
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta

from psycopg.types.json import Jsonb

from pilewatch.store import queries
from pilewatch.store.pool import Db

SQL = queries.load("setup")
LASTS = timedelta(hours=24)


def admin_can_log_in(db: Db) -> bool:
    """Whether there is somebody who may do everything."""
    row = db.execute(SQL["admin_can_log_in"]).fetchone()
    return row is not None and bool(row["yes"])


def new_code(db: Db, now: datetime) -> str:
    """A code that opens the setup page for a day, while no admin can log in."""
    code = secrets.token_urlsafe(24)
    db.execute(SQL["add_code"], {"hash": _hash(code), "now": now, "until": now + LASTS})
    return code


def is_code(db: Db, code: str, now: datetime) -> bool:
    """Whether it opens the page."""
    return db.execute(SQL["is_code"], {"hash": _hash(code), "now": now}).fetchone() is not None


def use_code(db: Db, code: str, now: datetime) -> bool:
    """End it and all others; False where it opens nothing. Inside the caller's transaction."""
    return db.execute(SQL["use_code"], {"hash": _hash(code), "now": now}).fetchone() is not None


def _hash(code: str) -> bytes:
    return hashlib.sha256(code.encode(errors="replace")).digest()


def ask_test(db: Db, person_id: int, now: datetime) -> int | None:
    """Let the alert engine send a test to every receiver; None where one is under way."""
    row = db.execute(SQL["ask_test"], {"person_id": person_id, "now": now}).fetchone()
    return None if row is None else int(row["id"])


def answer_tests(
    db: Db, receivers: Iterable[str], send: Callable[[str], str | None], now: datetime
) -> None:
    """Do what was asked for. `send` gives why a receiver was not reached, or None."""
    for row in db.execute(SQL["open_tests"]).fetchall():
        results = [{"receiver": name, "problem": send(name)} for name in receivers]
        db.execute(SQL["end_test"], {"id": row["id"], "now": now, "results": Jsonb(results)})
