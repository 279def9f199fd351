"""The operator's map: what lies under it, what it tells, and that nobody needs it."""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from api.pages.datum import to_gcj02
from api.pages.render import STATIC
from pilewatch.route import metres
from pilewatch.settings import BadSettings, Map, load_settings
from pilewatch.store.pool import Db
from tests.pages.conftest import World, serve
from tests.pages.test_browser import _EVIL, Visits, _log_in, visits

__all__ = ["visits"]
_DESKTOP = {"width": 1366, "height": 768}
_PHONE = {"width": 390, "height": 844}


def _png() -> bytes:
    made = BytesIO()
    Image.new("RGB", (256, 256), "#dde").save(made, "PNG")
    return made.getvalue()


class Tiles(ThreadingHTTPServer):
    """A tile server on this machine, and what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str | None]] = []
        super().__init__(("127.0.0.1", 0), _Tile)

    @property
    def origin(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Tile(BaseHTTPRequestHandler):
    server: Tiles

    def do_GET(self) -> None:
        self.server.asked.append((self.path, self.headers["Referer"]))
        body = _png()
        self.send_response(200)
        self.send_header("Content-Type", "image/png")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Tests are quiet."""


@pytest.fixture
def tiles() -> Iterator[Tiles]:
    """A tile server."""
    with Tiles() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join(10)


def _located(world: World) -> None:
    world.db.execute("UPDATE site SET latitude = 32.13, longitude = 114.07")
    world.db.execute(
        "INSERT INTO site (code, grid_id, company_id, name, latitude, longitude) "
        "SELECT code || n, grid_id, company_id, '万和 ' || n || ' 期', 32.13 + n * 0.004, 114.07 "
        "FROM site, generate_series(2, 4) n"
    )
    world.db.execute(
        "WITH other AS (INSERT INTO grid (area_id, code, name) SELECT area_id, 'g2', name "
        "FROM grid RETURNING id) UPDATE site SET grid_id = other.id FROM other WHERE code = 's4'"
    )


@contextmanager
def _world(db: Db, url: str, settings: Map) -> Iterator[World]:
    world = World(db, url, map=settings)
    _located(world)
    yield world
    world.app.state.context.pool.close()


def _open(page: Page) -> None:
    page.goto("/console/map")
    page.wait_for_selector("#map[data-ready]")


# --- settings


@pytest.mark.parametrize(
    "url",
    [
        "https://tile.example.org/{z}/{x}/{y}.png",
        "http://10.0.0.7:8080/wmts?TILEMATRIX={z}&TILEROW={y}&TILECOL={x}&tk=a1",
    ],
)
def test_a_template_of_tiles_names_the_one_host_that_is_let_in(url: str) -> None:
    assert url.startswith(f"{Map(tile_url=url).tile_origin}/")


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("TILE_URL", "tile.example.org/{z}/{x}/{y}.png", "begins with https:// or http://"),
        ("TILE_URL", "ftp://tile.example.org/{z}/{x}/{y}.png", "begins with https:// or http://"),
        ("TILE_URL", "https://{s}.example.org/{z}/{x}/{y}.png", "one plain host name"),
        ("TILE_URL", "https://a.org;script-src/{z}/{x}/{y}", "one plain host name"),
        ("TILE_URL", "https://user:word@a.org/{z}/{x}/{y}", "one plain host name"),
        ("TILE_URL", "https://a.org/{z}/{x}/{y} *", "one plain host name"),
        ("TILE_URL", "https://a.org/{z}/{x}.png", r"has \{z\}, \{x\} and \{y\}"),
        ("TILE_URL", "https://a.org/{z}/{x}/{y}/{k}", r"has \{z\}, \{x\} and \{y\}"),
        ("TILE_URL", "https://a.org/{z}/{x}/{y}/{", r"has \{z\}, \{x\} and \{y\}"),
        ("TILE_ATTRIBUTION_URL", "javascript:alert(1)", "map.tile_attribution_url"),
        ("DATUM", "bd09", "map.datum"),
        ("PLAN_FILE", "plan.png", "given together"),
        ("PLAN_BOUNDS", "[1, 2, 0, 3]", "given together"),
    ],
)
def test_a_wrong_setting_of_the_map_is_refused_at_the_start(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, told: str
) -> None:
    monkeypatch.setenv(f"PILEWATCH_MAP__{name}", value)
    with pytest.raises(BadSettings, match=told):
        load_settings()


