"""`make pictures`: runs the demo and takes the pictures that README and docs show.

Needs Chromium (`make parts`) and playwright from the development lock file.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, NamedTuple

import httpx
from playwright.sync_api import Browser, Page, ViewportSize, sync_playwright

from deploy.embedded import free_port

PICTURES = Path(__file__).parent.parent / "docs" / "pictures"
CHROMIUM_FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
]
_PHONE: ViewportSize = {"width": 390, "height": 844}
_WALL: ViewportSize = {"width": 1920, "height": 1080}
_DESK: ViewportSize = {"width": 1280, "height": 860}


@contextmanager
def demo(folder: Path, port: int) -> Iterator[dict[str, str]]:
    """The demo as a process; gives its passwords once a ticket has been closed."""
    command = [sys.executable, "-m", "deploy.command", "demo", "--folder", str(folder)]
    child = subprocess.Popen([*command, "--port", str(port)], start_new_session=True)
    try:
        _wait_for_a_closed_ticket(child, folder, port)
        yield json.loads((folder / "passwords.json").read_text())
    finally:
        child.send_signal(signal.SIGINT)
        child.wait(60)


def _wait_for_a_closed_ticket(child: "subprocess.Popen[bytes]", folder: Path, port: int) -> None:
    until = time.monotonic() + 180
    while time.monotonic() < until:
        if child.poll() is not None:
            raise RuntimeError(f"the demo ended with code {child.returncode}")
        try:
            keys = json.loads((folder / "keys.json").read_text())
            found = httpx.get(
                f"http://127.0.0.1:{port}/api/v1/tickets?state=closed",
                headers={"Authorization": f"Bearer {keys['operator']}"},
            )
            if found.status_code == 200 and len(found.json()["items"]) >= 2:
                return
        except (OSError, ValueError, httpx.HTTPError):
            pass
        time.sleep(1)
    raise RuntimeError("the demo closed no ticket within 3 minutes")


class Shot(NamedTuple):
    """One picture: `path` of the pages as `who` sees it; `whole` also below the window."""

    name: str
    path: str
    who: str | None = None
    size: ViewportSize = _PHONE
    locale: str = "zh-CN"
    scheme: Literal["light", "dark"] = "light"
    whole: bool = False


SHOTS = (
    Shot("sites", "/"),
    Shot("sites-larger", "/?size=larger"),
    Shot("site", "/s/wanhe-1a"),
    Shot("pile", "/p/WH-E01"),
    Shot("pile-en", "/p/WH-E01", locale="en-GB"),
    Shot("report", "/report/WH-E01"),
    Shot("report-what", "/report/WH-E01?port=2"),
    Shot("report-send", "/report/WH-E01?port=2&fault=no-output", whole=True),
    Shot("receipt-find", "/r"),
    Shot("login", "/login"),
    Shot("wall", "/board", size=_WALL),
    Shot("worker", "/worker", "worker"),
    Shot("worker-meeting", "/worker#/meeting/0b9c7c5e-52c5-4e4f-8f0e-6a2f0d3f7f11", "worker"),
    Shot("repair", "/repair", "repairer"),
    Shot("console", "/console", "operator", _DESK, "en"),
    Shot("console-zh", "/console", "operator", _DESK),
    Shot("ticket", "/console/tickets/1", "operator", _DESK, "en", whole=True),
    Shot("charger", "/console/chargers/WH-E01?hours=6", "operator", _DESK, "zh-CN", "dark", True),
    Shot("map", "/console/map", "operator", _DESK, "zh-CN", "dark"),
    Shot("uptime", "/console/uptime", "operator", _DESK),
    Shot("shifts", "/console/shifts", "operator", _DESK),
    Shot("silences", "/console/silences", "operator", _DESK),
    Shot("quarantine", "/console/quarantine", "operator", _DESK),
    Shot("policy", "/console/policy", "operator", _DESK),
    Shot("account", "/account", "operator"),
)


def _receipt(browser: Browser, page_url: str) -> Shot:
    """What somebody sees who has just reported."""
    page = browser.new_page(locale="zh-CN")
    page.goto(f"{page_url}/report/WH-E01?port=2&fault=no-output")
    page.click("button.primary")
    page.wait_for_url("**/r/*")
    path = page.url.removeprefix(page_url)
    page.close()
    return Shot("receipt", path)


def _shoot(browser: Browser, page_url: str, passwords: dict[str, str]) -> None:
    for shot in (*SHOTS, _receipt(browser, page_url)):
        page = browser.new_page(
            viewport=shot.size, locale=shot.locale, color_scheme=shot.scheme,
            device_scale_factor=2 if shot.size is _PHONE else 1,
        )  # fmt: skip
        if shot.who is not None:
            sign_in(page, page_url, shot.who, passwords[shot.who])
        page.goto(f"{page_url}{shot.path}")
        if shot.path.startswith("/worker"):
            page.wait_for_selector("html[data-ready]")
            page.wait_for_selector("h1")
        if shot.path == "/console/map":
            page.wait_for_selector("#map[data-ready]")
        page.screenshot(path=PICTURES / f"{shot.name}.png", full_page=shot.whole)
        page.close()


def sign_in(page: Page, page_url: str, login: str, password: str) -> None:
    """Through the login page, as a person would."""
    page.goto(f"{page_url}/login")
    page.fill("input[name=login]", login)
    page.fill("input[name=password]", password)
    page.click("form[action='/login'] button")
    page.wait_for_url(lambda url: "/login" not in url)


def main() -> int:
    """Take all pictures anew. Gives the exit code."""
    chromium = shutil.which("chromium")
    if chromium is None:
        print("chromium is missing: make parts", file=sys.stderr)
        return 1
    PICTURES.mkdir(parents=True, exist_ok=True)
    port = free_port()
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o755)  # noqa: PTH101, S103 - PostgreSQL runs as another user
        with demo(Path(name) / "demo", port) as passwords, sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium, args=CHROMIUM_FLAGS)
            _shoot(browser, f"http://127.0.0.1:{port}", passwords)
            browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
