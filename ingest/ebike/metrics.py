"""What the e-bike gateway and tap tell Prometheus; see docs/dialects/ebike-dny.md."""

from prometheus_client import CollectorRegistry, Counter, Gauge


class Metrics:
    """One set for each process; tests make their own."""

    def __init__(self, registry: CollectorRegistry):
        self.modems = Gauge("pilewatch_ebike_modems", "Open connections", registry=registry)
        self.devices = Gauge(
            "pilewatch_ebike_devices", "Devices that speak now, slaves included", registry=registry
        )
        self.hung_up = Counter(
            "pilewatch_ebike_hung_up",
            "Connections that we ended, by reason: full, idle, slow, garbage, flood, slaves",
            ["reason"],
            registry=registry,
        )
        self.frames = Counter(
            "pilewatch_ebike_frames",
            "Frames of devices, by command",
            ["command"],
            registry=registry,
        )
        self.bad = Counter(
            "pilewatch_ebike_bad",
            "Bytes or data passed over: garbage, length, checksum, fields, unknown, repeat",
            ["why"],
            registry=registry,
        )
        self.published = Counter(
            "pilewatch_ebike_published",
            "Messages for the broker: sent, dropped (it is away and the buffer is full)",
            ["outcome"],
            registry=registry,
        )
        self.settlements = Counter(
            "pilewatch_ebike_settlements",
            "Settlements: kept, repeat, postponed (not answered, the device sends it again)",
            ["outcome"],
            registry=registry,
        )
        self.orders = Counter(
            "pilewatch_ebike_orders", "Commands to devices, by outcome", ["outcome"],
            registry=registry,
        )  # fmt: skip
        self.database_up = Gauge(
            "pilewatch_ebike_database_up", "1 while the database is reached", registry=registry
        )
        self.broker_up = Gauge(
            "pilewatch_ebike_broker_up", "1 while the broker is reached", registry=registry
        )
        self.forwarded = Counter(
            "pilewatch_ebike_forwarded_bytes", "Bytes that the tap passed on", ["way"],
            registry=registry,
        )  # fmt: skip
        self.unheard = Counter(
            "pilewatch_ebike_unheard_bytes",
            "Bytes that the tap passed on but could not listen to: it was behind",
            registry=registry,
        )
