"""What the alert engine tells Prometheus; see docs/operations.md."""

from datetime import datetime

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from alerts.engine import Engine
from pilewatch.store import queries
from pilewatch.store.pool import Db

_SQL = queries.load("alerts")


class Metrics:
    """One set for each process; tests make their own."""

    def __init__(self, registry: CollectorRegistry):
        def gauge(name: str, text: str, labels: tuple[str, ...] = ()) -> Gauge:
            return Gauge(f"pilewatch_{name}", text, labels, registry=registry)

        self.leader = gauge("engine_leader", "1 while this process decides")
        self.events = gauge("event_queue_length", "Events that wait for a decision")
        self.event_age = gauge("event_queue_age_seconds", "Age of the oldest waiting event")
        self.outbox = gauge("outbox_pending", "Notifications not yet sent")
        self.outbox_age = gauge("outbox_age_seconds", "Age of the oldest unsent notification")
        self.dead = gauge("outbox_dead", "Notifications given up")
        self.incidents = gauge("incidents", "Live incidents", ("phase", "severity"))
        self.tickets = gauge("tickets", "Live tickets", ("state", "severity"))
        self.paused = gauge("tickets_paused", "Tickets whose clock stands", ("reason",))
        self.late = gauge("tickets_late", "Live tickets with a broken promise", ("promise",))
        self.decided = Counter("pilewatch_events_decided", "Events decided", registry=registry)
        self.buried = Counter("pilewatch_events_buried", "Events given up", registry=registry)
        self.decision = Histogram(
            "pilewatch_decision_seconds", "One turn of the engine", registry=registry
        )
        self._counted = (0, 0)

    def count(self, engine: Engine) -> None:
        """Take over what the engine has counted."""
        decided, buried = self._counted
        if engine.decided < decided:  # a new engine after the database came back
            decided = buried = 0
        self.decided.inc(engine.decided - decided)
        self.buried.inc(engine.buried - buried)
        self._counted = (engine.decided, engine.buried)

    def look(self, db: Db, now: datetime) -> None:
        """Read queue lengths and live matters from the database."""
        row = db.execute(_SQL["figures"], {"now": now}).fetchone() or {}
        self.events.set(row["events"])
        self.event_age.set(row["event_age"] or 0)
        self.outbox.set(row["outbox"])
        self.outbox_age.set(row["outbox_age"] or 0)
        self.dead.set(row["dead"])
        self.incidents.clear()
        for found in db.execute(_SQL["incident_figures"]):
            self.incidents.labels(found["phase"], found["severity"]).set(found["n"])
        self.tickets.clear()
        for found in db.execute(_SQL["ticket_figures"]):
            self.tickets.labels(found["state"], found["severity"]).set(found["n"])
        self.paused.clear()
        for found in db.execute(_SQL["paused_figures"]):
            self.paused.labels(found["reason"]).set(found["n"])
        late = db.execute(_SQL["late_figures"], {"now": now}).fetchone() or {}
        for promise, count in late.items():
            self.late.labels(promise).set(count)
