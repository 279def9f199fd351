"""The OCPP gateway on a real broker and database, with charge points on raw websockets."""

import json
import uuid
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from websockets.exceptions import ConnectionClosed, InvalidStatus

from pilewatch.store.pool import connect
from tests.ingest.conftest import running, settings_for, wait_until
from tests.ocpp.conftest import basic, ears, gateway, pile
from tests.parts import Mosquitto

BOOT16 = {"chargePointVendor": "Alfen BV", "chargePointModel": "ICU", "firmwareVersion": "#1:3"}
BOOT201 = {
    "reason": "PowerUp",
    "chargingStation": {"model": "M", "vendorName": "V", "firmwareVersion": "1"},
}


def now() -> str:
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")


def status(port: int, word: str, error: str = "NoError", **more: Any) -> dict[str, Any]:
    return {"connectorId": port, "status": word, "errorCode": error, "timestamp": now(), **more}


def test_a_walk_in_1_6(database: str, mosquitto: Mosquitto) -> None:
    port = mosquitto.port
    with gateway(database, port) as hall, ears(port) as heard:
        with pile(hall.port) as p:
            said = p.call("BootNotification", BOOT16)
            assert (said["status"], said["interval"]) == ("Accepted", 60)
            told = heard.next("C1 online", vendor="Alfen BV")
            assert told["online"] and told["firmware"] == "#1:3" and told["heartbeatS"] == 60
            assert p.call("Heartbeat", {})["currentTime"].endswith("Z")
            heard.next("C1 heartbeat")
            assert p.call("StatusNotification", status(1, "Preparing")) == {}
            assert heard.next("C1 status/1", status="preparing")["errors"] == []
            assert p.call("Authorize", {"idTag": "SECRET"}) == {"idTagInfo": {"status": "Accepted"}}
            start = {"connectorId": 1, "idTag": "SECRET", "meterStart": 1000, "timestamp": now()}
            begun = p.call("StartTransaction", start)
            assert p.call("StartTransaction", start)["transactionId"] == begun["transactionId"]
            id = begun["transactionId"]
            assert heard.next("C1 session", phase="started")["sessionId"] == str(id)
            p.call("StatusNotification", status(1, "Charging"))
            sampled = [
                {"value": "3.62", "measurand": "Power.Active.Import", "unit": "kW"},
                {"value": "1.5", "unit": "kWh"},
                {"value": "230", "measurand": "Voltage", "phase": "L1-N"},
                {"value": "3", "measurand": "Voltage", "phase": "L2-N"},
                {"value": "48", "measurand": "Temperature", "location": "Outlet"},
                {"value": "90", "measurand": "Temperature", "location": "EV"},
            ]
            values = {"connectorId": 1, "transactionId": id,
                      "meterValue": [{"timestamp": now(), "sampledValue": sampled}]}  # fmt: skip
            assert p.call("MeterValues", values) == {}
            meter = heard.next("C1 meter", sessionId=str(id))
            figures = {"powerW": 3620.0, "energyWh": 1500.0, "voltageV": 3.0, "temperatureC": 48.0}
            assert figures.items() <= meter.items()
        heard.next("C1 online", online=False)
        with pile(hall.port) as p:  # the connection broke; the transaction goes on
            heard.next("C1 online", online=True)
            stop = {"transactionId": id, "meterStop": 3500, "timestamp": now()}
            assert p.call("StopTransaction", {**stop, "reason": "EVDisconnected"}) == {}
            ended = heard.next("C1 session", phase="ended", sessionId=str(id))
            assert (ended["energyWh"], ended["reason"]) == (2500.0, "EVDisconnected")
            fault = status(1, "Faulted", "GroundFailure", info="RCD", vendorErrorCode="E-21")
            p.call("StatusNotification", fault)
            told = heard.next("C1 status/1", status="faulted")
            right = {"code": "ground-fault", "vendorCode": "E-21", "info": "RCD"}
            assert told["errors"] == [right]
            for action, payload in (
                ("FirmwareStatusNotification", {"status": "Installed"}),
                ("DiagnosticsStatusNotification", {"status": "Uploaded"}),
                ("LogStatusNotification", {"status": "Uploaded", "requestId": 1}),
                ("SecurityEventNotification", {"type": "TamperDetectionActivated",
                                               "timestamp": now()}),
            ):  # fmt: skip
                assert p.call(action, payload) == {}
            assert p.call("DataTransfer", {"vendorId": "x"}) == {"status": "UnknownVendorId"}


