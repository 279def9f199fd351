"""The gateway with real modems' manners, a real broker, a real ingester and a real database."""

import json
import os
import socket
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from deploy.embedded import free_port
from ingest.ebike import orders
from ingest.ebike.gateway import Gateway
from pilewatch.dny import fields
from pilewatch.dny.fields import Alarm, Register
from pilewatch.dny.frames import Frame, build, read_frame
from pilewatch.store.pool import connect
from pilewatch.store.registry import BadRegistry, load_registry
from tests.dny.conftest import REGISTRY, SAMPLE
from tests.dny.parts import ORDER, Modem, ask, gateway, settings_for, settlement, shown, unix
from tests.ingest.conftest import running, wait_until
from tests.ingest.conftest import settings_for as ingest_settings
from tests.parts import GatewayProcess, Mosquitto

pytestmark = pytest.mark.mosquitto
HOST, SLAVE, OTHER = 0x0A000001, 0x06000002, 0x06000003


@pytest.fixture
def here(url: str, mosquitto: Mosquitto) -> Iterator[Gateway]:
    """A gateway and an ingester."""
    with running(ingest_settings(url, mosquitto.port)):
        settings = settings_for(url, mosquitto.port)
        with gateway(settings) as made:
            wait_until(lambda: made.publisher.up)
            yield made


def test_a_device_hears_what_keeps_it_online_and_its_ports_are_seen(
    here: Gateway, url: str
) -> None:
    modem = Modem(here.port)
    modem.socket.sendall(b"89860413161892009275link")
    modem.socket.sendall(SAMPLE["register-2-ports"][:7])
    modem.socket.sendall(SAMPLE["register-2-ports"][7:] + SAMPLE["heartbeat-2-ports"])
    assert build(modem.hear() or Frame(0, 0, 0)) == SAMPLE["register-answer"]
    assert build(modem.hear() or Frame(0, 0, 0)) == SAMPLE["heartbeat-answer"]
    for name in ("time-request", "host-time-request"):
        modem.socket.sendall(SAMPLE[name])
        told = modem.hear()
        assert told is not None and abs(unix(told.data)) < 5
        assert told._replace(data=b"") == read_frame(SAMPLE[name])
    wait_until(lambda: shown(url, "E1") == [("available", []), ("available", [])])
    modem.beat(1, 8)
    wait_until(lambda: shown(url, "E1") == [("charging", []), ("faulted", ["plug-broken"])])
    (row,) = ask(url, "SELECT firmware, heartbeat_s, boot_id FROM charger_state s "
                      "JOIN charger c ON c.id = s.charger_id WHERE c.code = 'E1'")  # fmt: skip
    assert (row["firmware"], row["heartbeat_s"]) == ("1.26", 180)
    assert row["boot_id"] is not None
    modem.socket.close()
    wait_until(lambda: shown(url, "E1") == [])


def test_slaves_behind_a_host_are_themselves_and_share_its_fire(here: Gateway, url: str) -> None:
    modem = Modem(here.port, HOST)
    modem.say(fields.HostStatus(firmware=101, clock=1, time=1, signal=20))
    for device in (SLAVE, OTHER):
        modem.beat(*[0] * 16, device=device)
    modem.say(Alarm(kind=4, port=1), device=OTHER)
    fire = [("faulted", ["smoke-fire"])] * 16
    wait_until(lambda: shown(url, "dny-3") == fire)
    assert shown(url, "E2") == [("available", [])] * 16
    measures = fields.HostMeasures(
        breaker=1, temperature=90, voltage=2200, current=0, energy=0, meter_current=0,
        meter_energy=0, smoke=1,
    )  # fmt: skip
    modem.say(measures)
    wait_until(lambda: shown(url, "E2") == fire)
    (row,) = ask(url, "SELECT rssi_dbm FROM charger_state s JOIN charger c ON c.id = s.charger_id "
                      "WHERE c.code = 'E2'")  # fmt: skip
    assert row["rssi_dbm"] == -73
    assert not ask(url, "SELECT code FROM unknown_charger"), "the host is known as a gateway"


def test_an_unknown_device_is_answered_and_shown_for_adoption(here: Gateway, url: str) -> None:
    modem = Modem(here.port, 0x06000063)
    modem.beat(0, 0)
    assert modem.hear() is not None
    wait_until(lambda: ask(url, "SELECT code FROM unknown_charger") == [{"code": "dny-99"}])


