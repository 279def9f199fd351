"""A community of cabinets that speak DNY, without hardware, through everything to the incident."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from alerts.engine import Engine
from ingest.ebike.gateway import Gateway
from pilewatch.dny import fields
from pilewatch.dny.fields import read_fields
from pilewatch.dny.frames import Frame
from pilewatch.policy import load_policy
from pilewatch.store.pool import connect
from pilewatch.store.registry import load_registry
from simulator.cabinets import Cabinet, Told
from simulator.community import Community, build, give_devices, write_registry_file
from simulator.live import Live
from simulator.messages import Sent
from simulator.modems import physical_id
from simulator.scenario import Demand, Faults, Scenario, Use, read_scenario
from simulator.world import World
from tests.dny.parts import ask, gateway, settings_for, shown
from tests.ingest.conftest import running, wait_until
from tests.ingest.conftest import settings_for as ingest_settings
from tests.parts import Mosquitto

START = datetime(2026, 5, 1, 10, tzinfo=UTC)
COMMUNITY = Community(prefix="D", grids=1, sites=1, ebike=2, car=0, ports=(16, 16), gateways=1.0)
SCENARIO = Scenario(
    community=COMMUNITY,
    protocol="dny",
    demand=Demand(ebike=Use(per_day=200, energy_wh=(40, 90))),
    faults=Faults(rates={}),
    heartbeat_s=5,
    meter_s=2,
)


class Heard:
    """A world whose cabinets' frames are kept."""

    def __init__(self) -> None:
        self.registry = build(COMMUNITY)
        give_devices(self.registry)
        self.world = World(SCENARIO, self.registry, 1, START, repairs=False)
        self.cabinets = {
            code: Cabinet(physical_id(row), len(row.plugs()))
            for code, row in self.registry.chargers.items()
        }
        self.frames: list[Frame] = []

    def until(self, seconds: float) -> "Heard":
        for item in self.world.run(seconds):
            if isinstance(item, Sent):
                self.frames += self.cabinets[item.charger].speak(item, has_host=True)
        return self

    def said(self, kind: type) -> list[object]:
        read = [read_fields(frame.command, frame.data) for frame in self.frames]
        return [each for each in read if isinstance(each, kind)]


def test_cabinets_of_a_community_have_kinds_and_numbers_of_their_own() -> None:
    heard = Heard()
    ids = [cabinet.physical_id for cabinet in heard.cabinets.values()]
    assert [id >> 24 for id in ids] == [6, 6]
    assert len({*ids, *(g.device for g in heard.registry.gateways.values())}) == 3


def test_a_cabinet_registers_beats_measures_and_settles() -> None:
    heard = Heard().until(1800)
    assert all(isinstance(each, fields.Register) for each in heard.said(fields.Register))
    assert len(heard.said(fields.Register)) == 2
    beats = heard.said(fields.Heartbeat)
    assert any(1 in beat.status for beat in beats)  # type: ignore[attr-defined]
    powers = heard.said(fields.PortPower)
    assert max(power.power for power in powers) > 500  # type: ignore[attr-defined]
    settled = heard.said(fields.Settlement)
    assert any(each.energy > 2 and each.stop == 1 for each in settled)  # type: ignore[attr-defined]
    kept = {id: f for c in heard.cabinets.values() for id, f in c.unsettled.items()}
    assert kept, "settlements wait for their answer"
    cabinet = next(c for c in heard.cabinets.values() if c.unsettled)
    frame = next(iter(cabinet.unsettled.values()))
    list(cabinet.hear(frame._replace(data=b"\0"), START))
    assert frame.message_id not in cabinet.unsettled


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("smoke-fire", fields.Alarm(kind=4)),
        ("water-ingress", fields.Alarm(kind=2)),
        ("tilt-impact", fields.Alarm(kind=7)),
    ],
)
def test_a_cabinet_s_danger_is_one_alarm(code: str, expected: fields.Alarm) -> None:
    heard = Heard().until(60)
    heard.world.inject(code, "D-E0001")
    heard.until(600)
    assert heard.said(fields.Alarm) == [expected]


