"""Nobody is barred from any page: one walk of axe over all that the application serves.

What there is to visit comes from the application itself: its routes, its templates, the views of
the worker's app. A new page without a visit fails.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pyotp
import pytest
from axe_playwright_python.base import AXE_SCRIPT
from fastapi import FastAPI
from fastapi.routing import APIRoute
from playwright.sync_api import Browser, FilePayload, Page, Response, ViewportSize, expect

from api.pages import render
from pilewatch.settings import People, Posters
from pilewatch.store.pool import Db
from pilewatch.workflow.firststeps import new_code
from tests.pages.conftest import PASSWORD, World, serve
from tests.pages.test_console_browser import _lived_in

pytestmark = pytest.mark.browser
PHONE: ViewportSize = {"width": 390, "height": 844}
DESK: ViewportSize = {"width": 1366, "height": 768}
SMALL: ViewportSize = {"width": 360, "height": 640}
WALL: ViewportSize = {"width": 1920, "height": 1080}
NO_PAGES = frozenset(
    {
        *("/static/{name}", "/p/{code}/qr.svg", "/r/{token}/photos/{number}", "/worker/session"),
        *("/worker/app.webmanifest", "/worker/icon-{size}.png", "/worker/sw.js"),
        *("/login/organisation", "/login/organisation/back"),
        *("/console/map/sites", "/console/map/sites/{code}", "/console/map/picture"),
    }
)
"""Files, pictures, and redirections."""
NO_TIME = frozenset({"login_done.html"})
"""A page that goes on at once: nobody reads it."""
_RUN = """async (options) => {
    const found = await axe.run(document, { resultTypes: ["violations"], ...options });
    return found.violations.map(v => `${v.id}: ${v.nodes.map(n => n.html).join(" ")}`);
}"""
_COLOURS = ("color-contrast", "color-contrast-enhanced")
_REFUSED = """async () => {
    const { write } = await import("/static/worker-base.js");
    const body = { id: "x", kind: "charging", text: "t" };
    const one = { place: 1, id: "x", login: "grid_worker", label: "C0", body,
        at: new Date().toISOString(), why: ["matters[0].text: too long"] };
    await write(["outbox"], (outbox) => outbox.put({ ...one, kind: "matter", state: "refused" }));
}"""
"""A matter that the server did not take, in the phone's own database."""


def page_routes(app: FastAPI) -> Iterator[APIRoute]:
    """Every route of the pages that answers a GET."""

    def walk(routes: Any) -> Iterator[Any]:
        for route in routes:
            inner = getattr(route, "original_router", None)
            yield from (route,) if inner is None else walk(inner.routes)

    for route in walk(app.routes):
        reads = isinstance(route, APIRoute) and "GET" in route.methods
        if reads and route.endpoint.__module__.startswith("api.pages."):
            yield route


@dataclass
class Walk:
    """Where somebody has been, and what barred the way."""

    world: World
    browser: Browser
    address: str
    routes: list[APIRoute]
    been: set[str] = field(default_factory=set)
    barred: list[str] = field(default_factory=list)

    @contextmanager
    def visitor(self, login: str = "", **more: Any) -> Iterator[Page]:
        """A browser of its own, of somebody who has logged in."""
        context = self.browser.new_context(base_url=self.address, viewport=DESK, **more)
        page = context.new_page()
        page.on("response", self._note)
        if login:
            enter(page, login)
        yield page
        context.close()

    def _note(self, response: Response) -> None:
        """A page that came whole."""
        path = response.url.removeprefix(self.address).partition("?")[0]
        html = response.headers.get("content-type", "").startswith("text/html")
        if html and response.status == 200 and response.request.method == "GET":
            self.been.update(r.path for r in self.routes if r.path_regex.match(path))

    def look(self, page: Page, *sizes: ViewportSize, strict: bool = False) -> None:
        """All rules once, and in every size and mode those that colours can break: AA, or AAA
        where the page is for everybody (`strict`)."""
        page.evaluate(AXE_SCRIPT)
        enhanced = {"rules": {"color-contrast-enhanced": {"enabled": True}}}
        options: dict[str, Any] = enhanced if strict else {}
        for size in sizes or (DESK, PHONE):
            page.set_viewport_size(size)
            for scheme in ("light", "dark"):
                page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
                found = page.evaluate(_RUN, options)
                self.barred += [f"{page.url} {size['width']} {scheme} {one}" for one in found]
                options = {"runOnly": _COLOURS[: 1 + strict]}
            if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
                self.barred.append(f"{page.url} is wider than {size['width']}")

    def see(self, page: Page, path: str, *sizes: ViewportSize, strict: bool = False) -> None:
        """Go there and look."""
        page.goto(path)
        self.look(page, *sizes, strict=strict)


