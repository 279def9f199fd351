"""`python -m bench.pages`: what residents' pages weigh, and how long they take over a slow net.

Runs the demo and Chromium with the net slowed down by its developer tools: 400 kbit/s and 400 ms
a round trip (slow 3G). Budgets of a first visit: 100 kB, 1.5 s until all is there, and 1.5 s until
the largest thing is painted. The seconds until the first paint and until the DOM is whole are told.
"""

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, sync_playwright

from bench.stage import Result, report
from deploy.embedded import free_port
from deploy.pictures import CHROMIUM_FLAGS, demo

PATHS = ("/", "/s/wanhe-1a", "/p/WH-E01", "/report/WH-E01", "/report/WH-E01?port=2",
         "/report/WH-E01?port=2&fault=no-output", "/r", "/board")  # fmt: skip
SLOW = {
    "offline": False,
    "latency": 400,
    "downloadThroughput": 400_000 / 8,
    "uploadThroughput": 400_000 / 8,
}
_WATCH = """new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) window.largest = entry.startTime;
}).observe({ type: "largest-contentful-paint", buffered: true });"""
_TIMING = """() => {
    const [page] = performance.getEntriesByType("navigation");
    const [first] = performance.getEntriesByName("first-contentful-paint");
    const requests = performance.getEntriesByType("resource").length + 1;
    return { requests, whole: page.loadEventEnd, ready: page.domContentLoadedEventEnd,
        first: first.startTime, largest: window.largest };
}"""


def first_visit(browser: Browser, url: str, path: str) -> list[Result]:
    """Bytes over the net, and seconds until everything is there, with nothing kept before."""
    context = browser.new_context(viewport={"width": 360, "height": 740}, locale="zh-CN")
    page = context.new_page()
    net = context.new_cdp_session(page)
    sizes: list[float] = []

    def note(event: dict[str, Any]) -> None:
        sizes.append(event["encodedDataLength"])

    net.on("Network.loadingFinished", note)
    net.send("Network.enable")
    net.send("Network.emulateNetworkConditions", SLOW)
    page.add_init_script(_WATCH)
    page.goto(url + path, wait_until="load")
    page.wait_for_function("() => window.largest !== undefined")
    told = page.evaluate(_TIMING)
    context.close()
    paint, ready = told["first"] / 1000, told["ready"] / 1000
    said = f"first paint {paint:.2f} s, DOM ready {ready:.2f} s"
    return [
        Result(f"{path}, kB", sum(sizes) / 1000, 100, "<", f"{told['requests']} requests"),
        Result(f"{path}, seconds", told["whole"] / 1000, 1.5, "<", said),
        Result(f"{path}, largest paint, s", told["largest"] / 1000, 1.5, "<", ""),
    ]


def main() -> int:
    """Print all; exit 1 where a budget is missed."""
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o755)  # noqa: PTH101 - PostgreSQL runs as another user
        port = free_port()
        with demo(Path(name) / "demo", port), sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path="/usr/bin/chromium", args=CHROMIUM_FLAGS
            )
            url = f"http://127.0.0.1:{port}"
            first_visit(browser, url, "/login")  # Chromium's own start is not the page's
            results = [one for path in PATHS for one in first_visit(browser, url, path)]
            browser.close()
    return report(results)


if __name__ == "__main__":
    sys.exit(main())
