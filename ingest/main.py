"""The ingester as a process: `pilewatch ingest`."""

import signal
import socket
import threading
from collections.abc import Sequence

import structlog
from prometheus_client import REGISTRY, CollectorRegistry

from ingest.batch import Message
from ingest.dialects.registry import choose
from ingest.link import Link, TakenOver
from ingest.metrics import Metrics
from ingest.sender import Sender
from ingest.writer import Writer
from pilewatch.clock import Clock, utc_now
from pilewatch.observability import serve_metrics, setup_logging
from pilewatch.settings import BadSettings, Settings

_LOG = structlog.get_logger()


class Ingester:
    """The link in the calling thread, writer and sender each in their own. Raises `BadSettings`
    for dialects that cannot be spoken together."""

    def __init__(
        self, settings: Settings, *, clock: Clock = utc_now, registry: CollectorRegistry = REGISTRY
    ):
        self.stop = threading.Event()
        self.metrics = Metrics(registry)
        client_id = settings.mqtt.client_id or f"pilewatch-ingest-{socket.gethostname()}"
        dialects = choose(settings.ingest)
        self.writer = Writer(
            settings.database.url.get_secret_value(),
            client_id=client_id,
            dialects=dialects,
            clock=clock,
            metrics=self.metrics,
            retention_days=settings.database.retention_days,
            batch_rows=settings.ingest.batch_rows,
            batch_ms=settings.ingest.batch_ms,
            committed=self._committed,
        )
        self.link = Link(
            settings.mqtt,
            client_id,
            subscriptions=dialects.subscriptions,
            unacknowledged=settings.ingest.unacknowledged,
            writer=self.writer,
            metrics=self.metrics,
        )
        self.sender = Sender(
            settings.database.url.get_secret_value(),
            settings.mqtt,
            client_id,
            clock=clock,
            metrics=self.metrics,
            stopping=self.stop,
        )

    def _committed(self, messages: Sequence[Message]) -> None:
        self.link.committed(messages)

    def run(self) -> None:
        """Until `stop` is set; everything taken by then is committed and acknowledged."""
        writing = threading.Thread(target=self.writer.run, name="writer", daemon=True)
        sending = threading.Thread(target=self.sender.run, name="sender", daemon=True)
        for thread in (writing, sending):
            thread.start()
        try:
            self.link.run(self.stop)
        finally:
            self.writer.stopping.set()
            self.writer.arrived.set()
            self.stop.set()
            for thread in (writing, sending):
                thread.join(20)


def run(settings: Settings) -> int:
    """Run until SIGTERM or SIGINT. Gives the exit code."""
    setup_logging(settings.log_format, process="ingest")
    serve_metrics(settings.metrics)
    try:
        ingester = Ingester(settings)
    except BadSettings as error:
        _LOG.error(str(error))
        return 2
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ingester.stop.set())
    try:
        ingester.run()
    except TakenOver as error:
        _LOG.error(str(error))
        return 1
    return 0