def enter(page: Page, login: str) -> None:
    """Through the login page."""
    page.goto("/login")
    page.fill("#login", login)
    page.fill("#password", PASSWORD)
    page.press("#password", "Enter")
    page.wait_for_url(lambda url: not url.endswith("/login"))


@pytest.fixture
def walk(plain_db: Db, plain_database_url: str, browser: Browser) -> Iterator[Walk]:
    """A community in which something of everything has happened; an auditor needs two factors."""
    world = World(
        plain_db, plain_database_url,
        people=People(totp_roles=frozenset({"auditor"})),
        posters=Posters(keys="k1 of-the-walk-only"),
    )  # fmt: skip
    with serve(world.app) as address:
        yield Walk(world, browser, address, list(page_routes(world.app)))
    world.app.state.context.pool.close()


def _residents(walk: Walk) -> None:
    world = walk.world
    receipt = world.report(world.client(), note="x")
    asked = world.report(world.client(), port="1", fault="plug-broken")
    world.db.execute(
        "UPDATE ticket SET state = 'repaired', claimed_at = now(), verify_by_at = now() "
        "WHERE code = 'plug-broken'"
    )
    for size in ("usual", "larger"):
        with walk.visitor(locale="zh-CN") as page:
            page.goto(f"/?size={size}")
            for path in ("/", "/s/s", "/p/C0", "/report/C1", "/report/C1?port=2", "/r",
                         "/r?number=1", receipt, asked,
                         "/report/C1?port=2&fault=over-temperature"):  # fmt: skip
                walk.see(page, path, PHONE, DESK, strict=True)
    with walk.visitor() as page:
        world.db.execute("UPDATE connector_state SET status = 'charging'")
        page.goto("/p/C0")
        page.click("form[action='/s/s/wait'] button")
        walk.look(page, PHONE, strict=True)
        world.db.execute("UPDATE connector_state SET status = 'available'")
        page.reload()
        walk.look(page, PHONE, strict=True)
        walk.see(page, "/nothing", PHONE, strict=True)
        walk.see(page, "/board", WALL, PHONE, strict=True)
        walk.see(page, "/login", PHONE, DESK, strict=True)
        page.fill("#login", "nobody")
        page.fill("#password", "x")
        page.press("#password", "Enter")
        expect(page.locator(".problem")).to_be_visible()
        walk.look(page, PHONE, strict=True)


def _two_factors(walk: Walk) -> None:
    with walk.visitor() as page:
        enter(page, "auditor")
        walk.look(page, PHONE, DESK)
        secret = page.locator(".secret").inner_text().replace(" ", "")
        page.fill("#code", pyotp.TOTP(secret).at(datetime.now(UTC)))
        page.press("#code", "Enter")
        expect(page.locator(".codes li")).to_have_count(10)
        walk.look(page, PHONE, DESK)
        page.context.clear_cookies()
        enter(page, "auditor")
        walk.look(page, PHONE, DESK)
        page.fill("#code", "wrong")
        page.press("#code", "Enter")
        walk.look(page, PHONE)


def _operator(walk: Walk, id: int) -> None:
    with walk.visitor("operator") as page:
        walk.see(page, "/console/shifts")
        page.click("form.adopt button")
        for path in ("/console", "/console/shifts", "/console/chargers/C0", "/console/map",
                     "/console/uptime",
                     "/console/quarantine", f"/console/tickets/{id}", "/account",
                     "/account/second-factor", "/console/tickets/0"):  # fmt: skip
            walk.see(page, path)
        page.goto("/console")
        page.keyboard.press("?")
        walk.look(page, DESK)
        page.keyboard.press("Escape")
        page.click("#bulk button[value=accept]")
        walk.look(page)
        page.goto("/console")
        page.check(f"#pick-{walk.world.ticket('plug-broken', 3)}")
        page.fill("#bulk-note", "known")
        page.click("#bulk button[value=silence]")
        walk.look(page)
        walk.see(page, "/console/silences")
        walk.see(page, "/console/policy")
        page.fill("textarea[name=text]", "[debounce]\npeople_s = 7\n")
        page.click("form:has(textarea[name=text]) button")
        page.wait_for_url("**/console/policy/*")
        walk.world.db.execute("UPDATE policy_draft SET state = 'failed'")
        page.reload()
        walk.look(page)


