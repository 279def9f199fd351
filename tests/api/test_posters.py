"""Posters: a version for each change of what they say, and which piles hang behind."""

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import psycopg
import pytest
import segno
from PIL import Image

from api.fieldwork.sheets import TEMPLATE, content_of, drawing
from deploy.command import main
from pilewatch import paper
from pilewatch.pilecode import address, read_code, read_keys
from pilewatch.store.pool import Db
from pilewatch.workflow.posters import make_poster, poster_piles
from tests.api.conftest import World
from tests.api.test_patrols import SECRET, survey, sync, visit
from tests.workflow.conftest import NOW, Community


@pytest.fixture
def world(
    plain_db: Db, plain_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[World]:
    """The API over a small community whose codes are signed."""
    monkeypatch.setenv("PILEWATCH_POSTERS__KEYS", SECRET)
    made = World(plain_db, plain_database_url)
    with made.client:
        yield made


def states(world: World) -> dict[str, str]:
    """State of each pile's poster."""
    found = world.ask("grid_worker", "GET", "/posters?site=s").json()["items"]
    return {row["charger"]: row["state"] for row in found}


def test_a_patrol_tells_which_piles_hang_behind(world: World) -> None:
    assert set(states(world).values()) == {"unmade"}
    assert world.ask("operator", "GET", "/posters.pdf?site=s").status_code == 409
    made = world.ask("operator", "POST", "/posters", json={"site": "s"}).json()
    assert made == {"made": 3, "unchanged": 0, "signed": True}
    again = world.ask("operator", "POST", "/posters", json={"site": "s"}).json()
    assert (again["made"], again["unchanged"]) == (0, 3)
    assert set(states(world).values()) == {"unseen"}
    survey(world)
    sync(world, *(visit(world, code) for code in ("C0", "C1")))
    assert states(world) == {"C0": "current", "C1": "current", "C2": "unseen"}
    world.db.execute("UPDATE site SET repair_phone = '021-1234'")
    assert set(states(world).values()) == {"outdated"}
    world.ask("operator", "POST", "/posters", json={"charger": "C0"})
    assert states(world) == {"C0": "stale", "C1": "outdated", "C2": "outdated"}
    row = world.ask("operator", "GET", "/posters?charger=C0").json()["items"][0]
    assert (row["number"], row["seen_number"]) == (2, 1)
    rows = world.db.execute("SELECT object FROM audit WHERE action = 'poster.make'").fetchall()
    assert len(rows) == 4


def test_the_pages_are_a_pdf_for_those_who_plan_only(world: World) -> None:
    world.ask("operator", "POST", "/posters", json={"site": "s"})
    for size in ("a4", "a5"):
        page = world.ask("operator", "GET", f"/posters.pdf?site=s&size={size}")
        assert page.headers["content-type"] == "application/pdf"
        assert page.content.startswith(b"%PDF-")
    # Whoever has the code of a pile could be anywhere with it.
    for role in ("grid_worker", "repairer"):
        assert world.ask(role, "GET", "/posters.pdf?site=s").status_code == 403
        assert world.ask(role, "POST", "/posters", json={"site": "s"}).status_code == 403
    for query, status in (("", 422), ("?site=s&charger=C0", 422), ("?site=x", 404)):
        assert world.ask("operator", "GET", f"/posters.pdf{query}").status_code == status
    assert world.ask("operator", "POST", "/posters", json={}).status_code == 422


def test_residents_reach_the_page_whatever_signature_the_code_has(world: World) -> None:
    for query in ("", "?s=k1.1.AAAAAAAAAAAAAAAAAAAAAA", "?s=%00%ff", "?s=" + "x" * 3000, "?s=&s=2"):
        page = world.client.get(f"/p/C0{query}")
        assert page.status_code == 200 and "/report/C0" in page.text
    assert "a-secret" not in world.client.get("/p/C0/qr.svg").text


def piles(community: Community, keys: str = SECRET) -> list[dict[str, object]]:
    """The community's posters, made now."""
    rows = poster_piles(community.db, site="s")
    with community.db.transaction():
        for row in rows:
            content = content_of(row, "https://piles.example")
            make_poster(community.db, NOW, row["id"], content, read_keys(keys)[0][0], None)
    return poster_piles(community.db, site="s")


@pytest.fixture
def community(plain_db: Db) -> Community:
    """A community without an API."""
    return Community(plain_db)


def test_each_pile_has_one_page_even_with_the_longest_words(community: Community) -> None:
    community.db.execute(
        "UPDATE site SET name = %s, address = %s, repair_phone = %s",
        ("很长的名字" * 40, "路" * 400, "0376-5550101 转 8021 或 13800000000"),
    )
    community.db.execute("UPDATE charger SET label = %s, kind = 'car' WHERE code = 'C1'",
                         ("#panic() 超长" * 20,))  # fmt: skip
    community.db.execute("UPDATE charger SET code = %s WHERE code = 'C2'", ("W" * 64,))
    keys = read_keys(SECRET)
    data, pictures = drawing(piles(community), keys, "a5")
    drawn = paper.pages("api.fieldwork", TEMPLATE, data, pictures)
    assert len(drawn) == 3
    assert {Image.open(BytesIO(page)).size for page in drawn} == {(839, 1191)}
    code = address("https://piles.example", keys, "C0", 1)
    expected = BytesIO()
    segno.make(code, error="q").save(expected, kind="svg", scale=8, border=2)
    assert pictures["qr-0.svg"] == expected.getvalue()
    assert read_code(keys, code).charger == "C0"


def test_another_key_or_address_makes_another_version_and_the_same_makes_none(
    community: Community,
) -> None:
    assert {row["number"] for row in piles(community)} == {1}
    assert {row["number"] for row in piles(community)} == {1}
    assert {row["number"] for row in piles(community, "k2 another-secret-for-tests")} == {2}
    with pytest.raises(psycopg.errors.UniqueViolation), community.db.transaction():
        community.db.execute("INSERT INTO poster SELECT * FROM poster LIMIT 1")


def test_the_command_writes_the_pages_of_a_site_or_a_pile(
    plain_db: Db,
    plain_database_url: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    Community(plain_db)
    monkeypatch.setenv("PILEWATCH_DATABASE__URL", plain_database_url)
    file = tmp_path / "out.pdf"
    assert main(["poster", "s", "-o", str(file)]) == 0
    told = capsys.readouterr().out
    assert "not signed" in told and "3 pages, 3 new versions" in told
    assert file.read_bytes().startswith(b"%PDF-")
    monkeypatch.setenv("PILEWATCH_POSTERS__KEYS", SECRET)
    assert main(["poster", "C1", "-o", str(file), "--size", "a5"]) == 0
    assert "1 pages, 1 new versions" in capsys.readouterr().out
    assert main(["poster", "nowhere", "-o", str(file)]) == 1
    assert main(["poster", "s", "-o", str(tmp_path / "no" / "file")]) == 1
    own = tmp_path / "own.toml"
    own.write_text(
        'code = "own"\npurpose = "patrol"\nchargers = ["ebike"]\nname = {zh = "我", en = "own"}\n'
        '[[items]]\ncode = "roof"\nfault = "water-ingress"\ntext = {zh = "顶", en = "roof"}\n'
    )
    for _ in range(2):
        assert main(["checklist", "load", str(own), "--area", "a"]) == 0
        assert "own, version 1: 1 items" in capsys.readouterr().out
    assert main(["checklist", "load", str(own), "--area", "x"]) == 1
    own.write_text("items = 3")
    assert main(["checklist", "load", str(own), "--area", "a"]) == 1
    assert "own.toml" in capsys.readouterr().err
