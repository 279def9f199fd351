"""People, their keys and login sessions. Keys and session tokens are random, and stored as their
SHA-256 only; passwords as argon2id."""

import hashlib
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from pilewatch.store import queries
from pilewatch.store.pool import Db

_SQL = queries.load("api")
_LOGIN = queries.load("login")
_WINDOW = timedelta(minutes=15)
_LIMITS = {"together": 5, "of_address": 30, "of_login": 100}
"""Attempts in the window: of one name from one address, of one address, of one name."""
ROLES = ("grid_worker", "repairer", "operator", "admin")


@dataclass(frozen=True)
class Caller:
    """Who asks. A resident is anonymous: no id."""

    role: str = "resident"
    id: int | None = None
    login: str | None = None
    company_id: int | None = None
    grids: tuple[int, ...] = ()


RESIDENT = Caller()


@dataclass(frozen=True)
class Session:
    """A login session: whose it is, and the token that its forms must carry."""

    caller: Caller
    csrf: str


class TooManyAttempts(Exception):
    """This name or address has failed too often; `wait` is when to try again."""

    wait = _WINDOW


def add_person(
    db: Db,
    login: str,
    name: str,
    role: str,
    *,
    company: str | None = None,
    grids: Iterable[str] = (),
    password: str | None = None,
) -> int:
    """A new person; gives the id. Raises `ValueError` for an unknown role, company or grid."""
    if role not in ROLES:
        raise ValueError(f"role {role!r}; right would be one of {', '.join(ROLES)}")
    with db.transaction():
        row = db.execute(
            _SQL["add_person"],
            {
                "login": login,
                "name": name,
                "role": role,
                "company": company,
                "password_hash": None if password is None else PasswordHasher().hash(password),
            },
        ).fetchone()
        if row is None:
            raise ValueError(f"company {company!r} is not in the registry")
        for grid in grids:
            values = {"person_id": row["id"], "grid": grid}
            if db.execute(_SQL["add_person_grid"], values).fetchone() is None:
                raise ValueError(f"grid {grid!r} is not in the registry")
    return int(row["id"])


def new_api_key(db: Db, person_id: int, label: str, now: datetime) -> str:
    """A new key of this person. It cannot be shown again."""
    key = f"pw_{secrets.token_urlsafe(32)}"
    values = {"person_id": person_id, "hash": _hash(key), "label": label, "now": now}
    db.execute(_SQL["add_key"], values)
    return key


def caller_by_key(db: Db, key: str, now: datetime) -> Caller | None:
    """Whose key this is; None where it is unknown, revoked or expired."""
    row = db.execute(_SQL["caller_by_key"], {"hash": _hash(key), "now": now}).fetchone()
    if row is None:
        return None
    return Caller(row["role"], row["id"], row["login"], row["company_id"], tuple(row["grids"]))


def set_password(db: Db, login: str, password: str) -> None:
    """A new password; ends the person's sessions. Raises `ValueError` for an unknown login."""
    with db.transaction():
        values = {"login": login, "password_hash": PasswordHasher().hash(password)}
        row = db.execute(_LOGIN["set_password"], values).fetchone()
        if row is None:
            raise ValueError(f"there is no person with the login {login!r}")
        db.execute(_LOGIN["end_sessions_of"], {"person_id": row["id"]})


def log_in(
    db: Db, login: str, password: str, *, address: str, now: datetime, hours: int
) -> str | None:
    """A new session's token; None where name or password is wrong.

    An unknown name takes as long as a wrong password. Raises `TooManyAttempts`.
    """
    values = {"login": _hash(login), "address": address, "now": now, "since": now - _WINDOW}
    recent = db.execute(_LOGIN["recent_attempts"], values).fetchone()
    if recent is not None and any(recent[kind] >= most for kind, most in _LIMITS.items()):
        raise TooManyAttempts
    # Written before the slow check, so that attempts side by side are counted too.
    db.execute(_LOGIN["add_attempt"], values)
    row = db.execute(_LOGIN["person_by_login"], {"login": login}).fetchone()
    known = row["password_hash"] if row is not None else None
    right = _password_fits(known or _nobodys_password(), password) and known is not None
    db.execute(_LOGIN["forget_attempts"], {**values, "succeeded": right})
    if row is None or not right:
        return None
    token = secrets.token_urlsafe(32)
    with db.transaction():
        db.execute(_LOGIN["end_old_sessions"], {"now": now})
        db.execute(
            _LOGIN["add_session"],
            {
                "hash": _hash(token),
                "person_id": row["id"],
                "csrf": secrets.token_urlsafe(24),
                "now": now,
                "expires_at": now + timedelta(hours=hours),
            },
        )
    return token


def log_out(db: Db, token: str) -> None:
    """End this session."""
    db.execute(_LOGIN["end_session"], {"hash": _hash(token)})


def caller_by_session(db: Db, token: str, now: datetime) -> Session | None:
    """Whose session this is; None where it is unknown, ended or expired."""
    row = db.execute(_LOGIN["caller_by_session"], {"hash": _hash(token), "now": now}).fetchone()
    if row is None:
        return None
    caller = Caller(row["role"], row["id"], row["login"], row["company_id"], tuple(row["grids"]))
    return Session(caller, row["csrf"])


def _password_fits(password_hash: str, password: str) -> bool:
    try:
        return PasswordHasher().verify(password_hash, password)
    except (VerificationError, InvalidHashError):
        return False


@lru_cache(maxsize=1)
def _nobodys_password() -> str:
    return PasswordHasher().hash(secrets.token_urlsafe(16))


def _hash(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "replace")).digest()
