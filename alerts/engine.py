"""The alert engine: each turn is one transaction over events, timers and sweeps."""

from datetime import datetime

import psycopg
import structlog

from alerts.detectors.event import Event
from alerts.ledger import SQL
from alerts.sweeps import hear, sweep
from alerts.turn import Turn
from pilewatch.policy import Policy
from pilewatch.store.pool import Db
from pilewatch.workflow.escalation import sweep_promises
from pilewatch.workflow.questions import sweep_questions
from pilewatch.workflow.verification import sweep_repaired

_LOG = structlog.get_logger()
_MANY = 500


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
        turn = Turn(self.db, self.policy, now)
        turn.read(events)
        for event in events:
            turn.digest(event)
        # Time must not run ahead of events that still wait, nor of what has been heard: they may
        # dismiss what is due.
        if drained:
            hear(turn)
        turn.let_time_pass(now if drained else events[-1].received_at)
        if drained:
            sweep(turn)
            sweep_repaired(self.db, self.policy, now)
            sweep_promises(self.db, self.policy, now)
            sweep_questions(self.db, now)
