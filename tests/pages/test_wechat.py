"""Residents' pages in WeChat's browser: its window sizes, its larger type, its first screen."""

import pytest
from playwright.sync_api import ViewportSize

from tests.pages.conftest import World
from tests.pages.test_browser import Visits, _fits, visits

__all__ = ["visits"]
pytestmark = pytest.mark.browser
SIZES = ((375, 603), (390, 664), (360, 592), (320, 504))
"""What WeChat leaves of a screen to a page: iPhone 8, iPhone 14, a usual Android, a small one."""
AGENT = (
    "Mozilla/5.0 (Linux; Android 13; M2012K11AC) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Version/4.0 Chrome/116.0.0.0 Mobile Safari/537.36 MMWEBID/1 MicroMessenger/8.0.42"
)
LARGEST = 1.4
"""What its font setting does at most: the page is laid out anew with all type so much larger."""
_LARGER = """(factor) => {
    const all = [...document.querySelectorAll("body, body *")];
    const sizes = all.map((e) => parseFloat(getComputedStyle(e).fontSize));
    all.forEach((e, place) => { e.style.fontSize = `${sizes[place] * factor}px`; });
}"""
FIRST = {
    "/": ".sites a >> nth=0",
    "/s/s": ".pile h2 a >> nth=0",
    "/p/BIG": "a.report",
    "/p/C0": "a.report",
    "/report/BIG": ".choices a >> nth=0",
    "/report/BIG?port=2": ".choices a >> nth=1",
    "/report/BIG?port=2&fault=no-output": "button.primary",
    "/r": "button.primary",
}
"""Of each page, what is touched first."""


@pytest.mark.parametrize("language", ["zh-CN", "en-GB"])
def test_the_first_screen_fits_and_shows_what_is_touched_first(
    visits: Visits, world: World, language: str
) -> None:
    world.db.execute(
        "WITH made AS (INSERT INTO charger (code, site_id, kind, label) "
        "SELECT 'BIG', id, 'ebike', '东门 10 口充电柜' FROM site RETURNING id) "
        "INSERT INTO connector (charger_id, number) SELECT id, n FROM made, "
        "generate_series(1, 10) n"
    )
    world.ticket("plug-broken", 1)
    page = visits.open(
        "/", _size(SIZES[0]), user_agent=AGENT, is_mobile=True, has_touch=True, locale=language
    )
    for path, first in FIRST.items():
        page.goto(path)
        for factor in (1, LARGEST):
            page.evaluate(_LARGER, factor)
            for size in SIZES:
                page.set_viewport_size(_size(size))
                _fits(page)
                box = page.locator(first).bounding_box()
                assert box is not None
                seen = min(box["y"] + box["height"], size[1]) - max(box["y"], 0)
                assert seen >= min(box["height"], 40), (size, path, factor, box)


def _size(size: tuple[int, int]) -> ViewportSize:
    return {"width": size[0], "height": size[1]}
