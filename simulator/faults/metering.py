"""Faults of what the meter says; the energy itself flows as ever."""

import random

from simulator.connector import Connector
from simulator.faults.fault import Fault
from simulator.messages import Meter


class _Metering(Fault):
    prevents = False
    per_year = 0.25


class MeterFailure(_Metering):
    """Frozen, absurd, or nothing at all."""

    code = "meter-failure"

    def draw(self, rng: random.Random) -> None:
        self.how = rng.choice(("frozen", "absurd", "nothing"))
        self.frozen: dict[int, tuple[float | None, ...]] = {}

    def reading(self, connector: Connector, meter: Meter) -> None:
        if self.how == "nothing":
            meter.energy_wh = meter.power_w = meter.current_a = meter.voltage_v = None
        elif self.how == "absurd":
            meter.power_w, meter.current_a = -999999.0, self.rng.choice((-6553.5, 6553.5))
            meter.energy_wh = 4294967.2
        else:
            said = (meter.energy_wh, meter.power_w, meter.voltage_v, meter.current_a)
            kept = self.frozen.setdefault(connector.number, said)
            meter.energy_wh, meter.power_w, meter.voltage_v, meter.current_a = kept


class MeterBackwards(_Metering):
    """The register runs down."""

    code = "meter-backwards"
    from_wh: float | None = None

    def reading(self, connector: Connector, meter: Meter) -> None:
        self.from_wh = connector.register_wh if self.from_wh is None else self.from_wh
        meter.energy_wh = round(2 * self.from_wh - connector.register_wh, 1)


class MeterMismatch(_Metering):
    """The register counts too much or too little for the power."""

    code = "meter-mismatch"
    from_wh: float | None = None

    def draw(self, rng: random.Random) -> None:
        self.factor = rng.choice((rng.uniform(0.6, 0.88), rng.uniform(1.12, 1.4)))

    def reading(self, connector: Connector, meter: Meter) -> None:
        self.from_wh = connector.register_wh if self.from_wh is None else self.from_wh
        counted = (connector.register_wh - self.from_wh) * self.factor
        meter.energy_wh = round(self.from_wh + counted, 1)