def test_a_walk_in_2_0_1(database: str, mosquitto: Mosquitto) -> None:
    port = mosquitto.port
    with gateway(database, port) as hall, ears(port) as heard:
        with pile(hall.port, "C2", "ocpp2.0.1") as p:
            assert p.call("BootNotification", BOOT201)["status"] == "Accepted"
            heard.next("C2 online", model="M")
            place = {"evseId": 2, "connectorId": 1, "timestamp": now()}
            p.call("StatusNotification", {**place, "connectorStatus": "Occupied"})
            heard.next("C2 status/2", status="preparing")
            token = {"idToken": "SECRET", "type": "ISO14443"}
            said = p.call("Authorize", {"idToken": token})
            assert said == {"idTokenInfo": {"status": "Accepted"}}

            def event(kind: str, seq: int, wh: int, **info: Any) -> dict[str, Any]:
                return {
                    "eventType": kind, "timestamp": now(), "triggerReason": "Authorized",
                    "seqNo": seq, "transactionInfo": {"transactionId": "tx", **info},
                    "meterValue": [{"timestamp": now(), "sampledValue": [{"value": wh}]}],
                }  # fmt: skip

            begun = event("Started", 0, 500, chargingState="Charging")
            said = p.call("TransactionEvent", {**begun, "evse": {"id": 2}, "idToken": token})
            assert said == {"idTokenInfo": {"status": "Accepted"}}
            heard.next("C2 session", phase="started", sessionId="tx", connector=2)
            heard.next("C2 status/2", status="charging")
            assert p.call("TransactionEvent", event("Updated", 1, 900)) == {}
            heard.next("C2 meter", energyWh=900.0)
        with pile(hall.port, "C2", "ocpp2.0.1") as p:
            p.call("TransactionEvent", event("Ended", 2, 1700, stoppedReason="EVDisconnected"))
            assert heard.next("C2 session", phase="ended")["energyWh"] == 1200.0
            fault = {
                "eventId": 1, "timestamp": now(), "trigger": "Alerting", "actualValue": "true",
                "techCode": "E01", "eventNotificationType": "HardWiredNotification",
                "component": {"name": "TokenReader"}, "variable": {"name": "Problem"},
            }  # fmt: skip
            p.call("StatusNotification", {**place, "connectorStatus": "Available"})
            heard.next("C2 status/2", status="available")
            events = {"generatedAt": now(), "seqNo": 0, "eventData": [fault]}
            assert p.call("NotifyEvent", events) == {}
            told = heard.next("C2 status/2", status="available")
            assert told["errors"] == [{"code": "reader-failure", "vendorCode": "E01"}]
            gone = {**fault, "cleared": True, "actualValue": "false"}
            p.call("NotifyEvent", {**events, "eventData": [gone]})
            assert heard.next("C2 status/2", status="available")["errors"] == []


def test_what_the_whole_charger_says_holds_for_each_connector(
    database: str, mosquitto: Mosquitto
) -> None:
    with (
        gateway(database, mosquitto.port) as hall,
        ears(mosquitto.port) as heard,
        pile(hall.port, "C2") as p,
    ):
        for number in (1, 2):
            p.call("StatusNotification", status(number, "Available"))
        p.call("StatusNotification", status(0, "Faulted", "OtherError", vendorErrorCode="CX008"))
        for number in (1, 2):
            told = heard.next(f"C2 status/{number}", status="faulted")
            assert told["errors"] == [{"code": "emergency-stop", "vendorCode": "CX008"}]
        p.call("StatusNotification", status(0, "Available"))
        for number in (1, 2):
            assert heard.next(f"C2 status/{number}", status="available")["errors"] == []


