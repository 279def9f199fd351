"""What follows when an incident opens, gets worse or ends: correlation, tickets, words."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from alerts import correlation
from alerts.correlation import Near
from alerts.incidents import Incident, Key, Phase, join_parent, release
from alerts.ledger import SQL, Ledger, incident_from
from alerts.selfrepair import SelfRepair
from pilewatch.faultcodes import FAULTS, explains
from pilewatch.model import SubjectKind
from pilewatch.policy import Correlation, Policy
from pilewatch.store.pool import Db
from pilewatch.workflow.desk import ENGINE, Subject, act, get_ticket, open_ticket
from pilewatch.workflow.downtime import plan_incident
from pilewatch.workflow.tickets import LIVE, POSSIBLE, Comment, Merge, ReturnClaim, TicketState


class Consequences:
    """What becomes of an incident that has moved, within the transaction that moves it."""

    def __init__(self, db: Db, policy: Policy, now: datetime, ledger: Ledger):
        self.db = db
        self.policy = policy
        self.now = now
        self.ledger = ledger
        self.self_repair = SelfRepair(db, ledger, policy, now)

    def move(self, before: Incident, after: Incident) -> Incident:
        """Write the incident as it is now, and do what follows."""
        if after is before:
            return before
        if before.phase == Phase.PENDING and after.phase == Phase.OPEN:
            return self._wait_longer(before) or self._open(after)
        if before.phase == Phase.OPEN and after.phase == Phase.CLEARING:
            after = self.self_repair.hold(after)
        after = self.ledger.write(after)
        if after.phase == Phase.CLEARED:
            self._cleared(after)
        elif after.severity < before.severity and after.ticket_id is not None:
            self._to_ticket(after)
        return after

    def _wait_longer(self, pending: Incident) -> Incident | None:
        """The same incident with a later hour, where another fault explains it until then."""
        later = pending.started_at + timedelta(seconds=self._rule.excused_s)
        charger = pending.key.subject_kind == SubjectKind.CHARGER and pending.key.subject_id
        if not charger or pending.due_at is None or pending.due_at >= later:
            return None
        self.ledger.read_chargers([charger])
        if not correlation.excused(pending.key, self.ledger.at(SubjectKind.CHARGER, charger)):
            return None
        return self.ledger.write(replace(pending, due_at=later))

    def _open(self, incident: Incident) -> Incident:
        if correlation.may_be_shared(incident.key):
            values = {"charger_id": incident.key.subject_id, "family": incident.key.family}
            near = self.db.execute(SQL["neighbours_of"], values).fetchone()
            # This charger counts although its own row still says pending.
            cause = near and correlation.shared_cause(incident.key, Near(**near), self._rule)
            if cause:
                return self._correlate(incident, cause)
        elif incident.key.subject_kind == SubjectKind.CONNECTOR:
            values = {
                "connector_id": incident.key.subject_id,
                "family": incident.key.family,
            }
            ports = self.db.execute(SQL["ports_of_charger_like"], values).fetchone()
            if ports and correlation.shared_by_ports(
                incident.key.family, ports["ill"], ports["ports"]
            ):
                charger = Key(SubjectKind.CHARGER, ports["charger_id"], incident.key.family)
                return self._correlate(incident, charger)
        return self.announce(self.ledger.write(incident))

    def announce(self, incident: Incident, at: datetime | None = None) -> Incident:
        """People are asked, unless it is planned at this moment (or when it opened), or a reset
        may help."""
        assert incident.id is not None
        subject = Subject(incident.key.subject_kind, incident.key.subject_id)
        at = at or incident.opened_at or self.now
        if plan_incident(self.db, self.policy, at, incident.id, subject):
            return incident
        return incident if self.self_repair.begin(incident) else self._ask_people(incident)

    def _ask_people(self, incident: Incident) -> Incident:
        """A ticket and a notification."""
        incident = self._to_ticket(incident)
        self.self_repair.tell(incident)
        self.ledger.tell(incident, "opened", self.now)
        return incident

    @property
    def _rule(self) -> Correlation:
        return self.policy.correlation

    def _correlate(self, incident: Incident, key: Key) -> Incident:
        code = correlation.code_of(key, incident.code)
        parent = self.ledger.find(key)
        if parent is None:
            parent = self.ledger.write(
                Incident(
                    key=key,
                    detector=(
                        "ports" if key.subject_kind == SubjectKind.CHARGER else incident.detector
                    ),
                    code=code,
                    severity=FAULTS[code].severity,
                    phase=Phase.OPEN,
                    started_at=incident.started_at,
                    opened_at=incident.opened_at,
                    evidence={"first": incident.evidence.get("first")},
                )
            )
            parent = self.announce(parent)
        assert parent.id is not None
        values = {
            "subject_kind": key.subject_kind.value,
            "subject_id": key.subject_id,
            "family": key.family,
        }
        of_ports = key.subject_kind == SubjectKind.CHARGER
        name = "children_of_charger" if of_ports else "children_of"
        for row in self.db.execute(SQL[name], values).fetchall():
            child = self.ledger.keep(incident_from(row))
            if child.ticket_id is not None and parent.ticket_id is not None:
                self._merge(child.ticket_id, parent.ticket_id)
                child = self.ledger.find(child.key) or child
            if child.id != incident.id:
                self.ledger.write(join_parent(child, parent.id))
        return self.ledger.write(join_parent(replace(incident, opened_at=None), parent.id))

    def _merge(self, ticket_id: int, into: int) -> None:
        """The narrower matter goes on in the wider one, unless someone already works on it."""
        ticket = get_ticket(self.db, ticket_id)
        if ticket_id != into and ticket.state in POSSIBLE[Merge] and not ticket.open_orders:
            act(self.db, self.policy, self.now, ticket_id, Merge(into), ENGINE)
            self.ledger.moved(ticket_id, into)

    def _to_ticket(self, incident: Incident) -> Incident:
        subject = {
            "subject_kind": incident.key.subject_kind.value,
            "subject_id": incident.key.subject_id,
        }
        near = self.db.execute(SQL["tickets_near"], subject).fetchall()
        for row in near:
            if row["above"] and explains(row["code"], incident.code):
                said = {"incident": incident.id, "code": incident.code}
                joined = Comment(None, "joined", said)
                act(self.db, self.policy, self.now, row["id"], joined, ENGINE)
                return self.ledger.write(replace(incident, ticket_id=row["id"]))
        incident = self._own_ticket(incident)
        assert incident.ticket_id is not None
        for row in near:
            if row["below"] and explains(incident.code, row["code"]):
                self._merge(row["id"], incident.ticket_id)
        return incident

    def _own_ticket(self, incident: Incident) -> Incident:
        opened = open_ticket(
            self.db,
            self.policy,
            self.now,
            subject=Subject(incident.key.subject_kind, incident.key.subject_id),
            code=incident.code,
            actor=ENGINE,
            data={"incident": incident.id, "evidence": incident.evidence.get("latest")},
        )
        if not opened.created:
            ticket = get_ticket(self.db, opened.ticket_id)
            if ticket.state == TicketState.REPAIRED:
                again = ReturnClaim("the fault is seen again")
                act(self.db, self.policy, self.now, ticket.id, again, ENGINE)
        return self.ledger.write(replace(incident, ticket_id=opened.ticket_id))

    def renew(self, incident: Incident, at: datetime) -> None:
        """A fault seen again after its ticket was closed on other evidence needs another one."""
        if incident.ticket_id is None:
            return
        ticket = get_ticket(self.db, incident.ticket_id)
        if ticket.state == TicketState.CLOSED and ticket.closed_at and ticket.closed_at < at:
            self._to_ticket(incident)

    def _cleared(self, incident: Incident) -> None:
        self.self_repair.cleared(incident)
        if incident.ticket_id is not None:
            ticket = get_ticket(self.db, incident.ticket_id)
            if ticket.state in LIVE:
                said: dict[str, Any] = {"incident": incident.id}
                gone = Comment(None, "incident-cleared", said)
                act(self.db, self.policy, self.now, ticket.id, gone, ENGINE)
        if incident.parent_id is None and incident.ticket_id is not None:
            self.ledger.tell(incident, "cleared", self.now)
        if incident.key.subject_kind != SubjectKind.CONNECTOR:
            for row in self.db.execute(SQL["members"], {"parent_id": incident.id}).fetchall():
                child = self.ledger.keep(incident_from(row))
                self.move(child, release(child, self.now, self.policy))
