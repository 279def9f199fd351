"""`python -m bench.pages`: what residents' pages weigh, and how long they take over a slow net.

Runs the demo and Chromium with the net slowed down by its developer tools: 400 kbit/s and 400 ms
a round trip (slow 3G). Budgets are those of the issue: 100 kB and 1.5 s at the first visit.
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

PATHS = ("/", "/s/wanhe-1a", "/p/WH-E01", "/report/WH-E01?port=2")
_SLOW = {
    "offline": False,
    "latency": 400,
    "downloadThroughput": 400_000 / 8,
    "uploadThroughput": 400_000 / 8,
}
_TIMING = """(() => [performance.getEntriesByType('navigation')[0].loadEventEnd / 1000,
    performance.getEntriesByType('resource').length + 1])()"""


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
    net.send("Network.emulateNetworkConditions", _SLOW)
    page.goto(url + path, wait_until="load")
    seconds, requests = page.evaluate(_TIMING)
    context.close()
    said = f"{requests} requests"
    return [
        Result(f"{path}, kB", sum(sizes) / 1000, 100, "<", said),
        Result(f"{path}, seconds on slow 3G", seconds, 1.5, "<", said),
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
            results = [one for path in PATHS for one in first_visit(browser, url, path)]
            browser.close()
    return report(results)


if __name__ == "__main__":
    sys.exit(main())