def test_a_settlement_is_answered_after_its_commit_and_counts_once(here: Gateway, url: str) -> None:
    modem = Modem(here.port)
    modem.beat(1, 0)
    assert modem.hear() is not None
    with connect(url, application="test") as db, db.transaction():
        db.execute("LOCK TABLE ebike_settlement IN ACCESS EXCLUSIVE MODE")
        sent = modem.say(settlement())
        modem.beat(1, 0)
        assert (modem.hear() or sent).command == fields.HEARTBEAT, "others are answered meanwhile"
        assert modem.hear(0.5) is None, "nothing is answered that is not committed"
        modem.say(settlement(), message=sent.message_id)
    assert modem.hear() == sent._replace(data=b"\x00")
    assert modem.hear() == sent._replace(data=b"\x00"), "a repeat wants its answer, too"
    assert len(ask(url, "SELECT id FROM ebike_settlement")) == 1
    sessions = (
        "SELECT session_id, energy_wh, reason, ended_at - started_at AS span FROM charging_session"
    )
    wait_until(lambda: ask(url, sessions))
    (session,) = ask(url, sessions)
    assert session == {"session_id": ORDER.hex(), "energy_wh": 480, "reason": "0x01 full",
                       "span": timedelta(hours=1)}  # fmt: skip
    wait_until(lambda: not ask(
        url, "SELECT id FROM ebike_settlement WHERE published_at IS NULL"
    ))  # fmt: skip
    modem.say(settlement(), message=999)
    assert modem.hear() is not None
    assert len(ask(url, "SELECT id FROM ebike_settlement")) == 1


def test_kill_9_loses_no_answered_settlement_and_no_fire(url: str, mosquitto: Mosquitto) -> None:
    nobody = free_port()
    with GatewayProcess(
        "ebike", url, nobody
    ) as first:  # no broker: what is answered can only be in the database
        modem = Modem(first.port)
        modem.beat(0, 0)
        assert modem.hear() is not None
        modem.say(Alarm(kind=4))
        modem.say(settlement())
        assert (modem.hear() or Frame(0, 0, 0)).command == fields.SETTLEMENT
        wait_until(lambda: ask(url, "SELECT code FROM ebike_held"))
        first.kill()
    with (
        running(ingest_settings(url, mosquitto.port)),
        GatewayProcess("ebike", url, mosquitto.port) as second,
    ):
        wait_until(lambda: ask(url, "SELECT session_id FROM charging_session"), 40)
        modem = Modem(second.port)
        modem.beat(0, 0)
        wait_until(lambda: shown(url, "E1") == [("faulted", ["smoke-fire"])] * 2)
        second.child.terminate()
        assert second.child.wait(20) == 0


class Broker:
    """Sends commands and hears results."""

    def __init__(self, port: int, charger: str):
        self.charger = charger
        self.results: list[tuple[str, str, str | None]] = []
        self.client = mqtt.Client(CallbackAPIVersion.VERSION2)
        self.client.on_message = self._heard
        self.client.connect("127.0.0.1", port)
        self.client.subscribe(f"pilewatch/v1/{charger}/up/result", 1)
        self.client.loop_start()

    def _heard(self, _c: object, _d: object, message: mqtt.MQTTMessage) -> None:
        said = json.loads(message.payload)
        self.results.append((said["commandId"], said["outcome"], said.get("detail")))

    def order(self, name: str, connector: int | None = None, seconds: float = 60) -> str:
        id = uuid.uuid4().hex
        now = datetime.now(UTC)
        said = {"commandId": id, "issuedAt": now.isoformat(), "name": name, "args": {},
                "expiresAt": (now + timedelta(seconds=seconds)).isoformat()}  # fmt: skip
        if connector:
            said["connector"] = connector
        payload = json.dumps(said)
        for _ in range(2):  # a repeat changes nothing
            self.client.publish(f"pilewatch/v1/{self.charger}/down/command", payload, 1)
        return id


