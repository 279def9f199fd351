"""Login with a second factor and the account page, in a browser on a phone and without a script."""

import re
from datetime import UTC, datetime

import pyotp
import pytest
from playwright.sync_api import Browser, Page, expect

from pilewatch.settings import People
from pilewatch.store.pool import Db
from tests.pages.conftest import PASSWORD, World, serve

pytestmark = pytest.mark.browser


def _fits(page: Page) -> None:
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), page.url
    low = page.evaluate(
        """[...document.querySelectorAll('main a, main button, main input:not([type=checkbox])')]
            .filter(e => e.checkVisibility() && e.getBoundingClientRect().height < 44)
            .map(e => e.outerHTML)"""
    )
    assert low == []


def test_the_whole_way_on_a_phone_without_a_script(
    plain_db: Db, plain_database_url: str, browser: Browser
) -> None:
    must = People(totp_roles=frozenset({"repairer"}))
    world = World(plain_db, plain_database_url, people=must)
    with serve(world.app) as address:
        context = browser.new_context(
            base_url=address, viewport={"width": 360, "height": 740}, locale="zh-CN",
            java_script_enabled=False,
        )  # fmt: skip
        page = context.new_page()
        page.goto("/login?next=/account")
        page.fill("#login", "repairer")
        page.fill("#password", PASSWORD)
        page.get_by_role("button", name="登录").click()
        page.wait_for_url("**/login/second-factor")
        _fits(page)
        box = page.locator(".qr-box svg").bounding_box()
        assert box is not None and box["width"] > 200
        secret = page.locator(".secret").inner_text().replace(" ", "")
        page.fill("#code", pyotp.TOTP(secret).at(datetime.now(UTC)))
        page.get_by_role("button", name="开启").click()
        expect(page.locator(".codes li")).to_have_count(10)
        _fits(page)
        page.get_by_role("link", name="我已抄好").click()
        page.wait_for_url("**/account")
        _fits(page)
        page.fill("#label", "值班室大屏")
        page.check("input[value=read]")
        page.get_by_role("button", name="生成密钥").click()
        expect(page.locator(".done .secret")).to_contain_text(re.compile("^pw_"))
        _fits(page)
        page.get_by_role("button", name="作废 值班室大屏").click()
        expect(page.get_by_role("button", name="作废")).to_have_count(0)
        page.get_by_role("button", name="全部退出").click()
        page.wait_for_url("**/login")
        context.close()
    world.app.state.context.pool.close()
