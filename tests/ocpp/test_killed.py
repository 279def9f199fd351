"""The OCPP gateway as a process that is killed in the middle of a transaction."""

from typing import Any

import pytest

from deploy.embedded import free_port
from pilewatch.store.pool import connect
from tests.ingest.conftest import running, settings_for, wait_until
from tests.ocpp.conftest import Pile, pile
from tests.ocpp.test_gateway import BOOT16, now, status
from tests.parts import GatewayProcess, Mosquitto

pytestmark = pytest.mark.mosquitto


def _gateway(database: str, broker: int, **settings: str) -> GatewayProcess:
    return GatewayProcess("ocpp", database, broker, SETTLE_S="30", **settings)


def _begin(p: Pile) -> int:
    assert p.call("BootNotification", BOOT16)["status"] == "Accepted"
    p.call("StatusNotification", status(1, "Preparing"))
    start = {"connectorId": 1, "idTag": "x", "meterStart": 100, "timestamp": now()}
    id = p.call("StartTransaction", start)["transactionId"]
    p.call("StatusNotification", status(1, "Charging"))
    return int(id)


def _session(database: str, id: int) -> dict[str, Any] | None:
    with connect(database, application="test") as db:
        return db.execute(
            "SELECT energy_wh, reason, ended_at FROM charging_session WHERE session_id = %s",
            (str(id),),
        ).fetchone()


def test_kill_9_in_a_transaction_loses_neither_its_start_nor_its_end(
    database: str, mosquitto: Mosquitto
) -> None:
    with running(settings_for(database, mosquitto.port)):
        with _gateway(database, mosquitto.port) as here, pile(here.port) as p:
            id = _begin(p)
            here.kill()
        wait_until(lambda: _session(database, id) is not None)
        with _gateway(database, mosquitto.port) as here, pile(here.port) as p:
            # What it saw while nobody listened, in the order of its queue (OCPP 1.6, 4.1).
            value = {"timestamp": now(), "sampledValue": [{"value": "600"}]}
            values = {"connectorId": 1, "transactionId": id, "meterValue": [value]}
            assert p.call("MeterValues", values) == {}
            stop = {"transactionId": id, "meterStop": 800, "timestamp": now(), "reason": "Local"}
            assert p.call("StopTransaction", stop) == {}
            here.kill()  # an answered end is with the broker
        wait_until(lambda: (_session(database, id) or {}).get("ended_at") is not None)
        assert (_session(database, id) or {})["energy_wh"] == 700
        with connect(database, application="test") as db:
            kept = db.execute("SELECT reason FROM quarantine").fetchall()
            counted = db.execute("SELECT count(*) AS n FROM charging_session").fetchone()
        assert kept == []
        assert counted == {"n": 1}


def test_an_unanswered_start_that_comes_again_after_kill_9_is_the_same_transaction(
    database: str, mosquitto: Mosquitto
) -> None:
    start = {"connectorId": 1, "idTag": "x", "meterStart": 100, "timestamp": now()}
    with _gateway(database, free_port(), ANSWER_S="0.3") as here, pile(here.port) as p:
        assert p.call("StartTransaction", start) == "InternalError", "no broker has it"
        here.kill()
    with connect(database, application="test") as db:
        begun = db.execute("SELECT id FROM ocpp_transaction").fetchall()
    assert len(begun) == 1
    with running(settings_for(database, mosquitto.port)):
        with _gateway(database, mosquitto.port) as here, pile(here.port) as p:
            assert p.call("StartTransaction", start)["transactionId"] == begun[0]["id"]
        wait_until(lambda: _session(database, begun[0]["id"]) is not None)


def test_a_told_gateway_ends_however_full_its_loop_is(database: str, mosquitto: Mosquitto) -> None:
    with _gateway(database, mosquitto.port) as here, pile(here.port) as p:
        for _ in range(2000):  # answers come back while it stops
            p.socket.send('[2,"1","Heartbeat",{}]')
        here.child.terminate()
        assert here.child.wait(30) == 0
