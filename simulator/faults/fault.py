"""What a fault is: hooks into the physics and the words of the connectors that it hits."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pilewatch.model import Status
from simulator.messages import Error, Meter
from simulator.truth import Truth, Visible

if TYPE_CHECKING:
    from simulator.charger import Charger
    from simulator.connector import Connector, Flow, Session
    from simulator.demand import Visit
    from simulator.world import World

KINDS: dict[str, type[Fault]] = {}
"""Every fault that can be simulated, by its code."""


class Fault:
    """One fault while it lasts. A subclass is one entry of the table: what it is, what it does."""

    code: ClassVar[str] = ""
    visible: ClassVar[Visible] = "shown"
    scope: ClassVar[Literal["connector", "charger", "gateway", "site"]] = "connector"
    kinds: ClassVar[frozenset[str]] = frozenset({"ebike", "car"})
    per_year: ClassVar[float] = 0.1
    """Typical rate for each charger (or gateway, or site)."""
    prevents: ClassVar[bool] = True
    """Nobody can charge while it lasts."""
    complaint: ClassVar[str | None] = None
    """What somebody who meets it would report."""
    cured_by_reset: ClassVar[float] = 0.0
    """How many of them are soft: gone after a reset of the charger, the first or none."""
    lasts: ClassVar[tuple[float, float] | None] = None
    """Seconds after which it goes away by itself, where it does."""

    def __init__(
        self,
        world: World,
        truth: Truth,
        chargers: list[Charger],
        connectors: list[Connector],
        rng: random.Random,
        pace: float,
    ):
        self.world = world
        self.truth = truth
        self.chargers = chargers
        self.connectors = connectors
        self.rng = rng
        self.pace = pace
        self.began = world.now
        self.gone = False
        self.draw(rng)

    def __init_subclass__(cls) -> None:
        if "code" in cls.__dict__:
            KINDS[cls.code] = cls

    @property
    def charger(self) -> Charger:
        """The one charger of a fault which hits only one."""
        return self.chargers[0]

    @property
    def age(self) -> float:
        """Simulated seconds since it began, times its pace."""
        return (self.world.now - self.began) * self.pace

    def later(self, seconds: float, act: Callable[[], Any]) -> None:
        """Do something so much later, unless the fault is gone by then."""
        self.world.after(seconds / self.pace, lambda: self.gone or act())

    # --- hooks

    def draw(self, rng: random.Random) -> None:
        """Draw this one's own parameters."""

    def begin(self) -> None:
        """It starts."""

    def finish(self) -> None:
        """It is over: undo what does not undo itself."""

    def ignores(self, connector: Connector, visit: Visit) -> bool:
        """Somebody plugs in, and the charger notices nothing."""
        return False

    def refuses(self, connector: Connector, visit: Visit) -> str | None:
        """Why the session is refused."""
        return None

    def session_started(self, connector: Connector) -> None:
        """A session has begun."""

    def session_ended(self, connector: Connector, session: Session) -> None:
        """A session is over; the plug is still in."""

    def electrical(self, connector: Connector, flow: Flow) -> None:
        """Bend what flows."""

    def reading(self, connector: Connector, meter: Meter) -> None:
        """Bend what the meter says."""

    def status(self, connector: Connector) -> Status | None:
        """The status that it forces the charger to say."""
        return None

    def errors(self, connector: Connector) -> list[Error]:
        """What the charger itself says is wrong."""
        return []

    def mutes(self, connector: Connector) -> bool:
        """The connector says nothing."""
        return False


class Declared(Fault):
    """A fault that the charger itself notices and declares, `notice_s` after it began."""

    visible: ClassVar[Visible] = "reported"
    vendor_code: ClassVar[str | None] = None
    info: ClassVar[str | None] = None
    says: ClassVar[Status | None] = Status.FAULTED
    notice_s: ClassVar[tuple[float, float]] = (0.5, 4.0)
    declared = False

    def begin(self) -> None:
        self.later(self.rng.uniform(*self.notice_s), self.declare)

    def declare(self) -> None:
        """From now on status and errors say it."""
        if not self.declared:
            self.declared = True
            for connector in self.connectors:
                connector.refresh()

    def status(self, connector: Connector) -> Status | None:
        return self.says if self.declared else None

    def errors(self, connector: Connector) -> list[Error]:
        if not self.declared:
            return []
        return [Error(self.code, self.vendor_code, self.info)]
