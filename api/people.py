"""People, their keys and login sessions. Keys and session tokens are random, and stored as their
SHA-256 only; passwords as argon2id."""

import hashlib
import secrets
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, Literal, get_args

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from api.attempts import PASSWORDS, attempt
from pilewatch.store import queries
from pilewatch.store.pool import Db
from pilewatch.workflow import audit

_SQL = queries.load("people")
_LOGIN = queries.load("login")
_HALF = timedelta(minutes=10)
"""How long the second factor may take."""
SHORTEST_PASSWORD = 8
Role = Literal["grid_worker", "repairer", "operator", "admin", "auditor", "device"]
ROLES: tuple[Role, ...] = get_args(Role)
_BY_AREA = frozenset({"admin", "auditor"})
_OF_COMPANY = frozenset({"repairer", "operator", "device"})
_BY_GRID = frozenset({"grid_worker", "device"})


@dataclass(frozen=True)
class Caller:
    """Who asks, and how. A resident is anonymous: no id.

    `grids` narrow a grid worker or device, and, as those of the `areas`, an admin or auditor.
    `scopes` is what the key may be used for, None: everything that the role may.
    """

    role: str = "resident"
    id: int | None = None
    login: str | None = None
    company_id: int | None = None
    grids: tuple[int, ...] = ()
    areas: tuple[int, ...] = ()
    scopes: tuple[str, ...] | None = None
    key_id: int | None = None
    session_id: int | None = None


RESIDENT = Caller()


@dataclass(frozen=True)
class Session:
    """A login session: whose it is, and the token that its forms must carry."""

    caller: Caller
    csrf: str


@dataclass(frozen=True)
class HalfSession:
    """A login whose second factor is still missing (`stage` code or enrol)."""

    person_id: int
    login: str
    role: str
    totp_since: datetime | None
    csrf: str
    stage: str
    next: str


@dataclass(frozen=True)
class Reach:
    """Where a person may act: what the role has no use for must be empty."""

    company: str | None = None
    grids: tuple[str, ...] = ()
    areas: tuple[str, ...] = ()


# --- persons


def add_person(
    db: Db,
    login: str,
    name: str,
    role: str,
    *,
    company: str | None = None,
    grids: Iterable[str] = (),
    areas: Iterable[str] = (),
    email: str | None = None,
    password: str | None = None,
) -> int:
    """A new person; gives the id. Raises `ValueError` for what does not fit the role or is not in
    the registry."""
    reach = Reach(company, tuple(grids), tuple(areas))
    with db.transaction():
        _check(db, role, reach)
        values = {"login": login, "name": name, "role": role}
        row = db.execute(_SQL["add_person"], values).fetchone()
        assert row is not None
        id = int(row["id"])
        _write(db, id, name, role, reach, email, active=True)
        if password is not None:
            set_password(db, login, password)
    return id


def change_person(
    db: Db, id: int, *, name: str, role: str, reach: Reach, email: str | None, active: bool
) -> None:
    """All that is known of a person, anew; whoever may not do the same any more must log in again.

    Raises `ValueError` as `add_person` does.
    """
    with db.transaction():
        _check(db, role, reach)
        _write(db, id, name, role, reach, email, active=active)
        end_sessions(db, id)


def _write(
    db: Db, id: int, name: str, role: str, reach: Reach, email: str | None, *, active: bool
) -> None:
    values = {
        **{"id": id, "name": name, "role": role, "email": email, "active": active},
        **{"company": reach.company, "grids": list(reach.grids), "areas": list(reach.areas)},
    }
    for query in ("change_person", "drop_grids", "set_grids", "drop_areas", "set_areas"):
        db.execute(_SQL[query], values)


def _check(db: Db, role: str, reach: Reach) -> None:
    if role not in ROLES:
        raise ValueError(f"role {role!r}; right would be one of {', '.join(ROLES)}")
    for kind, given, roles in (
        ("company", reach.company, _OF_COMPANY),
        ("grids", reach.grids, _BY_GRID),
        ("areas", reach.areas, _BY_AREA),
    ):
        if given and role not in roles:
            raise ValueError(f"{kind}: only for {', '.join(sorted(roles))}, not for {role}")
    values = {
        "company": reach.company,
        "grids": list(reach.grids),
        "areas": list(reach.areas),
    }
    for row in db.execute(_SQL["unknown_codes"], values):
        raise ValueError(f"{row['kind']} {row['code']!r} is not in the registry")