def test_commands_are_obeyed_once_and_their_end_is_told(
    database: str, mosquitto: Mosquitto
) -> None:
    with gateway(database, mosquitto.port) as hall, ears(mosquitto.port) as heard:
        with pile(hall.port) as p:
            p.call("BootNotification", BOOT16)
            unlock = heard.command("C1", name="unlock", connector=2)
            id, asked = p.is_asked("UnlockConnector")
            assert asked == {"connectorId": 2}
            p.answers(id, {"status": "NotSupported"})
            told = heard.next("C1 result", commandId=unlock)
            assert (told["outcome"], told["detail"]) == ("rejected", "unsupported")
            test = heard.command("C1", name="startTest", connector=1)
            id, asked = p.is_asked("RemoteStartTransaction")
            p.answers(id, {"status": "Accepted"})
            heard.next("C1 result", commandId=test, outcome="accepted")
            card = asked["idTag"]
            begun = {"connectorId": 1, "idTag": card, "meterStart": 0, "timestamp": now()}
            p.call("StartTransaction", begun)
            heard.next("C1 result", commandId=test, outcome="done")
            late = heard.command("C1", name="reset", expiresAt="2024-01-01T00:00:00Z")
            assert heard.next("C1 result", commandId=late)["detail"] == "expired"
            reset = heard.command("C1", name="reset")
            id, asked = p.is_asked("Reset")
            assert asked == {"type": "Soft"}
            p.answers(id, {"status": "Accepted"})
            heard.next("C1 result", commandId=reset, outcome="accepted")
        with pile(hall.port) as p:
            p.call("BootNotification", BOOT16)
            heard.next("C1 result", commandId=reset, outcome="done")
        with pile(hall.port, "C2", "ocpp2.0.1") as p:
            p.call("BootNotification", BOOT201)
            heard.command("C2", name="setAvailability", connector=2, args={"available": False})
            id, asked = p.is_asked("ChangeAvailability")
            right = {"operationalStatus": "Inoperative", "evse": {"id": 2, "connectorId": 1}}
            assert asked == right
            p.answers(id, {"status": "Accepted"})
            heard.next("C2 result", outcome="done")


def test_who_may_come_in(database: str, mosquitto: Mosquitto) -> None:
    with gateway(database, mosquitto.port) as hall:
        for charger, header, code in (
            ("C1", {}, 401),
            ("C1", basic("C1", "wrong"), 401),
            ("C1", basic("C2"), 401),
            ("C9", basic("C9"), 404),
            ("a%20b", basic("a b"), 404),
        ):
            with (
                pytest.raises(InvalidStatus) as refused,
                pile(hall.port, charger, additional_headers=header),
            ):
                pass
            assert refused.value.response.status_code == code
        with pytest.raises(InvalidStatus) as refused, pile(hall.port, protocol="ocpp1.5"):
            pass
        assert refused.value.response.status_code == 400
    with (
        gateway(database, mosquitto.port, unknown="quarantine") as hall,
        ears(mosquitto.port) as heard,
        pile(hall.port, "C9") as p,
    ):
        assert p.call("BootNotification", BOOT16)["status"] == "Accepted"
        heard.next("C9 online", vendor="Alfen BV")


def test_a_full_house_takes_nobody_in_and_a_free_place_is_taken(
    database: str, mosquitto: Mosquitto
) -> None:
    with gateway(database, mosquitto.port, max_connections=1) as hall:
        with pile(hall.port) as p:
            assert "currentTime" in p.call("Heartbeat", {})
            with pytest.raises(InvalidStatus) as refused, pile(hall.port, "C2"):
                pass
            assert refused.value.response.status_code == 503
        wait_until(lambda: not hall._here)
        with pile(hall.port, "C2") as p:
            assert "currentTime" in p.call("Heartbeat", {})


def test_the_newest_connection_of_a_charger_wins(database: str, mosquitto: Mosquitto) -> None:
    with gateway(database, mosquitto.port) as hall, ears(mosquitto.port) as heard:
        with pile(hall.port) as old, pile(hall.port) as new:
            with pytest.raises(ConnectionClosed):
                old.socket.recv(timeout=10)
            new.call("StatusNotification", status(1, "Available"))
            heard.next("C1 status/1")
            assert not any(body.get("online") is False for _, body in heard.heard)
        heard.next("C1 online", online=False)


