"""A pile's past by mouse, finger and keys, by day and by night, and without any script."""

import re
from datetime import UTC, datetime, timedelta
from io import BytesIO

import pytest
from PIL import Image
from playwright.sync_api import Locator, Page, expect

from tests.api.test_explain import hot
from tests.pages.conftest import World
from tests.pages.test_browser import Visits, _log_in, visits

__all__ = ["visits"]
pytestmark = pytest.mark.browser
_PHONE = {"width": 390, "height": 844}
_DESKTOP = {"width": 1366, "height": 768}


def _measured(world: World) -> None:
    """A day of meter values of C0, with two hours without any, and an incident at its end."""
    now = datetime.now(UTC)
    world.db.execute(
        "INSERT INTO observation (observed_at, received_at, charger_id, connector, kind, seq, "
        "power_w, temperature_c) SELECT at, at, %s, 2, 2, -1, 200 + 80 * sin(n / 20.0), 40 "
        "FROM (SELECT n, %s - n * interval '6 min' AS at FROM generate_series(0, 239) n) said "
        "WHERE n NOT BETWEEN 100 AND 120",
        (world.community.chargers[0], now - timedelta(minutes=1)),
    )
    for port, status in ((1, "available"), (2, "charging")):
        world.db.execute(
            "INSERT INTO observation (observed_at, received_at, charger_id, connector, kind, seq, "
            "status) VALUES (%s, %s, %s, %s, 1, 1, %s)",
            (now - timedelta(hours=20), now, world.community.chargers[0], port, status),
        )
    hot(world.db, world.community, now)


def _open(visits: Visits, world: World, size: dict[str, int], **more: object) -> Page:
    _measured(world)
    page = visits.open("/login", size, locale="en-GB", **more)
    _log_in(page, "operator")
    page.goto("/console/chargers/C0")
    return page


def _renewed(page: Page) -> None:
    """Until the server's steps of the asked time are there."""
    page.wait_for_function(
        """() => Math.abs(Date.parse(new URL(location).searchParams.get("from")) / 1000
            - Number(document.querySelector("#chart-power").dataset.from)) < 1"""
    )


def _hours(page: Page) -> float:
    figure = page.locator("#chart-power")
    from_at, to_at = (float(figure.get_attribute(f"data-{w}") or "") for w in ("from", "to"))
    return (to_at - from_at) / 3600


def _over(page: Page) -> tuple[Locator, dict[str, float]]:
    over = page.locator("#chart-power .u-over")
    over.scroll_into_view_if_needed()
    box = over.bounding_box()
    assert box is not None
    return over, dict(box)


def _points(page: Page, measure: str, colour: str) -> int:
    """How many points of the picture have this colour."""
    shot = page.locator(f"#chart-{measure} .lines-live").screenshot()
    found = Image.open(BytesIO(shot)).convert("RGB").getcolors(1 << 24)
    return sum(count for count, point in found or () if bytes(point) == bytes.fromhex(colour))


def test_a_piece_of_a_chart_is_drawn_larger_by_the_server_and_one_step_back_undoes_it(
    visits: Visits, world: World
) -> None:
    page = _open(visits, world, _DESKTOP)
    _, box = _over(page)
    y = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] * 0.7, y)
    expect(page.locator("#chart-power [data-readout]")).to_have_text(
        re.compile(r"^\w+ \d+, \d\d:\d\d: [\d.]+ W")
    )
    expect(page.locator("#chart-temperature [data-readout]")).to_contain_text("°C")
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.95, y, steps=4)
    page.mouse.up()
    page.wait_for_url("**from=**")
    _renewed(page)
    assert _hours(page) == pytest.approx(6, abs=0.2)
    expect(page.locator(".lines-live .uplot")).to_have_count(2)
    expect(page.locator("#chart-power .tools button")).to_have_count(2)
    steps = page.locator("#chart-power tr[data-at]").count()
    assert steps > 30, "the steps are made anew and finer"
    page.go_back()
    page.wait_for_function("() => document.querySelector('#chart-power').dataset.step > 300")
    assert _hours(page) == pytest.approx(24, abs=0.1)
    bands = page.locator(".plot.bands .band svg[role=img]").first
    strip = bands.bounding_box()
    assert strip is not None
    page.mouse.move(strip["x"] + strip["width"] * 0.5, strip["y"] + 8)
    page.mouse.down()
    page.mouse.move(strip["x"] + strip["width"] * 0.625, strip["y"] + 8, steps=4)
    page.mouse.up()
    page.wait_for_url("**from=**")
    _renewed(page)
    assert _hours(page) == pytest.approx(3, abs=0.2)


