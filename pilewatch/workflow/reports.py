"""What people say of a pile: each report joins the live ticket of its matter or opens one."""

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from pilewatch.faultcodes import FAULTS, explains
from pilewatch.model import Severity, SubjectKind
from pilewatch.policy import Policy
from pilewatch.store import queries
from pilewatch.store.pool import Db
from pilewatch.workflow.desk import RESIDENT, NotFound, Subject, act, get_ticket, open_ticket
from pilewatch.workflow.doubt import Form, Recent, fingerprint, signs
from pilewatch.workflow.questions import Asking, asked_now, keep_answer, questions_of
from pilewatch.workflow.receipts import digest
from pilewatch.workflow.tickets import LIVE, Comment, Reopen, Ticket, TicketState, Worsen
from pilewatch.workflow.witnesses import RECENT, Telemetry, Weighed, Witnesses, weigh

_SQL = queries.load("workflow")
_REPORTS = queries.load("reports")
_STOPPING = [fault.code for fault in FAULTS.values() if fault.effect == "out-of-order"]
_EXPLICABLE = frozenset({"no-output", "dead-available", "internal-error", "display-failure"})
"""Complaints that a dead charger, gateway or site explains; a broken plug is one of its own."""
_DAY = timedelta(days=1)
ASKABLE = frozenset({TicketState.REPAIRED, TicketState.VERIFIED, TicketState.CLOSED})
"""States in which the reporter is asked whether it charges now."""

Source = Literal["page", "phone", "meeting", "open311"]
PUBLIC: tuple[Source, ...] = ("page", "open311")
"""Where anybody may speak: such reports are judged, unless a known person enters them."""


@dataclass(frozen=True)
class Filed:
    """A kept report. The token is the receipt's secret; only its digest is stored.

    `ticket_id` is None where it waits for a review; `others` have reported the same.
    """

    report_id: int
    receipt_token: str
    ticket_id: int | None
    joined: bool
    others: int


@dataclass(frozen=True)
class Receipt:
    """What the reporter may see: the report, its ticket's state and timeline, what is asked.

    `waits` is True while a doubtful report has not been reviewed; `dismissed` after a review that
    did not accept it.
    """

    report_id: int
    site_id: int
    charger_id: int | None
    connector_id: int | None
    code: str
    reported_at: datetime
    ticket_id: int | None
    state: TicketState | None
    timeline: list[dict[str, Any]]
    others: int
    photos: list[int]
    contact: bool
    waits: bool
    dismissed: bool
    asking: Asking | None


class Reviewed(Exception):
    """Somebody has reviewed this report already."""


def file_report(
    db: Db,
    policy: Policy,
    now: datetime,
    *,
    source: Source,
    site_id: int,
    charger_id: int | None,
    connector_id: int | None,
    code: str,
    note: str | None,
    entered_by: int | None = None,
    form: Form | None = None,
    token: str | None = None,
) -> Filed:
    """Keep the report and bring it to a ticket. Runs inside the caller's transaction.

    A doubtful one gets its receipt, and its ticket after a review; danger to people does not wait.
    `token` is a receipt that the caller has made.
    """
    place: dict[str, Any] = {
        "site_id": site_id,
        "charger_id": charger_id,
        "connector_id": connector_id,
    }
    said = fingerprint(note)
    doubt: list[str] = []
    if source in PUBLIC and entered_by is None:
        doubt = signs(form, _recent(db, policy, now, charger_id, said), policy.reports)
    held = bool(doubt) and FAULTS[code].severity != Severity.PEOPLE
    ticket_id, joined = None, False
    if not held:
        ticket_id, joined = _bring(db, policy, now, **place, code=code, note=note, via=source)
    token = token or secrets.token_urlsafe(18)
    values = {
        **place,
        "receipt": digest(token),
        "source": source,
        "code": code,
        "note": note,
        "now": now,
        "ticket_id": ticket_id,
        "entered_by": entered_by,
        "said": said,
        "doubt": doubt,
    }
    row = db.execute(_REPORTS["add_report"], values).fetchone()
    assert row is not None
    return Filed(row["id"], token, ticket_id, joined, _others(db, ticket_id))


def _recent(
    db: Db, policy: Policy, now: datetime, charger_id: int | None, said: bytes | None
) -> Recent:
    window = timedelta(seconds=policy.reports.window_s)
    values = {
        "said": said,
        "charger_id": charger_id,
        "day": now - _DAY,
        "window": now - window,
        "public": list(PUBLIC),
    }
    row = db.execute(_REPORTS["recent_words"], values).fetchone()
    assert row is not None
    return Recent(**row)


def _others(db: Db, ticket_id: int | None) -> int:
    row = db.execute(_REPORTS["reports_of_ticket"], {"ticket_id": ticket_id}).fetchone()
    return 0 if row is None else max(0, int(row["reports"]) - 1)