def test_frames_outside_the_standard_are_refused_and_kept(
    database: str, mosquitto: Mosquitto
) -> None:
    bad: list[tuple[str | bytes, str]] = [
        ("nonsense", "FormationViolation"),
        (b"\xff\xfe", "FormationViolation"),
        ("[" * 5000, "FormationViolation"),
        ('[2,"1","Heartbeat"]', "FormationViolation"),
        ('[2,"1","../../../etc/passwd",{}]', "NotImplemented"),
        ('[2,"1","SignCertificate",{"csr":"x"}]', "NotSupported"),
        ('[2,"1","Authorize",{"idTag":"' + "SECRET" * 9 + '"}]', "PropertyConstraintViolation"),
        ('[2,"1","StatusNotification",{"status":"Available"}]', "OccurenceConstraintViolation"),
        ('[2,"1","Heartbeat",{"x":"' + "y" * 300_000 + '"}]', "FormationViolation"),
    ]
    with gateway(database, mosquitto.port) as hall, pile(hall.port) as p:
        for data, code in bad:
            found = p.raw(data)
            assert (found[0], found[2]) == (4, code), data[:50]
        p.socket.send(b'[2,"\xff', text=True)
        assert p.hear()[2] == "FormationViolation"
        assert "currentTime" in p.call("Heartbeat", {})

        def kept() -> list[dict[str, Any]]:
            with connect(database, application="t") as db:
                return db.execute("SELECT * FROM quarantine WHERE charger_code = 'C1'").fetchall()

        wait_until(lambda: len(kept()) == len(bad) + 1)
        assert not any(b"SECRET" in row["payload"] for row in kept())
        assert all("SECRET" not in row["reason"] for row in kept())


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3)
    ),
    max_leaves=8,
)
FRAMES = st.one_of(
    st.binary(max_size=200),
    st.builds(
        lambda *parts: json.dumps(parts).encode(),
        st.sampled_from([2, 3, 4, 5, "2"]) | JSON,
        st.text(max_size=40),
        st.sampled_from(["BootNotification", "StatusNotification", "MeterValues", "x"]) | JSON,
        JSON,
    ),
)


def test_no_frame_ends_a_connection_or_disturbs_another(
    database: str, mosquitto: Mosquitto
) -> None:
    with (
        gateway(database, mosquitto.port) as hall,
        pile(hall.port) as hostile,
        pile(hall.port, "C2", "ocpp2.0.1") as other,
    ):

        @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
        @given(FRAMES)
        def attack(data: bytes) -> None:
            hostile.socket.send(data)

        attack()
        mark = uuid.uuid4().hex
        hostile.socket.send(json.dumps([2, mark, "Heartbeat", {}]))
        while hostile.hear()[1] != mark:
            pass
        assert "currentTime" in other.call("Heartbeat", {})


def test_a_stop_is_answered_only_when_the_broker_has_it(
    database: str, parts_folder: Any, tmp_path: Any, mosquitto: Mosquitto
) -> None:
    broker = Mosquitto(parts_folder / f"ocpp-{tmp_path.name}").start()
    try:
        with gateway(database, broker.port, answer_s=0.5) as hall, pile(hall.port) as p:
            start = {"connectorId": 1, "idTag": "x", "meterStart": 0, "timestamp": now()}
            id = p.call("StartTransaction", start)["transactionId"]
            broker.kill()
            stop = {"transactionId": id, "meterStop": 900, "timestamp": now()}
            assert p.call("StopTransaction", stop) == "InternalError"
            assert p.call("BootNotification", BOOT16)["status"] == "Accepted"
            broker.start()
            with ears(broker.port) as heard:
                wait_until(lambda: p.call("StopTransaction", stop) == {})
                assert heard.next("C1 session", phase="ended")["energyWh"] == 900.0
    finally:
        broker.stop()


def test_what_a_charger_says_arrives_in_the_database_and_a_restart_knows_its_transaction(
    database: str, mosquitto: Mosquitto
) -> None:
    with running(settings_for(database, mosquitto.port)):
        with gateway(database, mosquitto.port) as hall, pile(hall.port) as p:
            p.call("BootNotification", BOOT16)
            p.call("StatusNotification", status(1, "Charging"))
            start = {"connectorId": 1, "idTag": "x", "meterStart": 100, "timestamp": now()}
            id = p.call("StartTransaction", start)["transactionId"]
        with gateway(database, mosquitto.port) as hall, pile(hall.port) as p:
            p.call("StopTransaction", {"transactionId": id, "meterStop": 800, "timestamp": now()})

        def session() -> Any:
            with connect(database, application="t") as db:
                found = "SELECT energy_wh, ended_at FROM charging_session WHERE session_id = %s"
                return db.execute(found, (str(id),)).fetchone()

        wait_until(lambda: (row := session()) is not None and row["ended_at"] is not None)
        assert session()["energy_wh"] == 700
        with connect(database, application="t") as db:
            assert db.execute("SELECT * FROM quarantine WHERE charger_code = 'C1'").fetchall() == []
            row = db.execute(
                "SELECT s.vendor FROM charger_state s JOIN charger c ON c.id = s.charger_id "
                "WHERE c.code = 'C1'"
            ).fetchone()
            assert row == {"vendor": "Alfen BV"}
