"""What the frames of a cabinet mean: each number of the documents has its place in the taxonomy."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.dialects.ebike_dny import ebike_dny
from ingest.dialects.registry import Dialects
from ingest.ebike.cabinet import Cabinet, Held, ports
from ingest.ebike.hearing import hear
from ingest.ebike.held import forget
from pilewatch.dny import fields
from pilewatch.dny.fields import Alarm, Fields, Heartbeat, PortPower, Register, Settlement
from pilewatch.dny.frames import BadFrame, Frame, build, read_frame
from pilewatch.dny.words import ALARMS, PORT_STATUS, START_ANSWER, STOP_REASON, dbm
from pilewatch.faultcodes import FAULTS
from pilewatch.model import Kind, Status
from pilewatch.wire import BadMessage
from tests.dny.conftest import SAMPLE, frames

NOW = datetime(2026, 11, 25, 4, tzinfo=UTC)
DEVICE = 0x06CEAA40
HOST = 0x0A000001
ORDER = bytes(range(1, 17))
COMMAND = {shape: command for command, shape in fields.FROM_DEVICE.items()}


class Told:
    """A cabinet that has heard some frames."""

    def __init__(self, device: int = DEVICE):
        self.cabinet = Cabinet(device)
        self.at = NOW
        self.message = 0

    def hear(self, said: Fields, seconds: float = 60) -> "Told":
        self.at += timedelta(seconds=seconds)
        self.message += 1
        frame = Frame(self.cabinet.physical_id, self.message, COMMAND[type(said)], said.write())
        heard = hear(self.cabinet, frame, said, self.at)
        self.cabinet, self.said = heard.cabinet, heard.observations
        return self

    def beat(self, *status: int, voltage: int = 2200, **more: Any) -> "Told":
        return self.hear(Heartbeat(voltage=voltage, ports=len(status), status=status, **more))

    def settle(self, stop: int, port: int = 0, energy: int = 0, **more: Any) -> "Told":
        values = {"duration": 20, "max_power": 0, "start_mode": 1, "card": 0,
                  "order": ORDER[:-1] + bytes([self.message])}  # fmt: skip
        return self.hear(Settlement(port=port, stop=stop, energy=energy, **(values | more)))

    def codes(self, port: int = 1) -> list[str]:
        shown = ports(self.cabinet).get(port)
        return [] if shown is None else [error.code for error in shown.errors]

    def status(self, port: int = 1) -> Status:
        return ports(self.cabinet)[port].status


def test_every_code_that_the_documents_map_to_is_of_the_taxonomy() -> None:
    words = [*PORT_STATUS.values(), *STOP_REASON.values(), *ALARMS.values(), *START_ANSWER.values()]
    assert {word.code for word in words if word.code is not None} <= set(FAULTS)
    assert set(PORT_STATUS) == set(range(0x11)) - {0x0C}
    assert set(STOP_REASON) == set(range(1, 0x1D))
    assert set(ALARMS) == set(range(1, 8))
    assert set(START_ANSWER) == set(range(0x0F))


@pytest.mark.parametrize(
    ("raw", "status", "code"),
    [
        (0, Status.AVAILABLE, None), (1, Status.CHARGING, None), (2, Status.PREPARING, None),
        (3, Status.FINISHING, None), (4, Status.FAULTED, "meter-failure"),
        (5, Status.CHARGING, None), (6, Status.FAULTED, "controller-memory"),
        (7, Status.FAULTED, "jammed-socket"), (8, Status.FAULTED, "plug-broken"),
        (9, Status.FAULTED, "relay-welded"), (0x0A, Status.FAULTED, "plug-sensor"),
        (0x0B, Status.FAULTED, "relay-open"), (0x0D, Status.FAULTED, "short-circuit"),
        (0x0E, Status.FAULTED, "relay-welded"), (0x0F, Status.AVAILABLE, "reader-failure"),
        (0x10, Status.FAULTED, "meter-failure"), (0x77, Status.FAULTED, "internal-error"),
    ],
)  # fmt: skip
def test_a_port_s_status_is_shown_with_its_fault_and_number(
    raw: int, status: Status, code: str | None
) -> None:
    told = Told().beat(0, raw)
    shown = ports(told.cabinet)[2]
    assert shown.status is status
    assert [e.code for e in shown.errors] == ([] if code is None else [code])
    assert [e.vendor_code for e in shown.errors] == ([] if code is None else [f"port {raw:#04x}"])
    assert told.status(1) is Status.AVAILABLE and not told.codes(1)


@pytest.mark.parametrize(
    ("stop", "status", "code"), [(0x0D, 7, "jammed-socket"), (0x0E, 8, "plug-broken")]
)
def test_a_worn_plug_is_told_by_two_such_ends_or_by_the_port_itself(
    stop: int, status: int, code: str
) -> None:
    told = Told().beat(0, 0).settle(stop).beat(0, 0)
    assert not told.codes(), "once may be the rider"
    told.settle(stop, port=1).beat(0, 0)
    assert not told.codes(1) and not told.codes(2), "another port's end is another matter"
    told.settle(stop).beat(0, 0)
    assert told.codes() == [code] and told.status() is Status.FAULTED
    assert Told().settle(stop).beat(status, 0).codes() == [code]
    # Energy that comes out again is the proof of the contrary.
    assert not told.settle(0x01, energy=50).beat(0, 0).codes()
    assert not told.settle(stop).beat(0, 0).codes(), "and the count begins anew"


def test_one_end_and_a_day_later_another_are_no_row() -> None:
    told = Told().beat(0).settle(0x0E)
    told.at += timedelta(days=2)
    assert not told.settle(0x0E).beat(0).codes()


@pytest.mark.parametrize("raw", [0x09, 0x0E])
def test_a_welded_relay_is_a_danger_however_it_is_found(raw: int) -> None:
    assert Told().beat(raw).codes() == ["relay-welded"]
    answer = fields.StartAnswer(answer=0x09, order=ORDER, port=0, waiting=0)
    told = Told().beat(0).hear(answer)
    assert told.codes() == ["relay-welded"] and told.status() is Status.FAULTED
    assert FAULTS["relay-welded"].severity == 1


@pytest.mark.parametrize(
    ("kind", "code"),
    [(2, "water-ingress"), (4, "smoke-fire"), (6, "water-ingress")],
)
def test_a_cabinet_s_alarm_is_an_error_of_every_port_until_it_boots(kind: int, code: str) -> None:
    told = Told().beat(0, 0, 1).hear(Alarm(kind=kind))
    assert [told.codes(n) for n in (1, 2, 3)] == [[code]] * 3
    told.beat(0, 0, 1)
    assert [told.codes(n) for n in (1, 2, 3)] == [[code]] * 3, "no heartbeat says that it is over"
    assert told.status(3) is Status.CHARGING
    told.hear(Register(firmware=126, ports=3)).beat(0, 0, 0)
    assert not told.codes()


def test_the_hot_melt_fuse_speaks_of_its_port_and_heat_of_one_fault_of_the_cabinet() -> None:
    told = Told().beat(0, 0, 0).hear(Alarm(kind=3, port=1))
    assert [told.codes(n) for n in (1, 2, 3)] == [[], ["smoke-fire"], []]
    told = Told().beat(0, 0, 0).hear(Alarm(kind=5, port=2, trigger=4))
    assert [told.codes(n) for n in (1, 2, 3)] == [["over-temperature"], [], []]
    assert [told.status(n) for n in (1, 2, 3)] == [
        Status.FAULTED, Status.UNAVAILABLE, Status.UNAVAILABLE,
    ]  # fmt: skip
    assert told.cabinet.held[0].text == "heat, sensor 2, inputs 0x04"


@pytest.mark.parametrize("kind", [2, 3, 4, 5])
def test_fire_is_a_danger_to_people_from_the_first_word_on(kind: int) -> None:
    told = Told().hear(Alarm(kind=kind))
    shown = [error for port in ports(told.cabinet).values() for error in port.errors]
    assert shown and {FAULTS[e.code].severity for e in shown} == {1}


def test_a_power_cut_is_over_when_a_heartbeat_shows_mains() -> None:
    told = Told().beat(0, 0).hear(Alarm(kind=1))
    assert told.codes() == ["power-loss"]
    assert told.beat(0, 0, voltage=12).codes() == ["power-loss"]
    assert not told.beat(0, 0).codes()


def test_bad_mains_stop_a_session_until_a_heartbeat_shows_good_ones() -> None:
    told = Told().beat(0).settle(0x1A)
    assert told.codes() == ["over-voltage"]
    assert told.beat(0, voltage=2600).codes() == ["over-voltage"]
    assert not told.beat(0, voltage=2300).codes()


def test_ends_of_which_the_device_is_sure_count_at_once() -> None:
    for stop, word in STOP_REASON.items():
        told = Told().beat(0, 0).settle(stop)
        expected = [word.code] if word.code is not None and word.times == 1 else []
        assert told.codes() == expected, hex(stop)


def test_temperatures_are_faults_at_the_limit_and_sessions_are_named_and_measured() -> None:
    power = PortPower(
        port=1, status=1, charged_s=600, energy=12, start_mode=1, power=2000, most=2100,
        least=1900, mean=2000, order=ORDER, span_energy=1, peak=2100, voltage=2250, current=889,
        ambient=25 + 65, temperature=81 + 65,
    )  # fmt: skip
    told = Told().beat(0, 0).hear(power)
    assert told.codes(2) == ["over-temperature"] and told.status(2) is Status.CHARGING
    started, meter = told.said
    assert (started.kind, started.session_id) == (Kind.SESSION_STARTED, ORDER.hex())
    assert told.at - started.observed_at == timedelta(seconds=600)
    assert (meter.energy_wh, meter.power_w, meter.voltage_v, meter.current_a) == (
        120, 200, 225, 0.889,
    )  # fmt: skip
    assert (meter.temperature_c, meter.session_id, meter.connector) == (81, ORDER.hex(), 2)
    assert [o.kind for o in told.hear(power).said] == [Kind.METER], "it starts once"
    told.settle(0x01, port=1, energy=30, order=ORDER)
    (ended,) = told.said
    assert (ended.kind, ended.energy_wh, ended.reason) == (Kind.SESSION_ENDED, 300, "0x01 full")
    assert told.status(2) is not Status.CHARGING


def test_the_host_s_smoke_leakage_and_breaker_are_faults_of_what_is_behind_it() -> None:
    quiet = {"voltage": 2200, "current": 0, "energy": 0, "meter_current": 0, "meter_energy": 0}
    host = Told(HOST)
    slave = Told().beat(0, 0).cabinet
    host.hear(fields.HostMeasures(breaker=1, temperature=90, smoke=1, **quiet))
    shown = ports(slave, host.cabinet.held)
    assert [[e.code for e in p.errors] for p in shown.values()] == [["smoke-fire"]] * 2
    more = {"relay": 0, "neutral_temperature": 90, "locked": 0, "breaker_kind": 0}
    host.hear(fields.HostMeasures(
        breaker=0, temperature=90, smoke=0, leakage=35, live_temperature=150, **more, **quiet
    ))  # fmt: skip
    codes = {e.code for e in ports(slave, host.cabinet.held)[1].errors}
    assert codes == {"power-loss", "ground-fault", "over-temperature"}
    host.hear(fields.HostMeasures(
        breaker=1, temperature=90, smoke=0, leakage=3, live_temperature=90, **more, **quiet
    ))  # fmt: skip
    assert not ports(slave, host.cabinet.held)[1].errors
    other = Told(0x09000001)
    other.hear(fields.HostMeasures(
        breaker=0, temperature=0, smoke=0, leakage=99, live_temperature=200, **more, **quiet
    ))  # fmt: skip
    assert not other.cabinet.held, "only a host with a leakage breaker has these"


def test_what_is_held_and_never_said_again_is_forgotten_after_its_time() -> None:
    told = Told().beat(0).hear(Alarm(kind=4))
    assert forget(told.cabinet, told.at).held
    assert not forget(told.cabinet, told.at + timedelta(seconds=1)).held


def test_a_card_s_number_gets_into_no_session() -> None:
    card = bytes.fromhex("2019090118000013003038010203 0405")
    told = Told().beat(0).settle(0x01, start_mode=0, card=0x38300013, order=card, energy=3)
    assert all("13003038" not in str(o) for o in told.said)
    assert told.said[0].session_id == "13544000-1-20190901180000"


def test_the_page_tells_each_number_and_its_fault() -> None:
    page = (Path(__file__).parents[2] / "docs/dialects/ebike-dny.md").read_text()
    for table in (PORT_STATUS, STOP_REASON, ALARMS, START_ANSWER):
        for raw, word in table.items():
            row = f"| `{raw:#04x}` | {word.text} | "
            lines = [line for line in page.splitlines() if line.startswith(row)]
            assert any(line.endswith(f" {word.code or '–'} |") for line in lines), row


def test_a_signal_is_in_dbm_on_both_scales() -> None:
    assert (dbm(0), dbm(31), dbm(99), dbm(140), dbm(250)) == (-113, -51, None, -100, None)


@settings(deadline=None)
@given(st.lists(frames, max_size=20))
def test_no_frames_stop_a_cabinet(heard: list[Frame]) -> None:
    cabinet = Cabinet(DEVICE)
    for frame in heard:
        try:
            said = fields.read_fields(frame.command, frame.data)
        except BadFrame:
            continue
        cabinet = hear(cabinet, frame, said, NOW).cabinet
        for number, port in ports(cabinet, (Held("host smoke", 0, "smoke-fire", "", NOW),)).items():
            assert 1 <= number <= 256
            assert {e.code for e in port.errors} <= set(FAULTS)


# --- the MQTT dialect

TOPIC = "pilewatch/v1/modem-1/up/raw"
decode = Dialects((ebike_dny(),)).decode


@pytest.mark.parametrize("topic", [TOPIC, "dny/89860413161892009275/up/raw"])
def test_slaves_behind_one_modem_are_each_observed(topic: str) -> None:
    second = build(read_frame(SAMPLE["heartbeat-2-ports"])._replace(physical_id=0x04000002))
    said = decode(topic, SAMPLE["heartbeat-2-ports"] + b"link" + second, NOW)
    assert not said.unknown_fields
    beats = [o.charger for o in said.observations if o.kind == Kind.HEARTBEAT]
    assert beats == ["dny-11220795", "dny-2"]
    named = [
        (o.charger, o.connector, o.status) for o in said.observations if o.kind == Kind.CONFIRM
    ]
    assert named == [(name, port, Status.AVAILABLE) for name in beats for port in (1, 2)]


def test_a_frame_that_is_there_twice_counts_once() -> None:
    once = decode(TOPIC, SAMPLE["settlement"], NOW)
    assert decode(TOPIC, SAMPLE["settlement"] * 2, NOW) == once
    assert [o.kind for o in once.observations] == [
        Kind.SESSION_STARTED, Kind.SESSION_ENDED, Kind.STATUS,
    ]  # fmt: skip
    assert once.observations[1].energy_wh == 480


def test_what_is_no_frame_is_refused_with_its_reason() -> None:
    good = SAMPLE["heartbeat-2-ports"]
    with pytest.raises(BadMessage, match="checksum"):
        decode(TOPIC, good[:-1] + b"\xff", NOW)
    with pytest.raises(BadMessage, match="cut short"):
        decode(TOPIC, good[:-1], NOW)
    with pytest.raises(BadMessage, match="Heartbeat: 2 bytes of data end before 'ports'"):
        decode(TOPIC, build(Frame(DEVICE, 1, 0x21, b"\x98\x08")), NOW)
    assert decode(TOPIC, b"link", NOW).observations == []


@settings(deadline=None)
@given(st.one_of(st.binary(max_size=300), frames.map(build)))
def test_no_payload_brings_anything_but_observations_or_a_refusal(payload: bytes) -> None:
    try:
        decode(TOPIC, payload, NOW)
    except BadMessage as error:
        assert str(error)
