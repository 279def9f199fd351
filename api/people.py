"""People and their keys. A key is random, shown once, and stored as its SHA-256 only."""

import hashlib
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from argon2 import PasswordHasher

from pilewatch.store import queries
from pilewatch.store.pool import Db

_SQL = queries.load("api")
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


def _hash(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "replace")).digest()
