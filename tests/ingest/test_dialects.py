"""Each make's dialect on what its chargers send."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.dialects.registry import Dialects, choose
from ingest.dialects.thin import EVERY_US
from ingest.dialects.topics import BadPattern, Pattern
from pilewatch.model import Kind, Observation, Status
from pilewatch.settings import BadSettings, Ingest
from pilewatch.wire import BadMessage
from tests.ingest.sparkplug import metric, payload

NOW = datetime(2026, 5, 3, 13, 10, tzinfo=UTC)
SAMPLES = Path(__file__).parent / "samples"


@pytest.fixture
def dialects() -> Dialects:
    return choose(Ingest())


def said(dialects: Dialects, topic: str, text: str | bytes, **more: Any) -> list[Observation]:
    sent = text if isinstance(text, bytes) else text.encode()
    return dialects.decode(topic, sent, more.pop("at", NOW), **more).observations


def one(dialects: Dialects, topic: str, text: str | bytes, **more: Any) -> Observation:
    (found,) = said(dialects, topic, text, **more)
    return found


def codes(found: Observation) -> list[str]:
    return [error.code for error in found.errors or ()]


def sample(name: str) -> Iterator[tuple[datetime, str, str, bool]]:
    lines = (SAMPLES / f"{name}.jsonl").read_text().splitlines()
    for place, line in enumerate(lines):
        message = json.loads(line)
        at = NOW + timedelta(minutes=place)
        yield at, message["topic"], message["payload"], message["retain"]


@pytest.mark.parametrize(
    ("name", "chargers"),
    [
        ("openevse", {"openevse-7d6c"}),
        ("go-e", {"222162", "222163"}),
        ("smartevse", {"17041"}),
        ("evcc", {"evcc"}),
        ("everest", {"everest_api"}),
        ("metering-plugs", {"pile-07", "shellyplug-s-041234", "shellyplus1pm-a8032abe54dc"}),
    ],
)
def test_the_samples_speak_of_their_chargers(
    dialects: Dialects, name: str, chargers: set[str]
) -> None:
    found = [o for at, topic, text, _ in sample(name) for o in said(dialects, topic, text, at=at)]
    assert {o.charger for o in found} == chargers
    assert {Kind.STATUS, Kind.METER} <= {o.kind for o in found}


STATUSES = [
    ("openevse-a/state", "1", Status.AVAILABLE, []),
    ("openevse-a/state", "3", Status.CHARGING, []),
    ("openevse-a/state", "255", Status.UNAVAILABLE, []),
    ("openevse-a/state", "6", Status.FAULTED, ["ground-fault"]),
    ("openevse-a/state", "7", Status.FAULTED, ["no-earth"]),
    ("openevse-a/state", "8", Status.FAULTED, ["relay-welded"]),
    ("openevse-a/state", "77", Status.FAULTED, ["internal-error"]),
    ("go-eCharger/1/car", "4", Status.FINISHING, []),
    ("go-eCharger/1/car", "null", Status.UNKNOWN, []),
    ("/go-eCharger/1/car", "5", Status.FAULTED, []),
    ("go-eCharger/1/err", "9", None, ["relay-welded"]),
    ("go-eCharger/1/err", "14", None, ["internal-error"]),
    ("go-eCharger/1/err", "0", None, []),
    ("go-eCharger/1/cus", "4", None, ["connector-lock"]),
    ("SmartEVSE/1/State", "Modem Setup", Status.PREPARING, []),
    ("SmartEVSE-1/State", "Charging Stopped", Status.SUSPENDED, []),
    ("SmartEVSE/1/Error", "RCM Tripped", None, ["ground-fault"]),
    ("SmartEVSE/1/Error", "No Power Available", None, []),
    ("SmartEVSE/1/Error", "Communication Error", None, ["internal-error"]),
    ("evcc/loadpoints/2/charging", "true", Status.CHARGING, []),
    ("evcc/loadpoints/2/connected", "false", Status.AVAILABLE, []),
    ("everest_api/evse_manager/var/session_info", '{"state":"Reserved"}', Status.RESERVED, []),
    (
        "everest_api/evse_manager/var/session_info",
        '{"state":"Charging","active_errors":[],"active_permanent_faults":'
        '[{"type":"evse_board_support/MREC17EVSEContactorFault"},{"type":"x/New"}]}',
        Status.FAULTED,
        ["relay-welded", "internal-error"],
    ),
    ("everest_api/errors/var/active_errors", "[]", None, []),
    (
        "everest_api/errors/var/active_errors",
        '[{"type":"ac_rcd/Selftest"},{"type":"evse_board_support/MREC26CutCable"}]',
        None,
        ["leakage-test-failed", "cable-theft"],
    ),
    ("shellies/s/relay/0", "overpower", Status.FAULTED, ["overload-port"]),
    ("shellies/s/overtemperature", "1", Status.FAULTED, ["over-temperature"]),
]


@pytest.mark.parametrize(("topic", "text", "status", "faults"), STATUSES)
def test_words_and_numbers_of_makers_become_ours(
    dialects: Dialects, topic: str, text: str, status: Status | None, faults: list[str]
) -> None:
    found = one(dialects, topic, text)
    assert (found.kind, found.status, codes(found)) == (Kind.STATUS, status, faults)
    assert all(error.vendor_code for error in found.errors or ())


METERS: list[tuple[str, str, dict[str, float]]] = [
    ("openevse-a/amp", "15870", {"current_a": 15.87}),
    ("openevse-a/temp", "421", {"temperature_c": 42.1}),
    ("openevse-a/total_energy", "1234.56", {"energy_wh": 1234560}),
    ("SmartEVSE/1/EVCurrentL1", "158", {"current_a": 15.8}),
    ("evcc/loadpoints/1/chargeTotalImport", "812.345", {"energy_wh": 812345}),
    ("go-eCharger/1/tma", "[21.5,null,24.25]", {"temperature_c": 24.25}),
    (
        "go-eCharger/1/nrg",
        "[229,230,231,0,15.9,15.8,15.9,3620,3598,3631,0,10849,99,99,99,0]",
        {"voltage_v": 230, "current_a": 15.9, "power_w": 10849},
    ),
    ("shellies/s/relay/1/energy", "80412", {"energy_wh": 1340.2}),
]


@pytest.mark.parametrize(("topic", "text", "values"), METERS)
def test_values_come_in_our_units(
    dialects: Dialects, topic: str, text: str, values: dict[str, float]
) -> None:
    found = one(dialects, topic, text)
    assert found.kind == Kind.METER
    assert {name: getattr(found, name) for name in values} == pytest.approx(values)


CONNECTIONS = [
    ("openevse/announce/7d6c", '{"state":"connected","id":"1","name":"openevse-7d6c"}', True),
    ("openevse/announce/7d6c", '{"state":"disconnected","id":"1","name":"openevse-7d6c"}', False),
    ("go-eCharger/1/online", "false", False),
    ("SmartEVSE/1/connected", "offline", False),
    ("evcc/status", "online", True),
    ("tele/p/LWT", "Offline", False),
    ("shellies/s/online", "true", True),
    ("shellyplus-1/online", "false", False),
]


@pytest.mark.parametrize(("topic", "text", "online"), CONNECTIONS)
def test_announcements_and_last_wills_tell_the_connection(
    dialects: Dialects, topic: str, text: str, online: bool
) -> None:
    assert one(dialects, topic, text).kind == (Kind.ONLINE if online else Kind.OFFLINE)


def test_a_plug_is_charging_above_the_set_power() -> None:
    dialects = choose(Ingest(charging_w=100))
    for watts, status in ((148, Status.CHARGING), (60, Status.AVAILABLE)):
        sensor = json.dumps({"ENERGY": {"Power": watts, "Total": 412.331, "Voltage": 228}})
        state, meter = said(dialects, "tele/p/SENSOR", sensor)
        assert state.status == status
        assert (meter.power_w, meter.energy_wh) == (watts, 412331)
        document = json.dumps({"output": True, "apower": watts, "aenergy": {"total": 5.5}})
        assert said(dialects, "shellyplus-1/status/switch:1", document)[0].status == status


def test_channels_of_one_plug_are_connectors(dialects: Dialects) -> None:
    sensor = '{"ENERGY":{"Power":[0,800],"Total":[1,2],"Voltage":230}}'
    found = said(dialects, "tele/p/SENSOR", sensor)
    assert [(o.connector, o.status) for o in found if o.kind == Kind.STATUS] == [
        (1, Status.AVAILABLE),
        (2, Status.CHARGING),
    ]
    assert [o.voltage_v for o in found if o.kind == Kind.METER] == [230, 230]


def test_a_station_s_errors_go_to_the_connector_that_they_name() -> None:
    dialects = choose(Ingest(connector_numbers={"left": 4}))
    errors = [
        {"type": "evse_board_support/Tilted"},
        {"type": "evse_manager/MREC4OverCurrentFailure", "origin": {"module_id": "left"}},
        {"type": "ac_rcd/AC", "origin": {"mapping": {"evse": 2}}},
    ]
    found = said(dialects, "everest_api/errors/var/active_errors", json.dumps(errors))
    assert {o.connector: codes(o) for o in found} == {
        0: ["tilt-impact"],
        4: ["tilt-impact", "over-current"],
        2: ["tilt-impact", "ground-fault"],
    }
    telemetry = one(dialects, "everest_api/left/var/telemetry", '{"temperature":30}')
    assert telemetry.connector == 4


def test_what_was_erased_or_belongs_to_others_says_nothing(dialects: Dialects) -> None:
    for topic, text in [
        ("evcc/loadpoints/1/charging", ""),
        ("zigbee/state", "ON"),
        ("go-eCharger/1/alw", "true"),
    ]:
        assert said(dialects, topic, text) == []


BAD = [
    ("openevse-a/state", "x", "no number"),
    ("openevse-a/amp", "1e999", "sensible number"),
    ("openevse-a/temp", "99999", "temperature_c is 9999.9"),
    ("openevse/announce/a", "{}", "right would be an object with state and name"),
    ("openevse/announce/a", '{"state":"connected","name":"a b"}', "charger id 'a b'"),
    ("go-eCharger/1/car", "9", "right would be null or 0 to 5"),
    ("go-eCharger/1/nrg", "[1,2]", "at least 12"),
    ("go-eCharger/a b/car", "1", "charger id 'a b'"),
    ("SmartEVSE/1/State", "Asleep", "right would be one of Ready to Charge"),
    ("evcc/loadpoints/0/charging", "true", "right would be 1 to 999"),
    ("evcc/loadpoints/1/charging", "perhaps", "right would be true or false"),
    ("everest_api/evse_manager_0/var/telemetry", "{}", "ingest.connector_numbers"),
    ("everest_api/evse_manager/var/session_info", '{"state":"Asleep"}', "right would be one of"),
    ("shellyplus-1/status/switch:x", "{}", "no number of a switch"),
    ("tele/p/SENSOR", "[]", "SENSOR"),
    ("tele/p/STATE", '{"Wifi":{"Signal":' + "9" * 300 + "}}", "rssi_dbm"),
    ("SmartEVSE/1/State", b"\xff", "not UTF-8"),
    ("SmartEVSE/1/State", "x" * 20_000, "at most 16384"),
    ("spBv1.0/g/DDATA/n/d", b"\xff\xff", "no Sparkplug B payload"),
]


@pytest.mark.parametrize(("topic", "text", "why"), BAD)
def test_what_cannot_be_is_refused_with_what_would_be_right(
    dialects: Dialects, topic: str, text: str | bytes, why: str
) -> None:
    with pytest.raises(BadMessage, match=why.replace("[", r"\[")):
        said(dialects, topic, text)


# --- Sparkplug B


def test_data_are_read_by_the_aliases_of_the_birth(dialects: Dialects) -> None:
    topic = "spBv1.0/g/{}/node/C7"
    birth = payload(
        metric("Connector 2/status", "available", alias=5, datatype=12),
        metric("Connector 2/powerW", 0.0, alias=6),
        metric("Connector 2/temperatureC", -3 & 0xFFFFFFFF, alias=7, datatype=3),
        metric("firmware", "1.2", alias=8),
    )
    online, status, meter = said(dialects, topic.format("DBIRTH"), birth)
    assert (online.kind, online.data) == (Kind.ONLINE, {"firmware": "1.2"})
    assert (status.charger, status.connector, status.status) == ("C7", 2, Status.AVAILABLE)
    assert (meter.power_w, meter.temperature_c) == (0.0, -3.0)
    data = payload(metric(value="charging", alias=5), metric(value=3600.5, alias=6))
    status, meter = said(dialects, topic.format("DDATA"), data)
    assert (status.status, meter.power_w) == (Status.CHARGING, 3600.5)
    assert one(dialects, topic.format("DDEATH"), payload()).kind == Kind.OFFLINE


def test_an_alias_without_a_birth_is_refused(dialects: Dialects) -> None:
    with pytest.raises(BadMessage, match="ask the node for a rebirth"):
        said(dialects, "spBv1.0/g/DDATA/n/d", payload(metric(value=1, alias=9)))


def test_a_node_s_death_is_its_devices_death_unless_it_comes_late(dialects: Dialects) -> None:
    said(dialects, "spBv1.0/g/NBIRTH/n", payload(metric("bdSeq", 2, datatype=8)))
    for device in ("d1", "d2"):
        said(dialects, f"spBv1.0/g/DBIRTH/n/{device}", payload(metric("status", "available")))
    assert said(dialects, "spBv1.0/g/NDEATH/n", payload(metric("bdSeq", 1, datatype=8))) == []
    dead = said(dialects, "spBv1.0/g/NDEATH/n", payload(metric("bdSeq", 2, datatype=8)))
    assert {(o.charger, o.kind) for o in dead} == {("d1", Kind.OFFLINE), ("d2", Kind.OFFLINE)}


# --- what is repeated


def test_a_repeated_status_comes_through_twice_a_minute_and_a_change_at_once(
    dialects: Dialects,
) -> None:
    topic = "everest_api/evse_manager/var/session_info"
    came = []
    for second in range(90):
        state = "Unplugged" if second < 75 else "Charging"
        at = NOW + timedelta(seconds=second)
        came += [(second, o.status) for o in said(dialects, topic, f'{{"state":"{state}"}}', at=at)]
    idle, busy = Status.AVAILABLE, Status.CHARGING
    assert came == [(0, idle), (30, idle), (60, idle), (75, busy)]


def test_a_value_that_falls_to_zero_is_never_left_out(dialects: Dialects) -> None:
    powers = [("3600", 0), ("3601", 1), ("0.4", 2), ("0", 3)]
    found = []
    for text, second in powers:
        at = NOW + timedelta(seconds=second)
        found += said(dialects, "evcc/loadpoints/1/chargePower", text, at=at)
    assert [o.power_w for o in found] == [3600, 0.4, 0]


def test_a_message_that_is_read_again_gives_what_it_gave(dialects: Dialects) -> None:
    topic = "SmartEVSE/1/State"
    times = [NOW + timedelta(seconds=s) for s in range(0, 100, 7)]
    first = [len(said(dialects, topic, "Charging", at=at)) for at in times]
    assert [len(said(dialects, topic, "Charging", at=at)) for at in times] == first
    assert sum(first) < len(times) and EVERY_US == 30_000_000


def test_another_topic_s_news_makes_a_repetition_news(dialects: Dialects) -> None:
    steps = [("SENSOR", '{"ENERGY":{"Power":90}}'), ("STATE", '{"POWER":"OFF"}')]
    for second, (topic, text) in enumerate([*steps, steps[0]]):
        found = said(dialects, f"tele/p/{topic}", text, at=NOW + timedelta(seconds=second))
    assert [o.status for o in found if o.kind == Kind.STATUS] == [Status.CHARGING]


# --- topics and settings


@settings(deadline=None)
@given(st.text("ab/", max_size=12), st.text("ab", min_size=1, max_size=4))
def test_a_topic_that_is_made_of_a_pattern_is_matched_by_it(text: str, name: str) -> None:
    pattern = Pattern(f"x{text}/pre{{charger}}post")
    assert pattern.match(f"x{text}/pre{name}post") == {"charger": name}
    assert pattern.match(f"x{text}/pre{name}") is None
    assert pattern.overlaps(Pattern(f"x{text}/{{other}}"))


@pytest.mark.parametrize("text", ["", "a/#", "a/+", "{", "a/{a}{b}", "{a}/{a}", "{a b}", "a/" * 40])
def test_what_is_no_pattern_is_refused(text: str) -> None:
    with pytest.raises(BadPattern, match="topic"):
        Pattern(text)


def test_bases_are_where_the_installation_says(dialects: Dialects) -> None:
    moved = choose(
        Ingest(
            dialects=("openevse", "everest"),
            bases={"openevse": ("piles/{charger}",), "everest": ("{charger}/everest_api",)},
        )
    )
    assert one(moved, "piles/N-12/state", "3").charger == "N-12"
    telemetry = one(moved, "E1/everest_api/x_2/var/telemetry", '{"temperature":9}')
    assert (telemetry.charger, telemetry.connector) == ("E1", 2)
    assert said(moved, "tele/p/LWT", "Online") == []
    assert "piles/+/state" in moved.subscriptions and "+/state" not in moved.subscriptions


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        (Ingest(dialects=("nobody",)), "there is no dialect 'nobody'"),
        (Ingest(bases={"evcc": ("a/#",)}), "without \\+ or #"),
        (Ingest(bases={"evcc": ("{charger:openevse*}",), "tasmota": ("evcc",)}), None),
        (Ingest(bases={"smartevse": ("go-eCharger/{charger}",)}), "would both read topics"),
        (Ingest(bases={"evcc": ("pilewatch/{charger}",)}), "native contract's"),
    ],
)
def test_dialects_that_cannot_be_spoken_together_are_refused(
    asked: Ingest, why: str | None
) -> None:
    if why is None:
        assert choose(asked).makes
        return
    with pytest.raises(BadSettings, match=why):
        choose(asked)