def _bring(
    db: Db,
    policy: Policy,
    now: datetime,
    *,
    site_id: int,
    charger_id: int | None,
    connector_id: int | None,
    code: str,
    note: str | None,
    via: str,
) -> tuple[int, bool]:
    """The ticket that speaks of it now, and whether it was there before."""
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
        own = ticket.family == FAULTS[code].family or weighed.severity == Severity.PEOPLE
        if own and ticket.state in LIVE and weighed.severity < ticket.severity:
            act(db, policy, now, ticket.id, Worsen(code, weighed.severity), RESIDENT)
        return ticket.id, True
    opened = open_ticket(
        db,
        policy,
        now,
        subject=subject,
        code=code,
        actor=RESIDENT,
        note=note,
        data={"source": via, **weighed.data},
        severity=weighed.severity,
    )
    return opened.ticket_id, not opened.created


def review_report(
    db: Db, policy: Policy, now: datetime, report_id: int, *, person_id: int, accept: bool
) -> int | None:
    """A person's word on a doubtful report: accepted, it goes to a ticket, whose id is given.

    Raises `NotFound`, or `Reviewed` where there is nothing to review any more.
    """
    row = db.execute(_REPORTS["lock_report"], {"id": report_id}).fetchone()
    if row is None:
        raise NotFound(f"report {report_id}")
    if not row["doubt"] or row["reviewed_at"] is not None:
        raise Reviewed
    ticket_id: int | None = row["ticket_id"]
    if accept and ticket_id is None:
        place = {key: row[key] for key in ("site_id", "charger_id", "connector_id")}
        ticket_id, _ = _bring(
            db, policy, now, **place, code=row["code"], note=row["note"], via=row["source"]
        )
        db.execute(_SQL["move_report"], {"report_id": report_id, "ticket_id": ticket_id})
    values = {"id": report_id, "now": now, "person_id": person_id, "accepted": accept}
    db.execute(_REPORTS["review_report"], values)
    return ticket_id


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


def report_by_receipt(db: Db, now: datetime, token: str) -> Receipt | None:
    """The report of this receipt; None where the token is unknown."""
    row = db.execute(_REPORTS["report_by_receipt"], {"receipt": digest(token)}).fetchone()
    if row is None:
        return None
    state = TicketState(row["state"]) if row["state"] else None
    asking = None
    if state in ASKABLE:
        asking = asked_now(questions_of(db, row["id"]), row["ticket_id"], row["round"], now)
    lines = db.execute(_SQL["timeline"], {"ticket_id": row["ticket_id"]}).fetchall()
    return Receipt(
        report_id=row["id"],
        site_id=row["site_id"],
        charger_id=row["charger_id"],
        connector_id=row["connector_id"],
        code=row["code"],
        reported_at=row["reported_at"],
        ticket_id=row["ticket_id"],
        state=state,
        timeline=lines,
        others=_others(db, row["ticket_id"]),
        photos=row["photos"],
        contact=row["contact"],
        waits=row["ticket_id"] is None and row["accepted"] is None,
        dismissed=row["ticket_id"] is None and row["accepted"] is False,
        asking=asking,
    )


def answer_receipt(
    db: Db, policy: Policy, now: datetime, token: str, *, charges_now: bool
) -> Receipt | None:
    """The reporter's answer to "does it charge now?"; "no" reopens. None: unknown token.

    Where the ticket was about something wider (the gateway, the site), or about another fault,
    that one is settled, and the reporter's own matter becomes a ticket of its own. Where another
    ticket of the same matter is open meanwhile, the report goes there.
    """
    receipt = report_by_receipt(db, now, token)
    if receipt is None or receipt.ticket_id is None:
        return receipt
    ticket = get_ticket(db, receipt.ticket_id)
    # What was read before the ticket was ours may have changed; it may have been merged away.
    receipt = report_by_receipt(db, now, token)
    assert receipt is not None
    if receipt.ticket_id != ticket.id:
        return answer_receipt(db, policy, now, token, charges_now=charges_now)
    if receipt.asking is not None:
        kind = receipt.asking.kind
        keep_answer(db, now, receipt.report_id, ticket, kind, charges=charges_now)
    if charges_now or receipt.asking is None:
        word = "resident-confirmed" if charges_now else "resident-disputed"
        act(db, policy, now, ticket.id, Comment(None, word), RESIDENT)
    elif not _is_own_matter(receipt, ticket) or _another_is_open(db, ticket):
        _split_off(db, policy, now, receipt, ticket.id)
    else:
        act(db, policy, now, ticket.id, Reopen("the resident says it does not charge"), RESIDENT)
    return report_by_receipt(db, now, token)


def _is_own_matter(receipt: Receipt, ticket: Ticket) -> bool:
    subject = _subject(receipt.site_id, receipt.charger_id, receipt.connector_id)
    return (ticket.subject_kind, ticket.subject_id) == (subject.kind.value, subject.id)


def _another_is_open(db: Db, ticket: Ticket) -> bool:
    about = {key: getattr(ticket, key) for key in ("subject_kind", "subject_id", "family")}
    row = db.execute(_SQL["live_ticket"], about).fetchone()
    return row is not None and row["id"] != ticket.id


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
