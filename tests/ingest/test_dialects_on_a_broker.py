"""Chargers of other makes, from a real broker to what is known of their connectors now."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from ingest.dialects.registry import choose
from ingest.main import Ingester
from pilewatch.settings import Database, Ingest, Mqtt, Settings
from pilewatch.store.pool import Db, connect
from pilewatch.store.registry import load_registry
from tests.ingest.conftest import publisher, running, wait_until
from tests.parts import Mosquitto

REGISTRY = """\
areas: [{code: a, name: A}]
grids: [{code: g, area: a, name: G}]
sites: [{code: s, grid: g, name: S}]
chargers:
  - {code: '222162', site: s, kind: car, label: '1', connectors: 1}
  - {code: evcc, site: s, kind: car, label: '2', connectors: 2}
  - {code: pile-07, site: s, kind: ebike, label: '3', connectors: 1}
  - {code: everest_api, site: s, kind: car, label: '4', connectors: 2}
  - {code: X1, site: s, kind: ebike, label: '5', connectors: 3}
"""
MAPPING = """\
name = "acme"
heartbeat_s = 30
[[topic]]
topic = "acme/{charger}/report"
each = "/ports"
[topic.status]
from = "/st"
map = { 0 = "available", 1 = "charging", 9 = "faulted" }
[topic.faults]
from = "/flags"
bits = { 0 = "over-temperature" }
[topic.meter]
power_w = { from = "/p", unit = "kW" }
"""


def now(db: Db, charger: str) -> dict[int, tuple[str, list[str]]]:
    rows = db.execute(
        "SELECT n.number, n.status, n.errors FROM connector_now(%s) n "
        "JOIN charger c ON c.id = n.charger_id WHERE c.code = %s",
        (datetime.now(UTC), charger),
    ).fetchall()
    return {r["number"]: (r["status"], [e["code"] for e in r["errors"]]) for r in rows}


@pytest.fixture
def stage(plain_database_url: str, tmp_path: Path, mosquitto: Mosquitto) -> Settings:
    (tmp_path / "registry.yaml").write_text(REGISTRY)
    (tmp_path / "acme.toml").write_text(MAPPING)
    with connect(plain_database_url, application="test") as db:
        load_registry(db, tmp_path / "registry.yaml")
    return Settings(
        database=Database(url=plain_database_url),
        mqtt=Mqtt(host="127.0.0.1", port=mosquitto.port, client_id=tmp_path.name),
        ingest=Ingest(mappings=(tmp_path / "acme.toml",)),
    )


def test_other_makes_reach_the_state_of_their_connectors(stage: Settings) -> None:
    url, port = stage.database.url.get_secret_value(), stage.mqtt.port
    with connect(url, application="t") as db, running(stage), publisher(port) as pile:
        pile.send("go-eCharger/222162/err", "9", retain=True)
        pile.send("go-eCharger/222162/cus", "4", retain=True)
        pile.send("go-eCharger/222162/car", "5", retain=True)
        wait_until(lambda: now(db, "222162")[1][0] == "faulted")
        assert now(db, "222162")[1] == ("faulted", ["connector-lock", "relay-welded"])
        pile.send("go-eCharger/222162/err", "0", retain=True)
        pile.send("go-eCharger/222162/car", "1", retain=True)
        wait_until(lambda: now(db, "222162")[1] == ("available", ["connector-lock"]))

        for key, text in [("connected", "true"), ("charging", "true"), ("charging", "false")]:
            pile.send(f"evcc/loadpoints/2/{key}", text)
        wait_until(lambda: now(db, "evcc")[2] == ("suspended", []))

        pile.send("tele/pile-07/LWT", "Online", retain=True)
        sensor = {"ENERGY": {"Power": 148, "Total": 412.331, "Voltage": 228, "Current": 0.706}}
        pile.send("tele/pile-07/SENSOR", json.dumps(sensor))
        wait_until(lambda: now(db, "pile-07")[1] == ("charging", []))
        pile.send("tele/pile-07/LWT", "Offline", retain=True)
        wait_until(lambda: now(db, "pile-07")[1] == ("unknown", []))

        for number in (1, 2):
            topic = f"everest_api/evse_{number}/var/session_info"
            pile.send(topic, '{"state":"Unplugged"}')
        errors = [{"type": "evse_board_support/Tilted"}]
        pile.send("everest_api/errors/var/active_errors", json.dumps(errors))
        both = {n: ("available", ["tilt-impact"]) for n in (1, 2)}
        wait_until(lambda: now(db, "everest_api") == both)

        ports: list[dict[str, Any]] = [{"st": 0}, {"st": "1", "p": "0.2"}, {"st": 9, "flags": 1}]
        pile.send("acme/X1/report", json.dumps({"ports": ports}))
        wait_until(lambda: now(db, "X1")[3][0] == "faulted")
        assert now(db, "X1") == {
            1: ("available", []),
            2: ("charging", []),
            3: ("faulted", ["over-temperature"]),
        }
        told = db.execute(
            "SELECT h.heartbeat_s FROM charger_state h JOIN charger c ON c.id = h.charger_id "
            "WHERE c.code IN ('X1', 'pile-07') ORDER BY 1"
        ).fetchall()
        assert [r["heartbeat_s"] for r in told] == [30, 300]
        history = db.execute(
            "SELECT o.status, o.errors FROM observation o JOIN charger c ON c.id = o.charger_id "
            "WHERE o.kind = 1 AND (o.status IS NULL OR o.errors IS NULL)"
        )
        assert history.fetchall() == [], "history holds the whole, never a part"
        pile.send("acme/X1/report", '{"ports":[{"st":7}]}')
        pile.send("go-eCharger/999/car", "1")
        wait_until(lambda: len(db.execute("SELECT FROM quarantine").fetchall()) == 2)
        reasons = [r["reason"] for r in db.execute("SELECT reason FROM quarantine ORDER BY id")]
        assert "not in the map" in reasons[0] and "999 is not registered" in reasons[1]
        for topic in ("err", "cus", "car"):
            pile.send(f"go-eCharger/222162/{topic}", "", retain=True)
        pile.send("tele/pile-07/LWT", "", retain=True)


def test_what_was_retained_before_is_known_after_a_start(stage: Settings) -> None:
    url, port = stage.database.url.get_secret_value(), stage.mqtt.port
    with connect(url, application="t") as db, publisher(port) as pile:
        pile.send("go-eCharger/222162/car", "2", retain=True)
        pile.send("go-eCharger/222162/err", "3", retain=True)
        with running(stage):
            said = "SELECT status, errors FROM connector_state WHERE status = 'charging'"
            wait_until(lambda: db.execute(said).fetchall())
            (row,) = db.execute(said).fetchall()
            assert [e["code"] for e in row["errors"]] == ["phase-loss"]
        for topic in ("car", "err"):
            pile.send(f"go-eCharger/222162/{topic}", "", retain=True)


def test_a_filter_that_the_broker_refuses_leaves_the_others(
    stage: Settings, tmp_path: Path
) -> None:
    refusing = "acl_file %s\n" % (tmp_path / "acl")
    (tmp_path / "acl").write_text("topic readwrite pilewatch/#\ntopic readwrite tele/#\n")
    broker = Mosquitto(tmp_path / "broker", extra=refusing).start()
    mqtt = stage.mqtt.model_copy(update={"port": broker.port})
    settings = stage.model_copy(update={"mqtt": mqtt})
    try:
        url = stage.database.url.get_secret_value()
        with connect(url, application="t") as db, running(settings), publisher(broker.port) as pile:
            pile.send("tele/pile-07/SENSOR", '{"ENERGY":{"Power":90}}')
            wait_until(lambda: now(db, "pile-07")[1] == ("charging", []))
    finally:
        broker.stop()


def test_ingesters_of_a_group_share_every_dialect(stage: Settings) -> None:
    mqtt = stage.mqtt.model_copy(update={"share_group": "g"})
    settings = stage.model_copy(update={"mqtt": mqtt})
    url, port = stage.database.url.get_secret_value(), stage.mqtt.port
    with connect(url, application="t") as db, running(settings), publisher(port) as pile:
        pile.send("evcc/loadpoints/1/charging", "true")
        wait_until(lambda: now(db, "evcc")[1] == ("charging", []))


def test_dialects_that_clash_stop_the_ingester(stage: Settings) -> None:
    ingest = stage.ingest.model_copy(update={"bases": {"smartevse": ("evcc/{charger}",)}})
    assert choose(ingest).makes
    ingest = stage.ingest.model_copy(update={"bases": {"smartevse": ("go-eCharger/{charger}",)}})
    with pytest.raises(ValueError, match="would both read"):
        Ingester(stage.model_copy(update={"ingest": ingest}), registry=CollectorRegistry())
