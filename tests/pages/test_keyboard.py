"""The ways of all four by keyboard alone; where one is can always be seen."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import Page, expect

from tests.pages.conftest import PASSWORD, World
from tests.pages.test_browser import Visits, _log_in, visits
from tests.pages.test_console_browser import _lived_in

__all__ = ["visits"]
pytestmark = pytest.mark.browser
_PHONE = {"width": 390, "height": 844}
_DESKTOP = {"width": 1366, "height": 768}
_SHOWN = """() => {
    const here = document.activeElement;
    const outlined = ({ outlineStyle, outlineWidth }) =>
        outlineStyle !== "none" && parseFloat(outlineWidth) >= 2;
    const marked = (e) => e && (outlined(getComputedStyle(e)) || marked(e.parentElement));
    const place = here.closest("label") ?? here;
    const box = place.getBoundingClientRect();
    const y = box.y + Math.min(box.height / 2, 20);
    const above = document.elementFromPoint(box.x + box.width / 2, y);
    const seen = above && (place.contains(above) || above.contains(here));
    return (marked(here) ? "" : "no mark ") + (seen ? "" : `behind ${above?.outerHTML}`);
}"""
"""What is wrong with the focused element: nothing marks it, or something else covers it."""


@dataclass
class Keys:
    """A keyboard, without a mouse."""

    page: Page

    def reach(self, selector: str, most: int = 90) -> None:
        """Tab until there; on the way each place can be seen."""
        for _ in range(most):
            self.page.keyboard.press("Tab")
            here = self.page.evaluate("document.activeElement.outerHTML.slice(0, 200)")
            if not here.startswith("<body"):
                assert self.page.evaluate(_SHOWN) == "", here
            if self.page.evaluate("s => document.activeElement.matches(s)", selector):
                return
        raise AssertionError(f"{selector} is not reached by Tab")

    def press(self, selector: str, key: str = "Enter") -> None:
        """Go there, and press it."""
        self.reach(selector)
        self.page.keyboard.press(key)

    def go(self, selector: str) -> None:
        """Go there, and on to the page behind it."""
        self.reach(selector)
        with self.page.expect_navigation():
            self.page.keyboard.press("Enter")

    def turn(self, selector: str = "") -> None:
        """To another view of the app, by this link or by the key that has been pressed: it begins
        at its top."""
        if selector:
            self.press(selector)
        expect(self.page.locator("#main")).to_be_focused()

    def write(self, selector: str, text: str) -> None:
        """Go into a field, and type."""
        self.reach(selector)
        self.page.keyboard.type(text)

    def enter(self, login: str, path: str) -> None:
        """Through the login page to this one."""
        self.page.goto(f"/login?next={path}")
        self.write("#login", login)
        self.write("#password", PASSWORD)
        with self.page.expect_navigation():
            self.page.keyboard.press("Enter")


def test_a_resident_reports_by_keyboard_alone(visits: Visits, world: World) -> None:
    page = visits.open("/p/C1", _PHONE)
    keys = Keys(page)
    keys.go("a.report")
    keys.go("ul.numbers a")
    keys.go("ul.pictures a")
    keys.go("button.primary")
    assert "/r/" in page.url
    assert world.row("SELECT count(*) AS n FROM report")["n"] == 1


def test_a_worker_patrols_and_confirms_by_keyboard_alone(visits: Visits, world: World) -> None:
    ticket = world.ticket("no-output", 1)
    world.db.execute(
        "UPDATE ticket SET state = 'repaired', claimed_at = now() - interval '1 hour', "
        "verify_by_at = now() + interval '1 day'"
    )
    operator = world.client("operator")
    csrf = {"X-CSRF-Token": operator.get("/worker/session").json()["csrf"]}
    due = (datetime.now(UTC) + timedelta(hours=8)).isoformat()
    said = {"name": "n", "kind": "survey", "scope": "site", "code": "s", "first_due_at": due}
    assert operator.post("/api/v1/patrol-plans", json=said, headers=csrf).status_code == 201
    page = visits.open("/", _PHONE, locale="en-GB")
    keys = Keys(page)
    keys.enter("grid_worker", "/worker")
    page.wait_for_selector("html[data-ready]")
    keys.turn("a.task[href^='#/round']")
    expect(page.locator(".stops")).to_be_visible()
    keys.turn("a.primary")
    expect(page.locator(".code")).to_be_visible()
    first = page.locator(".address").inner_text()
    keys.press("[data-item=socket] .bad", "Space")
    expect(page.locator("[data-item=socket]")).to_have_class("item bad")
    expect(page.locator("[data-item=socket] .bad")).to_be_focused()
    keys.press("[data-item=socket] .chip", "Space")
    expect(page.locator("[data-item=socket] .chip >> nth=0")).to_have_attribute(
        "aria-pressed", "true"
    )
    expect(page.locator("[data-item=socket] .chip >> nth=0")).to_be_focused()
    keys.write("[data-item=socket] [data-key=note]", "burnt")
    keys.reach("[data-item=socket] input[type=file]")
    keys.press(".bottom button")
    expect(page.locator(".bottom button")).to_have_count(1)
    expect(page.locator(".bottom button")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator(".address")).not_to_have_text(first)
    second = page.locator(".address").inner_text()
    keys.turn()
    keys.press(".bottom button")
    expect(page.locator(".bottom button")).to_have_count(1)
    page.keyboard.press("Enter")
    expect(page.locator(".address")).not_to_have_text(second)
    keys.turn()
    keys.turn("a.brand")
    expect(page.locator(f"a.task[href='#/confirm/{ticket}']")).to_be_visible()
    keys.turn(f"a.task[href='#/confirm/{ticket}']")
    expect(page.locator(".yes")).to_be_visible()
    with page.expect_response("**/api/v1/inspections"):  # the last of what is sent in order
        keys.press(".yes")
    expect(page.locator("a.task[href^='#/confirm']")).to_have_count(0)
    assert world.row("SELECT count(*) AS n FROM inspection")["n"] == 3
    assert world.community.state(ticket) in ("verified", "closed")


def test_a_repairer_claims_by_keyboard_alone(visits: Visits, world: World) -> None:
    id = world.ticket("plug-broken", 0)
    page = visits.open("/", _DESKTOP)
    keys = Keys(page)
    keys.enter("repairer", "/repair")
    for word in ("accept", "start"):
        keys.press(f"a[href='/console/tickets/{id}#do-{word}']")
        page.wait_for_url(f"**#do-{word}")
        keys.go(f"#do-{word} button")
        keys.go("nav a[href='/repair']")
    keys.press(f"a[href='/console/tickets/{id}#do-claim']")
    page.wait_for_url("**#do-claim")
    keys.write("#cause", "bent")
    keys.write("#remedy", "straightened")
    with page.expect_navigation():
        page.keyboard.press("Enter")
    expect(page.locator(".lacking")).to_be_visible()
    assert world.community.state(id) == "repaired"


def test_the_board_is_worked_by_keys_alone(visits: Visits, world: World) -> None:
    id = _lived_in(world)
    page = visits.open("/login", _DESKTOP, locale="en-GB")
    _log_in(page, "operator")
    page.keyboard.press("?")
    expect(page.locator("#keys")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#keys")).to_be_hidden()
    page.keyboard.press("j")
    expect(page.locator(f"#t-{id}")).to_be_focused()
    page.keyboard.press("x")
    expect(page.locator(f"#pick-{id}")).to_be_checked()
    expect(page.locator("[data-picked]")).to_have_text("1 tickets picked")
    page.keyboard.press("j")
    expect(page.locator(".matter >> nth=1 >> .title")).to_be_focused()
    page.keyboard.press("k")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/console/tickets/{id}")
    page.goto("/console")
    page.keyboard.press("/")
    expect(page.locator("#f-site")).to_be_focused()
    page.keyboard.press("j")
    expect(page.locator("#f-site")).to_be_focused()


def test_an_operator_acknowledges_by_keyboard_alone(visits: Visits, world: World) -> None:
    id = world.ticket("over-temperature", 0)
    page = visits.open("/", _DESKTOP)
    keys = Keys(page)
    keys.enter("operator", "/console")
    keys.press(f"#pick-{id}", "Space")
    keys.go("#bulk button[value=accept]")
    assert world.community.state(id) == "accepted"
    keys.go(f"main a[href='/console/tickets/{id}']")
    keys.write("#note-comment", "known")
    keys.go("#do-comment button")
    expect(page.locator(".timeline")).to_contain_text("known")
