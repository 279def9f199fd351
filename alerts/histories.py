"""All detectors over one event, with what was before it."""

from datetime import datetime, timedelta

from alerts.detectors import (
    alertmanager,
    controller,
    firmware,
    flapping,
    reported,
    session_meter,
    sessions,
    silence,
)
from alerts.detectors.event import Event
from alerts.detectors.session_meter import Metered
from alerts.detectors.sessions import Session
from alerts.incidents import Finding, Incident
from alerts.ledger import SQL
from pilewatch.policy import Policy
from pilewatch.store.pool import Db


class Histories:
    """What the detectors want to know beside an event, read in one query for each kind."""

    def __init__(self, db: Db, policy: Policy, now: datetime):
        self.db = db
        self.policy = policy
        self.now = now
        self._sessions: dict[int, list[Session]] = {}
        self._boots: dict[int, list[datetime]] = {}
        self._swings: dict[int, list[datetime]] = {}
        self._metered: dict[int, list[Metered]] = {}

    def read(self, events: list[Event]) -> None:
        """What the detectors want to know of these events' chargers, before they are digested."""
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

    def detect(self, event: Event, live: list[Incident]) -> list[Finding]:
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
