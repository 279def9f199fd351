"""Operators and repairers in a real browser: keys, dark, phone, lost connection, hostile names."""

from datetime import UTC, datetime

import pytest
from playwright.sync_api import expect

from tests.api.test_explain import hot
from tests.pages.conftest import World
from tests.pages.test_browser import _EVIL, Visits, _fits, _log_in, visits

__all__ = ["visits"]
pytestmark = pytest.mark.browser
_PHONE = {"width": 390, "height": 844}
_DESKTOP = {"width": 1440, "height": 900}
_PAGES = (
    *("/console", "/console/chargers/C0", "/console/map", "/console/uptime", "/console/silences"),
    *("/console/quarantine", "/console/policy"),
)


def _lived_in(world: World) -> int:
    """Something of everything; gives a ticket."""
    hot(world.db, world.community, datetime.now(UTC))
    id = world.ticket("over-temperature", 0)
    world.ticket("plug-broken", 2)
    world.ticket("weak-signal", 4)
    world.db.execute("UPDATE incident SET ticket_id = %s", (id,))
    world.db.execute("UPDATE site SET latitude = 32.13, longitude = 114.07")
    world.db.execute("INSERT INTO unknown_charger VALUES ('NEW-1', now(), now(), 7)")
    return id


def test_every_page_of_staff_fits_a_phone_and_a_wall_its_screen(
    visits: Visits, world: World
) -> None:
    id = _lived_in(world)
    for language in ("zh-CN", "en-GB"):
        page = visits.open("/login", _PHONE, locale=language)
        _log_in(page, "operator")
        for path in (*_PAGES, f"/console/tickets/{id}", "/repair", "/board"):
            page.goto(path)
            _fits(page)
        page.context.close()
    page = visits.open("/board", {"width": 1920, "height": 1080})
    assert page.evaluate("document.documentElement.scrollHeight") <= 1080
    small = page.evaluate(
        """[...document.querySelectorAll('main *')].filter(e => e.checkVisibility()
            && [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim())
            && !e.closest('svg') && parseFloat(getComputedStyle(e).fontSize) < 26).length"""
    )
    assert small == 0, "read from five metres"


def test_what_was_picked_survives_a_live_change(visits: Visits, world: World) -> None:
    id = _lived_in(world)
    page = visits.open("/login", _DESKTOP)
    stream = "retry: 100\n\nevent: ticket\ndata: {}\n\n"
    page.route(
        "**/api/v1/live*",
        lambda route: route.fulfill(content_type="text/event-stream", body=stream),
    )
    _log_in(page, "operator")
    page.check(f"#pick-{id}")
    page.fill("#bulk-note", "half a word")
    fresh = world.ticket("relay-open", 5)
    expect(page.locator(f"#t-{fresh}")).to_be_visible()
    expect(page.locator(f"#pick-{id}")).to_be_checked()
    expect(page.locator("#bulk-note")).to_have_value("half a word")


def test_the_board_says_when_the_connection_is_lost(visits: Visits, world: World) -> None:
    page = visits.open("/login", _DESKTOP)
    page.route("**/api/v1/live*", lambda route: route.abort())
    _log_in(page, "operator")
    expect(page.locator("[data-lost]")).to_be_visible()
    visits.complaints.clear()


def test_hostile_words_stay_words_on_the_pages_of_operators(visits: Visits, world: World) -> None:
    _lived_in(world)
    world.db.execute("UPDATE charger SET label = %s", (_EVIL,))
    world.db.execute("UPDATE site SET name = %s, address = %s", (_EVIL, _EVIL))
    world.db.execute("UPDATE area SET name = %s", (_EVIL,))
    page = visits.open("/login", _DESKTOP)
    _log_in(page, "operator")
    csrf = page.locator("input[name=csrf]").first.input_value()
    page.request.post(
        "/console/policy",
        form={"csrf": csrf, "text": f"# {_EVIL}</textarea><script>alert(1)</script>", "days": "1"},
        headers={"Origin": visits.address},
    )
    id = world.row("SELECT id FROM policy_draft")["id"]
    for path in (*_PAGES, "/repair", "/board", f"/console/policy/{id}"):
        page.goto(path)
        assert page.title() != "owned", path
        assert page.locator("[onmouseover], main script").count() == 0, path


def test_a_repairer_takes_on_and_claims_on_a_phone(visits: Visits, world: World) -> None:
    id = world.ticket("plug-broken", 0)
    page = visits.open("/login", _PHONE)
    _log_in(page, "repairer")
    page.goto("/repair")
    for word in ("accept", "start"):
        page.click(f"a[href='/console/tickets/{id}#do-{word}']")
        page.click(f"#do-{word} button")
        page.wait_for_load_state()
        page.goto("/repair")
    page.click(f"a[href='/console/tickets/{id}#do-claim']")
    page.fill("#cause", "插头弯了")
    page.fill("#remedy", "换了插头")
    page.click("#do-claim button")
    expect(page.locator(".lacking")).to_contain_text("还没有人充过电")
    assert world.community.state(id) == "repaired"