@pytest.mark.parametrize("content", [None, b"", b"<svg onload='alert(1)'/>", _png()[:-40]])
def test_a_plan_that_is_no_picture_is_refused_at_the_start(
    tmp_path: Path, plain_db: Db, plain_database_url: str, content: bytes | None
) -> None:
    file = tmp_path / "plan.png"
    if content is not None:
        file.write_bytes(content)
    settings = Map(plan_file=file, plan_bounds=(32.1, 114.0, 32.2, 114.1))
    with pytest.raises(BadSettings, match=r"map\.plan_file"):
        World(plain_db, plain_database_url, map=settings)


# --- the datum


@pytest.mark.parametrize(
    ("wgs84", "gcj02"),
    [
        ((31.1774276, 121.5272106), (31.17530398364597, 121.531541859215)),
        ((22.543847, 113.912316), (22.540796131694766, 113.9171764808363)),
        ((39.911954, 116.377817), (39.91334545536069, 116.38404722455657)),
        ((51.5007, -0.1246), (51.5007, -0.1246)),
    ],
)
def test_coordinates_are_shifted_as_the_maps_of_chinese_providers_are(
    wgs84: tuple[float, float], gcj02: tuple[float, float]
) -> None:
    assert to_gcj02(*wgs84) == pytest.approx(gcj02, abs=1e-9)


@given(st.floats(-90, 90), st.floats(-180, 180))
def test_no_place_is_shifted_further_than_the_known_shift_goes(
    latitude: float, longitude: float
) -> None:
    assert metres(latitude, longitude, *to_gcj02(latitude, longitude)) < 2000


# --- what the pages say


def test_the_map_says_what_the_list_says_and_only_what_one_may_see(world: World) -> None:
    _located(world)
    world.ticket("over-temperature", 0)
    client = world.client("operator")
    sites = client.get("/console/map/sites").json()
    assert [site["word"] for site in sites] == ["danger", "unknown", "unknown", "unknown"]
    assert (sites[0]["code"], sites[0]["lat"], sites[0]["danger"]) == ("s", 32.13, 1)
    piles = client.get("/console/map/sites/s").json()
    assert piles[0]["word"] == "danger" and {p["code"] for p in piles} == {"C0", "C1", "C2"}
    assert client.get("/console/map/sites/nothing").json() == []
    assert client.get("/console/map/sites/%00").json() == []
    assert client.get("/console/map/picture").status_code == 404
    world.db.execute("UPDATE site SET company_id = NULL")
    other = world.client("repairer")
    assert other.get("/console/map/sites").json() == []
    assert other.get("/console/map/sites/s").json() == []
    for path in ("sites", "sites/s", "picture"):
        assert world.client().get(f"/console/map/{path}").status_code == 303


