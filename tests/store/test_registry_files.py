"""The registry goes out as a file and comes in again; what a file would change is told first."""

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openpyxl import Workbook

from deploy.command import main
from pilewatch.store.pool import Db
from pilewatch.store.registry import load_registry, write_registry
from pilewatch.store.registry_file import BadRegistry, Registry, read_registry
from pilewatch.store.registry_stored import changes, registry_as, stored_registry
from tests.store.test_registry import GOOD

ENDINGS = (".yaml", ".csv", ".xlsx")


def _saved(folder: Path, registry: Registry, ending: str) -> Path:
    path = folder / f"out{ending}"
    path.write_bytes(registry_as(registry, ending))
    return path


@pytest.fixture
def loaded(plain_db: Db, tmp_path: Path) -> Registry:
    path = tmp_path / "registry.yaml"
    path.write_text(GOOD)
    load_registry(plain_db, path)
    return stored_registry(plain_db)


@pytest.mark.parametrize("ending", ENDINGS)
def test_what_is_stored_goes_out_and_comes_in_unchanged(
    plain_db: Db, loaded: Registry, tmp_path: Path, ending: str
) -> None:
    again = read_registry(_saved(tmp_path, loaded, ending))
    assert not list(changes(loaded, again))
    written = write_registry(plain_db, again)
    assert not any(written.added.values()) and not any(written.changed.values())
    assert again.sites["wanhe-1a"].repair_phone == "03761234567", "the zero is still there"


def test_a_file_shows_what_it_would_change_and_then_changes_just_that(
    plain_db: Db, loaded: Registry, tmp_path: Path
) -> None:
    path = tmp_path / "new.yaml"
    path.write_text(
        GOOD.replace("name: 东门车棚", "name: 东门新棚")
        .replace("connectors: 10", "connectors: 8")
        .replace("label: 快充1", "label: 快充1, vendor: 某厂")
        .replace("{number: 4, max_power_w: 60000}", "{number: 4, max_power_w: 30000}")
        + "  - {code: WH-E02, site: wanhe-1a, kind: ebike, label: 2号棚, connectors: 1}\n"
    )
    wanted = read_registry(path)
    assert [str(change) for change in changes(loaded, wanted)] == [
        "~ sites wanhe-1a: name '东门车棚' -> '东门新棚'",
        "- connectors WH-E01/9",
        "- connectors WH-E01/10",
        "~ chargers WH-C01: vendor None -> '某厂'",
        "~ connectors WH-C01/4: max_power_w 60000.0 -> 30000.0",
        "+ chargers WH-E02",
        "+ connectors WH-E02/1",
    ]
    assert stored_registry(plain_db) == loaded, "nothing is written by looking"
    write_registry(plain_db, wanted)
    assert not list(changes(stored_registry(plain_db), wanted))


texts = st.text(
    st.characters(blacklist_categories=("Cs", "Cc"), blacklist_characters="\ufeff\ufffe\uffff"),
    min_size=1, max_size=20,
).filter(lambda text: text == text.strip())  # fmt: skip
plugs = st.one_of(
    st.integers(1, 20),
    st.lists(
        st.builds(
            lambda n, w: {"number": n, "max_power_w": w}, st.integers(1, 999), st.floats(1, 1e6)
        ),
        min_size=1, max_size=4, unique_by=lambda plug: plug["number"],
    ),
)  # fmt: skip


@given(texts, texts, plugs, st.sampled_from(ENDINGS), st.booleans())
def test_any_names_and_plugs_survive_every_kind_of_file(
    tmp_path_factory: pytest.TempPathFactory,
    name: str,
    label: str,
    connectors: object,
    ending: str,
    active: bool,
) -> None:
    sections = {
        "areas": {"a": {"code": "a", "name": name}, "b": {"code": "b", "name": "no charger"}},
        "grids": {"g": {"code": "g", "area": "a", "name": "G"}},
        "sites": {"s": {"code": "s", "grid": "g", "name": "S", "repair_phone": "010-1"}},
        "companies": {"c": {"code": "c", "name": "nowhere yet"}},
        "chargers": {
            "E1": {"code": "E1", "site": "s", "kind": "ebike", "label": label, "active": active,
                   "connectors": connectors, "installed_on": "2024-02-29"}
        },
    }  # fmt: skip
    registry = msgspec.convert(sections, Registry)
    again = read_registry(_saved(tmp_path_factory.mktemp("any"), registry, ending))
    assert again == registry


@given(st.binary(max_size=300))
def test_bytes_that_are_no_spreadsheet_are_refused(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.mktemp("bad") / "bad.xlsx"
    path.write_bytes(content)
    with pytest.raises(BadRegistry, match=r"bad\.xlsx:1: not an XLSX spreadsheet"):
        read_registry(path)


def test_a_sheet_typed_by_hand_is_read_and_its_mistakes_are_told_by_line(tmp_path: Path) -> None:
    book = Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.append(["area", "grid", "site", "charger", "kind", "connectors", "max_power_w"])
    sheet.append(["a", "g", "s", "E1", "ebike", 10, 800])
    sheet.append([])
    sheet.append(["a", "g", "s", "E2", "e-bike", 10, 800])
    path = tmp_path / "typed.xlsx"
    book.save(path)
    with pytest.raises(BadRegistry, match=r"typed\.xlsx:4: chargers 'E2': Invalid enum value"):
        read_registry(path)
    sheet.delete_rows(4)
    book.save(path)
    assert read_registry(path).chargers["E1"].connectors == 10


def test_the_commands(
    plain_database_url: str,
    loaded: Registry,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("PILEWATCH_DATABASE__URL", plain_database_url)
    out = tmp_path / "list.xlsx"
    assert main(["registry", "export", str(out)]) == 0
    assert main(["registry", "diff", str(out)]) == 0
    assert "nothing would change" in capsys.readouterr().out
    assert main(["registry", "export", str(tmp_path / "list.doc")]) == 2
    path = tmp_path / "new.yaml"
    path.write_text(GOOD.replace("东门车棚", "西门车棚"))
    assert main(["registry", "load", "--dry-run", str(path)]) == 0
    assert "~ sites wanhe-1a: name" in capsys.readouterr().out
    assert main(["registry", "diff", str(path)]) == 0
    assert "differences: 1" in capsys.readouterr().out
