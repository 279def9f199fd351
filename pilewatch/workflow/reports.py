"""What people say of a pile: each report joins the live ticket of its matter or opens one."""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from pilewatch.faultcodes import FAULTS, explains
from pilewatch.model import SubjectKind
from pilewatch.policy import Policy
from pilewatch.store import queries
from pilewatch.store.pool import Db
from pilewatch.workflow.desk import RESIDENT, Subject, act, get_ticket, open_ticket
from pilewatch.workflow.tickets import LIVE, Comment, Reopen, Ticket, TicketState, Worsen
from pilewatch.workflow.witnesses import RECENT, Telemetry, Weighed, Witnesses, weigh

_SQL = queries.load("workflow")
_STOPPING = [fault.code for fault in FAULTS.values() if fault.effect == "out-of-order"]
_EXPLICABLE = frozenset({"no-output", "dead-available", "internal-error", "display-failure"})
"""Complaints that a dead charger, gateway or site explains; a broken plug is one of its own."""


@dataclass(frozen=True)
class Filed:
    """A kept report. The token is the receipt's secret; only its hash is stored."""

    report_id: int
    receipt_token: str
    ticket_id: int
    joined: bool


@dataclass(frozen=True)
class Receipt:
    """What the reporter may see: the report, its ticket's state and timeline."""

    report_id: int
    site_id: int
    charger_id: int | None
    connector_id: int | None
    code: str
    reported_at: datetime
    ticket_id: int | None
    state: TicketState | None
    timeline: list[dict[str, Any]]


def file_report(
    db: Db,
    policy: Policy,
    now: datetime,
    *,
    source: Literal["page", "phone", "meeting", "open311"],
    site_id: int,
    charger_id: int | None,
    connector_id: int | None,
    code: str,
    note: str | None,
) -> Filed:
    """Keep the report and bring it to a ticket. Runs inside the caller's transaction."""
    place = {"site_id": site_id, "charger_id": charger_id, "connector_id": connector_id}
    subject = _subject(site_id, charger_id, connector_id)
    matter = {
        "family": FAULTS[code].family,
        "subject_kind": subject.kind.value,
        "stopping": [*_STOPPING, *(cause for cause in FAULTS if explains(cause, code))],
        "explicable": code in _EXPLICABLE,
    }
    weighed = _weigh(db, now, place, code)
    live = db.execute(_SQL["joinable_ticket"], {**place, **matter}).fetchone()
    if live is not None:
        said = Comment(note, "reported-too", {"code": code, **weighed.data})
        ticket = act(db, policy, now, live["id"], said, RESIDENT)
        ticket_id, joined = int(live["id"]), True
        own = ticket.family == FAULTS[code].family and ticket.state in LIVE
        if own and weighed.severity < ticket.severity:
            act(db, policy, now, ticket_id, Worsen(code, weighed.severity), RESIDENT)
    else:
        opened = open_ticket(
            db,
            policy,
            now,
            subject=subject,
            code=code,
            actor=RESIDENT,
            note=note,
            data={"source": source, **weighed.data},
            severity=weighed.severity,
        )
        ticket_id, joined = opened.ticket_id, not opened.created
    token = secrets.token_urlsafe(18)
    row = db.execute(
        _SQL["add_report"],
        {
            **place,
            "receipt": _hash(token),
            "source": source,
            "code": code,
            "note": note,
            "now": now,
            "ticket_id": ticket_id,
        },
    ).fetchone()
    assert row is not None
    return Filed(row["id"], token, ticket_id, joined)


def _weigh(db: Db, now: datetime, place: dict[str, int | None], code: str) -> Weighed:
    """Hear the three witnesses of what is reported, the new report included."""
    values = {**place, "now": now, "since": now - RECENT}
    row = db.execute(_SQL["witnesses"], values).fetchone()
    assert row is not None
    if row["faulty"]:
        telemetry = Telemetry.FAULTY
    elif row["silent"]:
        telemetry = Telemetry.SILENT
    else:
        telemetry = Telemetry.DELIVERING if row["delivered"] else Telemetry.HEALTHY
    said = None if row["passed"] is None else "passed" if row["passed"] else "failed"
    return weigh(code, Witnesses(telemetry, row["reports"] + 1, said))  # type: ignore[arg-type]


def report_by_receipt(db: Db, token: str) -> Receipt | None:
    """The report of this receipt; None where the token is unknown."""
    row = db.execute(_SQL["report_by_receipt"], {"receipt": _hash(token)}).fetchone()
    if row is None:
        return None
    lines = db.execute(_SQL["timeline"], {"ticket_id": row["ticket_id"]}).fetchall()
    return Receipt(
        report_id=row["id"],
        site_id=row["site_id"],
        charger_id=row["charger_id"],
        connector_id=row["connector_id"],
        code=row["code"],
        reported_at=row["reported_at"],
        ticket_id=row["ticket_id"],
        state=TicketState(row["state"]) if row["state"] else None,
        timeline=lines,
    )


def answer_receipt(
    db: Db, policy: Policy, now: datetime, token: str, *, charges_now: bool
) -> Receipt | None:
    """The reporter's answer to "does it charge now?"; "no" reopens. None: unknown token.

    Where the ticket was about something wider (the gateway, the site), or about another fault,
    that one is settled, and the reporter's own matter becomes a ticket of its own.

    Raises `tickets.Refused` where another ticket of the same matter is open already.
    """
    receipt = report_by_receipt(db, token)
    if receipt is None or receipt.ticket_id is None:
        return receipt
    ticket = get_ticket(db, receipt.ticket_id)
    reopens = ticket.state in (TicketState.REPAIRED, TicketState.VERIFIED, TicketState.CLOSED)
    if charges_now or not reopens:
        word = "resident-confirmed" if charges_now else "resident-disputed"
        act(db, policy, now, ticket.id, Comment(None, word), RESIDENT)
    elif _is_own_matter(receipt, ticket):
        act(db, policy, now, ticket.id, Reopen("the resident says it does not charge"), RESIDENT)
    else:
        _split_off(db, policy, now, receipt, ticket.id)
    return report_by_receipt(db, token)


def _is_own_matter(receipt: Receipt, ticket: Ticket) -> bool:
    subject = _subject(receipt.site_id, receipt.charger_id, receipt.connector_id)
    return (ticket.subject_kind, ticket.subject_id) == (subject.kind.value, subject.id)


def _split_off(db: Db, policy: Policy, now: datetime, receipt: Receipt, settled: int) -> None:
    act(db, policy, now, settled, Comment(None, "resident-disputed"), RESIDENT)
    opened = open_ticket(
        db,
        policy,
        now,
        subject=_subject(receipt.site_id, receipt.charger_id, receipt.connector_id),
        code=receipt.code,
        actor=RESIDENT,
        data={"after": settled},
    )
    moved = {"report_id": receipt.report_id, "ticket_id": opened.ticket_id}
    db.execute(_SQL["move_report"], moved)


def _subject(site_id: int, charger_id: int | None, connector_id: int | None) -> Subject:
    if connector_id is not None:
        return Subject(SubjectKind.CONNECTOR, connector_id)
    if charger_id is not None:
        return Subject(SubjectKind.CHARGER, charger_id)
    return Subject(SubjectKind.SITE, site_id)


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "replace")).digest()