def _repairer(walk: Walk, id: int) -> None:
    walk.world.db.execute("UPDATE ticket SET state = 'repairing', accepted_at = now()")
    with walk.visitor("repairer") as page:
        walk.see(page, "/repair")
        walk.see(page, f"/console/tickets/{id}")


def _admin(walk: Walk) -> None:
    with walk.visitor("admin") as page:
        walk.see(page, "/setup")
        for content in (b"sites: [{code: s, grid: nowhere, name: x}]",
                        b"areas: [{code: b, name: B}]"):  # fmt: skip
            file = FilePayload(name="r.yaml", mimeType="text/yaml", buffer=content)
            page.set_input_files("#file", file)
            with page.expect_navigation():
                page.click("#registry form[enctype] button")
            walk.look(page)
    walk.world.db.execute("UPDATE person SET active = false WHERE role = 'admin'")
    with walk.visitor() as page:
        walk.see(page, "/setup", PHONE, DESK, strict=True)
        code = new_code(walk.world.db, datetime.now(UTC))
        walk.see(page, f"/setup?code={code}", PHONE, DESK, strict=True)


def _grid_worker(walk: Walk, id: int) -> set[str]:
    """The views of the app that were seen."""
    world = walk.world
    operator = world.client("operator")
    csrf = {"X-CSRF-Token": operator.get("/worker/session").json()["csrf"]}
    said = {"name": "survey", "kind": "survey", "scope": "site", "code": "s",
            "first_due_at": "2030-01-01T08:00:00+08:00"}  # fmt: skip
    assert operator.post("/api/v1/patrol-plans", json=said, headers=csrf).status_code == 201
    round = world.row("SELECT id FROM patrol_round")["id"]
    world.db.execute(
        "UPDATE ticket SET state = 'repaired', claimed_at = now() WHERE id = %s", (id,)
    )
    seen = set()
    with walk.visitor("grid_worker") as page:
        page.set_viewport_size(PHONE)
        page.goto("/worker")
        page.wait_for_selector("html[data-ready]")
        for view in ("", f"round/{round}", f"round/{round}/map", f"pile/{round}/C0",
                     f"confirm/{id}", "meeting/0b9c7c5e-52c5-4e4f-8f0e-6a2f0d3f7f11", "missing",
                     "matter/1", "outbox"):  # fmt: skip
            if view.startswith("matter"):
                page.evaluate(_REFUSED)
            page.evaluate("view => { location.hash = `#/${view}`; }", view)
            if view:
                expect(page.locator("#main")).to_be_focused()
            seen.add(view.partition("/")[0])
            if view.startswith("pile"):
                page.click("[data-item=socket] .bad")
                page.click("[data-item=earth] .cannot")
                expect(page.locator("[data-item=earth] .chip >> nth=0")).to_be_visible()
            if view.startswith("meeting"):
                page.get_by_role("button", name="+ Add a matter").click()
                expect(page.locator("fieldset.item textarea")).to_be_visible()
            walk.look(page, SMALL, DESK)
            page.evaluate("document.activeElement.blur()")
    return seen


def test_axe_finds_nothing_on_any_page(walk: Walk, monkeypatch: pytest.MonkeyPatch) -> None:
    """In both modes, on desks and phones; for residents with the contrast of AAA."""
    shown: set[str] = set()
    load = render._ENVIRONMENT.get_template

    def noted(name: Any, *more: Any, **rest: Any) -> Any:
        shown.add(name)
        return load(name, *more, **rest)

    monkeypatch.setattr(render._ENVIRONMENT, "get_template", noted)
    id = _lived_in(walk.world)
    _residents(walk)
    _two_factors(walk)
    _operator(walk, id)
    _repairer(walk, id)
    views = _grid_worker(walk, id)
    _admin(walk)
    assert not walk.barred, "\n".join(walk.barred)
    assert {route.path for route in walk.routes} - walk.been == NO_PAGES
    whole = {n for n in render.template_names() if "{% extends" in render.template_source(n)}
    assert whole - shown == NO_TIME
    script = render.STATIC["worker.js"].body.decode()
    assert views == {"", *re.findall(r'page === "([a-z]+)"', script)}
