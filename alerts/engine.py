"""The alert engine's decisions: each turn is one transaction over events, timers and sweeps."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import msgspec
import psycopg
import structlog

from alerts import correlation
from alerts.correlation import Near
from alerts.detectors import (
    alertmanager,
    controller,
    demand,
    firmware,
    flapping,
    metering,
    reported,
    session_meter,
    sessions,
    silence,
)
from alerts.detectors.demand import Idle
from alerts.detectors.event import Event
from alerts.detectors.metering import Reading
from alerts.detectors.session_meter import Metered
from alerts.detectors.sessions import Session
from alerts.incidents import (
    Finding,
    Incident,
    Key,
    Phase,
    advance,
    begin,
    join_parent,
    release,
    see,
)
from alerts.ledger import SQL, Ledger, incident_from
from alerts.selfrepair import SelfRepair
from pilewatch.faultcodes import FAULTS, explains
from pilewatch.model import SubjectKind
from pilewatch.policy import Correlation, Policy
from pilewatch.store.pool import Db
from pilewatch.workflow.desk import ENGINE, Subject, act, get_ticket, open_ticket
from pilewatch.workflow.downtime import end_plan, ended_plans, plan_incident
from pilewatch.workflow.escalation import sweep_promises
from pilewatch.workflow.questions import sweep_questions
from pilewatch.workflow.tickets import (
    LIVE,
    POSSIBLE,
    Comment,
    Merge,
    ReturnClaim,
    TicketState,
)
from pilewatch.workflow.verification import sweep_repaired

_LOG = structlog.get_logger()
_MANY = 500
_SHOWN = 400
"""Beyond so many changed connectors a live page asks for all anew (NOTIFY holds 8000 bytes)."""


class Engine:
    """Decides through one connection; only the leader may run it."""

    def __init__(self, db: Db, policy: Policy):
        self.db = db
        self.policy = policy
        self._one_by_one = 0
        self.decided = 0
        self.buried = 0

    def turn(self, now: datetime) -> bool:
        """Decide what is there to decide; True where more events wait.

        An event that no detector can digest is buried, and the others go on.
        """
        limit = 1 if self._one_by_one else _MANY
        events: list[Event] = []
        try:
            with self.db.transaction():
                events = self._take(limit)
                self._decide(events, now, drained=len(events) < limit)
        except psycopg.OperationalError:
            raise
        except Exception as error:
            if not events:
                raise
            self._bury_or_split(events, error, now)
            return True
        self._one_by_one = max(0, self._one_by_one - 1)
        self.decided += len(events)
        return len(events) == limit

    def _bury_or_split(self, events: list[Event], error: Exception, now: datetime) -> None:
        if len(events) > 1:
            self._one_by_one = len(events)
            return
        _LOG.error("event buried", event_id=events[0].id, kind=events[0].kind, error=repr(error))
        values = {"id": events[0].id, "error": repr(error)[:2000], "now": now}
        self.db.execute(SQL["bury_event"], values)
        self.buried += 1

    def _take(self, limit: int) -> list[Event]:
        rows = self.db.execute(SQL["take_events"], {"limit": limit}).fetchall()
        if rows:
            self.db.execute(SQL["delete_events"], {"ids": [row["id"] for row in rows]})
        return [Event(**row) for row in rows]

    def _decide(self, events: list[Event], now: datetime, *, drained: bool) -> None:
        turn = _Turn(self.db, self.policy, now)
        turn.read(events)
        for event in events:
            turn.digest(event)
        # Time must not run ahead of events that still wait, nor of what has been heard: they may
        # dismiss what is due.
        if drained:
            turn.hear()
        turn.let_time_pass(now if drained else events[-1].received_at)
        if drained:
            turn.sweep()
            sweep_repaired(self.db, self.policy, now)
            sweep_promises(self.db, self.policy, now)
            sweep_questions(self.db, now)


class _Turn:
    """One transaction's decisions."""

    def __init__(self, db: Db, policy: Policy, now: datetime):
        self.db = db
        self.policy = policy
        self.now = now
        self.ledger = Ledger(db)
        self.self_repair = SelfRepair(db, self.ledger, policy, now)
        self._sessions: dict[int, list[Session]] = {}
        self._boots: dict[int, list[datetime]] = {}
        self._swings: dict[int, list[datetime]] = {}
        self._metered: dict[int, list[Metered]] = {}

    def read(self, events: list[Event]) -> None:
        """What the detectors want to know of these events' chargers, in one query for each."""
        self.ledger.read_chargers(event.charger_id for event in events)
        self._read_session_meters(events)
        ended = sorted({e.charger_id for e in events if e.kind == "connector.session"})
        if ended:
            since = self.now - 2 * timedelta(seconds=self.policy.sessions.window_s)
            values = {"ids": ended, "since": since, "limit": 200}
            for row in self.db.execute(SQL["sessions_of_chargers"], values):
                self._sessions.setdefault(row["charger_id"], []).append(Session(**row))
        booted = sorted({e.charger_id for e in events if e.kind == "charger.boot"})
        if booted:
            window = timedelta(seconds=self.policy.controller.boots_within_s)
            values = {"ids": booted, "since": self.now - 2 * window}
            for row in self.db.execute(SQL["boots_of_chargers"], values):
                self._boots.setdefault(row["charger_id"], []).append(row["observed_at"])

        self._read_swings(events)

    def _read_swings(self, events: list[Event]) -> None:
        swung = [e for e in events if e.kind == "connector.status" and flapping.is_swing(e)]
        if swung:
            since = min(e.observed_at for e in swung)
            since -= timedelta(seconds=self.policy.flapping.window_s)
            values = {"ids": sorted({e.connector_id or 0 for e in swung}), "since": since}
            for row in self.db.execute(SQL["swings_of_connectors"], values):
                self._swings.setdefault(row["connector_id"], []).append(row["observed_at"])

    def _read_session_meters(self, events: list[Event]) -> None:
        """Sum up the meter's values of sessions that ended, once, and read those before them."""
        ended = [
            e for e in events
            if e.kind == "connector.session" and e.payload.get("phase") == "ended"
        ]  # fmt: skip
        if not ended:
            return
        values = {
            "connectors": [e.connector_id for e in ended],
            "sessions": [e.payload.get("sessionId") for e in ended],
        }
        self.db.execute(SQL["keep_session_meters"], values)
        limits = {
            "chargers": sorted({e.charger_id for e in ended}),
            "limit": self.policy.session_meters.looked_back,
        }
        for row in self.db.execute(SQL["session_meters"], limits):
            self._metered.setdefault(row["charger_id"], []).append(Metered(**row))

    def _detect(self, event: Event, live: list[Incident]) -> list[Finding]:
        """All detectors over one event; `live` are its charger's and connector's incidents."""
        history = self._sessions.get(event.charger_id, [])
        boots = self._boots.get(event.charger_id, [])
        swings = self._swings.get(event.connector_id or 0, [])
        return [
            *flapping.flapping(event, swings, self.policy.flapping),
            *reported.reported_faults(event, live),
            *silence.charger_silence(event),
            *sessions.session_faults(event, history, self.policy.sessions),
            *controller.reboot_loop(event, boots, self.policy.controller),
            *controller.wrong_clock(event),
            *alertmanager.outside_alerts(event, live),
            *self._session_meters(event),
        ]

    def _session_meters(self, event: Event) -> list[Finding]:
        if event.kind != "connector.session" or event.payload.get("phase") != "ended":
            return []
        of_charger = [
            m for m in self._metered.get(event.charger_id, []) if m.ended_at <= event.observed_at
        ]
        of_port = [m for m in of_charger if m.connector_id == event.connector_id]
        latest = sorted(of_charger, key=lambda m: m.ended_at, reverse=True)
        at, rule = event.received_at, self.policy.session_meters
        return [
            *session_meter.session_meter_faults(of_port, at, rule),
            *firmware.changed_behaviour(latest, at, self.policy.firmware),
        ]

    def digest(self, event: Event) -> None:
        """Every detector's findings over this event."""
        live = self.ledger.at(SubjectKind.CHARGER, event.charger_id)
        if event.connector_id is not None:
            live = live + self.ledger.at(SubjectKind.CONNECTOR, event.connector_id)
        for finding in self._detect(event, live):
            if self._may_speak(finding):
                self.consider(finding, event.charger_id or None)

    def _may_speak(self, finding: Finding) -> bool:
        """A detector withdraws only what it found itself."""
        if finding.present or finding.detector in (reported.REPORTED, silence.SILENCE):
            return True
        incident = self.ledger.find(finding.key)
        return incident is not None and incident.detector == finding.detector

    def consider(self, finding: Finding, charger_id: int | None = None) -> None:
        """Let time pass up to the finding, then let the incident see it."""
        incident = self.ledger.find(finding.key, charger_id)
        if incident is not None:
            incident = self._move(incident, advance(incident, finding.at, self.policy))
        if incident is not None and incident.live:
            incident = self._move(incident, see(incident, finding, self.policy))
            if finding.present and incident.phase == Phase.OPEN:
                self._renew(incident, finding.at)
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
                self._move(incident, advance(incident, until, self.policy))
            if not rows:
                return

    def sweep(self) -> None:
        """What no event tells, found by the database in whole sets."""
        self._listen()
        self._read_meters()
        self._look_at_phases()
        self._look_at_controllers()
        self._look_at_demand()
        self._judge_parents()
        self._end_plans()
        for incident in self.self_repair.sweep():
            self._announce(incident, self.now)

    def _end_plans(self) -> None:
        """What is still there after its planned downtime is an ordinary incident."""
        for row in ended_plans(self.db, self.now):
            incident = self.ledger.keep(incident_from(row))
            end_plan(self.db, row["id"])
            self._announce(incident, self.now)

    def hear(self) -> None:
        """Who speaks again, since the moment when it was heard."""
        moment = {"now": self.now}
        returned = self.db.execute(SQL["returned_chargers"], moment).fetchall()
        for row in returned:
            self.consider(silence.returned_charger(row["charger_id"], row["last_seen_at"]))
        refreshed = self.db.execute(SQL["refreshed_connectors"], moment).fetchall()
        for row in refreshed:
            port, heard_at = row["connector_id"], row["heard_at"]
            self.consider(silence.stale_connector(port, heard_at, stale=False, heard_at=heard_at))
        self._changed(
            chargers=[row["charger_id"] for row in returned],
            connectors=[row["connector_id"] for row in refreshed],
        )

    def _listen(self) -> None:
        """Who no longer speaks."""
        moment = {"now": self.now}
        silent = self.db.execute(SQL["silent_chargers"], moment).fetchall()
        for row in silent:
            said = {
                "by": "three heartbeats missed",
                "last_seen_at": row["last_seen_at"].isoformat(),
                "heartbeat_s": row["heartbeat_s"],
            }
            self.consider(silence.silent_charger(row["charger_id"], self.now, said))
        stale = self.db.execute(SQL["stale_connectors"], moment).fetchall()
        for row in stale:
            port, heard_at = row["connector_id"], row["heard_at"]
            self.consider(silence.stale_connector(port, self.now, stale=True, heard_at=heard_at))
        self._changed(
            chargers=[row["charger_id"] for row in silent],
            connectors=[row["connector_id"] for row in stale],
        )

    def _changed(self, *, chargers: list[int], connectors: list[int]) -> None:
        """Say that what is shown of these has changed, though nothing has been said by them."""
        if chargers:
            rows = self.db.execute(SQL["connectors_of_chargers"], {"ids": chargers})
            connectors = connectors + [row["id"] for row in rows]
        if connectors:
            payload = ",".join(map(str, connectors)) if len(connectors) <= _SHOWN else "*"
            self.db.execute(SQL["notify"], {"channel": "pilewatch_state", "payload": payload})

    def _read_meters(self) -> None:
        """The latest values of connectors that break a limit, or did."""
        limits = self.policy.limits
        values = {
            "now": self.now,
            **msgspec.structs.asdict(limits),
            "mine": metering.METERING,
            "clock_lag_s": self.policy.controller.clock_lag_s,
        }
        for row in self.db.execute(SQL["meters_to_judge"], values).fetchall():
            self.ledger.read_chargers([row["charger_id"]])
            subjects = (
                (SubjectKind.CHARGER, row["charger_id"]),
                (SubjectKind.CONNECTOR, row["connector_id"]),
            )
            live = {
                incident.key: incident.detector
                for kind, subject in subjects
                for incident in self.ledger.at(kind, subject)
                if not incident.quiet
            }
            for finding in metering.meter_faults(Reading(**row), live, self.now, limits):
                self.consider(finding, row["charger_id"])

    def _look_at_phases(self) -> None:
        values = {"now": self.now, "nominal_v": self.policy.limits.nominal_v}
        for row in self.db.execute(SQL["dead_phases"], values).fetchall():
            finding = metering.phase_loss(
                row["charger_id"], self.now, lost=row["lost"], ports=row["ports"]
            )
            incident = self.ledger.find(finding.key)
            seen = incident is not None and not incident.quiet
            if row["lost"] != seen and self._may_speak(finding):
                self.consider(finding)

    def _look_at_demand(self) -> None:
        """Another slice of the ports each minute, so that all are looked at once an hour."""
        rule = self.policy.demand
        values = {
            "now": self.now,
            "slices": 60,
            "slice": self.now.minute,
            "clock_lag_s": self.policy.controller.clock_lag_s,
            **msgspec.structs.asdict(rule),
        }
        idle = [Idle(**row) for row in self.db.execute(SQL["unused_connectors"], values)]
        for finding in demand.vanished_demand(idle, self.now, rule):
            self.consider(finding)
        for row in self.db.execute(SQL["used_again"]).fetchall():
            self.consider(demand.used_again(row["connector_id"], self.now))
        window = {"now": self.now, "window_s": self.policy.flapping.window_s}
        for row in self.db.execute(SQL["steady_connectors"], window).fetchall():
            self.consider(flapping.steady(row["connector_id"], self.now))

    def _look_at_controllers(self) -> None:
        rule = self.policy.controller
        lags = {"now": self.now, "limit": rule.clock_lag_s, "mine": controller.CLOCK_LAG}
        for row in self.db.execute(SQL["clock_lags"], lags).fetchall():
            self.consider(
                controller.lagging_clock(row["charger_id"], self.now, row["clock_lag_s"], rule)
            )
        values = {
            "now": self.now,
            "limit": rule.rssi_dbm,
            "window_s": rule.boots_within_s,
            "mine": controller.CONTROLLER,
        }
        for row in self.db.execute(SQL["weak_signals"], values).fetchall():
            self.consider(
                controller.weak_signal(row["charger_id"], self.now, row["rssi_dbm"], rule.rssi_dbm)
            )
        for row in self.db.execute(SQL["controllers_well_again"], values).fetchall():
            self.consider(controller.controller_gone(row["code"], row["charger_id"], self.now))

    def _judge_parents(self) -> None:
        """What chargers share is at fault while enough of them are."""
        families = {"families": list(correlation.SHARED)}
        for row in self.db.execute(SQL["parents"], families).fetchall():
            parent = self.ledger.keep(incident_from(row))
            present = correlation.persists(parent.key, row["ill"], row["chargers"], self._rule)
            if present == parent.quiet:
                seen = {"ill": row["ill"], "chargers": row["chargers"]}
                self.consider(
                    Finding(
                        parent.key,
                        parent.detector,
                        parent.code,
                        present=present,
                        at=self.now,
                        evidence=seen,
                    )
                )

        for row in self.db.execute(SQL["port_parents"]).fetchall():
            parent = self.ledger.keep(incident_from(row))
            if (row["ill"] > 0) == parent.quiet:
                present = row["ill"] > 0
                ills = {"ill": row["ill"]}
                self.consider(
                    Finding(
                        parent.key,
                        parent.detector,
                        parent.code,
                        present=present,
                        at=self.now,
                        evidence=ills,
                    )
                )

    # --- consequences

    def _move(self, before: Incident, after: Incident) -> Incident:
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
        return self._announce(self.ledger.write(incident))

    def _announce(self, incident: Incident, at: datetime | None = None) -> Incident:
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
            parent = self._announce(parent)
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

    def _renew(self, incident: Incident, at: datetime) -> None:
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
                self._move(child, release(child, self.now, self.policy))
