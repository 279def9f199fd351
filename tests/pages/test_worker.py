"""The grid worker's app in a real browser: a day without a net, and what is there afterwards."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from io import BytesIO
from typing import Any

import pytest
from fastapi.testclient import TestClient
from PIL import Image
from playwright.sync_api import Browser, BrowserContext, FilePayload, Page, expect

from deploy.embedded import EmbeddedPostgres
from pilewatch.pilecode import address, read_keys
from pilewatch.settings import Posters
from pilewatch.store.pool import connect
from tests.conftest import make_database
from tests.pages.conftest import PASSWORD, World, serve

pytestmark = pytest.mark.browser
SECRET = "k1 a-secret-of-the-tests-only"
KEYS = read_keys(SECRET)
PHONE = {"width": 390, "height": 844}
EVIL = "<img src=x onerror=\"document.title='owned'\">"


class Day:
    """A worker with a round of `piles` piles, one phone, and the server that it may not reach."""

    def __init__(self, world: World, url: str, browser: Browser):
        self.world, self.url, self.browser = world, url, browser
        self.complaints: list[str] = []
        self.phone: BrowserContext

    def order(self, role: str, path: str, said: dict[str, Any]) -> dict[str, Any]:
        """A POST of somebody in an office."""
        client = self.world.client(role)
        csrf = {"X-CSRF-Token": client.get("/worker/session").json()["csrf"]}
        made = client.post(f"/api/v1{path}", json=said, headers=csrf)
        assert made.status_code == 201, made.text
        found: dict[str, Any] = made.json()
        return found

    def plan(self) -> None:
        """A survey of the site, opened yesterday."""
        due = (datetime.now(UTC) + timedelta(hours=8)).isoformat()
        said = {"name": "survey", "kind": "survey", "scope": "site", "code": "s"}
        self.order("operator", "/patrol-plans", {**said, "first_due_at": due})
        self.world.db.execute("UPDATE patrol_round SET opened_at = now() - interval '1 day'")

    def switch_on(self, language: str = "en-GB", room: int | None = None, **more: Any) -> Page:
        """A new phone, with `room` bytes: the worker logs in, and the app is installed."""
        self.phone = self.browser.new_context(
            base_url=self.url, viewport=PHONE, locale=language, **more
        )
        self.phone.set_default_timeout(20_000)
        page = self.open("/login?next=/worker")
        if room is not None:  # before a base is open: a browser remembers what was left
            self.give(page, room)
        page.fill("#login", "grid_worker")
        page.fill("#password", PASSWORD)
        page.press("#password", "Enter")
        page.wait_for_selector("html[data-ready]")
        page.evaluate("navigator.serviceWorker.ready.then(() => 1)")
        # Under control from its second opening on, as an installed app is.
        page.reload()
        page.wait_for_selector("html[data-ready]")
        page.wait_for_function("navigator.serviceWorker.controller !== null")
        return page

    def give(self, page: Page, room: int | None) -> None:
        """So many bytes for the app; None: as many as there are."""
        said = {"origin": self.url} | ({} if room is None else {"quotaSize": room})
        self.phone.new_cdp_session(page).send("Storage.overrideQuotaForOrigin", said)

    def open(self, path: str = "/worker") -> Page:
        """The app in a new window of this phone."""
        page = self.phone.new_page()
        page.on("pageerror", lambda e: self.complaints.append(str(e)))
        page.on("console", lambda m: self.complaints.append(m.text) if "CSP" in m.text else None)
        page.goto(path)
        return page

    def count(self, table: str) -> int:
        """Rows of a table."""
        return int(self.world.row(f"SELECT count(*) AS n FROM {table}")["n"])


@pytest.fixture(scope="module")
def served(postgres: EmbeddedPostgres) -> Iterator[tuple[World, str]]:
    """One server for all."""
    url = make_database(postgres.url)
    with connect(url, application="test") as db:
        world = World(db, url, posters=Posters(keys=SECRET))
        with serve(world.app) as address:
            yield world, address
        world.app.state.context.pool.close()


@pytest.fixture
def day(served: tuple[World, str], browser: Browser) -> Iterator[Day]:
    """A fresh day."""
    made = Day(*served, browser)
    yield made
    made.phone.close()
    made.world.db.execute(
        "TRUNCATE patrol_plan, inspection, inspection_photo, inspection_conflict, ticket, report, "
        "outbox, meeting, login_session CASCADE; "
        "UPDATE charger SET label = '东门 ' || id || ' 号桩'; "
        "UPDATE site SET name = '万和一期东门'; UPDATE connector SET active = true"
    )
    assert made.complaints == []


def picture(side: int = 1800) -> FilePayload:
    """What a phone's camera gives."""
    made = BytesIO()
    Image.effect_noise((side, side * 3 // 4), 60).convert("RGB").save(made, "JPEG", quality=60)
    return {"name": "x.jpg", "mimeType": "image/jpeg", "buffer": made.getvalue()}


def scan(page: Page, text: str) -> None:
    """Types what the code says, where the browser reads none."""
    page.click(".code button")
    page.fill("dialog input:not([type=file])", text)
    page.press("dialog input:not([type=file])", "Enter")


def patrol(page: Page, world: World) -> None:
    """One pile whose code is scanned and where all is well."""
    code = page.locator(".address").inner_text().split(" · ")[1]
    scan(page, address("https://x", KEYS, code, 1))
    expect(page.locator(".code .good")).to_be_visible()
    page.click(".bottom button >> nth=0")
    expect(page.locator(".bottom button")).to_have_count(1)
    page.click(".bottom button.primary")
    page.wait_for_function(
        "c => !document.querySelector('.address')?.innerText.endsWith(c)", arg=code
    )


def test_a_day_without_a_net_killed_and_reopened_arrives_exactly_once(day: Day) -> None:
    day.plan()
    page = day.switch_on()
    page.click("a.task >> text=survey")
    day.phone.set_offline(True)
    page.click("a.primary")
    page.click("[data-item=socket] .bad")
    page.click("[data-item=socket] .chip >> text=2")
    page.set_input_files("[data-item=socket] input[type=file]", picture())
    expect(page.locator("[data-item=socket] img")).to_have_count(1)
    page.fill("[data-item=socket] [data-key=note]", "burnt")
    page.click("[data-item=earth] .cannot")
    page.fill("[data-item=surface-temperature] input", "41.5")
    page.press("[data-item=surface-temperature] input", "Tab")
    expect(page.locator("[data-item=surface-temperature]")).to_have_class("item ok")
    page.close()  # killed in the middle

    page = day.open()
    expect(page.locator("a.task >> text=survey")).to_be_visible()
    expect(page.locator("#sync")).to_have_class("sync offline")
    page.click("a.task >> text=survey")
    expect(page.locator(".stop-begun")).to_have_count(1)
    page.click("a.primary")
    expect(page.locator("[data-item=socket]")).to_have_class("item bad")
    expect(page.locator("[data-item=socket] [data-key=note]")).to_have_value("burnt")
    expect(page.locator("[data-item=socket] img")).to_have_js_property("naturalWidth", 1280)
    expect(page.locator("[data-item=surface-temperature] input")).to_have_value("41.5")
    for _ in range(3):
        patrol(page, day.world)
    expect(page.locator(".stop-waiting")).to_have_count(3)
    expect(page.locator("#sync")).to_contain_text("4 waiting")  # and the photo
    assert day.count("inspection") == 0
    page.close()

    page = day.open()
    expect(page.locator("#sync")).to_contain_text("4 waiting")
    second = day.open()
    day.phone.set_offline(False)
    for each in (page, second):
        expect(each.locator("#sync")).to_have_class("sync clear", timeout=30_000)
    assert (day.count("inspection"), day.count("inspection_photo")) == (3, 1)
    assert day.count("inspection_conflict") == 0
    rows = day.world.db.execute("SELECT presence, answers FROM inspection").fetchall()
    assert {row["presence"] for row in rows} == {"proven"}
    [failed] = [a for row in rows for a in row["answers"] if a.get("ok") is False]
    assert (failed["ports"], failed["note"], len(failed["photos"])) == ([2], "burnt", 1)
    photo = day.world.row("SELECT width, sent, inspection_id, name FROM inspection_photo")
    assert photo["width"] == 1280
    got = day.world.client("operator").get(
        f"/api/v1/inspections/{photo['inspection_id']}/photos/{photo['name']}"
    )
    assert got.headers["content-type"] == "image/jpeg"
    page.click("#sync a")
    expect(page.locator(".entry-sent")).to_have_count(3)


def test_a_lapsed_login_keeps_everything_and_goes_on_after_the_next(day: Day) -> None:
    day.plan()
    page = day.switch_on()
    page.goto("/worker#/")
    page.click("a.task >> text=survey")
    page.click("a.primary")
    expect(page.locator(".code")).to_be_visible()
    day.world.db.execute("DELETE FROM login_session")
    patrol(page, day.world)
    expect(page.locator("#sync")).to_have_class("sync login")
    expect(page.locator("#sync")).to_contain_text("1 waiting")
    assert day.count("inspection") == 0
    page.click("#sync .button")
    page.fill("#login", "grid_worker")
    page.fill("#password", PASSWORD)
    page.press("#password", "Enter")
    expect(page.locator("#sync")).to_have_class("sync clear")
    assert day.count("inspection") == 1


def test_a_full_phone_says_so_and_loses_nothing_that_was_saved(day: Day) -> None:
    day.plan()
    page = day.switch_on(room=500_000)
    page.click("a.task >> text=survey")
    page.click("a.primary")
    page.click("[data-item=housing] .bad")
    expect(page.locator(".saved")).to_have_text("Saved on this phone")
    page.set_input_files("[data-item=housing] input[type=file]", picture())
    expect(page.locator(".saved.problem")).to_contain_text("storage is full")
    expect(page.locator("[data-item=housing] img")).to_have_count(0)
    page.reload()
    expect(page.locator("[data-item=housing]")).to_have_class("item bad")
    day.give(page, None)
    page.set_input_files("[data-item=housing] input[type=file]", picture())
    expect(page.locator("[data-item=housing] img")).to_have_count(1)


def test_what_is_refused_tells_why_and_is_corrected(day: Day) -> None:
    day.plan()
    page = day.switch_on()
    page.click("a.task >> text=survey")
    page.click("a.primary")
    expect(page.locator(".code")).to_be_visible()
    day.phone.set_offline(True)
    page.click("[data-item=socket] .bad")
    page.click("[data-item=socket] .chip >> text=2")
    patrol(page, day.world)
    day.world.db.execute("UPDATE connector SET active = false WHERE number = 2")
    day.phone.set_offline(False)
    expect(page.locator("#sync")).to_have_class("sync refused")
    page.click("#sync a")
    expect(page.locator(".entry-refused .problem")).to_contain_text("the charger has no port 2")
    page.click(".entry-refused .primary")
    page.click("[data-item=socket] .ok")
    # Nothing waits while a visit is corrected, so the bar is clear before and after it is sent.
    with page.expect_response("**/worker/sync"):
        page.click(".bottom .primary")
    expect(page.locator("#sync")).to_have_class("sync clear")
    assert day.world.row("SELECT passed FROM inspection")["passed"]


def test_a_meeting_a_repair_and_a_doubtful_report_are_done_offline(day: Day) -> None:
    world = day.world
    ticket = world.ticket("no-output", 1)
    world.db.execute(
        "UPDATE ticket SET state = 'repaired', claimed_at = now() - interval '1 hour', "
        "cause = 'x', remedy = %s, verify_by_at = now() + interval '1 day'", (EVIL,),
    )  # fmt: skip
    world.db.execute(
        "INSERT INTO report (receipt, source, site_id, code, note, reported_at, doubt) "
        "SELECT '\\x01', 'page', id, 'plug-broken', %s, now(), '{same-text}' FROM site", (EVIL,),
    )  # fmt: skip
    page = day.switch_on("zh-CN")
    day.phone.set_offline(True)
    page.click("text=属实 >> nth=0")
    page.click(f"a[href='#/confirm/{ticket}']")
    page.click(".yes")
    page.click("text=记板凳会")
    page.get_by_label("地点").fill("3 号楼前")
    page.get_by_label("到会人数").fill("12")
    page.click("text=加一个问题")
    page.get_by_label("居民怎么说的").fill("三号口充不进电")
    page.get_by_label("桩的编号").fill("C2")
    page.click("text=加一个问题")
    page.get_by_label("哪一类").nth(1).select_option("parking")
    page.get_by_label("居民怎么说的").nth(1).fill(EVIL)
    page.locator("#main").get_by_text("已存在手机里").wait_for()
    page.close()
    page = day.open()
    page.click("text=继续记板凳会")
    expect(page.get_by_label("桩的编号")).to_have_value("C2")
    page.get_by_role("button", name="完成").click()
    expect(page.locator("#sync")).to_contain_text("6 条等待发送")
    day.phone.set_offline(False)
    expect(page.locator("#sync")).to_have_class("sync clear")
    assert world.community.state(ticket) in ("verified", "closed")
    assert world.row("SELECT accepted FROM report WHERE receipt = '\\x01'")["accepted"]
    assert (day.count("meeting"), day.count("matter")) == (1, 2)
    assert world.row("SELECT attendees FROM meeting")["attendees"] == 12
    page.click("#sync a")
    expect(page.locator(".good")).to_contain_text(re.compile(r"\d{4} \d{4} \d{4} \d{4}"))


def test_the_app_fits_a_small_phone_and_keeps_hostile_names_as_words(day: Day) -> None:
    day.world.db.execute("UPDATE charger SET label = %s", (EVIL,))
    day.world.db.execute("UPDATE site SET name = %s", (EVIL,))
    ticket = day.world.ticket("no-output", 1)
    day.world.db.execute("UPDATE ticket SET state = 'repaired', claimed_at = now()")
    day.plan()
    page = day.switch_on()
    page.set_viewport_size({"width": 360, "height": 640})
    round = day.world.row("SELECT id FROM patrol_round")["id"]
    for path in ("", f"round/{round}", f"round/{round}/map", f"pile/{round}/C0",
                 f"confirm/{ticket}", "meeting/0b9c7c5e-52c5-4e4f-8f0e-6a2f0d3f7f11",
                 "outbox"):  # fmt: skip
        page.goto(f"/worker#/{path}")
        page.wait_for_selector("h1")
        if path.startswith("pile"):
            page.click("[data-item=socket] .bad")
            page.click("[data-item=earth] .cannot")
            expect(page.locator(".saved")).not_to_be_empty()
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
        flat = page.evaluate(
            """[...document.querySelectorAll('main :is(a, button, label.button, input)')]
                .filter(e => e.type !== "file" && e.checkVisibility() &&
                    e.getBoundingClientRect().height < 44 && !(e instanceof SVGElement))
                .map(e => e.outerHTML)"""
        )
        assert flat == [], path
        assert page.locator("main img").count() == 0 and page.title() != "owned"


def test_the_app_is_light(day: Day) -> None:
    day.phone = day.browser.new_context()
    client = TestClient(day.world.app)
    files = client.get("/worker/sw.js").text
    paths = ["/worker", *re.findall(r'"(/[^"]+)"', files.splitlines()[0])]
    answers = [client.get(path) for path in paths]
    assert {a.status_code for a in answers} == {200}
    assert len(paths) < 20 and sum(len(a.content) for a in answers) < 150_000
    manifest = client.get("/worker/app.webmanifest").json()
    sizes = {i["sizes"]: client.get(i["src"]).content for i in manifest["icons"]}
    for size, body in sizes.items():
        assert "x".join(map(str, Image.open(BytesIO(body)).size)) == size
