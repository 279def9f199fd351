"""From a published message to rows, state and events, on real brokers and real databases."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from deploy.embedded import EmbeddedBroker
from pilewatch.store.pool import Db, connect
from tests.ingest.conftest import publisher, running, settings_for, wait_until
from tests.parts import Mosquitto

UP = "pilewatch/v1/C1/up"


def _count(db: Db, table: str) -> int:
    row = db.execute(f"SELECT count(*) AS n FROM {table}").fetchone()
    assert row is not None
    return int(row["n"])


def _at(seconds: float = 0) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


def _status(status: str, seconds: float = 0, **more: Any) -> str:
    return json.dumps({"at": _at(seconds), "connector": 1, "status": status, **more})


@pytest.fixture(params=["mosquitto-5", "mosquitto-3.1.1", "embedded-3.1.1"])
def broker(request: pytest.FixtureRequest) -> tuple[int, str]:
    """Port and MQTT version of each way to reach a broker."""
    name, version = request.param.split("-")
    part: Mosquitto | EmbeddedBroker = request.getfixturevalue(
        "mosquitto" if name == "mosquitto" else "embedded_broker"
    )
    return part.port, version


def test_messages_become_history_state_and_events(registered: str, broker: tuple[int, str]) -> None:
    port, version = broker
    settings = settings_for(registered, port, version)
    with connect(registered, application="t") as db, running(settings), publisher(port) as pile:
        pile.send(f"{UP}/online", json.dumps({"online": True, "at": _at(), "heartbeatS": 10}))
        pile.send(f"{UP}/status/1", _status("available", -3, seq=1))
        pile.send(
            f"{UP}/status/1",
            _status("faulted", -2, seq=2, errors=[{"code": "over-temperature", "vendorCode": "E"}]),
        )
        meter = {"at": _at(-1), "connector": 1, "powerW": 300.5, "energyWh": 10}
        pile.send(f"{UP}/meter", json.dumps(meter))
        pile.send(f"{UP}/meter", json.dumps({**meter, "at": _at(), "powerW": 299}))
        ended = {"at": _at(), "connector": 2, "sessionId": "x", "phase": "ended", "energyWh": 120}
        pile.send(f"{UP}/session", json.dumps(ended))
        wait_until(lambda: _count(db, "observation") == 6)
        state = db.execute(
            "SELECT s.* FROM connector_state s JOIN connector n ON n.id = s.connector_id "
            "WHERE n.number = 1 AND n.max_power_w IS NULL ORDER BY n.id LIMIT 1"
        ).fetchone()
        assert state is not None
        assert state["status"] == "faulted"
        assert state["errors"] == [{"code": "over-temperature", "vendorCode": "E"}]
        assert (state["power_w"], state["energy_wh"]) == (299, 10)
        events = db.execute("SELECT kind, payload FROM event ORDER BY id").fetchall()
        assert [e["payload"].get("status") for e in events if e["kind"] == "connector.status"] == [
            "available",
            "faulted",
        ]
        session = db.execute("SELECT * FROM charging_session").fetchone()
        assert session is not None and session["energy_wh"] == 120


def test_repeats_are_ignored_and_late_ones_do_not_turn_state_back(
    registered: str, mosquitto: Mosquitto
) -> None:
    settings = settings_for(registered, mosquitto.port)
    with (
        connect(registered, application="t") as db,
        running(settings) as ingester,
        publisher(mosquitto.port) as pile,
    ):
        new, old = _status("charging", 0, seq=9), _status("available", -60, seq=8)
        pile.send(f"{UP}/status/1", new)
        wait_until(lambda: _count(db, "observation") == 1)
        for payload in (new, old, new, old):
            pile.send(f"{UP}/status/1", payload)
        duplicates = ingester.metrics.messages.labels("duplicate")._value
        wait_until(lambda: duplicates.get() == 3)
        assert _count(db, "observation") == 2
        row = db.execute("SELECT status FROM connector_state WHERE status_at IS NOT NULL")
        assert row.fetchall() == [{"status": "charging"}]
        assert _count(db, "event") == 1


BAD: list[tuple[str, bytes, str]] = [
    (f"{UP}/status/1", b"hello", "not JSON"),
    (f"{UP}/status/1", b'{"connector":"x","status":"available"}', "Expected `int`"),
    (f"{UP}/status/1", b'{"connector":1,"status":"broken"}', "right would be one of available"),
    (f"{UP}/status/2", b'{"connector":1,"status":"available"}', "topic ends with port '2'"),
    (f"{UP}/meter", b'{"connector":1,"powerW":NaN}', "not JSON"),
    (f"{UP}/meter", b'{"connector":1,"powerW":1e999}', "powerW"),
    (f"{UP}/meter", b'{"connector":1,"charger":"C2"}', "only under its own id"),
    (f"{UP}/meter", b'{"connector":1,"sessionId":"\xff\xfe"}', "not UTF-8"),
    (f"{UP}/meter", b'{"connector":1,"sessionId":"\\ud800"}', ""),
    (f"{UP}/meter", b'{"connector":1,"sessionId":"a\\u0000b"}', "\\u0000"),
    (f"{UP}/meter", b" " * 10_000_000, "10000000 bytes"),
    (f"{UP}/meter", b'{"connector":77}', "connector 77 of charger C1 is not registered"),
    ("pilewatch/v1/C9/up/heartbeat", b"{}", "charger C9 is not registered"),
    (f"{UP}/nonsense", b"{}", "kind 'nonsense'"),
    ("pilewatch/v1/a b/up/heartbeat", b"{}", "charger id 'a b'"),
    (f"{UP}/meter", b"[" * 15_000, "payload"),
]


def test_bad_input_is_kept_with_its_reason_and_good_input_beside_it_is_stored(
    registered_plain: str, mosquitto: Mosquitto
) -> None:
    settings = settings_for(registered_plain, mosquitto.port)
    with (
        connect(registered_plain, application="t") as db,
        running(settings),
        publisher(mosquitto.port) as pile,
    ):
        for place, (topic, payload, _) in enumerate(BAD):
            pile.send(topic, payload)
            pile.send(f"{UP}/meter", json.dumps({"at": _at(-place), "connector": 1, "powerW": 1}))
        wait_until(lambda: _count(db, "quarantine") == len(BAD))
        wait_until(lambda: _count(db, "observation") == len(BAD))
        rows = db.execute("SELECT topic, reason, size, payload FROM quarantine ORDER BY id")
        for row, (topic, payload, reason) in zip(rows.fetchall(), BAD, strict=True):
            assert row["topic"] == topic
            assert reason in row["reason"]
            assert row["size"] == len(payload)
            assert row["payload"] == payload[:4096]
        unknown = db.execute("SELECT code FROM unknown_charger").fetchall()
        assert unknown == [{"code": "C9"}]


@pytest.mark.parametrize("at", ["1970-01-01T00:00:00Z", "2099-01-01T00:00:00+08:00", None])
def test_an_absurd_clock_is_replaced_by_ours_and_noticed_once(
    registered_plain: str, mosquitto: Mosquitto, at: str | None
) -> None:
    settings = settings_for(registered_plain, mosquitto.port)
    with (
        connect(registered_plain, application="t") as db,
        running(settings),
        publisher(mosquitto.port) as pile,
    ):
        for seq in range(3):
            said = {"connector": 1, "status": "available", "seq": seq}
            pile.send(f"{UP}/status/1", json.dumps({**said, "at": at} if at else said))
        wait_until(lambda: _count(db, "observation") == 3)
        rows = db.execute("SELECT observed_at, received_at FROM observation").fetchall()
        assert all(r["observed_at"] == r["received_at"] for r in rows)
        notices = db.execute("SELECT FROM event WHERE kind = 'charger.clock'").fetchall()
        assert len(notices) == 1


def test_the_last_will_says_offline_and_the_next_word_says_online(
    registered: str, mosquitto: Mosquitto
) -> None:
    settings = settings_for(registered, mosquitto.port)
    with (
        connect(registered, application="t") as db,
        running(settings),
        publisher(mosquitto.port) as pile,
    ):
        online = json.dumps({"online": True, "at": _at(), "bootId": "b1", "heartbeatS": 10})
        pile.send(f"{UP}/online", online, retain=True)
        pile.send(f"{UP}/status/1", _status("available"))
        pile.send(f"{UP}/online", '{"online":false}', retain=True)
        wait_until(lambda: _count(db, "observation") == 3)
        now = datetime.now(UTC)
        shown = db.execute(
            "SELECT online, status, said FROM connector_now(%s) WHERE said <> 'unknown'", (now,)
        ).fetchone()
        assert shown == {"online": False, "status": "unknown", "said": "available"}
        pile.send(f"{UP}/heartbeat", json.dumps({"at": _at(), "connectors": {"1": "charging"}}))
        wait_until(lambda: _count(db, "event") >= 4)
        kinds = [r["kind"] for r in db.execute("SELECT kind FROM event ORDER BY id")]
        assert [k for k in kinds if k.startswith("charger.")] == [
            "charger.offline",
            "charger.online",
        ]
        shown = db.execute(
            "SELECT online, status FROM connector_now(%s) WHERE said <> 'unknown'",
            (datetime.now(UTC),),
        ).fetchone()
        assert shown == {"online": True, "status": "charging"}
        pile.send(f"{UP}/online", "", retain=True)  # leave nothing behind for other tests
