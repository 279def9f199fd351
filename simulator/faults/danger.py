"""Dangers to people, which the cabinet's own sensors see."""

import random

from simulator.connector import Connector, Flow
from simulator.faults.fault import Declared


class _Cabinet(Declared):
    scope = "charger"
    per_year = 0.05


class SmokeFire(_Cabinet):
    """The smoke sensor: everything in the cabinet gets hot, then all ports are off."""

    code, vendor_code, info = "smoke-fire", "A-03", "smoke sensor"
    notice_s = (20, 60)

    def begin(self) -> None:
        super().begin()
        for connector in self.connectors:
            connector.start_meter(self.rng.uniform(8, 18))

    def electrical(self, connector: Connector, flow: Flow) -> None:
        flow.extra_c += 40
        flow.lag_s = 60 / self.pace


class WaterIngress(_Cabinet):
    """Residual current creeps up, faster while it rains, until the sensor trips."""

    code, vendor_code, info = "water-ingress", "A-02", "water sensor"
    notice_s = (60, 240)

    def draw(self, rng: random.Random) -> None:
        self.ma_per_minute = rng.uniform(0.8, 2.5)

    def begin(self) -> None:
        super().begin()
        for connector in self.connectors:
            connector.start_meter(self.rng.uniform(20, 55) / self.pace)

    def electrical(self, connector: Connector, flow: Flow) -> None:
        wet = 2.0 if self.world.sky.rains(self.world.now) else 1.0
        flow.residual_ma += min(self.ma_per_minute * wet * self.age / 60, 25.0)


class TiltImpact(_Cabinet):
    """Knocked over."""

    code, vendor_code, info = "tilt-impact", "A-07", "tilt sensor"


class EmergencyStop(_Cabinet):
    """The button is pressed and not released: all ports stop at once."""

    code, vendor_code, info = "emergency-stop", "A-08", "emergency stop pressed"
    notice_s = (0.0, 0.3)
    per_year = 0.3
