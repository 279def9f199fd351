"""Faults of controller, firmware, reader and screen."""

import random

from pilewatch.model import Status
from simulator.connector import Connector
from simulator.demand import Visit
from simulator.faults.fault import Declared, Fault
from simulator.messages import Error


class InternalError(Declared):
    """The maker's own code, which nobody else knows."""

    code, per_year = "internal-error", 0.5
    cured_by_reset = 0.6

    def draw(self, rng: random.Random) -> None:
        self.number = f"F{rng.randint(0x30, 0xEF):02X}"

    def errors(self, connector: Connector) -> list[Error]:
        return [Error(vendor_code=self.number)] if self.declared else []


class ControllerMemory(Declared):
    """Settings are lost; it charges on and settles wrongly."""

    code, vendor_code, info = "controller-memory", "E-19", "settings lost"
    scope, says, prevents = "charger", None, False


class ReaderFailure(Declared):
    """The card reader is dead: cards are refused, the app still works."""

    code, vendor_code, info = "reader-failure", "E-0F", "card reader"
    scope, says, prevents = "charger", None, False
    per_year, cured_by_reset = 0.3, 0.3

    def refuses(self, connector: Connector, visit: Visit) -> str | None:
        return "card not read" if visit.by_card and not visit.test else None


class PaymentTerminal(Declared):
    """The payment terminal is dead."""

    code, vendor_code = "payment-terminal", "E-30"
    scope, says, prevents = "charger", None, False
    cured_by_reset = 0.5


class DisplayFailure(Declared):
    """The screen is dark."""

    code, vendor_code = "display-failure", "E-31"
    scope, says, prevents = "charger", None, False
    per_year, cured_by_reset = 0.2, 0.4


class AuthRefused(Fault):
    """Everybody is refused."""

    code, complaint, scope = "auth-refused", "dead-available", "charger"
    per_year, cured_by_reset = 0.2, 0.5

    def refuses(self, connector: Connector, visit: Visit) -> str | None:
        return "not authorised"


class Flapping(Fault):
    """Faulted, healthy, faulted, healthy."""

    code, per_year, prevents = "flapping", 0.3, False
    cured_by_reset = 0.5
    bad = False

    def draw(self, rng: random.Random) -> None:
        self.period_s = rng.uniform(40, 240)

    def begin(self) -> None:
        self.bad = not self.bad
        for connector in self.connectors:
            connector.refresh()
        self.later(self.period_s * self.rng.uniform(0.5, 1.5), self.begin)

    def status(self, connector: Connector) -> Status | None:
        return Status.FAULTED if self.bad else None

    def errors(self, connector: Connector) -> list[Error]:
        return [Error(vendor_code="F7")] if self.bad else []


class RebootLoop(Fault):
    """The controller restarts again and again, each time with a new boot id."""

    code, scope, per_year = "reboot-loop", "charger", 0.3

    def begin(self) -> None:
        self.charger.reboot(self.rng.uniform(8, 25) / self.pace)
        self.later(self.rng.uniform(90, 400), self.begin)


class FirmwareFault(Fault):
    """An update that breaks sessions now and then."""

    code, scope, per_year, prevents = "firmware-fault", "charger", 0.1, False

    def begin(self) -> None:
        self.before = self.charger.firmware
        self.charger.firmware = f"{int(self.before.split('.')[0]) + 1}.0.0"
        self.charger.reboot(15 / self.pace)

    def finish(self) -> None:
        self.charger.firmware = self.before
        self.charger.reboot(15)

    def session_started(self, connector: Connector) -> None:
        if self.rng.random() < 0.6:
            self.later(self.rng.uniform(20, 300), lambda: connector.end_session("watchdog"))


class ClockWrong(Fault):
    """Its clock is minutes to days off."""

    code, scope, per_year, prevents = "clock-wrong", "charger", 0.3, False

    def begin(self) -> None:
        minutes = self.rng.choice((self.rng.uniform(6, 90), self.rng.uniform(120, 3000)))
        self.charger.clock_offset_s = self.rng.choice((-60, 60)) * minutes

    def finish(self) -> None:
        self.charger.clock_offset_s = 0.0
