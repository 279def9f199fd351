"""Tickets in the database. Every function runs inside its caller's transaction."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal
from zoneinfo import ZoneInfo

from psycopg.types.json import Jsonb

from pilewatch.faultcodes import FAULTS
from pilewatch.model import SubjectKind
from pilewatch.policy import Policy
from pilewatch.store import queries
from pilewatch.store.pool import Db
from pilewatch.workflow import tickets
from pilewatch.workflow.promises import next_danger
from pilewatch.workflow.questions import plan_questions, withdraw_questions
from pilewatch.workflow.tickets import (
    Action,
    Close,
    Comment,
    Entry,
    Escalate,
    Merge,
    Reopen,
    Ticket,
    TicketState,
)
from pilewatch.workflow.transitions import apply, promised
from pilewatch.workflow.warranty import covers

_SQL = queries.load("workflow")


class NotFound(LookupError):
    """There is no such thing; `str()` names it."""


class VersionConflict(Exception):
    """Someone else changed the ticket, or `what` it is, meanwhile; `version` (and `state`) are the
    present ones."""

    def __init__(self, version: int, what: str = "ticket", state: StrEnum | None = None):
        super().__init__(f"the {what} has been changed meanwhile; it is at version {version}")
        self.version = version
        self.state = state


@dataclass(frozen=True)
class Actor:
    """Who acts: the engine, a known person, or a resident."""

    kind: Literal["engine", "person", "resident"]
    person_id: int | None = None


ENGINE = Actor("engine")
RESIDENT = Actor("resident")


@dataclass(frozen=True)
class Subject:
    """What a ticket is about: a connector, charger, gateway or site by its id."""

    kind: SubjectKind
    id: int


@dataclass(frozen=True)
class Opened:
    """A ticket; `created` is False where a live one of the same matter was joined."""

    ticket_id: int
    created: bool


def open_ticket(
    db: Db,
    policy: Policy,
    now: datetime,
    *,
    subject: Subject,
    code: str,
    actor: Actor,
    note: str | None = None,
    data: Mapping[str, Any] | None = None,
    severity: int | None = None,
) -> Opened:
    """Open a ticket, or join the live one of this subject and fault family.

    `severity` where it is not the fault's own, because somebody is only asked to look.

    A join leaves an entry on the timeline, and a worse code raises severity and deadline.
    """
    fault = FAULTS[code]
    place = db.execute(_SQL[f"subject_of_{subject.kind}"], {"id": subject.id}).fetchone()
    if place is None:
        raise NotFound(f"{subject.kind} {subject.id}")
    values = _values(_fresh(db, policy, now, subject, code, place, severity), policy)
    while True:
        made = db.execute(_SQL["open_ticket"], values).fetchone()
        if made is not None:
            entry = Entry("opened", TicketState.OPEN, TicketState.OPEN, note, dict(data or {}))
            _record(db, now, made["id"], entry, actor, _news(made["id"], values))
            for cover in covers(db, made["id"]):
                if cover.may_explain(fault.family):
                    act(db, policy, now, made["id"], Comment(None, *cover.told()), ENGINE)
            return Opened(made["id"], created=True)
        live = db.execute(_SQL["live_ticket"], values).fetchone()
        if live is None:
            continue  # it was closed between the two statements
        ticket = get_ticket(db, live["id"])
        if ticket.state not in tickets.LIVE:
            continue
        _join(db, policy, now, ticket, fault.code, severity, actor, note, data)
        return Opened(ticket.id, created=False)


def _fresh(
    db: Db,
    policy: Policy,
    now: datetime,
    subject: Subject,
    code: str,
    place: Mapping[str, Any],
    severity: int | None,
) -> Ticket:
    """The ticket as it will be opened, with what is promised at its place."""
    fault = FAULTS[code]
    severity = severity or fault.severity
    area = db.execute(_SQL["area_of_site"], place).fetchone()
    assert area is not None
    zone = ZoneInfo(area["timezone"])
    return Ticket(
        **{"id": 0, **place, **area, "subject_kind": subject.kind.value},
        **promised(policy, severity, now, area["area"], zone),
        state=TicketState.OPEN,
        code=code,
        family=fault.family,
        severity=severity,
        opened_at=now,
        clock_at=now,
    )


def _values(ticket: Ticket, policy: Policy) -> dict[str, Any]:
    """What its row holds."""
    danger = next_danger(ticket, policy)
    return {
        **asdict(ticket),
        "state": ticket.state.value,
        "evidence": None if ticket.evidence is None else Jsonb(ticket.evidence),
        "escalate_at": None if danger is None else danger.at,
    }


def _join(
    db: Db,
    policy: Policy,
    now: datetime,
    ticket: Ticket,
    code: str,
    severity: int | None,
    actor: Actor,
    note: str | None,
    data: Mapping[str, Any] | None,
) -> None:
    said = {"code": code, **(data or {})}
    act(db, policy, now, ticket.id, Comment(note, "joined", said), actor)
    severity = severity or FAULTS[code].severity
    if severity < ticket.severity:
        worse = tickets.Worsen(code, severity)
        act(db, policy, now, ticket.id, worse, actor)


def get_ticket(db: Db, ticket_id: int) -> Ticket:
    """The ticket, locked for this transaction. Raises `NotFound`."""
    row = db.execute(_SQL["lock_ticket"], {"id": ticket_id}).fetchone()
    if row is None:
        raise NotFound(f"ticket {ticket_id}")
    return Ticket(**{**row, "state": TicketState(row["state"])})


def act(
    db: Db,
    policy: Policy,
    now: datetime,
    ticket_id: int,
    action: Action,
    actor: Actor,
    *,
    expected_version: int | None = None,
) -> Ticket:
    """Do one thing with a ticket, and write timeline and notification beside it.

    Raises `NotFound`, `tickets.Refused` or `VersionConflict`; then nothing has changed.
    """
    if isinstance(action, Merge) and action.into < ticket_id:
        get_ticket(db, action.into)  # the older one first: merges into each other do not wait
    ticket = get_ticket(db, ticket_id)
    if expected_version is not None and expected_version != ticket.version:
        raise VersionConflict(ticket.version, state=ticket.state)
    if isinstance(action, Merge):
        _check_merge(db, ticket, action)
    if isinstance(action, Reopen):
        _check_reopen(db, ticket)
    changed, entry = apply(ticket, action, now, policy)
    values = _values(changed, policy)
    db.execute(_SQL["update_ticket"], values)
    news = _news(ticket.id, values)
    if isinstance(action, Escalate):
        news |= entry.data
    _record(db, now, ticket.id, entry, actor, news)
    if isinstance(action, Close):
        plan_questions(db, policy, now, changed)
    if isinstance(action, Reopen):
        withdraw_questions(db, ticket.id)
    if isinstance(action, Merge):
        both = {"ticket_id": ticket.id, "into": action.into}
        db.execute(_SQL["move_reports"], both)
        db.execute(_SQL["move_incidents"], both)
        db.execute(_SQL["move_failures"], both)
        note = Comment(None, "merged-here", {"from": ticket.id})
        act(db, policy, now, action.into, note, actor)
    return changed


def _check_merge(db: Db, ticket: Ticket, action: Merge) -> None:
    target = get_ticket(db, action.into)
    if target.state not in tickets.LIVE:
        text = f"ticket {target.id} is {target.state}; merge only into a live one"
        raise tickets.refused(ticket, text)


def _check_reopen(db: Db, ticket: Ticket) -> None:
    if ticket.state in tickets.LIVE:
        return
    other = db.execute(_SQL["live_ticket"], asdict(ticket)).fetchone()
    if other is not None:
        text = f"ticket {other['id']} is already open for the same matter; comment there"
        raise tickets.refused(ticket, text)


def _news(ticket_id: int, values: Mapping[str, Any]) -> dict[str, Any]:
    """What a notification tells: no names, no phone numbers."""
    keys = ("subject_kind", "subject_id", "site_id", "charger_id", "connector_id", "code")
    return {"ticket": ticket_id, "severity": values["severity"], **{k: values[k] for k in keys}}


def _record(
    db: Db, now: datetime, ticket_id: int, entry: Entry, actor: Actor, news: dict[str, Any]
) -> None:
    row = db.execute(
        _SQL["add_entry"],
        {
            "ticket_id": ticket_id,
            "at": now,
            "actor_kind": actor.kind,
            "person_id": actor.person_id,
            "action": entry.action,
            "from_state": None if entry.action == "opened" else entry.from_state.value,
            "to_state": entry.to_state.value,
            "note": entry.note,
            "data": Jsonb(entry.data, dumps=lambda value: json.dumps(value, default=str)),
        },
    ).fetchone()
    assert row is not None
    told = {**news, "action": entry.action, "state": entry.to_state.value, "at": now.isoformat()}
    db.execute(
        _SQL["add_outbox"],
        {
            "key": f"ticket/{ticket_id}/{row['id']}",
            "topic": f"ticket.{entry.action}",
            "payload": Jsonb(told),
            "now": now,
        },
    )
    db.execute(_SQL["notify"], {"channel": "pilewatch_ticket", "payload": str(ticket_id)})
    db.execute(_SQL["notify"], {"channel": "pilewatch_outbox", "payload": ""})
