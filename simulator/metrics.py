"""What the simulator tells Prometheus."""

from prometheus_client import CollectorRegistry, Counter, Gauge


class Metrics:
    """One set for each process; tests make their own."""

    def __init__(self, registry: CollectorRegistry):
        self.sent = Counter(
            "pilewatch_simulator_messages",
            "Messages handed to the broker, or dropped because it was away too long",
            ["outcome"],
            registry=registry,
        )
        self.connected = Gauge(
            "pilewatch_simulator_connected", "Chargers with a connection", registry=registry
        )
        self.faults = Gauge(
            "pilewatch_simulator_faults", "Faults that are active now", registry=registry
        )
