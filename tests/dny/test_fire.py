"""A fire that a cabinet tells as bytes in MQTT, all the way to a ticket that lasts."""

from datetime import UTC, datetime, timedelta

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from alerts.engine import Engine
from pilewatch.dny import fields
from pilewatch.dny.fields import Fields
from pilewatch.dny.frames import Frame, build
from pilewatch.policy import load_policy
from pilewatch.store.pool import connect
from tests.dny.parts import COMMAND, shown
from tests.ingest.conftest import running, wait_until
from tests.ingest.conftest import settings_for as ingest_settings
from tests.parts import Mosquitto

pytestmark = pytest.mark.mosquitto


@pytest.mark.parametrize("topic", ["dny/m1/up/raw", "pilewatch/v1/dny-11220795/up/raw"])
def test_a_fire_told_by_raw_mqtt_is_a_ticket_that_the_next_heartbeat_does_not_close(
    url: str, mosquitto: Mosquitto, topic: str
) -> None:
    modem = 0x04AB373B
    beat = fields.Heartbeat(voltage=2200, ports=2, status=(0, 0))

    def send(*said: Fields) -> None:
        frames = [Frame(modem, n, COMMAND[type(one)], one.write()) for n, one in enumerate(said)]
        client.publish(topic, b"".join(map(build, frames)), 1).wait_for_publish(10)

    with connect(url, application="test") as db:
        engine = Engine(db, load_policy(None))

        def look(seconds: float) -> list[dict[str, object]]:
            while engine.turn(datetime.now(UTC) + timedelta(seconds=seconds)):
                pass
            return db.execute(
                "SELECT i.code, t.severity, t.state FROM incident i JOIN ticket t ON t.id = "
                "i.ticket_id"
            ).fetchall()

        client = mqtt.Client(CallbackAPIVersion.VERSION2)
        client.connect("127.0.0.1", mosquitto.port)
        client.loop_start()
        try:
            with running(ingest_settings(url, mosquitto.port)):
                send(beat)
                wait_until(lambda: shown(url, "E1") == [("available", [])] * 2)
                send(fields.Alarm(kind=4, port=1))
                wait_until(lambda: look(0) != [], 20)
                opened = look(0)
                assert {row["code"] for row in opened} == {"smoke-fire"}
                assert len(opened) == 1, "one cabinet burns once"
                send(beat)
                wait_until(lambda: shown(url, "E1") == [("available", [])] * 2)
                for later in (1, 61, 3600):
                    (still,) = look(later)
                    assert still["state"] not in ("verified", "closed")
        finally:
            client.disconnect()
            client.loop_stop()