def persons(db: Db, **wanted: Any) -> list[dict[str, Any]]:
    """People by id, with codes instead of numbers, and nothing secret."""
    nothing = dict.fromkeys(("id", "login", "role", "active", "areas"))
    return db.execute(_SQL["persons"], {**nothing, "after": 0, "limit": 1, **wanted}).fetchall()


def person_named(db: Db, login: str) -> dict[str, Any]:
    """The person with this login. Raises `ValueError` where there is none."""
    rows = persons(db, login=login)
    if not rows:
        raise ValueError(f"there is no person with the login {login!r}")
    return rows[0]


# --- keys


def new_api_key(
    db: Db,
    person_id: int,
    label: str,
    now: datetime,
    *,
    scopes: Collection[str] | None = None,
    expires_at: datetime | None = None,
) -> str:
    """A new key of this person. It cannot be shown again."""
    return add_key(db, person_id, label, now, scopes=scopes, expires_at=expires_at)[1]


def add_key(
    db: Db,
    person_id: int,
    label: str,
    now: datetime,
    *,
    scopes: Collection[str] | None,
    expires_at: datetime | None,
) -> tuple[int, str]:
    """The same; gives its number too."""
    key = f"pw_{secrets.token_urlsafe(32)}"
    values = {
        **{"person_id": person_id, "hash": digest(key), "label": label, "now": now},
        **{"scopes": None if scopes is None else sorted(scopes), "expires_at": expires_at},
    }
    row = db.execute(_SQL["add_key"], values).fetchone()
    assert row is not None
    return int(row["id"]), key


def keys_of(
    db: Db, person_id: int, now: datetime, *, id: int | None = None, before: int, limit: int
) -> list[dict[str, Any]]:
    """A person's keys, newest first, without themselves."""
    values = {"person_id": person_id, "now": now, "id": id, "before": before, "limit": limit}
    return db.execute(_SQL["keys"], values).fetchall()


def revoke_key(db: Db, person_id: int, id: int, now: datetime) -> bool:
    """The key opens nothing any more; False where the person has no such valid key."""
    values = {"person_id": person_id, "id": id, "now": now}
    done = db.execute(_SQL["revoke_key"], values).fetchone() is not None
    db.execute(_SQL["end_streams"], values)
    return done


def caller_by_key(db: Db, key: str, now: datetime) -> Caller | None:
    """Whose key this is; None where it is unknown, revoked or expired."""
    row = db.execute(_SQL["caller_by_key"], {"hash": digest(key), "now": now}).fetchone()
    if row is None:
        return None
    scopes = None if row["scopes"] is None else tuple(row["scopes"])
    return Caller(**_identity(row), scopes=scopes, key_id=row["key_id"])


def _identity(row: dict[str, Any]) -> dict[str, Any]:
    same = {key: row[key] for key in ("role", "id", "login", "company_id")}
    return {**same, "grids": tuple(row["grids"]), "areas": tuple(row["areas"])}


# --- passwords and sessions


def set_password(db: Db, login: str, password: str, *, but: int | None = None) -> None:
    """A new password; ends the person's sessions, but this one. Raises `ValueError` for an unknown
    login or a device, or where it is too short."""
    person = person_named(db, login)
    if person["role"] == "device":
        raise ValueError("a device has keys and no password")
    if len(password) < SHORTEST_PASSWORD:
        raise ValueError(f"a password has at least {SHORTEST_PASSWORD} characters")
    with db.transaction():
        values = {"person_id": person["id"], "password_hash": PasswordHasher().hash(password)}
        db.execute(_LOGIN["set_password"], values)
        end_sessions(db, person["id"], but=but)


def is_password(db: Db, person_id: int, password: str, *, address: str, now: datetime) -> bool:
    """Whether this is the person's password, counted as an attempt. Raises `TooManyAttempts`."""
    row = db.execute(_LOGIN["person_by_id"], {"id": person_id}).fetchone()
    if row is None:
        return False
    tried = attempt(db, row["login"], PASSWORDS, address=address, now=now)
    known = row["password_hash"]
    right = known is not None and _password_fits(known, password)
    tried.ended(succeeded=right)
    return right


