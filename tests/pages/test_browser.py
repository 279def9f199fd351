"""The pages in a real browser, as people use them."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.pages.conftest import PASSWORD, World

pytestmark = pytest.mark.browser
_PHONE = {"width": 360, "height": 740}
_DESKTOP = {"width": 1280, "height": 800}
_EVIL = '<script>document.title="owned"</script>" onmouseover="document.title=\'owned\'" x="'


class Visits:
    """Opens pages, and keeps what the browser complained of."""

    def __init__(self, browser: Browser, address: str):
        self.browser = browser
        self.address = address
        self.complaints: list[str] = []

    def open(self, path: str, viewport: dict[str, int], **more: Any) -> Page:
        """A page in a context of its own."""
        context = self.browser.new_context(
            base_url=self.address, viewport=viewport, **{"locale": "zh-CN", **more}
        )
        page = context.new_page()
        page.on("console", lambda m: self.complaints.append(m.text))
        page.on("pageerror", lambda e: self.complaints.append(str(e)))
        page.goto(path)
        return page


@pytest.fixture
def visits(browser: Browser, address: str) -> Iterator[Visits]:
    """A browser whose contexts close with the test, and which had nothing to complain of."""
    made = Visits(browser, address)
    yield made
    for context in browser.contexts:
        context.close()
    told = [c for c in made.complaints if "404" not in c and "409" not in c]
    assert told == []


def _log_in(page: Page, login: str) -> None:
    page.fill("#login", login)
    page.fill("#password", PASSWORD)
    page.press("#password", "Enter")
    page.wait_for_url("**/console")


def _fits(page: Page) -> None:
    """Nothing sticks out sideways, of the page or of its boxes."""
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    out = page.evaluate(
        """[...document.querySelectorAll('.ports li, .choices a, .button, .severity, .counts a')]
            .filter(e => e.scrollWidth > e.clientWidth + 1).map(e => e.outerHTML)"""
    )
    assert out == []


def _readable(page: Page) -> None:
    """Type of 18 px or more, and 48 px to touch."""
    small = page.evaluate(
        """[...document.querySelectorAll('main *')].filter(e => e.checkVisibility()
            && [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim())
            && !e.classList.contains('hidden')
            && parseFloat(getComputedStyle(e).fontSize) < 18).map(e => e.outerHTML)"""
    )
    assert small == []
    flat = page.evaluate(
        """[...document.querySelectorAll('a, button, summary, textarea')]
            .filter(e => e.checkVisibility() && !e.classList.contains('skip')
                && e.getBoundingClientRect().height < 47.5).map(e => e.outerHTML)"""
    )
    assert flat == []


@pytest.mark.parametrize(
    ("language", "to_port"),
    [
        ("zh-CN", ["ul.ports a >> nth=1"]),
        ("en-GB", ["a.report", "ul.numbers >> nth=0 >> a >> nth=1"]),
    ],
)
def test_a_resident_scans_reports_in_three_taps_or_four_without_scripts(
    visits: Visits, world: World, language: str, to_port: list[str]
) -> None:
    page = visits.open("/p/C1", _PHONE, java_script_enabled=False, locale=language)
    for touched in to_port:
        page.click(touched)
    page.click("ul.pictures a >> nth=0")
    page.click("button.primary")
    page.wait_for_url("**/r/*")
    expect(page.locator("ol.steps li")).to_have_count(1)
    told = "收到报修" if language == "zh-CN" else "Report received"
    expect(page.locator("ol.steps")).to_contain_text(told)
    report = world.row("SELECT r.code, c.number FROM report r JOIN connector c ON c.id = "
                       "r.connector_id")  # fmt: skip
    assert report == {"code": "no-output", "number": 2}


@pytest.mark.parametrize("language", ["zh-CN", "en-GB"])
def test_residents_pages_are_readable_on_a_small_phone(
    visits: Visits, world: World, language: str
) -> None:
    world.ticket("plug-broken", 1)
    for path in ("/", "/s/s", "/p/C0", "/report/C0", "/report/C0?port=2",
                 "/report/C0?port=2&fault=over-temperature"):  # fmt: skip
        page = visits.open(path, _PHONE, locale=language)
        _fits(page)
        _readable(page)


def test_the_larger_type_is_larger_and_fits(visits: Visits, world: World) -> None:
    world.ticket("plug-broken", 1)
    page = visits.open("/?size=larger", _PHONE)
    for path in ("/", "/s/s", "/p/C0", "/report/C0", "/report/C0?port=2", "/r", "/login",
                 "/report/C0?port=2&fault=over-temperature", "/p/nothing"):  # fmt: skip
        page.goto(path)
        _fits(page)
        assert page.evaluate("document.querySelector('h1').getBoundingClientRect().height") > 44


@pytest.mark.parametrize("viewport", [_PHONE, _DESKTOP])
def test_an_operator_logs_in_finds_the_ticket_and_assigns_it(
    visits: Visits, world: World, viewport: dict[str, int]
) -> None:
    id = world.ticket("over-temperature")
    page = visits.open(f"/console/tickets/{id}", viewport, locale="en-GB")
    _fits(page)
    page.fill("#login", "operator")
    page.fill("#password", PASSWORD)
    page.press("#password", "Enter")
    page.wait_for_url(f"**/console/tickets/{id}")
    page.click("nav >> text=Board")
    page.wait_for_url("**/console")
    _fits(page)
    page.click("a.title")
    page.wait_for_url(f"**/console/tickets/{id}")
    page.select_option("#company", "c")
    page.select_option("#assignee", "repairer")
    page.click("#do-assign button")
    page.wait_for_selector(".st-assigned")
    _fits(page)
    assert world.community.state(id) == "assigned"


def test_hostile_words_of_piles_and_residents_stay_words(visits: Visits, world: World) -> None:
    world.db.execute("UPDATE charger SET label = %s", (_EVIL,))
    world.db.execute("UPDATE site SET name = %s, address = %s", (_EVIL, _EVIL))
    world.db.execute(
        "UPDATE connector_state SET status = 'faulted', errors = jsonb_build_array("
        "jsonb_build_object('code', 'no-output', 'vendorCode', %s::text, 'info', %s::text))",
        (_EVIL, _EVIL),
    )
    world.db.execute(
        "INSERT INTO quarantine (received_at, topic, payload, size, reason) "
        "VALUES (now(), %s, '', 3, %s)",
        (_EVIL, _EVIL),
    )
    page = visits.open("/report/C0?port=1&fault=no-output", _DESKTOP)
    page.fill("#note", _EVIL)
    page.click("button.primary")
    page.wait_for_url("**/r/*")
    receipt = page.url.removeprefix(visits.address)
    id = world.row("SELECT id FROM ticket")["id"]
    page = visits.open("/login", _DESKTOP)
    _log_in(page, "operator")
    for path in ("/", "/s/s", "/p/C0", "/report/C0", receipt, "/console", "/console/chargers/C0",
                 "/console/quarantine", f"/console/tickets/{id}"):  # fmt: skip
        page.goto(path)
        assert page.title() != "owned"
        assert page.locator("[onmouseover], main script").count() == 0, path
        assert "<script>" in page.locator("main").inner_text(), path


def test_the_page_says_when_the_live_connection_is_lost(visits: Visits, world: World) -> None:
    page = visits.open("/s/s", _PHONE)
    page.route("**/api/v1/live*", lambda route: route.abort())
    page.reload()
    expect(page.locator("[data-lost]")).to_be_visible()
    expect(page.locator("[data-lost]")).to_contain_text("连接已断开")
    visits.complaints.clear()


def test_an_event_brings_the_new_state_without_a_reload(visits: Visits, world: World) -> None:
    page = visits.open("/login", _DESKTOP)
    stream = "retry: 100\n\nevent: ticket\ndata: {}\n\n"
    page.route(
        "**/api/v1/live*",
        lambda route: route.fulfill(content_type="text/event-stream", body=stream),
    )
    _log_in(page, "operator")
    expect(page.locator(".matter")).to_have_count(0)
    world.ticket("over-temperature")
    expect(page.locator(".matter")).to_have_count(1)
    page.click("a.title")
    page.fill("#note-comment", "half a sentence")
    page.locator("h1").click()
    world.db.execute("UPDATE ticket SET severity = 3")
    expect(page.locator("#facts .severity")).to_have_class("severity level-3")
    expect(page.locator("#note-comment")).to_have_value("half a sentence")


def test_ages_tick_and_match_what_the_server_wrote(visits: Visits, world: World) -> None:
    world.community.heard(datetime.now(UTC))
    page = visits.open("/s/s", _PHONE)
    expect(page.locator("time[data-age]").first).to_have_text("刚刚")
    page.clock.install()
    page.goto("/s/s")
    page.clock.fast_forward(130_000)
    expect(page.locator("time[data-age]").first).to_have_text("2分钟前")


def test_a_waiting_page_tells_of_the_free_port_by_itself(visits: Visits, world: World) -> None:
    world.db.execute("UPDATE connector_state SET status = 'charging'")
    world.community.heard(datetime.now(UTC))
    page = visits.open("/s/s", _PHONE)
    stream = "retry: 100\n\nevent: connector\ndata: {}\n\n"
    page.route(
        "**/api/v1/live*",
        lambda route: route.fulfill(content_type="text/event-stream", body=stream),
    )
    page.click("form[action='/s/s/wait'] button")
    expect(page.locator("h1")).to_have_text("正在等空位")
    world.db.execute("UPDATE connector_state SET status = 'available'")
    expect(page.locator("h1")).to_have_text("有空位了")
    expect(page).to_have_title("有空位了")
    page.click("a.button")
    expect(page.locator("h1")).to_have_text("万和一期东门")
