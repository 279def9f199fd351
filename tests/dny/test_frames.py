"""The codec: what is on the wire comes out as it was sent, and nothing else ever does."""

import csv

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec.structs import fields as fields_of

from pilewatch.dny import fields
from pilewatch.dny.fields import FROM_DEVICE, Fields, StartOrder, read_fields
from pilewatch.dny.frames import (
    BadFrame,
    Frame,
    Garbage,
    Iccid,
    Item,
    Link,
    build,
    parse,
    read_frame,
)
from tests.dny.conftest import SAMPLE, SAMPLES, frames, samples

_BITS = {"B": 8, "H": 16, "I": 32}


def _in_pieces(data: bytes, cuts: list[int]) -> tuple[list[Item], bytes]:
    items: list[Item] = []
    rest, at = b"", 0
    for cut in [*sorted({c % (len(data) + 1) for c in cuts}), len(data)]:
        found, rest = parse(rest + data[at:cut])
        assert len(rest) < 256
        items += found
        at = cut
    return items, rest


def _sense(items: list[Item]) -> tuple[list[Item], int]:
    """What was said, and how many bytes were passed over."""
    sound = [item for item in items if not isinstance(item, Garbage)]
    return sound, sum(item.bytes for item in items if isinstance(item, Garbage))


@pytest.mark.parametrize(("name", "command", "data"), list(samples()))
def test_every_example_of_the_documents_is_read_and_built_again(
    name: str, command: int, data: bytes
) -> None:
    frame = read_frame(data)
    assert frame.command == command
    assert build(frame) == data
    assert parse(data) == ([frame], b"")


def test_the_samples_claim_of_themselves_what_we_find() -> None:
    with SAMPLES.open() as file:
        for row in csv.DictReader(file, delimiter="\t"):
            assert (row["length_field_ok"], row["checksum_ok"]) == ("True", "True")


@settings(deadline=None)
@given(frames)
def test_what_is_built_is_read_back(frame: Frame) -> None:
    assert read_frame(build(frame)) == frame


@settings(deadline=None)
@given(
    st.lists(
        st.one_of(
            frames.map(build), st.just(b"link"), st.just(b"89860413161892009275"),
            st.binary(max_size=12), st.just(b"\r\n"), st.just(b"DN"), st.just(b"DNY\xff\xff"),
        ),
        max_size=8,
    ),
    st.lists(st.integers(0, 4000), max_size=12),
)  # fmt: skip
def test_it_does_not_matter_where_a_stream_is_cut(parts: list[bytes], cuts: list[int]) -> None:
    whole, rest = parse(b"".join(parts))
    pieces, rest_too = _in_pieces(b"".join(parts), cuts)
    assert _sense(pieces) == _sense(whole)
    assert rest == rest_too


@settings(deadline=None)
@given(st.lists(frames, min_size=1, max_size=5), st.lists(st.integers(0, 1500), max_size=9))
def test_frames_that_stick_together_or_are_cut_all_come_out(
    sent: list[Frame], cuts: list[int]
) -> None:
    items, rest = _in_pieces(b"".join(map(build, sent)), cuts)
    assert (items, rest) == (sent, b"")


@settings(deadline=None)
@given(st.binary(max_size=600))
@example(b"DNY" * 100)
@example(b"8" * 19 + b"9" * 30)
def test_no_bytes_stop_it(data: bytes) -> None:
    items, rest = parse(data)
    assert len(rest) < 256
    for item in items:
        if isinstance(item, Frame):
            assert build(item) in data


def test_a_frame_behind_rubbish_a_bad_sum_and_a_bad_length_is_found() -> None:
    good = SAMPLE["heartbeat-2-ports"]
    bad_sum = good[:-1] + bytes([good[-1] ^ 1])
    bad_length = b"DNY\x03\x00" + good[5:]
    items, rest = parse(b"\x00\xffAT+OK\r\n" + bad_sum + bad_length + b"link" + good)
    assert rest == b""
    assert [i for i in items if not isinstance(i, Garbage)] == [Link(), read_frame(good)]
    assert {i.why for i in items if isinstance(i, Garbage)} == {"garbage", "checksum", "length"}


def test_the_sim_card_s_number_and_the_keep_alive_are_told_apart() -> None:
    items, rest = parse(b"89860413161892009275link" + SAMPLE["time-request"] + b"link8986")
    assert items == [
        Iccid("89860413161892009275"), Link(), read_frame(SAMPLE["time-request"]), Link(),
    ]  # fmt: skip
    assert rest == b"8986"