def test_what_the_family_has_a_number_for_is_that_number() -> None:
    heard = Heard().until(60)
    heard.world.inject("short-circuit", "D-E0001", 3)
    heard.until(400)
    beats = [b for b in heard.said(fields.Heartbeat) if b.status[2] == 0x0D]  # type: ignore[attr-defined]
    assert beats


def test_an_order_to_start_goes_to_the_charger_and_its_result_comes_back() -> None:
    heard = Heard().until(60)
    code, cabinet = next(iter(heard.cabinets.items()))
    free = next(n for n, c in heard.world.chargers[code].connectors.items() if not c.plugged)
    order = fields.StartOrder(
        rate=0, balance=0, port=free - 1, start=1, amount=600, order=bytes(range(16))
    )
    sent = Frame(cabinet.physical_id, 77, fields.START, order.write())
    (told,) = cabinet.hear(sent, START)
    assert isinstance(told, Told)
    heard.world.command(code, told.payload)
    heard.frames.clear()
    heard.until(2400)
    (answer,) = [f for f in heard.frames if f.command == fields.START]
    assert answer.message_id == 77
    assert fields.StartAnswer.read(answer.data).answer == 0  # type: ignore[attr-defined]
    orders = [s.order for s in heard.said(fields.Settlement)]  # type: ignore[attr-defined]
    assert bytes(range(16)) in orders


# --- the whole way


@contextmanager
def _playing(live: Live) -> Iterator[Live]:
    thread = threading.Thread(target=live.run)
    thread.start()
    try:
        yield live
    finally:
        live.stop()
        thread.join(30)
        assert not thread.is_alive()


@contextmanager
def _community(url: str, mosquitto: Mosquitto, folder: Path) -> Iterator[tuple[Live, Gateway]]:
    registry = build(COMMUNITY)
    give_devices(registry)
    write_registry_file(registry, folder / "registry.yaml")
    with connect(url, application="test") as db:
        load_registry(db, folder / "registry.yaml")
    settings = settings_for(url, mosquitto.port, heartbeat_s=10)
    with running(ingest_settings(url, mosquitto.port)), gateway(settings) as made:
        wait_until(lambda: made.publisher.up)
        live = Live(
            SCENARIO, registry, 3, settings.mqtt, repairs=False, modems=("127.0.0.1", made.port)
        )
        with _playing(live):
            yield live, made


@pytest.mark.mosquitto
def test_a_community_of_cabinets_runs_without_hardware_and_its_faults_become_incidents(
    plain_database_url: str, mosquitto: Mosquitto, tmp_path: Path
) -> None:
    url = plain_database_url
    with _community(url, mosquitto, tmp_path) as (live, made):
        wait_until(lambda: len(shown(url, "D-E0001")) == 16 == len(shown(url, "D-E0002")), 60)
        assert len(made.desk.devices) == 3, "two cabinets and their host, over one modem"
        assert made.metrics.modems._value.get() == 1
        live.inject("short-circuit", "D-E0001", 3)
        live.inject("tilt-impact", "D-E0002")
        wait_until(lambda: "short-circuit" in shown(url, "D-E0001")[2][1], 60)
        wait_until(lambda: any("tilt-impact" in c for _, c in shown(url, "D-E0002")), 60)
        with connect(url, application="test") as db:
            engine = Engine(db, load_policy(None))

            def opened() -> set[str]:
                while engine.turn(datetime.now(UTC)):
                    pass
                rows = db.execute("SELECT code FROM incident WHERE phase = 'open'").fetchall()
                return {row["code"] for row in rows}

            wait_until(lambda: {"short-circuit", "tilt-impact"} <= opened(), 60)
        falls = ask(url, "SELECT id FROM incident WHERE code = 'tilt-impact'")
        assert len(falls) == 1


def test_a_scenario_file_may_ask_for_the_protocol(tmp_path: Path) -> None:
    file = tmp_path / "scenario.yaml"
    file.write_text("protocol: dny\ncommunity: {ebike: 3, car: 1, gateways: 1}\n")
    scenario, registry = read_scenario(file)
    assert scenario.protocol == "dny"
    devices = [row.device for row in registry.chargers.values() if row.kind == "ebike"]
    assert len(set(devices)) == 3 and None not in devices
    assert all(row.device is None for row in registry.chargers.values() if row.kind == "car")