def test_orders_go_to_the_device_one_by_one_and_their_results_come_back(
    here: Gateway, url: str, mosquitto: Mosquitto
) -> None:
    modem = Modem(here.port)
    modem.beat(0, 2)
    assert modem.hear() is not None
    wait_until(lambda: len(shown(url, "E1")) == 2)
    broker = Broker(mosquitto.port, "E1")
    test, ask_status, reset = (
        broker.order("startTest", 2), broker.order("triggerStatus"), broker.order("reset"),
    )  # fmt: skip
    late, odd = broker.order("reset", seconds=-1), broker.order("setAvailability")
    start = modem.hear()
    assert start is not None and start.command == fields.START
    told = fields.StartOrder.read(start.data)
    assert isinstance(told, fields.StartOrder)
    assert (told.start, told.port, told.amount) == (1, 1, orders.TEST_S)
    began = time.monotonic()
    answer = fields.StartAnswer(answer=0, order=told.order, port=1, waiting=0)
    modem.say(answer, message=start.message_id)
    asked = modem.hear()
    assert asked is not None and asked.command == fields.ASK
    assert time.monotonic() - began > 0.4
    modem.beat(0, 1)
    answered = time.monotonic()
    assert (modem.hear() or start).command == fields.HEARTBEAT
    boot = modem.hear()
    assert boot is not None and boot.command == fields.REBOOT
    assert time.monotonic() - answered > 0.4, "an answer is something that was sent, too"
    modem.socket.sendall(build(boot._replace(data=b"\x00")))
    modem.say(settlement(told.order, port=1, energy=6))
    modem.say(Register(firmware=126, ports=2))
    expected = {
        (test, "accepted", None), (test, "done", "60 Wh: full"), (ask_status, "done", None),
        (reset, "accepted", None), (reset, "done", "registered anew"),
        (late, "rejected", "expired"),
        (odd, "rejected", "such a device does not know setAvailability"),
    }  # fmt: skip
    wait_until(lambda: expected <= set(broker.results))
    assert len(broker.results) == len(expected)


def test_an_order_is_repeated_once_and_a_refusal_is_told(
    here: Gateway, url: str, mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(orders, "ANSWER_S", 0.7)
    modem = Modem(here.port)
    modem.beat(1, 2)
    assert modem.hear() is not None
    wait_until(lambda: len(shown(url, "E1")) == 2)
    broker = Broker(mosquitto.port, "E1")
    mute = broker.order("reset")
    once, again = modem.hear(), modem.hear()
    assert once == again and once is not None
    wait_until(lambda: (mute, "failed", "the device did not answer") in broker.results)
    stop = broker.order("unlock", 1)
    told = modem.hear()
    assert told is not None
    said = fields.StartOrder.read(told.data)
    assert isinstance(said, fields.StartOrder) and (said.start, said.port) == (0, 0)
    modem.say(fields.StartAnswer(answer=9, order=said.order, port=0), message=told.message_id)
    wait_until(lambda: (stop, "failed", "relay welded") in broker.results)
    wait_until(lambda: ("charging", ["relay-welded"]) in shown(url, "E1"))


def test_bad_neighbours_are_hung_up_on_and_the_others_served(
    url: str, mosquitto: Mosquitto
) -> None:
    settings = settings_for(url, mosquitto.port, max_connections=4, idle_s=2)
    with gateway(settings) as made:
        good = Modem(made.port)
        silent, noisy, crowd = Modem(made.port), Modem(made.port), Modem(made.port)
        late = Modem(made.port)
        assert late.hung_up(), "full"
        noisy.socket.sendall(os.urandom(4) + b"x" * 20_000)
        assert noisy.hung_up(), "garbage"
        with pytest.raises(OSError):
            for number in range(2000):
                crowd.beat(0, device=0x04000000 + number)
            assert not crowd.hung_up(), "it was: too many slaves"
            raise OSError
        good.beat(0, 0)
        assert good.hear() is not None
        until = time.monotonic() + 3
        while time.monotonic() < until:
            good.socket.sendall(b"link")
            time.sleep(0.2)  # a modem's own pace
        assert silent.hung_up(), "idle"
        good.beat(0, 0)
        assert good.hear() is not None


def test_a_modem_that_does_not_read_is_hung_up_on(url: str, mosquitto: Mosquitto) -> None:
    with gateway(settings_for(url, mosquitto.port)) as made:
        modem = Modem(made.port)
        modem.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        asked = build(Frame(0x04AB373B, 1, fields.TIME))
        ended = False
        for _ in range(4000):
            try:
                modem.socket.sendall(asked * 20)
            except OSError:
                ended = True
                break
            time.sleep(0.001)
        assert ended


def test_a_device_of_two_chargers_is_refused(plain_database_url: str, tmp_path: Path) -> None:
    file = tmp_path / "registry.yaml"
    file.write_text(REGISTRY.replace("device: dny-2}", "device: dny-1}"))
    with connect(plain_database_url, application="test") as db:
        with pytest.raises(BadRegistry, match=r"registry.yaml:7: .*'dny-1' is already that of 'H'"):
            load_registry(db, file)
        file.write_text(REGISTRY)
        load_registry(db, file)
        file.write_text(REGISTRY.replace("code: E2", "code: E9").replace("device: dny-1}", "}"))
        with pytest.raises(BadRegistry, match=r"dny-11220795|dny-2"):
            load_registry(db, file)
