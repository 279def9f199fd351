"""How often somebody may guess a password or a code, or begin a login at the organisation: counted
in the database for all processes."""

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta

from pilewatch.store import queries
from pilewatch.store.pool import Db

_SQL = queries.load("login")
_WINDOW = timedelta(minutes=15)


class TooManyAttempts(Exception):
    """This name or address has failed too often; `wait` is when to try again."""

    wait = _WINDOW


@dataclass(frozen=True)
class Limits:
    """Attempts in a quarter of an hour: of one name from one address, of one address, of a name."""

    together: int
    of_address: int
    of_login: int


PASSWORDS = Limits(together=5, of_address=30, of_login=100)
CODES = Limits(together=5, of_address=30, of_login=10)
"""A code has six digits only, so nobody may try many, wherever from."""
STARTS = Limits(together=60, of_address=60, of_login=1000)
"""Logins at the organisation that begin: each is a row until it comes back or is too old."""


@dataclass(frozen=True)
class Attempt:
    """One try that has been counted already."""

    db: Db
    values: dict[str, object]

    def ended(self, *, succeeded: bool) -> None:
        """A success forgets the failures of this name from this address."""
        self.db.execute(_SQL["forget_attempts"], {**self.values, "succeeded": succeeded})


def attempt(db: Db, name: str, limits: Limits, *, address: str, now: datetime) -> Attempt:
    """Count a try before its slow check, so that tries side by side count too.

    `name` is kept as its SHA-256: people type passwords into the wrong field. Raises
    `TooManyAttempts`.
    """
    values = _values(name, address, now)
    recent = db.execute(_SQL["recent_attempts"], values).fetchone()
    if recent is not None and any(recent[kind] >= most for kind, most in vars(limits).items()):
        raise TooManyAttempts
    db.execute(_SQL["add_attempt"], values)
    return Attempt(db, values)


def forgive(db: Db, name: str, *, address: str, now: datetime) -> None:
    """A success that came by another request: forget the tries of this name from this address."""
    Attempt(db, _values(name, address, now)).ended(succeeded=True)


def _values(name: str, address: str, now: datetime) -> dict[str, object]:
    login = hashlib.sha256(name.encode("utf-8", "replace")).digest()
    return {"login": login, "address": address, "now": now, "since": now - _WINDOW}
