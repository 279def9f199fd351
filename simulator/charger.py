"""One pile or cabinet: its controller, its radio, its connectors, and the commands it obeys."""

from __future__ import annotations

import random
from collections import deque
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from pilewatch.model import Status
from pilewatch.store import registry_file
from simulator import messages
from simulator.connector import TEST_WH, Connector
from simulator.demand import Visit

if TYPE_CHECKING:
    from simulator.faults.fault import Fault
    from simulator.world import World

_KEPT_OFFLINE = 50
"""Session records that a controller keeps while its radio is dead."""
_REMEMBERED = 50
"""Commands whose numbers a controller remembers, so that it obeys each once."""
_DEFAULT_W = {"ebike": 800.0, "car": 7000.0}


class Charger:
    """A charger of the registry in the simulated world; simulated seconds throughout."""

    def __init__(self, world: World, row: registry_file.Charger):
        self.world = world
        self.code = row.code
        self.kind = row.kind
        self.site = row.site
        self.gateway = row.gateway
        self.vendor = row.vendor or "无名"
        self.model = row.model or row.kind
        self.rng = random.Random(f"{world.seed}/{row.code}")
        self.use = world.scenario.demand.ebike if row.kind == "ebike" else world.scenario.demand.car
        self.firmware = (
            f"{self.rng.randint(1, 3)}.{self.rng.randint(0, 9)}.{self.rng.randint(0, 9)}"
        )
        self.heartbeat_s = max(float(world.scenario.heartbeat_s), world.speed)
        self.meter_s = max(float(world.scenario.meter_s), world.speed)
        idle = world.scenario.idle_meter_s
        self.idle_meter_s = max(float(idle), world.speed) if idle else 0.0
        self.rssi = self.rng.uniform(-88, -62)
        self.clock_offset_s = 0.0
        self.link_up = False
        self.powered = True
        self.booted = 0.0
        self.boots = 0
        self.active: list[Fault] = []
        self._cuts: set[object] = set()
        self._kept: deque[tuple[str, bytes]] = deque(maxlen=_KEPT_OFFLINE)
        self._obeyed: dict[str, tuple[Any, str | None] | None] = {}
        self._beat = 0
        self._dialling = 0
        self.connectors: dict[int, Connector] = {}
        for plug in row.plugs():
            limit = plug.max_power_w or _DEFAULT_W[row.kind]
            self.connectors[plug.number] = Connector(self, plug.number, limit)

    # --- life

    def start(self) -> None:
        """Switch on: connect within a heartbeat, and let people come."""
        self.booted = -self.rng.uniform(3600, 40 * 86400)
        self._dial(self.rng.uniform(0, min(self.heartbeat_s, 1 + len(self.world.chargers) / 200)))
        for connector in self.connectors.values():
            connector.expect(0.0, 0)
            connector.start_meter(self.rng.uniform(1, self.idle_meter_s or self.meter_s))
            self._already_there(connector)

    def _already_there(self, connector: Connector) -> None:
        """Some ports are in use when the curtain rises."""
        rng = random.Random(f"{self.world.seed}/{self.code}/{connector.number}/already")
        use = self.use
        hours = sum(use.energy_wh) / sum(use.power_w)
        weight = use.hours[int(self.world.calendar.hour(0)) % 24] * 24 / sum(use.hours)
        if rng.random() < min(use.per_day * weight * hours / 24, 0.7):
            self.world.at(0.0, self.world.send_somebody, connector)

    def clock(self) -> datetime:
        """What its own clock says."""
        return self.world.wall(self.world.now + self.clock_offset_s * self.world.speed)

    def reboot(self, down_s: float) -> None:
        """Restart the controller: sessions end, the link drops, a new boot id comes."""
        for connector in self.connectors.values():
            connector.end_session("reboot")
        self.boots += 1
        self.booted = self.world.now + down_s
        self._hang_up()
        if not self._cuts:
            self._dial(down_s)

    def lose_power(self, why: object) -> None:
        """Dark at once: nobody is told anything."""
        self.powered = False
        self.cut(why)
        for connector in self.connectors.values():
            connector.unplug_now()

    def regain_power(self, why: object) -> None:
        """Light again, after a boot."""
        self.powered = True
        self.boots += 1
        self.booted = self.world.now
        self.restore(why)

    # --- radio

    def cut(self, why: object) -> None:
        """The link dies, and stays dead until everything that cut it is gone."""
        self._cuts.add(why)
        self._hang_up()

    def restore(self, why: object) -> None:
        """One reason for silence less."""
        self._cuts.discard(why)
        if not self._cuts and not self.link_up:
            self._dial(self.rng.uniform(2, 20))

    def blink(self, seconds: float) -> None:
        """The link drops and comes back by itself."""
        self._hang_up()
        if not self._cuts:
            self._dial(seconds)

    def _hang_up(self) -> None:
        self._dialling += 1
        if self.link_up:
            self.link_up = False
            self._beat += 1
            self.world.link(self, "drop")

    def _dial(self, seconds: float) -> None:
        self._dialling += 1
        self.world.after(seconds, self._connect, self._dialling)

    def _connect(self, dialling: int) -> None:
        if dialling != self._dialling or self._cuts or self.link_up or not self.powered:
            return
        self.link_up = True
        self.world.link(self, "connect")
        self.say_online()
        while self._kept:
            self.world.publish(self, *self._kept.popleft(), 1, False)
        for connector in self.connectors.values():
            connector.say_status()
        self._beat += 1
        self.world.after(self.rng.uniform(0.2, 1) * self.heartbeat_s, self._heartbeat, self._beat)

    def say_online(self) -> None:
        """Who it is and what it promises."""
        online = messages.Online(
            at=self.clock(),
            online=True,
            firmware=self.firmware,
            vendor=self.vendor,
            model=self.model,
            boot_id=f"{self.world.mark}-{self.boots}",
            heartbeat_s=self.world.promise(self.heartbeat_s),
            meter_s=self.world.promise(self.meter_s),
        )
        self.send("online", online, retain=True)

    def _heartbeat(self, beat: int) -> None:
        if beat != self._beat:
            return
        heartbeat = messages.Heartbeat(
            at=self.clock(),
            uptime_s=round(max(self.world.now - self.booted, 0.0), 1),
            rssi_dbm=round(self.rssi + self.rng.gauss(0, 1.5)),
            connectors={
                str(c.number): c.shown.value
                for c in self.connectors.values()
                if not any(fault.mutes(c) for fault in c.active)
            },
        )
        self.send("heartbeat", heartbeat)
        self.world.after(self.heartbeat_s, self._heartbeat, beat)

    def send(
        self,
        kind: str,
        message: Any,
        *,
        connector: int | None = None,
        qos: int = 1,
        retain: bool = False,
    ) -> None:
        """Publish, or keep what must not be lost while the link is down."""
        topic = messages.topic(self.code, kind, connector)
        payload = messages.encode(message)
        if self.link_up:
            self.world.publish(self, topic, payload, qos, retain)
        elif kind == "session":
            self._kept.append((topic, payload))

    # --- commands

    def obey(self, payload: bytes) -> None:
        """Carry out a command once and answer it; one that comes again gets the latest answer
        again, what is no command none."""
        try:
            command = messages.READ_COMMAND.decode(payload)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return
        if not self.link_up:
            return
        if command.command_id in self._obeyed:
            answer = self._obeyed[command.command_id]
            if answer is not None:
                self.answer(command.command_id, *answer)
            return
        self._obeyed[command.command_id] = None
        if len(self._obeyed) > _REMEMBERED:
            del self._obeyed[next(iter(self._obeyed))]
        expires = command.expires_at
        if expires is not None:
            aware = expires if expires.tzinfo else expires.replace(tzinfo=UTC)
            if aware <= self.world.wall(self.world.now):
                self.answer(command.command_id, "rejected", "expired")
                return
        connector = self.connectors.get(command.connector or 0)
        if connector is None and (command.connector or command.name in ("unlock", "startTest")):
            self.answer(command.command_id, "rejected", "no such connector")
            return
        getattr(self, f"_do_{command.name}")(command, connector)

    def answer(self, command: str, outcome: Any, detail: str | None = None) -> None:
        """Publish a result."""
        if command in self._obeyed:
            self._obeyed[command] = (outcome, detail)
        result = messages.Result(
            at=self.clock(), command_id=command, outcome=outcome, detail=detail
        )
        self.send("result", result)

    def _do_reset(self, command: messages.Command, _: Connector | None) -> None:
        self.answer(command.command_id, "accepted")
        down = self.rng.uniform(5, 20)
        self.world.after(down, self._forget_soft_faults)
        self.reboot(down)
        self.world.after(down + 5, self.answer, command.command_id, "done", "rebooted")

    def _forget_soft_faults(self) -> None:
        """The controller starts afresh: what was only in its head is gone, the rest is not."""
        mine = [*self.active, *(f for c in self.connectors.values() for f in c.active)]
        for fault in dict.fromkeys(mine):
            if fault.truth.soft and fault.truth.charger == self.code:
                self.world.end(fault, "reset")

    def _do_triggerStatus(self, command: messages.Command, connector: Connector | None) -> None:
        for each in [connector] if connector else self.connectors.values():
            each.refresh(again=True)
        self.answer(command.command_id, "done")

    def _do_getLog(self, command: messages.Command, _: Connector | None) -> None:
        self.answer(command.command_id, "rejected", "unsupported")

    def _do_unlock(self, command: messages.Command, connector: Connector | None) -> None:
        assert connector is not None
        stuck = any(fault.code == "connector-lock" for fault in connector.active)
        if not stuck:
            connector.unplug_now()
        self.answer(command.command_id, "failed" if stuck else "done")

    def _do_setAvailability(self, command: messages.Command, connector: Connector | None) -> None:
        try:
            wanted = msgspec.json.decode(command.args["available"], type=bool)
        except (KeyError, msgspec.DecodeError):
            self.answer(command.command_id, "rejected", "args.available: true or false")
            return
        for each in [connector] if connector else self.connectors.values():
            each.out_of_service = not wanted
            each.refresh()
        self.answer(command.command_id, "done")

    def _do_startTest(self, command: messages.Command, connector: Connector | None) -> None:
        assert connector is not None
        if not self.test_charge(connector, command.command_id):
            self.answer(command.command_id, "failed", "it does not start")
            return
        self.answer(command.command_id, "accepted")

    def test_charge(self, connector: Connector, id: str) -> bool:
        """Plug in a test load; whether it could be tried at all."""
        if connector.phase is Status.FINISHING:
            connector.unplug_now()
        power = min(connector.limit_w, 2000.0)
        visit = Visit(0, power, 2 * TEST_WH, 1.0, 2.0, 50.0, by_card=True, test=id[:64])
        return connector.come(visit)
