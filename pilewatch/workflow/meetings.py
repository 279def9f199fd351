"""Bench meetings in the database. Every function runs inside its caller's transaction.

Ids are made by the worker's phone, which may send the same order again: the same content is a
repeat and changes nothing, another content is a `Conflict`, and what is stored stays.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from pilewatch.policy import Policy
from pilewatch.store import queries
from pilewatch.store.pool import Db
from pilewatch.workflow.desk import NotFound
from pilewatch.workflow.matters import Correct, Kind, Matter, Owner, Refused, Step, step
from pilewatch.workflow.receipts import one_at_a_time, spoken_receipt
from pilewatch.workflow.reports import file_report

_SQL = queries.load("meetings")


class Conflict(Exception):
    """This id came before with other content, which stays."""


class Changed(Exception):
    """Somebody else changed it meanwhile; `version` is the present one."""

    def __init__(self, version: int):
        super().__init__(f"it has been changed meanwhile; it is at version {version}")
        self.version = version


class Closed(Exception):
    """The meeting is closed, and its minutes stay as they were read."""


@dataclass(frozen=True)
class Place:
    """What a matter about charging is about."""

    site_id: int
    charger_id: int | None
    connector_id: int | None
    code: str


def enter_meeting(
    db: Db,
    now: datetime,
    id: UUID,
    *,
    grid_id: int,
    place: str,
    starts_at: datetime,
    agenda: list[str],
    person_id: int,
) -> bool:
    """Keep a meeting that is planned or was held; False for a repeat. Raises `Conflict`."""
    said = {"grid_id": grid_id, "place": place, "starts_at": starts_at, "agenda": agenda}
    entered = _digest(said)
    values = {**said, "id": id, "entered": entered, "person_id": person_id, "now": now}
    return _entered(db, "add_meeting", "meeting_entered", values)


def change_meeting(
    db: Db, now: datetime, id: UUID, changes: Mapping[str, Any], version: int | None
) -> dict[str, Any]:
    """Write these fields anew; gives the meeting as it was before.

    Raises `NotFound`, `Changed` or `Closed`; then nothing has changed.
    """
    before = _lock_meeting(db, id, version)
    db.execute(_SQL["change_meeting"], {**before, **changes})
    return before


def close_meeting(
    db: Db, now: datetime, id: UUID, changes: Mapping[str, Any], version: int | None
) -> dict[str, Any]:
    """The end of the meeting: how many came is known, and the minutes stay as they are."""
    before = change_meeting(db, now, id, changes, version)
    db.execute(_SQL["close_meeting"], {"id": id, "now": now})
    return before


def _lock_meeting(db: Db, id: UUID, version: int | None) -> dict[str, Any]:
    row = db.execute(_SQL["lock_meeting"], {"id": id}).fetchone()
    if row is None:
        raise NotFound(f"meeting {id}")
    if version is not None and version != row["version"]:
        raise Changed(row["version"])
    if row["closed_at"] is not None:
        raise Closed
    return row


def raise_matter(
    db: Db,
    policy: Policy,
    now: datetime,
    id: UUID,
    *,
    meeting_id: UUID,
    kind: Kind,
    text: str,
    raised_at: datetime | None,
    owner: Owner,
    deadline_at: datetime | None,
    about: Place | None,
    person_id: int,
) -> bool:
    """Keep what somebody has raised; False for a repeat. Also after the meeting's end: a phone may
    have been offline. About charging, it becomes a report, and so a ticket.

    Raises `NotFound` for the meeting, or `Conflict`.
    """
    meeting = db.execute(_SQL["share_meeting"], {"id": meeting_id}).fetchone()
    if meeting is None:
        raise NotFound(f"meeting {meeting_id}")
    said = {
        "meeting_id": meeting_id,
        "kind": kind,
        "text": text,
        "raised_at": raised_at,
        "owner": [owner.company_id, owner.person_id],
        "deadline_at": deadline_at,
        "about": None if about is None else list(vars(about).values()),
    }
    owed = deadline_at or now + timedelta(days=policy.meetings.answer_days)
    values = {
        **said,
        "id": id,
        "raised_at": raised_at or now,
        "grid_id": meeting["grid_id"],
        "entered": _digest(said),
        "person_id": person_id,
        "now": now,
        "report_id": None,
        "ticket_id": None,
        "state": "raised",
        "company_id": owner.company_id,
        "owner_id": owner.person_id,
        "deadline_at": owed,
    }
    one_at_a_time(db, id)
    if _is_repeat(db, "matter_entered", values):
        return False
    if about is not None:
        filed = file_report(
            db,
            policy,
            now,
            source="meeting",
            **vars(about),
            note=text,
            entered_by=person_id,
            token=spoken_receipt(db, "matter", id),
        )
        told = {"report_id": filed.report_id, "ticket_id": filed.ticket_id, "state": "handed-on"}
        values |= {**told, "company_id": None, "owner_id": None, "deadline_at": None}
    return _entered(db, "add_matter", "matter_entered", values)


def _entered(db: Db, add: str, look: str, values: dict[str, Any]) -> bool:
    if db.execute(_SQL[add], values).fetchone() is not None:
        return True
    _is_repeat(db, look, values)
    return False


def _is_repeat(db: Db, look: str, values: dict[str, Any]) -> bool:
    row = db.execute(_SQL[look], values).fetchone()
    if row is None:
        return False
    if bytes(row["entered"]) != values["entered"]:
        raise Conflict("id: it came before with other content, which stays")
    return True


def move_matter(
    db: Db, now: datetime, id: UUID, action: Step, version: int | None
) -> dict[str, Any]:
    """Take one step with a matter; gives its row as it was before.

    Raises `NotFound`, `Changed`, or `Refused`: also for a matter about charging, which its ticket
    moves.
    """
    row = db.execute(_SQL["lock_matter"], {"id": id}).fetchone()
    if row is None:
        raise NotFound(f"matter {id}")
    if version is not None and version != row["version"]:
        raise Changed(row["version"])
    if row["ticket_id"] is not None:
        raise Refused(f"a matter about charging goes as its ticket {row['ticket_id']} goes",
                      row["state"])  # fmt: skip
    if isinstance(action, Correct) and action.kind == "charging":
        raise Refused("a matter about charging is raised anew, with its pile", row["state"])
    owner = Owner(row["owner_company_id"], row["owner_person_id"])
    kept = ("state", "deadline_at", "text", "kind", "answer", "answered_at", "done_at")
    after = step(Matter(owner=owner, **{key: row[key] for key in kept}), action, now)
    values = {**vars(after), "id": id, **{f"owner_{k}": v for k, v in vars(after.owner).items()}}
    db.execute(_SQL["change_matter"], {k: v for k, v in values.items() if k != "owner"})
    return row


def _digest(said: Mapping[str, Any]) -> bytes:
    def plain(value: object) -> str:
        return str(value.timestamp()) if isinstance(value, datetime) else str(value)

    text = json.dumps(said, sort_keys=True, ensure_ascii=False, default=plain)
    return hashlib.sha256(text.encode()).digest()