def test_a_refusal_says_whether_length_or_checksum_failed() -> None:
    good = SAMPLE["settlement"]
    with pytest.raises(BadFrame, match=r"^length: says 40, but 39"):
        read_frame(good[:-1])
    with pytest.raises(BadFrame, match=r"^checksum: says 0544, right would be 0543"):
        read_frame(good[:9] + b"\0" + good[10:])
    with pytest.raises(BadFrame, match="DNY"):
        read_frame(b"DNX" + good[3:])


def test_what_does_not_fit_into_a_frame_is_not_built() -> None:
    for frame in (Frame(1 << 32, 0, 0), Frame(0, 1 << 16, 0), Frame(0, 0, 256), Frame(-1, 0, 0),
                  Frame(0, 0, 0, bytes(243))):  # fmt: skip
        with pytest.raises(BadFrame):
            build(frame)
    assert len(build(Frame(0, 0, 0, bytes(242)))) == 256


@st.composite
def _written(draw: st.DrawFn) -> tuple[int | None, Fields]:
    command, shape = draw(st.sampled_from([*FROM_DEVICE.items(), (None, StartOrder)]))
    ports = draw(st.integers(1, 20))
    here = draw(st.integers(shape.NEEDED, len(shape.LAYOUT)))
    values: dict[str, object] = {}
    for name, form in shape.LAYOUT[:here]:
        if name == "ports":
            values[name] = ports
        elif form.endswith("s"):
            size = int(form[:-1])
            values[name] = draw(st.binary(min_size=size, max_size=size))
        elif form.startswith("n"):
            one = st.integers(0, 2 ** _BITS[form[-1]] - 1)
            values[name] = tuple(draw(st.lists(one, min_size=ports, max_size=ports)))
        else:
            values[name] = draw(st.integers(0, 2 ** _BITS[form] - 1))
    return command, shape(**values)


@settings(deadline=None)
@given(_written())
def test_fields_are_read_back_as_they_were_written_at_every_firmware_s_length(
    made: tuple[int | None, Fields],
) -> None:
    command, said = made
    data = said.write()
    assert (said.read(data) if command is None else read_fields(command, data)) == said


@settings(deadline=None)
@given(st.integers(0, 255), st.binary(max_size=242))
def test_no_data_brings_anything_but_fields_or_the_codec_s_own_error(
    command: int, data: bytes
) -> None:
    try:
        said = read_fields(command, data)
    except BadFrame as error:
        assert str(error)
    else:
        assert (said is None) == (command not in FROM_DEVICE)


def test_every_field_of_a_shape_has_its_place_in_the_layout() -> None:
    for shape in {*FROM_DEVICE.values(), StartOrder}:
        assert [f.name for f in fields_of(shape)] == [name for name, _ in shape.LAYOUT]


def test_the_examples_say_what_the_documents_say_of_them() -> None:
    def read(name: str) -> Fields:
        frame = read_frame(SAMPLE[name])
        said = read_fields(frame.command, frame.data)
        assert said is not None
        return said

    beat = read("heartbeat-2-ports")
    assert isinstance(beat, fields.Heartbeat)
    assert (beat.voltage, beat.status, beat.signal, beat.ambient) == (2200, (0, 0), 9, 5)
    power = read("port-power")
    assert isinstance(power, fields.PortPower)
    assert (power.port, power.status, power.energy, power.power) == (1, 1, 48, 1000)
    assert (power.voltage, power.current, power.temperature, power.time) == (2200, 455, 0, None)
    paid = read("settlement")
    assert isinstance(paid, fields.Settlement)
    assert (paid.duration, paid.energy, paid.port, paid.stop) == (3600, 48, 1, 1)
    assert paid.second_max == 1000 and paid.time is None
    host = read("host-status")
    assert isinstance(host, fields.HostStatus)
    assert (host.signal, host.iccid, host.imei) == (31, b"89860413161892009275", None)
    answer = read("start-charge-answer")
    assert isinstance(answer, fields.StartAnswer)
    assert (answer.answer, answer.port) == (0, 1)
    device = Frame(0x04CEAA40, 1, fields.TIME)
    assert (device.number, device.kind) == (13544000, 4)


def test_who_holds_a_card_is_in_no_text() -> None:
    for name in ("settlement", "card-swipe"):
        frame = read_frame(SAMPLE[name])
        said = read_fields(frame.command, frame.data)
        assert "card" not in repr(said)
        assert "order" not in repr(said)
