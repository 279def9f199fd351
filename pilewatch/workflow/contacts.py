"""How a reporter may be reached: sealed, in a table of its own, and erased in time."""

import json
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from pilewatch.policy import Policy
from pilewatch.settings import Residents
from pilewatch.store import queries
from pilewatch.store.pool import Db

_SQL = queries.load("reports")
_EMAIL = re.compile(r"[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+")
_PHONE = re.compile(r"\+?[0-9]{7,15}")
_LONGEST = 120

Kind = Literal["phone", "email"]
Language = Literal["zh-CN", "en"]


class BadContact(ValueError):
    """It is neither a phone number nor a mail address."""


@dataclass(frozen=True)
class Contact:
    """Where a reporter may be reached. Its repr tells nothing of it."""

    kind: Kind
    to: str
    receipt: str
    language: Language

    def __repr__(self) -> str:
        return f"Contact({self.kind})"


class Seal:
    """Encrypts with the first of the installation's keys, decrypts with any of them."""

    def __init__(self, keys: list[str]):
        self._fernet = MultiFernet([Fernet(key) for key in keys])

    def close(self, report_id: int, contact: Contact) -> bytes:
        """The contact, bound to its report."""
        return self._fernet.encrypt(json.dumps([report_id, *vars(contact).values()]).encode())

    def open(self, report_id: int, sealed: bytes) -> Contact | None:
        """What was closed for this report; None where the key is gone or it was another's."""
        try:
            owner, kind, to, receipt, language = json.loads(self._fernet.decrypt(sealed))
        except InvalidToken:
            return None
        return Contact(kind, to, receipt, language) if owner == report_id else None


def seal_of(settings: Residents) -> Seal | None:
    """The installation's seal; None where it has no key, and so keeps no contact."""
    keys = settings.contact_keys.get_secret_value().split() if settings.contact_keys else []
    return Seal(keys) if keys else None


def read_contact(text: str) -> tuple[Kind, str]:
    """What kind of contact was written, and the contact itself. Raises `BadContact`."""
    bare = text.strip()
    if len(bare) <= _LONGEST and _EMAIL.fullmatch(bare):
        return "email", bare
    number = re.sub(r"[\s().-]", "", bare)
    if len(bare) <= _LONGEST and _PHONE.fullmatch(number):
        return "phone", number
    raise BadContact("right would be a phone number of 7 to 15 digits, or a mail address")


def keep_contact(db: Db, seal: Seal, now: datetime, report_id: int, contact: Contact) -> None:
    """Keep it, instead of the one before."""
    values = {
        "report_id": report_id,
        "kind": contact.kind,
        "sealed": seal.close(report_id, contact),
        "now": now,
    }
    db.execute(_SQL["keep_contact"], values)


def contact_of(db: Db, seal: Seal, report_id: int) -> Contact | None:
    """The reporter's contact; None where none was left, or it is erased."""
    row = db.execute(_SQL["contact_of"], {"report_id": report_id}).fetchone()
    return None if row is None else seal.open(report_id, bytes(row["sealed"]))


def erase_contact(db: Db, report_id: int) -> bool:
    """At the reporter's own wish; whether there was one."""
    row = db.execute(_SQL["erase_contact"], {"report_id": report_id}).fetchone()
    return row is not None


def erase_contacts(db: Db, policy: Policy, now: datetime) -> int:
    """Erase every contact whose matter has been over for the policy's time; gives how many."""
    before = now - timedelta(days=policy.reports.contact_days)
    return len(db.execute(_SQL["erase_contacts"], {"before": before}).fetchall())
