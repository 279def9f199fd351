"""How a reporter may be reached: sealed, in a table of its own, and erased in time."""

import json
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from pilewatch.policy import Policy
from pilewatch.sealing import Lost, Seal
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
    """Keep it, bound to its report, instead of the one before. `seal` has keys."""
    assert seal
    closed = seal.close(json.dumps([report_id, *vars(contact).values()]))
    values = {"report_id": report_id, "kind": contact.kind, "now": now, "sealed": closed.encode()}
    db.execute(_SQL["keep_contact"], values)


def contact_of(db: Db, seal: Seal, report_id: int) -> Contact | None:
    """The reporter's contact; None where none was left, it is erased, its key is gone, or it was
    another report's."""
    row = db.execute(_SQL["contact_of"], {"report_id": report_id}).fetchone()
    if row is None:
        return None
    try:
        owner, kind, to, receipt, language = json.loads(seal.open(bytes(row["sealed"]).decode()))
    except Lost:
        return None
    return Contact(kind, to, receipt, language) if owner == report_id else None


def erase_contact(db: Db, report_id: int) -> bool:
    """At the reporter's own wish; whether there was one."""
    row = db.execute(_SQL["erase_contact"], {"report_id": report_id}).fetchone()
    return row is not None


def erase_contacts(db: Db, policy: Policy, now: datetime) -> int:
    """Erase every contact whose matter has been over for the policy's time; gives how many."""
    before = now - timedelta(days=policy.reports.contact_days)
    return len(db.execute(_SQL["erase_contacts"], {"before": before}).fetchall())
