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
def _demo(folder: Path, port: int) -> Iterator[dict[str, str]]:
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


def _shoot(browser: Browser, page_url: str, passwords: dict[str, str]) -> None:
    phone = browser.new_page(viewport=_PHONE, locale="zh-CN", device_scale_factor=2)
    phone.goto(page_url)
    phone.screenshot(path=PICTURES / "sites.png")
    phone.goto(f"{page_url}/s/wanhe-1a")
    phone.screenshot(path=PICTURES / "site.png")
    phone.goto(f"{page_url}/report/WH-E01")
    phone.screenshot(path=PICTURES / "report.png")
    desk = browser.new_page(viewport=_DESK, locale="en")
    sign_in(desk, page_url, "operator", passwords["operator"])
    desk.wait_for_load_state("load")
    desk.screenshot(path=PICTURES / "console.png")
    desk.goto(f"{page_url}/console/tickets/1")
    desk.screenshot(path=PICTURES / "ticket.png", full_page=True)
    _shoot_more(browser, page_url, passwords)


def _shoot_more(browser: Browser, page_url: str, passwords: dict[str, str]) -> None:
    """A night's shift, a repairer's phone, and the wall."""
    night = browser.new_page(viewport=_DESK, locale="zh-CN", color_scheme="dark")
    sign_in(night, page_url, "operator", passwords["operator"])
    for path, name in (("chargers/WH-E01?hours=6", "charger"), ("map", "map")):
        night.goto(f"{page_url}/console/{path}")
        night.screenshot(path=PICTURES / f"{name}.png", full_page=name == "charger")
    phone = browser.new_page(viewport=_PHONE, locale="zh-CN", device_scale_factor=2)
    sign_in(phone, page_url, "repairer", passwords["repairer"])
    phone.goto(f"{page_url}/repair")
    phone.screenshot(path=PICTURES / "repair.png")
    wall = browser.new_page(viewport=_WALL, locale="zh-CN")
    wall.goto(f"{page_url}/board")
    wall.screenshot(path=PICTURES / "wall.png")


def sign_in(page: Page, page_url: str, login: str, password: str) -> None:
    """Through the login page, as a person would."""
    page.goto(f"{page_url}/login")
    page.fill("input[name=login]", login)
    page.fill("input[name=password]", password)
    page.click("form[action='/login'] button")
    page.wait_for_url("**/console**")


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
        with _demo(Path(name) / "demo", port) as passwords, sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium, args=CHROMIUM_FLAGS)
            _shoot(browser, f"http://127.0.0.1:{port}", passwords)
            browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
