"""`python -m bench.ways`: taps and seconds of the four ways that matter most, on a phone.

Chromium of a phone's size, four times slower than this machine; residents have slow 3G (400
kbit/s, 400 ms a round trip) and nothing kept before, the grid worker has no net at all, the
operator has the office's. A person is taken to need 1.2 s for each tap (look, choose, move, touch),
beside what the pages themselves take until the next thing to touch, or the answer, can be seen.
What the hands do at a pile, and the scan of its code, is not in it.
"""

import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
from playwright.sync_api import Browser, BrowserContext, Page, ViewportSize, sync_playwright

from api.people import add_person, new_api_key
from bench.console import served
from bench.pages import SLOW
from bench.stage import Result, report
from deploy.pictures import CHROMIUM_FLAGS, sign_in
from pilewatch.store.pool import connect

PACE_S = 1.2
PILES = 20
_SITES = 100
_PHONE: ViewportSize = {"width": 390, "height": 844}
_PASSWORD = "of the bench only"


class Hand:
    """Somebody with a phone: counts taps, and the seconds until what is wanted is seen."""

    def __init__(self, context: BrowserContext, url: str, page: Page | None = None):
        self.url, self.taps, self.seconds = url, 0, 0.0
        self.page = page or context.new_page()
        self.net = context.new_cdp_session(self.page)
        self.net.send("Emulation.setCPUThrottlingRate", {"rate": 4})
        self._since = time.perf_counter()

    def open(self, path: str) -> None:
        """By a scan, no tap of ours: until the page is painted, by its own clock."""
        self.page.goto(self.url + path)
        painted = 'performance.getEntriesByName("first-contentful-paint")[0].startTime'
        self.seconds += self.page.evaluate(painted) / 1000
        self._since = time.perf_counter()

    def see(self, selector: str) -> None:
        """Until it is there."""
        self.page.locator(selector).first.wait_for()
        self.seconds += time.perf_counter() - self._since
        self._since = time.perf_counter()

    def miss(self, selector: str) -> None:
        """Until it is gone."""
        self.page.locator(selector).first.wait_for(state="detached")
        self.seconds += time.perf_counter() - self._since
        self._since = time.perf_counter()

    def tap(self, selector: str) -> None:
        """See it, then touch it."""
        self.see(selector)
        self.page.locator(selector).first.click(no_wait_after=True)
        self._since = time.perf_counter()
        self.taps += 1
        self.seconds += PACE_S

    def results(self, way: str, taps: int, seconds: float) -> list[Result]:
        """What it took, beside what it may take."""
        return [
            Result(f"{way}, taps", self.taps, taps, "<=", ""),
            Result(f"{way}, seconds", self.seconds, seconds, "<", f"{PACE_S} s for each tap"),
        ]


def _resident(browser: Browser, url: str) -> Iterator[Result]:
    for way, taps, seconds in (("(a) is a port free", 0, 2), ("(b) report", 3, 10)):
        context = browser.new_context(viewport=_PHONE, locale="zh-CN")
        hand = Hand(context, url)
        hand.net.send("Network.enable")
        hand.net.send("Network.emulateNetworkConditions", SLOW)
        hand.open("/p/C7")
        hand.see(".free b")
        if taps:
            hand.tap("ul.ports a")
            hand.tap("ul.pictures a")
            hand.tap("button.primary")
            hand.see("ol.steps li")
        yield from hand.results(way, taps, seconds)
        context.close()


def _worker(browser: Browser, url: str) -> Iterator[Result]:
    context = browser.new_context(viewport=_PHONE, locale="zh-CN")
    page = context.new_page()
    sign_in(page, url, "worker", _PASSWORD)
    page.goto(f"{url}/worker")
    page.wait_for_selector("a.task")
    page.evaluate("navigator.serviceWorker.ready.then(() => 1)")
    page.reload()
    page.wait_for_selector("html[data-ready]")
    context.set_offline(True)
    hand = Hand(context, url, page)
    hand.tap("a.task")
    hand.tap("a.primary")
    for _ in range(PILES):
        hand.tap(".bottom button:not(.primary)")  # the others are good; then only "finish" is left
        hand.miss(".bottom button:not(.primary)")
        hand.tap(".bottom button.primary")
    hand.see(".stop-waiting")
    if page.locator(".stop-waiting").count() != PILES:
        raise RuntimeError("the round is not done")
    yield from hand.results(f"(c) a patrol of {PILES} piles", 2 + 2 * PILES, 75)
    context.close()


def _operator(browser: Browser, url: str) -> Iterator[Result]:
    context = browser.new_context(viewport=_PHONE, locale="zh-CN")
    page = context.new_page()
    sign_in(page, url, "bench", _PASSWORD)
    page.wait_for_selector("a.title")
    hand = Hand(context, url, page)
    hand.tap("a.title")
    hand.see("#facts .lines")
    yield from hand.results("(d) why a ticket was opened", 1, 4)
    context.close()


def _people(database: str, url: str) -> None:
    """A grid worker, and a survey of the twenty piles of one site."""
    with connect(database, application="bench") as db:
        add_person(db, "worker", "网格员", "grid_worker", grids=["g"], password=_PASSWORD)
        admin = add_person(db, "admin", "A", "admin")
        key = new_api_key(db, admin, "bench", datetime.now(UTC))
    due = (datetime.now(UTC) + timedelta(hours=8)).isoformat()
    said = {"name": "x", "kind": "survey", "scope": "site", "code": "s7", "first_due_at": due}
    made = httpx.post(
        f"{url}/api/v1/patrol-plans", json=said, headers={"Authorization": f"Bearer {key}"}
    )
    made.raise_for_status()


def main() -> int:
    """Print all; exit 1 where a target is missed."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        with served(folder, PILES * _SITES) as (database, url), sync_playwright() as playwright:
            _people(database, url)
            browser = playwright.chromium.launch(
                executable_path="/usr/bin/chromium", args=CHROMIUM_FLAGS
            )
            browser.new_page().goto(f"{url}/login")  # Chromium's own start is nobody's
            ways = (_resident, _worker, _operator)
            failed = report(result for way in ways for result in way(browser, url))
            browser.close()
    return failed


if __name__ == "__main__":
    sys.exit(main())
