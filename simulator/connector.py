"""One plug, gun or e-bike port: its state machine and its physics."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pilewatch.model import Status
from simulator import messages
from simulator.demand import Visit, next_visit

if TYPE_CHECKING:
    from simulator.charger import Charger
    from simulator.faults.fault import Fault

_TAPER = 0.8
"""The share of its energy up to which a battery takes full power."""
_NO_LOAD_W = 3.0
TEST_WH = 60.0
"""What a test charge delivers before it counts as good."""


@dataclass(slots=True)
class Session:
    """A running session. Energies are true ones; `said_at_start` is the meter's register."""

    id: str
    visit: Visit
    started: float
    said_at_start: float
    delivered_wh: float = 0.0
    idle_since: float | None = None


@dataclass(slots=True)
class Flow:
    """The electrical truth at one moment, which faults bend."""

    volts: float
    watts: float
    residual_ma: float
    kelvin_per_a2: float
    extra_c: float = 0.0
    lag_s: float = 400.0


class Connector:
    """State, register and temperature of one connector; simulated seconds throughout."""

    __slots__ = (
        "active",
        "amps",
        "beat",
        "charger",
        "errors",
        "limit_w",
        "number",
        "out_of_service",
        "phase",
        "plugged",
        "register_wh",
        "residual_ma",
        "resistance",
        "seq",
        "session",
        "shown",
        "since",
        "temperature",
        "token",
        "volts",
        "watts",
        "wear",
    )  # fmt: skip

    def __init__(self, charger: Charger, number: int, limit_w: float):
        rng = charger.rng
        self.charger = charger
        self.number = number
        self.limit_w = limit_w
        self.phase = Status.AVAILABLE
        self.shown = Status.AVAILABLE
        self.errors: list[messages.Error] = []
        self.active: list[Fault] = []
        self.session: Session | None = None
        self.plugged = False
        self.out_of_service = False
        self.register_wh = round(rng.uniform(20_000, 900_000), 1)
        self.since = 0.0
        self.watts = self.amps = 0.0
        self.volts = 220.0
        self.residual_ma = 0.5
        self.temperature = charger.world.sky.celsius(0.0)
        rated = max(limit_w / 220.0, 1.0)
        self.resistance = rng.uniform(14, 22) / rated**2
        """Rise in K per A²: at its rated current a sound plug is 14 to 22 K above the air."""
        self.wear = rng.uniform(0.05, 0.4)
        self.seq = 0
        self.token = 0
        self.beat = 0

    # --- people

    def expect(self, after: float, number: int) -> None:
        """Let the next person come in their time."""
        world, charger = self.charger.world, self.charger
        stream = f"{world.seed}/{charger.code}/{self.number}/visit"
        coming = next_visit(charger.use, world.calendar, after, number, stream)
        if coming is not None:
            world.at(coming[0], self._arrive, coming[1])

    def _arrive(self, visit: Visit) -> None:
        self.expect(self.charger.world.now, visit.number + 1)
        self.come(visit)

    def come(self, visit: Visit) -> bool:
        """Somebody tries to charge; whether they could begin to."""
        charger = self.charger
        if self.phase is not Status.AVAILABLE or self.plugged or not charger.powered:
            return False
        for fault in self.active:
            if fault.ignores(self, visit):
                charger.world.met(self, fault)
                return False
        if self.shown is not Status.AVAILABLE or (not charger.link_up and not visit.by_card):
            return False
        self.plugged = True
        self._enter(Status.PREPARING)
        charger.world.after(visit.authorise_s, self._authorise, visit, self.token)
        return True

    def _authorise(self, visit: Visit, token: int) -> None:
        if token != self.token or self.phase is not Status.PREPARING:
            return
        for fault in self.active:
            reason = fault.refuses(self, visit)
            if reason is not None:
                self._say_session(self._session_id(visit), "refused", reason=reason)
                self._test_result(visit, "failed", reason)
                self.charger.world.met(self, fault)
                self._leave()
                return
        self._begin(visit)

    def _session_id(self, visit: Visit) -> str:
        world = self.charger.world
        return f"{world.mark}-{self.charger.code}-{self.number}-{visit.test or visit.number}"[:64]

    def _begin(self, visit: Visit) -> None:
        now = self.charger.world.now
        self.advance(now)
        self.session = Session(self._session_id(visit), visit, now, round(self.register_wh, 1))
        self._say_session(self.session.id, "started", reason="test" if visit.test else None)
        self._enter(Status.CHARGING)
        for fault in list(self.active):
            fault.session_started(self)
        self.start_meter(min(5.0, self.charger.meter_s))

    def end_session(self, reason: str) -> None:
        """Stop it, tell the energy as the meter has it, and let the person unplug later."""
        session, world = self.session, self.charger.world
        if session is None:
            return
        self.advance(world.now)
        self.session = None
        self.advance(world.now)
        meter = self._reading(session)
        said = meter.energy_wh
        energy = None if said is None else round(said - session.said_at_start, 1)
        self._say_session(session.id, "ended", energy, reason)
        test = session.visit.test
        good = session.delivered_wh >= TEST_WH
        self._test_result(
            session.visit, "done" if good else "failed", f"{session.delivered_wh:.0f} Wh: {reason}"
        )
        self._enter(Status.FINISHING)
        stay = 2.0 if test else session.visit.stay_s
        world.after(stay, self._unplug, self.token)
        for fault in list(self.active):
            fault.session_ended(self, session)
        self.start_meter(self.charger.meter_s)

    def _unplug(self, token: int) -> None:
        if token == self.token and self.session is None:
            self._leave()

    def _leave(self) -> None:
        self.advance(self.charger.world.now)
        self.plugged = False
        self.advance(self.charger.world.now)
        self._enter(Status.AVAILABLE)

    def unplug_now(self) -> None:
        """The plug comes out at once, whatever was going on."""
        self.end_session("unplugged")
        if self.plugged:
            self._leave()

    def _test_result(self, visit: Visit, outcome: str, detail: str) -> None:
        if visit.test is not None:
            self.charger.answer(visit.test, outcome, detail)

    # --- state

    def _enter(self, phase: Status) -> None:
        self.phase = phase
        self.token += 1
        self.refresh()

    def refresh(self, *, again: bool = False) -> None:
        """Say status and errors where they have changed, or `again` in any case."""
        held: Status | None = Status.UNAVAILABLE if self.out_of_service else None
        errors: list[messages.Error] = []
        for fault in self.active:
            errors += fault.errors(self)
            said = fault.status(self)
            held = Status.FAULTED if Status.FAULTED in (held, said) else said or held
        if held is not None and self.session is not None and held is Status.FAULTED:
            self.end_session(errors[0].code or "fault" if errors else "fault")
            return  # which has refreshed
        shown = held or self.phase
        if shown == self.shown and errors == self.errors and not again:
            return
        self.shown, self.errors = shown, errors
        self.say_status()

    def say_status(self) -> None:
        """Publish the status as it is."""
        if any(fault.mutes(self) for fault in self.active):
            return
        self.seq += 1
        status = messages.Status(
            at=self.charger.clock(),
            connector=self.number,
            status=self.shown.value,
            errors=self.errors,
            seq=self.seq,
        )
        self.charger.send("status", status, connector=self.number, retain=True)

    @property
    def works(self) -> bool:
        """Whether somebody who comes now could charge: the truth, not what it says."""
        broken = any(fault.prevents for fault in self.active)
        return self.charger.powered and not broken and not self.out_of_service

    # --- physics

    def advance(self, now: float) -> None:
        """Let register and temperature run to `now`, then see what flows from here on."""
        lapse = now - self.since
        flow = self._flow(now)
        if lapse > 0:
            delivered = self.watts * lapse / 3600
            self.register_wh += delivered
            if self.session is not None:
                self.session.delivered_wh += delivered
                flow = self._flow(now)
            self._warm(now, lapse, flow)
            self.since = now
        self.volts, self.watts, self.residual_ma = flow.volts, flow.watts, flow.residual_ma
        self.amps = flow.watts / flow.volts if flow.volts > 20 else 0.0

    def _warm(self, now: float, lapse: float, flow: Flow) -> None:
        """Follow air and heat with a lag: right however seldom it is asked."""
        sky, heat = self.charger.world.sky, flow.kelvin_per_a2 * self.amps**2 + flow.extra_c
        air, before = sky.celsius(now), sky.celsius(self.since)
        behind = (air - before) / lapse * flow.lag_s
        kept = math.exp(-lapse / flow.lag_s)
        self.temperature = air + heat - behind + (self.temperature - before - heat + behind) * kept

    def _flow(self, now: float) -> Flow:
        session = self.session
        watts = 0.0
        if session is not None and self.charger.powered:
            visit = session.visit
            share = min(session.delivered_wh / visit.energy_wh, 1.0)
            watts = min(visit.power_w, self.limit_w)
            if share > _TAPER:
                watts *= 1 - 0.9 * (share - _TAPER) / (1 - _TAPER)
        volts = self.charger.world.mains(self.charger, now)
        residual = self.wear + (0.3 if watts else 0.0)
        flow = Flow(volts, watts, residual, self.resistance)
        for fault in self.active:
            fault.electrical(self, flow)
        if flow.volts < 20:
            flow.watts = 0.0
        return flow

    # --- metering

    def start_meter(self, first: float) -> None:
        """Begin anew to tell values, at first after so long."""
        self.beat += 1
        self.charger.world.after(first, self._tick, self.beat)

    def _tick(self, beat: int) -> None:
        if beat != self.beat:
            return
        world, charger = self.charger.world, self.charger
        self.advance(world.now)
        if charger.powered and not any(fault.mutes(self) for fault in self.active):
            charger.send("meter", self._reading(self.session), qos=0)
        if self.session is not None:
            self._perhaps_over(self.session)
        if beat == self.beat:
            pause = charger.meter_s if self.session or self.watts else charger.idle_meter_s
            if pause:
                world.after(pause, self._tick, beat)

    def _perhaps_over(self, session: Session) -> None:
        now, visit = self.charger.world.now, session.visit
        if session.delivered_wh >= 0.995 * visit.energy_wh:
            self.end_session("full")
        elif visit.test and session.delivered_wh >= TEST_WH:
            self.end_session("test done")
        elif self.watts > _NO_LOAD_W:
            session.idle_since = None
        elif session.idle_since is None:
            session.idle_since = now
        elif now - session.idle_since > 25 + 3 * visit.authorise_s:
            for fault in self.active:
                self.charger.world.met(self, fault)
            self.end_session("no-load")

    def read(self) -> messages.Meter:
        """What the meter says now."""
        return self._reading(self.session)

    def _reading(self, session: Session | None) -> messages.Meter:
        noise = self.charger.rng.gauss
        meter = messages.Meter(
            at=self.charger.clock(),
            connector=self.number,
            session_id=session.id if session else None,
            energy_wh=round(self.register_wh, 1),
            power_w=round(self.watts, 1),
            voltage_v=round(max(self.volts + noise(0, 0.3), 0.0), 1),
            current_a=round(self.amps, 3),
            temperature_c=round(self.temperature + noise(0, 0.15), 1),
            residual_current_ma=round(max(self.residual_ma + noise(0, 0.05), 0.0), 2),
        )
        if session is not None and self.charger.kind == "car":
            share = session.delivered_wh / session.visit.energy_wh
            meter.soc = round(min(session.visit.soc + share * (95 - session.visit.soc), 100.0), 1)
        for fault in self.active:
            fault.reading(self, meter)
        return meter

    def _say_session(
        self, id: str, phase: str, energy_wh: float | None = None, reason: str | None = None
    ) -> None:
        if any(fault.mutes(self) for fault in self.active):
            return
        session = messages.Session(
            at=self.charger.clock(),
            connector=self.number,
            session_id=id,
            phase=phase,  # type: ignore[arg-type]
            energy_wh=energy_wh,
            reason=reason,
        )
        self.charger.send("session", session)
