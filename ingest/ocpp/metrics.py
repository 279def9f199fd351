"""What gateway and tap tell Prometheus; see docs/dialects/ocpp.md."""

from prometheus_client import CollectorRegistry, Counter, Gauge


class Metrics:
    """One set for each process; tests make their own."""

    def __init__(self, registry: CollectorRegistry):
        self.connected = Gauge(
            "pilewatch_ocpp_connected", "Chargers connected now", ["protocol"], registry=registry
        )
        self.refused = Counter(
            "pilewatch_ocpp_refused",
            "Connections refused, by reason",
            ["reason"],
            registry=registry,
        )
        self.calls = Counter(
            "pilewatch_ocpp_calls",
            "Calls of chargers, by what became of them",
            ["outcome"],
            registry=registry,
        )
        self.bad_frames = Counter(
            "pilewatch_ocpp_bad_frames",
            "Frames outside the standard, by the error's code",
            ["code"],
            registry=registry,
        )
        self.unplaced = Counter(
            "pilewatch_ocpp_unplaced",
            "Words about a connector that could not be told",
            registry=registry,
        )
        self.published = Counter(
            "pilewatch_ocpp_published", "Messages that the broker took", registry=registry
        )
        self.commands = Counter(
            "pilewatch_ocpp_commands", "Orders, by outcome", ["outcome"], registry=registry
        )
        self.broker_up = Gauge(
            "pilewatch_ocpp_broker_up", "1 while the broker is reached", registry=registry
        )
        self.passed = Counter(
            "pilewatch_ocpp_tap_bytes", "Bytes passed on, by direction", ["to"], registry=registry
        )
        self.dropped = Counter(
            "pilewatch_ocpp_tap_dropped",
            "What the tap did not read, by reason; it was passed on all the same",
            ["reason"],
            registry=registry,
        )
