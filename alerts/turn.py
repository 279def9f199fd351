"""One transaction: findings become incidents, and time passes for them."""

from datetime import datetime

from alerts import correlation
from alerts.consequences import Consequences
from alerts.detectors import reported, silence
from alerts.detectors.event import Event
from alerts.histories import Histories
from alerts.incidents import Finding, Phase, advance, begin, join_parent, see
from alerts.ledger import SQL, Ledger, incident_from
from pilewatch.model import SubjectKind
from pilewatch.policy import Policy
from pilewatch.store.pool import Db


class Turn:
    """One transaction's decisions."""

    def __init__(self, db: Db, policy: Policy, now: datetime):
        self.db = db
        self.policy = policy
        self.now = now
        self.ledger = Ledger(db)
        self.histories = Histories(db, policy, now)
        self.consequences = Consequences(db, policy, now, self.ledger)

    def read(self, events: list[Event]) -> None:
        """What is known of these events' chargers."""
        self.ledger.read_chargers(event.charger_id for event in events)
        self.histories.read(events)

    def digest(self, event: Event) -> None:
        """Every detector's findings over this event."""
        live = self.ledger.at(SubjectKind.CHARGER, event.charger_id)
        if event.connector_id is not None:
            live = live + self.ledger.at(SubjectKind.CONNECTOR, event.connector_id)
        for finding in self.histories.detect(event, live):
            if self.may_speak(finding):
                self.consider(finding, event.charger_id or None)

    def may_speak(self, finding: Finding) -> bool:
        """A detector withdraws only what it found itself."""
        if finding.present or finding.detector in (reported.REPORTED, silence.SILENCE):
            return True
        incident = self.ledger.find(finding.key)
        return incident is not None and incident.detector == finding.detector

    def consider(self, finding: Finding, charger_id: int | None = None) -> None:
        """Let time pass up to the finding, then let the incident see it."""
        incident = self.ledger.find(finding.key, charger_id)
        if incident is not None:
            incident = self.consequences.move(incident, advance(incident, finding.at, self.policy))
        if incident is not None and incident.live:
            incident = self.consequences.move(incident, see(incident, finding, self.policy))
            if finding.present and incident.phase == Phase.OPEN:
                self.consequences.renew(incident, finding.at)
        elif finding.present:
            self._begin(finding)

    def _begin(self, finding: Finding) -> None:
        incident = self.ledger.write(begin(finding, self.policy))
        if correlation.may_be_shared(finding.key):
            values = {"charger_id": finding.key.subject_id, "family": finding.key.family}
            parent = self.db.execute(SQL["live_parent_of"], values).fetchone()
            if parent is not None:
                self.ledger.write(join_parent(incident, parent["id"]))
        elif finding.key.subject_kind == SubjectKind.CONNECTOR:
            values = {"connector_id": finding.key.subject_id, "family": finding.key.family}
            parent = self.db.execute(SQL["live_parent_of_port"], values).fetchone()
            if parent is not None:
                self.ledger.write(join_parent(incident, parent["id"]))

    def let_time_pass(self, until: datetime) -> None:
        """Everything whose time has come by `until`."""
        while True:
            rows = self.db.execute(SQL["due_incidents"], {"until": until}).fetchall()
            for row in rows:
                incident = self.ledger.keep(incident_from(row))
                self.consequences.move(incident, advance(incident, until, self.policy))
            if not rows:
                return
