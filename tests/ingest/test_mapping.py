"""Mapping files: the documented examples, what makes may send, and mistakes by their line."""

import re
import shlex
from datetime import UTC, datetime
from pathlib import Path

import pytest

from deploy.command import main
from ingest.dialects.mapping import read_mapping
from ingest.dialects.registry import Dialects, choose
from ingest.dialects.toml_lines import BadMapping
from pilewatch.model import Kind, Observation, Status
from pilewatch.settings import BadSettings, Ingest
from pilewatch.wire import BadMessage
from tests.ingest.sparkplug import metric, payload

NOW = datetime(2026, 5, 3, 13, 10, tzinfo=UTC)
PAGE = Path(__file__).parent.parent.parent / "docs" / "dialects" / "mapping.md"
_FENCE = re.compile(r"^```([a-z]*)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def read(file: str, topic: str, text: str | bytes) -> list[Observation]:
    dialects = Dialects((read_mapping("m.toml", f'name = "m"\n{file}'.encode()),))
    sent = text if isinstance(text, bytes) else text.encode()
    return dialects.decode(topic, sent, NOW).observations


def one(file: str, topic: str, text: str) -> Observation:
    (found,) = read(file, topic, text)
    return found


def test_the_documented_examples_give_what_the_page_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    shown = 0
    for kind, block in _FENCE.findall(PAGE.read_text()):
        if kind == "toml":
            Path(block.split()[1]).write_text(block)
        elif kind == "":
            for line in block.splitlines():
                assert main(shlex.split(line)[1:]) == 0
        else:
            assert capsys.readouterr().out == block
            shown += 1
    assert shown == 2


STATUS = """
[[topic]]
topic = "m/{charger}"
[topic.status]
from = "/s"
"""


@pytest.mark.parametrize(
    ("meaning", "text", "status"),
    [
        ("map = { 1 = 'charging' }", '{"s":1}', Status.CHARGING),
        ("map = { 1 = 'charging' }", '{"s":"1"}', Status.CHARGING),
        ("map = { 1 = 'charging' }", '{"s":1.0}', Status.CHARGING),
        ("map = { true = 'charging' }", '{"s":true}', Status.CHARGING),
        ("map = { on = 'charging' }", '{"s":"ON "}', Status.CHARGING),
        ("", '{"s":"finishing"}', Status.FINISHING),
        ("bits = { 4 = 'faulted', 1 = 'charging' }", '{"s":"0x12"}', Status.FAULTED),
        ("bits = { 1 = 'charging' }\ndefault = 'available'", '{"s":1}', Status.AVAILABLE),
        ("steps = [[5, 'charging'], [-1, 'available']]", '{"s":"5.2"}', Status.CHARGING),
        ("steps = [[5, 'charging'], [-1, 'available']]", '{"s":0}', Status.AVAILABLE),
        ("map = { 1 = 'charging' }\ndefault = 'unknown'", '{"s":[]}', Status.UNKNOWN),
    ],
)
def test_a_status_may_be_a_code_a_word_bits_or_a_measure(
    meaning: str, text: str, status: Status
) -> None:
    found = one(f"{STATUS}{meaning}", "m/C1", text)
    assert (found.charger, found.connector, found.status, found.errors) == ("C1", 1, status, None)


@pytest.mark.parametrize(
    ("number", "text", "value"),
    [
        ('"/v"', '{"v":3.5}', 3.5),
        ('"/v"', '{"v":"3.5 kW"}', 3500),
        ('{ from = "/v", unit = "kW" }', '{"v":"3,5"}', 3500),
        ('{ from = "/v", unit = "kW" }', '{"v":"800 W"}', 800),
        ('{ from = "/v", scale = 0.1, offset = -5 }', '{"v":1050}', 100),
        ('{ sum = ["/a", "/b"] }', '{"a":1,"b":"2","c":9}', 3),
        ('{ product = ["/u", "/i"], unit = "kW" }', '{"u":"2","i":3}', 6000),
        ('{ max = ["/a", "/b"] }', '{"b":2}', 2),
        ('["/x", "/v"]', '{"v":7}', 7),
        ('{ from = "/v", default = 1 }', "{}", 1),
        ('"/l/1/0"', '{"l":[0,[4]]}', 4),
        ('"/a~1b"', '{"a/b":6}', 6),
        ('"/v"', '{"v":"1,234.5 kW"}', 1_234_500),
        ('"/v"', '{"v":"1.234,5"}', 1234.5),
        ('"/v"', '{"v":"-12,345,678"}', -12_345_678),
        ('"/v"', '{"v":"1 234,5 W"}', 1234.5),
        ('"/v"', '{"v":"1.5e-1 kW"}', 150),
        ('{ sum = [{ from = "/r/0", scale = 65536 }, "/r/1"] }', '{"r":[1,2]}', 65538),
        ('{ from = "/r", signed = 16, scale = 0.1 }', '{"r":65526}', -1),
        ('{ from = "/r", signed = 16 }', '{"r":100}', 100),
    ],
)
def test_numbers_come_in_any_dress(number: str, text: str, value: float) -> None:
    rule = f'[[topic]]\ntopic = "m/{{charger}}"\n[topic.meter]\npower_w = {number}'
    assert one(rule, "m/C1", text).power_w == pytest.approx(value)


@pytest.mark.parametrize("text", ["{}", '{"v":null}', '{"v":""}', '{"v":65535}', '{"w":1}'])
def test_what_is_absent_says_nothing(text: str) -> None:
    rule = '[[topic]]\ntopic = "m/{charger}"\n[topic.meter]\n'
    assert read(f'{rule}power_w = {{ from = "/v", absent = ["65535"] }}', "m/C1", text) == []


@pytest.mark.parametrize(
    ("at", "text"),
    [
        ('"/t"', "1777813800"),
        ('"/t"', "1777813800000"),
        ('"/t"', '"1777813800000000"'),
        ('"/t"', '"2026-05-03T21:10:00+08:00"'),
        ('{ from = "/t", zone = "Asia/Shanghai" }', '"2026-05-03 21:10:00"'),
        ('{ from = "/t", zone = "+08:00" }', '"2026-05-03T21:10"'),
    ],
)
def test_times_come_as_counts_or_texts(at: str, text: str) -> None:
    rule = f'[[topic]]\ntopic = "m/{{charger}}"\nat = {at}\n[topic.status]\nfrom = "/s"'
    found = one(rule, "m/C1", f'{{"t":{text},"s":"available"}}')
    assert (found.observed_at, found.clock_fault) == (NOW, False)


def test_an_absurd_time_is_ours_and_noticed() -> None:
    rule = '[[topic]]\ntopic = "m/{charger}"\nat = "/t"\n[topic.status]\nfrom = "/s"'
    found = one(rule, "m/C1", '{"t":5,"s":"available"}')
    assert (found.observed_at, found.clock_fault) == (NOW, True)


@pytest.mark.parametrize(
    ("faults", "text", "codes"),
    [
        ("from = '/f'\nbits = { 1 = 'no-earth' }", '{"f":2}', [("no-earth", "bit 1")]),
        ("from = '/f'\nbits = { 1 = 'no-earth' }\nlabel = 'w1'", '{"f":"4"}',
         [("internal-error", "w1 bit 2")]),
        ("from = '/f'\nmap = { E7 = 'no-earth' }", '{"f":"e7"}', [("no-earth", "e7")]),
        ("from = '/f'\nmap = { 7 = 'no-earth' }", '{"f":[7,0,8]}',
         [("no-earth", "7"), ("internal-error", "8")]),
        ("from = '/f'\nmap = { 7 = 'no-earth' }\ncode = '/id'", '{"f":[{"id":7}]}',
         [("no-earth", "7")]),
        ("flags = { '/a/hot' = 'over-temperature', '/a/wet' = 'water-ingress' }",
         '{"a":{"hot":false,"wet":1}}', [("water-ingress", "/a/wet")]),
        ("from = '/f'\nmap = { 7 = 'no-earth' }", '{"f":"OK"}', []),
    ],
)  # fmt: skip
def test_faults_come_as_bits_codes_or_flags(
    faults: str, text: str, codes: list[tuple[str, str]]
) -> None:
    found = one(f'[[topic]]\ntopic = "m/{{charger}}"\n[topic.faults]\n{faults}', "m/C1", text)
    assert [(e.code, e.vendor_code) for e in found.errors or ()] == codes
    assert found.status is None


def test_faults_of_several_topics_do_not_take_each_other_back() -> None:
    rules = "".join(
        f'[[topic]]\ntopic = "m/{{charger}}/{n}"\n[topic.faults]\nfrom = "/f"\n'
        "bits = { 0 = 'no-earth' }\n"
        for n in (1, 2)
    )
    found = one(rules, "m/C1/2", '{"f":1}')
    assert found.errors_source == "m/{charger}/2"
    assert [e.source for e in found.errors or ()] == ["m/{charger}/2"]


def test_columns_and_objects_are_gone_through_like_lists() -> None:
    columns = '[[topic]]\ntopic = "m/{charger}"\neach = "/p"\n[topic.meter]\npower_w = ""\n'
    found = read(f'{columns}voltage_v = "$/u/@"', "m/C1", '{"p":[1,2],"u":[229,231]}')
    assert [(o.connector, o.power_w, o.voltage_v) for o in found] == [(1, 1, 229), (2, 2, 231)]
    named = '[[topic]]\ntopic = "m/{charger}"\neach = "/p"\n'
    named += 'connector = { from = "{key}", map = { A = 4, B = 7 } }\n[topic.meter]\npower_w = ""'
    found = read(named, "m/C1", '{"p":{"a":1,"B":2}}')
    assert [(o.connector, o.power_w) for o in found] == [(4, 1), (7, 2)]


def test_the_payload_may_name_its_charger_and_its_kind() -> None:
    rule = '[[topic]]\ntopic = "m/all"\ncharger = "/sn"\nwhen = { "/type" = ["beat"] }\n'
    rule += '[topic.heartbeat]\nuptime_s = "/up"\nconfirms_ports = true\n'
    rule += '[[topic]]\ntopic = "m/all"\ncharger = "/sn"\nwhen = { "/type" = "end" }\n'
    rule += '[topic.session]\nphase = "/type"\nmap = { end = "ended" }\nid = "/id"\n'
    rule += 'energy_wh = { from = "/e", unit = "kWh" }'
    beat = one(rule, "m/all", '{"sn":77,"type":"beat","up":"5 min"}')
    assert (beat.charger, beat.confirms_all) == ("77", True)
    assert beat.data == {"uptimeS": 300.0}
    ended = one(rule, "m/all", '{"sn":"77","type":"end","id":9,"e":1.5}')
    assert (ended.kind, ended.session_id, ended.energy_wh) == (Kind.SESSION_ENDED, "9", 1500)


@pytest.mark.parametrize(
    ("topic", "text"),
    [
        ('split = ","\n[topic.meter]\npower_w = "/1"\nvoltage_v = "/2"', "C1, 3.5 kW,230"),
        ('split = ["\\n", ";"]\neach = ""\n[topic.meter]\npower_w = "/0"\nvoltage_v = "/1"',
         '3500;"230"\r\n\r\n'),
        ('split = ";"\npairs = "="\n[topic.meter]\npower_w = "/P"\nvoltage_v = "/U"',
         "U=230; P=3.5kW;x"),
        ('split = ["|", ","]\npairs = ":"\neach = ""\n[topic.meter]\npower_w = "/P"\n'
         'voltage_v = "/U"', "P:3500,U:230 V|"),
        ('inside = "/data"\n[topic.meter]\npower_w = "/p"\nvoltage_v = "$/u"',
         '{"u":230,"data":"{\\"p\\":3500}"}'),
    ],
)  # fmt: skip
def test_texts_are_split_and_json_in_a_text_is_read(topic: str, text: str) -> None:
    found = one(f'[[topic]]\ntopic = "m/{{charger}}"\n{topic}', "m/C1", text)
    assert (found.connector, found.power_w, found.voltage_v) == (1, 3500, 230)


def test_json_inside_that_is_absent_says_nothing_and_broken_is_refused() -> None:
    rule = '[[topic]]\ntopic = "m/{charger}"\ninside = "/d"\n[topic.meter]\npower_w = "/p"'
    assert read(rule, "m/C1", '{"e":1}') == []
    with pytest.raises(BadMessage, match="is not JSON"):
        read(rule, "m/C1", '{"d":"{"}')
    # A NUL that shows only when the inner text is taken apart.
    with pytest.raises(BadMessage, match="which no text may contain"):
        read(rule, "m/C1", r'{"d":"{\"p\":\"\u005cu0000\"}"}')


def test_metrics_of_sparkplug_are_an_object() -> None:
    rule = '[[topic]]\ntopic = "spBv1.0/{group}/{kind}/{node}/{charger}"\n'
    rule += 'payload = "sparkplug-b"\n[topic.meter]\npower_w = "/Outlet 1/Power"'
    sent = payload(metric("Outlet 1/Power", 12.5), metric("Other", "x"))
    (found,) = read(rule, "spBv1.0/g/DDATA/n/C1", sent)
    assert (found.charger, found.power_w) == ("C1", 12.5)


@pytest.mark.parametrize(
    ("rule", "text", "why"),
    [
        (f"{STATUS}map = {{ 1 = 'charging' }}", '{"s":2}', "'2'|2 is not in the map|not in the"),
        (STATUS, "{", "not JSON"),
        (STATUS, '{"s":"asleep"}', "not in the map; known are available"),
        (f"{STATUS}bits = {{ 1 = 'charging' }}", '{"s":-1}', "a whole number from 0"),
        ('[[topic]]\ntopic="m/{charger}"\n[topic.meter]\nsoc="/v"', '{"v":101}', "soc is 101"),
        ('[[topic]]\ntopic="m/{charger}"\n[topic.meter]\nsoc="/v"', '{"v":"5 W"}', "unit 'W'"),
        ('[[topic]]\ntopic="m/{charger}"\n[topic.meter]\nsoc="/v"', '{"v":{}}', "is no number"),
        ('[[topic]]\ntopic="m/{x}"\ncharger="/c"\n[topic.meter]\nsoc="/v"', '{"v":1}', "missing"),
        (
            '[[topic]]\ntopic="m/{charger}"\neach="/p"\nconnector=1\n[topic.meter]\nsoc=""',
            '{"p":[1,2]}',
            "comes twice",
        ),
        (
            '[[topic]]\ntopic="m/{charger}"\nat="/t"\n[topic.meter]\nsoc="/v"',
            '{"v":1,"t":"2026-05-03 21:10"}',
            "zone in the mapping file",
        ),
        (
            '[[topic]]\ntopic="m/{charger}"\neach="/p"\n[topic.meter]\nsoc=""',
            '{"p":[' + ",".join(["1"] * 1000) + "]}",
            "more than 999",
        ),
    ],
)
def test_messages_that_break_the_mapping_are_refused(rule: str, text: str, why: str) -> None:
    with pytest.raises(BadMessage, match=why):
        read(rule, "m/C1", text)


GOOD = """\
name = "m"
[[topic]]
topic = "m/{charger}"
connector = 1
at = { from = "/t", zone = "+08:00" }
[topic.status]
from = "/s"
map = { 1 = "charging" }
[topic.meter]
power_w = { from = "/p", unit = "kW" }
[topic.faults]
from = "/f"
bits = { 0 = "no-earth" }
"""


@pytest.mark.parametrize(
    ("was", "wrong", "line", "why"),
    [
        ('name = "m"', 'name = "a b"', 1, "right would be 1 to 64"),
        ('name = "m"', 'name = "m', 1, "not TOML"),
        ("m/{charger}", "m/+", 3, "without \\+ or #"),
        ("m/{charger}", "m/{x}", 3, "neither {charger} in the topic"),
        ("connector = 1", "connector = 1000", 4, "right would be 1 to 999"),
        ("connector = 1", "konnector = 1", 4, "unknown; known here are topic, "),
        ("+08:00", "Mars", 5, "right would be .08:00 or Asia/Shanghai"),
        ('from = "/s"', 'from = "s"', 7, "is no place; right would be a pointer"),
        ('from = "/s"', 'from = "{x}"', 7, "its parts are {charger}"),
        ('"charging"', '"loading"', 8, "right would be one of available"),
        ('"charging"', "7", 8, "right would be a text"),
        ('unit = "kW"', 'unit = "kV"', 10, "right would be one of W, kW"),
        ('unit = "kW"', 'unti = "kW"', 10, "unknown; known here are unit, scale"),
        ("power_w", "power_kw", 10, "unknown; known here are session_id, energy_wh"),
        ("0 = ", "99 = ", 13, "right would be 0 to 63"),
        ("no-earth", "no-erth", 13, "a code of docs/faults.md"),
        ("bits", "bit", 11, "right would be one of bits, map and flags"),
        ("connector = 1", 'payload = "text"', 5, "has no parts to point at"),
        ("connector = 1", 'payload = "csv"', 4, "right would be one of json, text"),
        ("connector = 1", 'split = ""', 4, 'right would be a separator as ","'),
        ("connector = 1", 'split = [",", ";", ":", "="]', 4, "up to 3, outermost first"),
        ("connector = 1", 'split = ","\npayload = "json"', 5, 'are for payload = "text"'),
        ("connector = 1", 'pairs = ""', 4, "what parts name and value"),
        ('unit = "kW"', "signed = 12", 10, "right would be 8, 16 or 32"),
    ],
)
def test_a_mistake_is_told_with_its_line(was: str, wrong: str, line: int, why: str) -> None:
    assert read_mapping("m.toml", GOOD.encode())
    with pytest.raises(BadMapping, match=rf"^m\.toml:{line}: .*{why}"):
        read_mapping("m.toml", GOOD.replace(was, wrong, 1).encode())


def test_a_file_that_is_wrong_stops_the_ingester_with_its_place(tmp_path: Path) -> None:
    file = tmp_path / "m.toml"
    with pytest.raises(BadSettings, match="No such file"):
        choose(Ingest(mappings=(file,)))
    file.write_text(GOOD.replace("kW", "kV"))
    with pytest.raises(BadSettings, match=r"m\.toml:10"):
        choose(Ingest(mappings=(file,)))
    file.write_text(GOOD.replace("m/{charger}", "tele/{charger}/LWT"))
    with pytest.raises(BadSettings, match="would both read"):
        choose(Ingest(mappings=(file,)))


def test_the_command_tells_where_a_file_or_message_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "m.toml"
    file.write_text(GOOD)
    words = ["dialect", "try", str(file), "--topic"]
    assert main([*words, "m/C1", "--payload", '{"s":5}']) == 1
    assert "not in the map" in capsys.readouterr().err
    assert main([*words, "n/C1", "--payload", "{}"]) == 1
    assert "m/{charger}" in capsys.readouterr().err
    assert main([*words, "m/C1", "--payload", "{}"]) == 0
    assert "no place of the file" in capsys.readouterr().out
    file.write_text(GOOD.replace("kW", "kV"))
    assert main([*words, "m/C1", "--payload", "{}"]) == 2
    assert "m.toml:10" in capsys.readouterr().err


def test_the_command_lists_every_dialect(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["dialects"]) == 0
    listed = capsys.readouterr().out
    root = PAGE.parent.parent.parent
    pages = re.findall(r"docs/dialects/[\w-]+\.md", listed)
    assert len(pages) >= 9
    assert all((root / page).exists() for page in pages)
    assert "native" in listed
