"""Inspections: a grid worker's check on the spot proves a repair or opens a ticket."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from pilewatch.checklist import Failure
from pilewatch.faultcodes import FAULTS
from pilewatch.model import SubjectKind
from pilewatch.policy import Policy
from pilewatch.store import queries
from pilewatch.store.pool import Db
from pilewatch.workflow.desk import Actor, Subject, act, open_ticket
from pilewatch.workflow.tickets import Close, Comment, ReturnClaim, Verify

_SQL = queries.load("workflow")
_PATROLS = queries.load("patrols")
FAILED_CODE = "no-output"
"""What a failed check means where the worker names no fault: 充不进电."""


@dataclass
class Recorded:
    """What the inspection did. `created` is False where its id had come before; then `same` tells
    whether with the same content."""

    created: bool
    same: bool = True
    verified_tickets: list[int] = field(default_factory=list)
    opened_tickets: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class Findings:
    """What a checklist's answers say of a charger.

    `sound` are the items that were looked at and are well; `tested` the ports that a test charge
    was tried at with success. `proves` is False where it is not certain when, or at which pile.
    """

    checklist: str
    failures: Sequence[Failure]
    passed: bool
    sound: frozenset[str]
    tested: frozenset[int]
    ports: Mapping[int, int]
    """Connector id by number."""
    proves: bool


def record_inspection(
    db: Db,
    policy: Policy,
    now: datetime,
    *,
    id: UUID,
    charger_id: int,
    connector_id: int | None,
    person_id: int,
    inspected_at: datetime,
    passed: bool,
    test_charge: bool,
    answers: list[dict[str, Any]],
    note: str | None,
    code: str = FAILED_CODE,
    findings: Findings | None = None,
) -> Recorded:
    """Keep one check and draw its consequences, inside the caller's transaction.

    Passed with a test charge after the claim: the claimed ticket is verified and closed.
    Failed: claims go back to the repairer; without a ticket one is opened. With the `findings` of
    a checklist each failed item has its own ticket, and a claim goes back only for its own matter.
    """
    values = {
        "id": id,
        "charger_id": charger_id,
        "connector_id": connector_id,
        "person_id": person_id,
        "inspected_at": inspected_at,
        "now": now,
        "passed": passed,
        "test_charge": test_charge,
        "answers": Jsonb(answers),
        "note": note,
    }
    if db.execute(_SQL["add_inspection"], values).fetchone() is None:
        same = db.execute(_SQL["same_inspection"], values).fetchone() is not None
        return Recorded(created=False, same=same)
    recorded = Recorded(created=True)
    actor = Actor("person", person_id)
    if findings is not None:
        visit = _Visit(db, policy, now, id, charger_id, inspected_at, note, findings, actor)
        visit.judge_claims(db.execute(_SQL["repaired_tickets_of"], values).fetchall(), recorded)
        visit.file_failures(recorded)
        return recorded
    live = db.execute(_SQL["repaired_tickets_of"], values).fetchall()
    for row in live:
        claimed = row["state"] == "repaired" and row["claimed_at"] <= inspected_at
        said = {"inspection": str(id), "passed": passed, "test_charge": test_charge}
        if claimed and passed and test_charge:
            evidence = {"kind": "inspection", **said, "at": inspected_at.isoformat()}
            act(db, policy, now, row["id"], Verify(evidence), actor)
            act(db, policy, now, row["id"], Close(), actor)
            recorded.verified_tickets.append(row["id"])
        elif claimed and not passed:
            reason = note or "the inspection failed"
            act(db, policy, now, row["id"], ReturnClaim(reason), actor)
        else:
            act(db, policy, now, row["id"], Comment(note, "inspected", said), actor)
        db.execute(_SQL["link_inspection"], {"id": id, "ticket_id": row["id"]})
    if not passed and not live:
        kind = SubjectKind.CHARGER if connector_id is None else SubjectKind.CONNECTOR
        subject = Subject(kind, charger_id if connector_id is None else connector_id)
        opened = open_ticket(
            db,
            policy,
            now,
            subject=subject,
            code=code,
            actor=actor,
            note=note,
            data={"inspection": str(id)},
        )
        recorded.opened_tickets.append(opened.ticket_id)
        db.execute(_SQL["link_inspection"], {"id": id, "ticket_id": opened.ticket_id})
    return recorded


@dataclass
class _Visit:
    """The consequences of one checklist, within the transaction that keeps it."""

    db: Db
    policy: Policy
    now: datetime
    id: UUID
    charger_id: int
    inspected_at: datetime
    note: str | None
    found: Findings
    actor: Actor
    reported: set[int] = field(default_factory=set)

    def judge_claims(self, live: Sequence[Mapping[str, Any]], recorded: Recorded) -> None:
        """Claimed repairs of this pile: proved, sent back, or left to other evidence."""
        failed = {self._matter(failure) for failure in self.found.failures}
        said = {
            "inspection": str(self.id),
            "passed": self.found.passed,
            "test_charge": bool(self.found.tested),
        }
        for row in live:
            matter = (row["subject_kind"], row["subject_id"], row["family"])
            claimed = row["state"] == "repaired" and row["claimed_at"] <= self.inspected_at
            if matter in failed:
                if claimed:
                    reason = self.note or "the inspection failed"
                    self._act(row["id"], ReturnClaim(reason))
            elif claimed and self.found.proves and self._proves(row):
                evidence = {"kind": "inspection", **said, "at": self.inspected_at.isoformat()}
                self._act(row["id"], Verify(evidence))
                self._act(row["id"], Close())
                recorded.verified_tickets.append(row["id"])
            else:
                self._act(row["id"], Comment(self.note, "inspected", said))
            self.db.execute(_SQL["link_inspection"], {"id": self.id, "ticket_id": row["id"]})

    def file_failures(self, recorded: Recorded) -> None:
        """A report and a ticket for each failed item, port by port."""
        for failure in self.found.failures:
            ticket = None if self._settled(failure) else self._file(failure, recorded)
            values = {
                "id": self.id,
                "item": failure.item,
                "connector_id": None if failure.port is None else self.found.ports[failure.port],
                "code": failure.code,
                "value": failure.value,
                "session_proves": failure.session_proves,
                "ticket_id": ticket,
            }
            self.db.execute(_PATROLS["add_failure"], values)

    def _file(self, failure: Failure, recorded: Recorded) -> int:
        kind, subject_id, _ = self._matter(failure)
        data = {"inspection": str(self.id), "item": failure.item}
        if failure.value is not None:
            data["value"] = str(failure.value)
        opened = open_ticket(
            self.db,
            self.policy,
            self.now,
            subject=Subject(kind, subject_id),
            code=failure.code,
            actor=self.actor,
            note=self.note,
            data=data,
        )
        if opened.created:
            recorded.opened_tickets.append(opened.ticket_id)
            link = {"id": self.id, "ticket_id": opened.ticket_id}
            self.db.execute(_SQL["link_inspection"], link)
        if opened.ticket_id not in self.reported:
            self._report(failure, opened.ticket_id)
        return opened.ticket_id

    def _report(self, failure: Failure, ticket_id: int) -> None:
        kind, subject_id, _ = self._matter(failure)
        report = {
            "receipt": secrets.token_bytes(32),  # of a token that nobody has
            "charger_id": self.charger_id,
            "connector_id": subject_id if kind == SubjectKind.CONNECTOR else None,
            "code": failure.code,
            "now": self.now,
            "ticket_id": ticket_id,
        }
        self.db.execute(_PATROLS["add_report"], report)
        self.reported.add(ticket_id)

    def _proves(self, row: Mapping[str, Any]) -> bool:
        """What a checklist's items had found, the same items show; else a test charge does."""
        behind = self.db.execute(_PATROLS["failed_items_of"], {"ticket_id": row["id"]}).fetchall()
        if behind:
            return all(
                item["checklist"] == self.found.checklist and item["item"] in self.found.sound
                for item in behind
            )
        tested = {self.found.ports[port] for port in self.found.tested}
        at = row["connector_id"]
        return self.found.passed and (bool(tested) if at is None else at in tested)

    def _settled(self, failure: Failure) -> bool:
        """Whether its repair was proved before the phone could tell of it."""
        kind, subject_id, family = self._matter(failure)
        values = {
            "subject_kind": kind.value,
            "subject_id": subject_id,
            "family": family,
            "inspected_at": self.inspected_at,
        }
        return self.db.execute(_PATROLS["settled_after"], values).fetchone() is not None

    def _matter(self, failure: Failure) -> tuple[SubjectKind, int, str]:
        family = FAULTS[failure.code].family
        if failure.port is None:
            return SubjectKind.CHARGER, self.charger_id, family
        return SubjectKind.CONNECTOR, self.found.ports[failure.port], family

    def _act(self, ticket_id: int, action: ReturnClaim | Verify | Close | Comment) -> None:
        act(self.db, self.policy, self.now, ticket_id, action, self.actor)