def test_a_chart_is_read_moved_and_zoomed_by_keys_alone(visits: Visits, world: World) -> None:
    page = _open(visits, world, _DESKTOP)
    chart = page.get_by_role("slider", name="Power")
    expect(chart).to_have_accessible_description(re.compile("Keys: arrows"))
    chart.focus()
    page.keyboard.press("End")
    last = chart.get_attribute("aria-valuetext")
    page.keyboard.press("ArrowLeft")
    expect(chart).not_to_have_attribute("aria-valuetext", last or "")
    page.keyboard.press("Home")
    first = chart.get_attribute("aria-valuetext")
    assert first is not None and first.endswith("W") and first != last
    expect(page.locator("#chart-power [data-readout]")).to_have_text(first)
    page.route("**/C0?from=**", lambda route: None)
    page.keyboard.press("+")
    page.wait_for_url("**from=**")
    assert _points(page, "power", "0a4a78") > 200, "what is known is drawn until the server answers"
    page.unroute("**/C0?from=**")
    page.keyboard.press("Shift+ArrowLeft")
    page.keyboard.press("Shift+ArrowRight")
    _renewed(page)
    assert _hours(page) == pytest.approx(12, abs=0.1)
    expect(chart).to_be_focused()
    begins = page.locator("#chart-power").get_attribute("data-from")
    page.keyboard.press("Shift+ArrowLeft")
    page.wait_for_function(
        "was => document.querySelector('#chart-power').dataset.from < was", arg=begins
    )
    page.keyboard.press("0")
    page.wait_for_function("() => !location.search.includes('from')")
    page.wait_for_function("() => document.querySelector('#chart-power').dataset.step > 300")
    expect(chart).to_be_focused()


def test_a_chart_is_moved_by_one_finger_and_zoomed_by_two(visits: Visits, world: World) -> None:
    page = _open(visits, world, _PHONE, has_touch=True, is_mobile=True)
    _, box = _over(page)
    finger = page.context.new_cdp_session(page)
    y = box["y"] + box["height"] / 2

    def touch(kind: str, *shares: float) -> None:
        points = [
            {"x": box["x"] + box["width"] * share, "y": y, "id": n}
            for n, share in enumerate(shares)
        ]
        finger.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    begins = page.locator("#chart-power").get_attribute("data-from")
    touch("touchStart", 0.3)
    for share in (0.4, 0.6, 0.8):
        touch("touchMove", share)
    touch("touchEnd")
    page.wait_for_url("**from=**")
    _renewed(page)
    moved = float(begins or 0) - float(page.locator("#chart-power").get_attribute("data-from") or 0)
    assert moved == pytest.approx(12 * 3600, rel=0.15) and _hours(page) == pytest.approx(
        24, abs=0.1
    )
    touch("touchStart", 0.4, 0.6)
    for spread in (0.05, 0.1, 0.2):
        touch("touchMove", 0.4 - spread, 0.6 + spread)
    touch("touchEnd")
    page.wait_for_function("() => document.querySelector('#chart-power').dataset.step < 300")
    assert _hours(page) == pytest.approx(8, rel=0.1)


def test_lines_marks_and_limit_have_the_colours_of_day_and_night(
    visits: Visits, world: World
) -> None:
    page = _open(visits, world, _DESKTOP, color_scheme="light")
    page.wait_for_selector("#chart-temperature canvas")

    def drawn(colour: str) -> int:
        return _points(page, "temperature", colour)

    day, night = ("0a4a78", "8a1111"), ("8cc4f2", "ff9d93")
    assert all(drawn(colour) > 50 for colour in day) and not any(map(drawn, night))
    page.emulate_media(color_scheme="dark")
    page.wait_for_function("() => matchMedia('(prefers-color-scheme: dark)').matches")
    assert all(drawn(colour) > 50 for colour in night) and not any(map(drawn, day))


def test_a_value_alone_between_two_gaps_is_seen(visits: Visits, world: World) -> None:
    world.db.execute(
        "INSERT INTO observation (observed_at, received_at, charger_id, connector, kind, seq, "
        "power_w) SELECT at, at, %s, 2, 2, -1, 250 FROM (SELECT now() - interval '9 h' AS at) s",
        (world.community.chargers[0],),
    )
    page = visits.open("/login", _DESKTOP, color_scheme="light")
    _log_in(page, "operator")
    page.goto("/console/chargers/C0")
    page.wait_for_selector("#chart-power canvas")
    assert 10 < _points(page, "power", "0a4a78") < 60


def test_without_scripts_the_pictures_of_the_server_stand_and_say_the_same(
    visits: Visits, world: World
) -> None:
    page = _open(visits, world, _PHONE, java_script_enabled=False)
    for measure in ("power", "temperature"):
        figure = page.locator(f"#chart-{measure}")
        expect(figure.locator(".plot svg").first).to_be_visible()
        figure.locator("summary").click()
        expect(figure.locator("tbody tr").first).to_be_visible()
    expect(page.locator(".lines-live, #chart-keys")).to_have_count(0)
