"""The registry file: clear errors by line, whole or nothing, and the same twice."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilewatch.openinghours import text_of
from pilewatch.store.pool import Db
from pilewatch.store.registry import load_registry
from pilewatch.store.registry_file import BadRegistry, read_registry

GOOD = """\
areas: [{code: wanhe, name: 万和社区}]
companies: [{code: xinchong, name: 信阳充电运营, phone: 0376-1234567}]
grids: [{code: wanhe-1, area: wanhe, name: 第一网格}]
sites:
  - {code: wanhe-1a, grid: wanhe-1, company: xinchong, name: 东门车棚, latitude: 32.13,
     longitude: 114.07, repair_phone: 03761234567}
gateways: [{code: gw-1, site: wanhe-1a, device: dny-1}]
chargers:
  - {code: WH-E01, site: wanhe-1a, gateway: gw-1, kind: ebike, label: 1号棚, connectors: 10,
     max_power_w: 800, device: dny-13544000}
  - {code: WH-C01, site: wanhe-1a, kind: car, label: 快充1, connectors: [{number: 1},
     {number: 4, max_power_w: 60000}]}
"""


def _file(tmp_path: Path, text: str | bytes, name: str = "registry.yaml") -> Path:
    path = tmp_path / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def _problems(tmp_path: Path, text: str | bytes, name: str = "registry.yaml") -> str:
    with pytest.raises(BadRegistry) as caught:
        read_registry(_file(tmp_path, text, name))
    return str(caught.value).replace(f"{tmp_path}/", "")


def test_a_good_file_loads_once_and_changes_nothing_the_second_time(db: Db, tmp_path: Path) -> None:
    path = _file(tmp_path, GOOD)
    loaded = load_registry(db, path)
    assert loaded.added["connector"] == 12
    again = load_registry(db, path)
    assert not any(again.added.values()) and not any(again.changed.values())
    row = db.execute("SELECT repair_phone, latitude FROM site").fetchone()
    assert row == {"repair_phone": "03761234567", "latitude": 32.13}


def test_what_others_are_told_comes_from_the_file_and_is_checked(
    plain_db: Db, tmp_path: Path
) -> None:
    told = GOOD.replace(
        "longitude: 114.07,",
        'longitude: 114.07, city: 信阳, postal_code: "464000", opening_hours: "Mo-Fr 08:00-20:00",',
    ).replace(
        "label: 快充1, connectors: [{number: 1},",
        "label: 快充1, plug: GBT_DC, power_type: DC, max_voltage_v: 750, connectors: [{number: 1, "
        "plug: CHADEMO, max_current_a: 125},",
    )
    load_registry(plain_db, _file(tmp_path, told))
    again = load_registry(plain_db, _file(tmp_path, told))
    assert not any(again.added.values()) and not any(again.changed.values())
    site = plain_db.execute("SELECT city, postal_code FROM site").fetchone()
    assert site == {"city": "信阳", "postal_code": "464000"}
    rows = plain_db.execute(
        "SELECT plug, power_type, max_voltage_v, max_current_a FROM connector "
        "WHERE power_type IS NOT NULL ORDER BY number"
    ).fetchall()
    assert [tuple(row.values()) for row in rows] == [
        ("CHADEMO", "DC", 750, 125),
        ("GBT_DC", "DC", 750, None),
    ]
    longer = told.replace("Mo-Fr 08:00", "Mo-Fr 07:00")
    load_registry(plain_db, _file(tmp_path, longer))
    assert load_registry(plain_db, _file(tmp_path, GOOD)).changed["hours"] == 0
    [hours] = plain_db.execute("SELECT week FROM opening_hours").fetchall()
    assert text_of(hours["week"]) == "Mo-Fr 07:00-20:00", "of one day the last word"
    lines = (
        "area,grid,site,charger,kind,plug,max_current_a,opening_hours\n"
        "a,g,s,C1,ebike,DOMESTIC_I,10,24/7\n"
    )
    registry = read_registry(_file(tmp_path, lines, "r.csv"))
    assert registry.chargers["C1"].plugs()[0].max_current_a == 10
    wrong = _problems(tmp_path, told.replace("Mo-Fr 08:00", "daily 08:00").replace("DOMESTIC", "X"))
    assert "registry.yaml:5: sites 'wanhe-1a': opening_hours: 'daily 08:00-20:00'" in wrong
    assert "Invalid enum value 'GB/T'" in _problems(tmp_path, told.replace("GBT_DC", "GB/T"))


def test_a_shorter_connector_list_retires_ports_and_a_longer_one_revives_them(
    plain_db: Db, tmp_path: Path
) -> None:
    load_registry(plain_db, _file(tmp_path, GOOD))
    fewer = load_registry(
        plain_db, _file(tmp_path, GOOD.replace("connectors: 10", "connectors: 8"))
    )
    assert fewer.changed["connector"] == 2
    more = load_registry(plain_db, _file(tmp_path, GOOD))
    assert more.changed["connector"] == 2
    row = plain_db.execute("SELECT count(*) FILTER (WHERE active) AS n FROM connector").fetchone()
    assert row == {"n": 12}


def test_a_duplicate_id_names_both_lines_and_nothing_is_written(
    plain_db: Db, tmp_path: Path
) -> None:
    double = GOOD + "  - {code: WH-E01, site: wanhe-1a, kind: car, label: x, connectors: 1}\n"
    with pytest.raises(BadRegistry, match=r":13: chargers: code 'WH-E01' is already .* line 9"):
        load_registry(plain_db, _file(tmp_path, double))
    assert plain_db.execute("SELECT count(*) AS n FROM area").fetchone() == {"n": 0}


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("kind: ebike", "kind: bike", "registry.yaml:9: chargers 'WH-E01': Invalid enum value"),
        ("connectors: 10", "connectors: ten", ":9: chargers 'WH-E01': Expected `int | array`"),
        ("gateway: gw-1, ", "gateway: gw-9, ", "gateway 'gw-9' is not among the file's gateways"),
        ("area: wanhe,", "area: wane,", ":3: grids 'wanhe-1': area 'wane' is not among"),
        ("label: 1号棚", "lable: 1号棚", "Object contains unknown field `lable`"),
        ("number: 4", "number: 1", "connector 1 is listed twice"),
        ("name: 万和社区", "name: 万和社区, name: x", ":1: 'name' is already given on line 1"),
        ("name: 万和社区", "name: a, timezone: Mars/Base", "timezone 'Mars/Base' is unknown"),
        ("latitude: 32.13", "latitude: 132.13", "Expected `float` <= 90"),
        ("latitude: 32.13", "latitude: .nan", "latitude"),
        ("gateways:", "gatways:", "'gatways' is unknown"),
        ("chargers:\n", "chargers: [\n", "not YAML"),
        ("WH-E01", "WH E01", "chargers 'WH E01': Expected `str` matching regex"),
    ],
)
def test_each_mistake_is_told_with_its_line(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert said in _problems(tmp_path, GOOD.replace(old, new))


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    bad = GOOD.replace("kind: ebike", "kind: bike").replace("area: wanhe,", "area: wane,")
    assert len(_problems(tmp_path, bad).splitlines()) == 2


def test_what_is_no_text_is_told(tmp_path: Path) -> None:
    assert "registry.yaml:2: not UTF-8" in _problems(tmp_path, "a: 1\nb: 中".encode("gbk"))
    assert "NUL" in _problems(tmp_path, b"areas: []\n\x00")
    assert "unknown kind of file" in _problems(tmp_path, "x", "registry.txt")
    with pytest.raises(BadRegistry, match="No such file"):
        read_registry(tmp_path / "no.yaml")
    assert "nested" in _problems(tmp_path, "[" * 50_000)


CSV = """\
area,area_name,grid,site,site_name,gateway,charger,kind,connectors,max_power_w
wanhe,万和社区,wanhe-1,s1,东门,gw1,001,ebike,10,800
wanhe,万和社区,wanhe-1,s1,东门,gw1,002,ebike,12,800
"""


def test_csv_loads_with_a_spreadsheet_byte_order_mark(plain_db: Db, tmp_path: Path) -> None:
    loaded = load_registry(plain_db, _file(tmp_path, "\ufeff" + CSV, "registry.csv"))
    assert loaded.added["connector"] == 22
    codes = [r["code"] for r in plain_db.execute("SELECT code FROM charger ORDER BY code")]
    assert codes == ["001", "002"]


def test_csv_mistakes_are_told_with_their_line(tmp_path: Path) -> None:
    assert "registry.csv:3: sites 's1': name is '西门' but '东门' on line 2" in _problems(
        tmp_path, CSV.replace("东门,gw1,002", "西门,gw1,002"), "registry.csv"
    )
    assert "chargers: code '001' is already used on line 2" in _problems(
        tmp_path, CSV.replace("002", "001"), "registry.csv"
    )
    assert "column 'kindd' is unknown" in _problems(
        tmp_path, CSV.replace("kind", "kindd"), "registry.csv"
    )
    assert "number of cells" in _problems(tmp_path, CSV + "a,b\n", "registry.csv")


@given(st.text(max_size=300), st.sampled_from(["r.yaml", "r.csv"]))
def test_no_text_makes_it_crash(text: str, name: str) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = _file(Path(folder), text.encode("utf-8", "surrogatepass"), name)
        try:
            read_registry(path)
        except BadRegistry as error:
            assert error.problems