def test_tiles_and_plan_of_the_settings_are_on_the_page_and_their_host_in_its_policy(
    tmp_path: Path, plain_db: Db, plain_database_url: str
) -> None:
    file = tmp_path / "plan"
    file.write_bytes(_png())
    settings = Map(
        tile_url="https://tile.example.org:8443/{z}/{x}/{y}.png",
        tile_attribution='<b>us</b> & "them"',
        datum="gcj02",
        plan_file=file,
        plan_bounds=(32.12, 114.06, 32.15, 114.08),
    )
    with _world(plain_db, plain_database_url, settings) as world:
        client = world.client("operator")
        page = client.get("/console/map")
        assert 'data-credit="&lt;b&gt;us&lt;/b&gt; &amp; &#34;them&#34;"' in page.text
        usual = client.get("/console").headers["content-security-policy"]
        own = usual.replace("img-src 'self'", "img-src 'self' https://tile.example.org:8443")
        assert page.headers["content-security-policy"] == own != usual
        plan = client.get("/console/map/picture")
        assert (plan.headers["content-type"], plan.content) == ("image/png", _png())
        site = next(s for s in client.get("/console/map/sites").json() if s["code"] == "s")
        assert (site["lat"], site["lon"]) == pytest.approx(to_gcj02(32.13, 114.07), abs=1e-5)


# --- in a browser


@pytest.mark.parametrize("path", ["/console/map", "/console/chargers/C0"])
def test_the_files_of_map_and_charts_stay_small_on_the_wire(world: World, path: str) -> None:
    page = world.client("operator").get(path).text
    names = set(re.findall(r"/static/([^?\"]+)", page))
    assert sum(len(STATIC[name].packed) for name in names) < 80_000


@pytest.mark.browser
@pytest.mark.parametrize(("size", "scheme"), [(_PHONE, "dark"), (_DESKTOP, "light")])
def test_the_map_needs_no_tiles_and_is_walked_by_keys_alone(
    visits: Visits, world: World, size: dict[str, int], scheme: str
) -> None:
    _located(world)
    world.ticket("over-temperature", 0)
    page = visits.open("/login", size, color_scheme=scheme, locale="en-GB", reduced_motion="reduce")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    _log_in(page, "operator")
    _open(page)
    expect(page.locator("#still")).to_be_hidden()
    expect(page.locator(".leaf .grid-name")).to_have_text(["G", "G"])
    expect(page.locator(".leaf .north")).to_have_text("▲N")
    expect(page.locator(".leaf .leaflet-control-scale-line")).to_contain_text("m")
    danger = page.locator(".spot-place", has=page.locator(".c-danger"))
    expect(danger).to_have_accessible_name("万和一期东门: danger to people, 5 of 6 ports usable")
    expect(danger).to_contain_text("1")
    danger.focus()
    page.keyboard.press("Enter")
    told = page.get_by_role("dialog")
    expect(told).to_be_focused()
    expect(told.locator("li")).to_have_count(3)
    found = Axe().run(page).response["violations"]
    assert [(v["id"], v["nodes"][0]["html"]) for v in found] == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.keyboard.press("Escape")
    expect(danger).to_be_focused()
    page.keyboard.press("Enter")
    told.locator("li a").first.click()
    page.wait_for_url("**/console/chargers/C0")
    assert {url for url in asked if not url.startswith(visits.address)} == set()


@pytest.mark.browser
def test_tiles_come_from_the_host_of_the_settings_and_a_lost_one_is_told(
    browser: Browser, tiles: Tiles, tmp_path: Path, plain_db: Db, plain_database_url: str
) -> None:
    plan = tmp_path / "plan.png"
    plan.write_bytes(_png())
    settings = Map(
        plan_file=plan,
        plan_bounds=(32.12, 114.06, 32.15, 114.08),
        tile_url=f"{tiles.origin}/{{z}}/{{x}}/{{y}}.png",
        tile_attribution="© the map's makers",
        tile_attribution_url="https://maps.example.org/copyright",
    )
    with (
        _world(plain_db, plain_database_url, settings) as world,
        serve(world.app) as address,
    ):
        visits = Visits(browser, address)
        page = visits.open("/login", _DESKTOP, locale="en-GB")
        _log_in(page, "operator")
        _open(page)
        page.wait_for_function("() => document.querySelectorAll('.leaflet-tile-loaded').length > 3")
        assert {referer for _, referer in tiles.asked} == {f"{address}/"}
        page.wait_for_function("() => document.querySelector('.own-plan').naturalWidth === 256")
        credit = page.locator(".leaf .credit a")
        expect(credit).to_have_attribute("href", "https://maps.example.org/copyright")
        expect(page.locator("#tiles-lost")).to_be_hidden()
        assert visits.complaints == []
        page.route(f"{tiles.origin}/**", lambda route: route.abort())
        page.locator(".leaflet-control-zoom-out").click()
        expect(page.locator("#tiles-lost")).to_be_visible()
        expect(page.locator(".spot-place").first).to_be_visible()
        page.context.close()


