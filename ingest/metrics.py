"""What the ingester tells Prometheus; see docs/operations.md."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram


class Metrics:
    """One set for each process; tests make their own."""

    def __init__(self, registry: CollectorRegistry):
        self.messages = Counter(
            "pilewatch_ingest_messages",
            "Observations stored or found double, and messages refused",
            ["outcome"],
            registry=registry,
        )
        self.quarantine = Counter(
            "pilewatch_quarantine",
            "Messages refused, by reason; not all of them are kept",
            ["reason"],
            registry=registry,
        )
        self.unknown_fields = Counter(
            "pilewatch_ingest_unknown_fields",
            "Messages with fields that the contract does not know",
            registry=registry,
        )
        self.commands = Counter(
            "pilewatch_commands",
            "Orders handed to the broker, by outcome: sent, unheard (nobody listens), refused",
            ["outcome"],
            registry=registry,
        )
        self.unknown_results = Counter(
            "pilewatch_command_results_unknown",
            "Results that answer no command of their charger",
            registry=registry,
        )
        self.events = Counter(
            "pilewatch_ingest_events", "Changes handed to the alert engine", registry=registry
        )
        self.dropped = Counter(
            "pilewatch_ingest_dropped",
            "QoS 0 messages dropped while the database was away",
            registry=registry,
        )
        self.lag = Histogram(
            "pilewatch_ingest_lag_seconds",
            "From arrival to commit, the oldest message of each batch",
            buckets=(0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 15, 60, 300),
            registry=registry,
        )
        self.batch_rows = Histogram(
            "pilewatch_ingest_batch_rows",
            "Observations in a batch",
            buckets=(1, 3, 10, 30, 100, 300, 1000, 3000, 10000),
            registry=registry,
        )
        self.unacknowledged = Gauge(
            "pilewatch_ingest_unacknowledged",
            "Messages taken from the broker and not yet committed",
            registry=registry,
        )
        self.connected = Gauge(
            "pilewatch_ingest_connected", "1 while the broker is reached", registry=registry
        )
        self.database_up = Gauge(
            "pilewatch_ingest_database_up", "1 while the database is reached", registry=registry
        )
