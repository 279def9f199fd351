"""The second factor of a login: a time-based code (RFC 6238), or one of ten recovery codes."""

import hmac
import secrets
from datetime import datetime
from typing import Any

import pyotp
import structlog

from api.attempts import CODES, attempt
from api.people import digest, note_login
from pilewatch.sealing import Lost, Seal
from pilewatch.store import queries
from pilewatch.store.pool import Db

_LOG = structlog.get_logger()
_SQL = queries.load("people")
_STEP_S = 30
_CODES = 10
_ALPHABET = "ABCDEFGHJKMNPQRSTVWXYZ23456789"
"""Without what looks alike on paper; sixteen of them are more than 78 bits."""


def offer(db: Db, person_id: int, seal: Seal) -> str | None:
    """The secret that waits for its first code; None where a second factor is set up already.

    `seal` closes what is kept of it, here and below.
    """
    fresh = seal.close(pyotp.random_base32())
    row = db.execute(_SQL["offer_totp"], {"person_id": person_id, "secret": fresh}).fetchone()
    if row is None:
        return None
    secret = _opened(row["totp_secret"], seal)
    if secret is None:  # sealed by a key that is gone: nobody has confirmed it, so begin anew
        end(db, person_id)
        return offer(db, person_id, seal)
    return secret


def address_of(secret: str, login: str) -> str:
    """What an authenticator app reads from the QR."""
    return pyotp.TOTP(secret).provisioning_uri(name=login, issuer_name="Pilewatch")


def begin(
    db: Db, person_id: int, code: str, seal: Seal, *, address: str, now: datetime
) -> list[str] | None:
    """Set the offered secret up by its first code; gives the recovery codes, which are shown once.

    None where the code is wrong. Raises `TooManyAttempts`.
    """
    tried = attempt(db, _name(person_id), CODES, address=address, now=now)
    with db.transaction():
        row = _factor(db, person_id)
        right = row["totp_since"] is None and _is_code(db, row, code, seal, now)
        if right:
            db.execute(_SQL["begin_totp"], {"person_id": person_id, "now": now})
            made = _new_recovery_codes(db, person_id)
    tried.ended(succeeded=right)
    return made if right else None


def passes(db: Db, person_id: int, code: str, seal: Seal, *, address: str, now: datetime) -> bool:
    """Whether this is a fresh code or an unused recovery code, which is used up by this.

    Raises `TooManyAttempts`.
    """
    tried = attempt(db, _name(person_id), CODES, address=address, now=now)
    with db.transaction():
        row = _factor(db, person_id)
        right = row["totp_since"] is not None and (
            _is_code(db, row, code, seal, now) or _is_recovery_code(db, person_id, code)
        )
    tried.ended(succeeded=right)
    note_login(db, person_id, "code", now, succeeded=right)
    return right


def end(db: Db, person_id: int) -> None:
    """No second factor any more, and no recovery codes."""
    with db.transaction():
        db.execute(_SQL["end_totp"], {"person_id": person_id})
        db.execute(_SQL["drop_recovery_codes"], {"person_id": person_id})


def recovery_codes_left(db: Db, person_id: int) -> int:
    """How many recovery codes have not been used."""
    row = db.execute(_SQL["recovery_codes_left"], {"person_id": person_id}).fetchone()
    return 0 if row is None else int(row["left"])


def _opened(kept: str, seal: Seal) -> str | None:
    """The secret; None where its key is gone."""
    try:
        return seal.open(kept)
    except Lost as error:
        _LOG.error("a second factor cannot be read", reason=str(error))
        return None


def _name(person_id: int) -> str:
    return f"code of {person_id}"


def _factor(db: Db, person_id: int) -> dict[str, Any]:
    row = db.execute(_SQL["second_factor"], {"person_id": person_id}).fetchone()
    assert row is not None
    return row


def _is_code(db: Db, row: dict[str, Any], code: str, seal: Seal, now: datetime) -> bool:
    """A clock may be half a minute off; a code is taken once, and none older than the last."""
    given = code.replace(" ", "")
    if row["totp_secret"] is None or not (given.isascii() and given.isdigit() and len(given) == 6):
        return False
    secret = _opened(row["totp_secret"], seal)
    if secret is None:
        return False
    made = pyotp.TOTP(secret)
    present = int(now.timestamp()) // _STEP_S
    for step in (present - 1, present, present + 1):
        if hmac.compare_digest(made.generate_otp(step), given):
            values = {"person_id": row["id"], "step": step}
            return db.execute(_SQL["use_step"], values).fetchone() is not None
    return False


def _is_recovery_code(db: Db, person_id: int, code: str) -> bool:
    values = {"person_id": person_id, "hash": digest(_canonical(code))}
    return db.execute(_SQL["use_recovery_code"], values).fetchone() is not None


def _new_recovery_codes(db: Db, person_id: int) -> list[str]:
    db.execute(_SQL["drop_recovery_codes"], {"person_id": person_id})
    made = []
    for _ in range(_CODES):
        parts = ("".join(secrets.choice(_ALPHABET) for _ in range(4)) for _ in range(4))
        code = "-".join(parts)
        values = {"person_id": person_id, "hash": digest(_canonical(code))}
        db.execute(_SQL["add_recovery_code"], values)
        made.append(code)
    return made


def _canonical(code: str) -> str:
    return "".join(code.upper().replace("-", " ").split())
