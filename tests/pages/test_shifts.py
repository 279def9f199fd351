"""A shift on the console: planned, seen on the board, handed over, read by whoever follows."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import expect

from tests.pages.conftest import World
from tests.pages.test_browser import Visits, _fits, _log_in, visits

__all__ = ["visits"]


def _csrf(page: str) -> str:
    found = re.search(r'name="csrf" value="([^"]+)"', page)
    assert found is not None
    return found[1]


def test_forms_refuse_in_words_and_keep_what_was_typed(world: World) -> None:
    client = world.client("operator")
    path = "/console/shifts"
    said = {"csrf": _csrf(client.get(path).text), "person": "operator", "place": "site:s",
            "from_at": "2030-01-01T08:00", "to_at": "2030-01-01T20:00"}  # fmt: skip
    for wrong, told in (
        ({"to_at": "2030-01-01T07:00"}, "later than the beginning"),
        ({"to_at": "2030-01-03T08:00"}, "24 hours at most"),
        ({"from_at": "soon"}, "cannot be read"),
        ({"from_at": "0001-01-01T00:00"}, "cannot be read"),
        ({"from_at": "2021-01-01T08:00", "to_at": "2021-01-01T09:00"}, "over already"),
    ):
        refused = client.post(path, data={**said, **wrong})
        assert refused.status_code == 422 and told in refused.text, wrong
        assert f'value="{wrong.get("from_at", said["from_at"])}"' in refused.text
    assert client.post(path, data={**said, "place": "site:zz"}).status_code == 422
    assert client.post(path, data={**said, "csrf": "x"}).status_code == 403
    assert client.post(path, data=said).status_code == 303
    assert "on duty there at that time" in client.post(path, data=said).text
    row = world.row("SELECT id, from_at FROM shift")
    assert row["from_at"].astimezone(UTC).hour == 0, "08:00 is the place's own time"
    assert client.post(f"{path}/{row['id']}/cancel", data=said).status_code == 303
    assert world.client("repairer").post(path, data=said).status_code == 403
    assert 'action="/console/shifts"' not in world.client("auditor").get(path).text


@pytest.mark.browser
def test_a_shift_goes_from_the_plan_to_the_hand_over(visits: Visits, world: World) -> None:
    world.ticket("plug-broken", 4)
    world.db.execute("UPDATE ticket SET opened_at = now() - interval '9 hours'")
    page = visits.open("/login", {"width": 390, "height": 844}, locale="en-GB")
    _log_in(page, "operator")
    expect(page.locator("#duty")).to_have_count(0)
    page.click("nav >> text=Shifts")
    begun = datetime.now(UTC) + timedelta(hours=7)  # an hour ago, in Shanghai
    page.fill("#shift-from", f"{begun:%Y-%m-%dT%H:%M}")
    page.fill("#shift-to", f"{begun + timedelta(hours=8):%Y-%m-%dT%H:%M}")
    page.click("form.adopt button")
    expect(page.locator(".lines")).to_contain_text("Operator")
    _fits(page)
    fresh = world.ticket("over-temperature", 0)
    page.click("nav >> text=Board")
    expect(page.locator("#duty")).to_contain_text("Operator")
    expect(page.locator(".matter")).to_have_count(2)
    page.click("#duty >> text=1 tickets, 1 still open, 1 a danger")
    expect(page.locator(".matter")).to_have_count(1)
    expect(page.locator(f"#t-{fresh}")).to_be_visible()
    _fits(page)
    page.click("#duty >> text=Hand over")
    page.fill("textarea[name=note]", "<b>C1</b>: the electrician comes at 20:00")
    page.click("form:has(textarea) button")
    expect(page.locator(".problem")).to_have_text("Nobody is on duty")
    page.context.clear_cookies()
    page.goto("/login")
    _log_in(page, "admin")
    expect(page.locator("#duty .quote")).to_contain_text("<b>C1</b>: the electrician")
    expect(page.locator("#duty .problem")).to_have_text("Nobody is on duty")