@pytest.mark.browser
def test_what_changes_is_drawn_without_taking_the_mark_from_under_the_hand(
    visits: Visits, world: World
) -> None:
    _located(world)
    page = visits.open("/login", _DESKTOP)
    _log_in(page, "operator")
    page.clock.install()
    _open(page)
    mark = page.locator(".spot-place", has_text="万和一期东门")
    expect(mark.locator(".c-good")).to_be_visible()
    mark.focus()
    world.ticket("over-temperature", 0)
    page.evaluate("document.dispatchEvent(new CustomEvent('renewed', { detail: 'sites' }))")
    page.clock.fast_forward(5000)
    expect(mark.locator(".c-danger")).to_be_visible()
    expect(mark).to_be_focused()


@pytest.mark.browser
def test_without_scripts_the_plan_stands_still_and_says_the_same(
    visits: Visits, world: World
) -> None:
    _located(world)
    page = visits.open("/login", _PHONE, java_script_enabled=False)
    _log_in(page, "operator")
    page.goto("/console/map")
    expect(page.locator("#still svg")).to_be_visible()
    expect(page.locator("#still a")).to_have_count(4)
    expect(page.locator("#map")).to_be_hidden()
    expect(page.locator("#map-all")).to_be_hidden()


@pytest.mark.browser
def test_ten_thousand_piles_are_a_few_marks(visits: Visits, world: World) -> None:
    world.db.execute(
        "INSERT INTO site (code, grid_id, company_id, name, latitude, longitude) "
        "SELECT 'm' || n, grid_id, company_id, '点 ' || n, 32 + (n % 25) * 0.01, "
        "114 + (n / 25) * 0.01 FROM site, generate_series(1, 850) n"
    )
    world.db.execute(
        "WITH made AS (INSERT INTO charger (code, site_id, kind, label) "
        "SELECT s.code || '-' || n, s.id, 'ebike', n || ' 号桩' "
        "FROM site s, generate_series(1, 12) n WHERE s.code LIKE 'm%' RETURNING id) "
        "INSERT INTO connector (charger_id, number) SELECT id, 1 FROM made"
    )
    page = visits.open("/login", _DESKTOP)
    _log_in(page, "operator")
    _open(page)
    marks = page.locator(".spot-place")
    many = marks.count()
    assert 10 < many < 150
    shown = page.evaluate(
        "[...document.querySelectorAll('.many > span')]"
        ".reduce((sum, e) => sum + Number(e.textContent.match(/\\d+/)[0]), 0)"
    )
    assert 850 - many <= shown <= 850, "each is in one of the marks"
    marks.first.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#map")).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.locator(".spot-place:focus")).to_have_count(1)


@pytest.mark.browser
def test_hostile_names_stay_words_on_the_map(visits: Visits, world: World) -> None:
    _located(world)
    world.db.execute("UPDATE site SET name = %s WHERE code = 's'", (_EVIL,))
    world.db.execute("UPDATE grid SET name = %s", (_EVIL,))
    world.db.execute("UPDATE charger SET label = %s", (_EVIL,))
    page = visits.open("/login", _DESKTOP)
    _log_in(page, "operator")
    _open(page)
    page.locator(".spot-place", has_text="owned").click()
    expect(page.locator(".told li").first).to_contain_text("owned")
    assert page.title() != "owned"
    assert page.locator("[onmouseover], main script").count() == 0
