"""The alert engine as a process: `pilewatch alerts`. One leads, others stand by."""

import random
import signal
import threading
import time
from collections.abc import Callable, Mapping

import psycopg
import structlog
from prometheus_client import REGISTRY, CollectorRegistry

from alerts.engine import Engine
from alerts.ledger import SQL
from alerts.maintenance import maintain
from alerts.metrics import Metrics
from alerts.notify.channels import Channel, Post, open_channels
from alerts.notify.dispatch import send_due, write_deliveries
from alerts.notify.letters import Letters
from alerts.notify.receivers import Address, BadReceivers, Directory, load_directory
from alerts.notify.sending import NotSent
from alerts.notify.subscriptions import paused, with_subscriptions
from pilewatch.clock import Clock, utc_now
from pilewatch.observability import serve_metrics, setup_logging
from pilewatch.policy import BadPolicy, load_policy
from pilewatch.settings import Settings
from pilewatch.store.policies import in_force
from pilewatch.store.pool import Db, connect
from pilewatch.workflow.contacts import erase_contacts
from pilewatch.workflow.firststeps import answer_tests
from pilewatch.workflow.patrols import sweep_patrols
from pilewatch.workflow.telling import tell_parties

_LOG = structlog.get_logger()


class Process:
    """The decisions in the calling thread, deliveries and housekeeping in threads beside it."""

    def __init__(
        self, settings: Settings, *, clock: Clock = utc_now, registry: CollectorRegistry = REGISTRY
    ):
        self.settings = settings
        self.clock = clock
        self.policy = self._own_policy = load_policy(settings.alerts.policy_file)
        self.metrics = Metrics(registry)
        self._directory = directory_of(settings)
        self._channels = open_channels(self._directory.addresses, settings.api.public_url, clock)
        self._seal = settings.sealing.seal()
        self._letters = Letters(self._seal, settings.api.public_url)
        self._post = Post(clock, private=settings.alerts.private_webhooks)
        self.stop = threading.Event()
        self.leading = threading.Event()

    def run(self) -> None:
        """Until `stop`; survives the database's absence."""
        threads = [
            threading.Thread(target=self._beside, args=(self._deliver, 0.5), daemon=True),
            threading.Thread(target=self._beside, args=(self._maintain, 60.0), daemon=True),
        ]
        for thread in threads:
            thread.start()
        pause = 0.2
        while not self.stop.is_set():
            try:
                with self._connect("engine") as db:
                    pause = 0.2
                    self._lead(db)
            except psycopg.Error as error:
                _LOG.warning("database is away", error=str(error).strip().splitlines()[:1])
                self.stop.wait(pause * random.uniform(0.5, 1.5))  # noqa: S311
                pause = min(pause * 2, 5.0)
            finally:
                self.leading.clear()
                self.metrics.leader.set(0)
        for thread in threads:
            thread.join(15)

    def _connect(self, part: str) -> Db:
        url = self.settings.database.url.get_secret_value()
        return connect(url, application=f"pilewatch alerts {part}")

    def _lead(self, db: Db) -> None:
        """Wait for the leader's lock; the lock and the decisions share one connection."""
        while not self.stop.is_set():
            row = db.execute(SQL["try_to_lead"]).fetchone()
            if row is not None and row["leads"]:
                break
            self.stop.wait(1.0)
        if self.stop.is_set():
            return
        _LOG.info("leading")
        self.leading.set()
        self.metrics.leader.set(1)
        db.execute("LISTEN pilewatch_event")
        engine = Engine(db, self.policy)
        while not self.stop.is_set():
            started = time.monotonic()
            self.policy = engine.policy = in_force(db, self._own_policy)
            more = engine.turn(self.clock())
            self.metrics.decision.observe(time.monotonic() - started)
            self.metrics.count(engine)
            if not more:
                for _ in db.notifies(timeout=self.settings.alerts.tick_s, stop_after=1):
                    pass

    def _beside(self, work: Callable[[Db], None], every_s: float) -> None:
        """Work of the leader on a connection of its own, again and again."""
        while not self.stop.is_set():
            if not self.leading.wait(0.5):
                continue
            try:
                with self._connect(work.__name__.strip("_")) as db:
                    while self.leading.is_set() and not self.stop.is_set():
                        work(db)
                        self.stop.wait(every_s)
            except psycopg.Error as error:
                _LOG.warning("beside the engine", error=str(error).strip().splitlines()[:1])
                self.stop.wait(1.0)

    def _deliver(self, db: Db) -> None:
        tell_parties(db, self.clock)
        directory, channels = with_subscriptions(
            db, self._directory, self._channels, self._post, self.settings.ocpi, self._seal
        )
        while write_deliveries(db, directory, self.clock()):
            pass
        answer_tests(db, (r.name for r in directory.receivers), _tester(directory, channels),
                     self.clock())  # fmt: skip
        rule = self.policy.delivery
        told, post = paused(db), self._letters
        while send_due(db, directory, channels, rule, self.clock(), post, told):
            if self.stop.is_set():
                break
        self.metrics.look(db, self.clock())

    def _maintain(self, db: Db) -> None:
        maintain(db, self.settings, self.clock())
        erase_contacts(db, self.policy, self.clock())
        sweep_patrols(db, self.policy, self.clock())


def _tester(directory: Directory, channels: Mapping[str, Channel]) -> Callable[[str], str | None]:
    """Sends a test to the receiver of this name; gives why it did not arrive, or None."""
    known = {receiver.name: receiver for receiver in directory.receivers}

    def send(name: str) -> str | None:
        try:
            channels[known[name].channel].test(known[name])
        except NotSent as error:
            return str(error)
        return None

    return send


def directory_of(settings: Settings) -> Directory:
    """Who is told, as these settings say. Raises `BadReceivers`."""
    alerts = settings.alerts
    webhook = None
    if alerts.webhook_url is not None:
        secret = alerts.webhook_secret
        plain = None if secret is None else secret.get_secret_value()
        webhook = Address("webhook", alerts.webhook_url, plain)
    return load_directory(alerts.notify_file, webhook=webhook)


def run(settings: Settings) -> int:
    """Run until SIGTERM or SIGINT. Gives the exit code."""
    setup_logging(settings.log_format, process="alerts")
    try:
        process = Process(settings)
    except (BadPolicy, BadReceivers) as error:
        _LOG.error(str(error))
        return 2
    for warning in process.policy.warnings(utc_now()):
        _LOG.warning(warning)
    serve_metrics(settings.metrics)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: process.stop.set())
    process.run()
    return 0