def log_in(
    db: Db, login: str, password: str, *, address: str, now: datetime
) -> dict[str, Any] | None:
    """The person (id, role, totp_since); None where name or password is wrong.

    An unknown name takes as long as a wrong password. Raises `TooManyAttempts`.
    """
    tried = attempt(db, login, PASSWORDS, address=address, now=now)
    row = db.execute(_LOGIN["person_by_login"], {"login": login}).fetchone()
    known = row["password_hash"] if row is not None else None
    right = _password_fits(known or _nobodys_password(), password) and known is not None
    right = right and row is not None and row["role"] != "device"
    tried.ended(succeeded=right)
    if row is not None:
        note_login(db, row["id"], "password", now, succeeded=right)
    return row if right else None


def note_login(
    db: Db, person_id: int, step: str, now: datetime, *, succeeded: bool, after: Any = None
) -> None:
    """Into the audit. What failed was done by nobody who is known: it is only about the person."""
    by, action = (person_id, f"login.{step}") if succeeded else (None, f"login.{step}.failed")
    audit.record(db, now, by, action, f"person/{person_id}", None, after)


def first_stage(person: dict[str, Any], totp_roles: Collection[str]) -> str:
    """What a login still needs: a code, a second factor to be set up, or nothing (full)."""
    if person["totp_since"] is not None:
        return "code"
    return "enrol" if person["role"] in totp_roles else "full"


def open_session(
    db: Db, person_id: int, *, stage: str, now: datetime, hours: int, next: str
) -> str:
    """A new session's token. Half ones last ten minutes and open nothing but their next step."""
    token = secrets.token_urlsafe(32)
    lasts = timedelta(hours=hours) if stage == "full" else _HALF
    with db.transaction():
        db.execute(_LOGIN["end_old_sessions"], {"now": now})
        db.execute(
            _LOGIN["add_session"],
            {
                "hash": digest(token),
                "person_id": person_id,
                "csrf": secrets.token_urlsafe(24),
                "now": now,
                "expires_at": now + lasts,
                "stage": stage,
                "next": next,
            },
        )
    return token


def log_out(db: Db, token: str) -> None:
    """End this session."""
    db.execute(_LOGIN["end_session"], {"hash": digest(token)})


def end_sessions(
    db: Db, person_id: int, *, but: int | None = None, id: int | None = None
) -> list[int]:
    """End a person's sessions, or one of them; gives their numbers."""
    values = {"person_id": person_id, "but": but, "id": id}
    db.execute(_SQL["end_streams"], values)
    return [int(row["id"]) for row in db.execute(_LOGIN["end_sessions_of"], values)]


def sessions_of(db: Db, person_id: int, now: datetime, current: int | None) -> list[dict[str, Any]]:
    """A person's open sessions, newest first."""
    values = {"person_id": person_id, "now": now, "current": current}
    return db.execute(_LOGIN["sessions"], values).fetchall()


def caller_by_session(db: Db, token: str, now: datetime) -> Session | None:
    """Whose session this is; None where it is unknown, ended, expired or only half."""
    row = db.execute(_LOGIN["caller_by_session"], {"hash": digest(token), "now": now}).fetchone()
    if row is None:
        return None
    return Session(Caller(**_identity(row), session_id=row["session_id"]), row["csrf"])


def half_session(db: Db, token: str, now: datetime) -> HalfSession | None:
    """The login that is under way with this token."""
    row = db.execute(_LOGIN["half_session"], {"hash": digest(token), "now": now}).fetchone()
    return None if row is None else HalfSession(**row)


def _password_fits(password_hash: str, password: str) -> bool:
    try:
        return PasswordHasher().verify(password_hash, password)
    except (VerificationError, InvalidHashError):
        return False


@lru_cache(maxsize=1)
def _nobodys_password() -> str:
    return PasswordHasher().hash(secrets.token_urlsafe(16))


def digest(secret: str) -> bytes:
    """What is kept of a random secret."""
    return hashlib.sha256(secret.encode("utf-8", "replace")).digest()
