"""Usual busy hours, and waiting for a free port: by API and on the page."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pilewatch.openinghours import read_opening_hours
from tests.api.conftest import World


def hour_now() -> datetime:
    """The present hour's beginning."""
    return datetime.now(UTC).replace(minute=0, second=0, microsecond=0)


def test_busy_hours_are_the_share_of_port_time_in_use_by_local_hour(both: World) -> None:
    ports, evening = both.community.connectors, hour_now() - timedelta(days=20)
    evening = evening.replace(hour=10)  # 18:00 in Shanghai
    for week in range(3):
        begins = evening + timedelta(weeks=week)
        both.community.session(ports[0], begins, begins + timedelta(minutes=90), 500)
        # Two at once on one port are one port in use.
        both.community.session(ports[1], begins, begins + timedelta(minutes=30), 100)
        both.community.session(ports[1], begins + timedelta(minutes=15),
                               begins + timedelta(minutes=45), 100)  # fmt: skip
    before = evening - timedelta(hours=3)
    both.community.session(ports[2], before, before + timedelta(hours=1), 1)
    told = both.ask(None, "GET", "/sites/s/busy-hours").json()
    assert len(told["hours"]) == 168
    shares = {(h["weekday"], h["hour"]): h["busy"] for h in told["hours"]}
    local = evening.astimezone(ZoneInfo("Asia/Shanghai"))
    day, hour = local.isoweekday(), local.hour
    assert hour == 18
    # Six ports: 60 and 45 minutes of 360; then 30 of 360.
    assert shares[day, hour] == pytest.approx(105 / 360, abs=1e-6)
    assert shares[day, hour + 1] == pytest.approx(30 / 360, abs=1e-6)
    assert sum(shares.values()) == pytest.approx(135 / 360, abs=1e-6)
    assert both.ask(None, "GET", "/sites/nowhere/busy-hours").status_code == 404


def test_without_a_past_there_are_no_usual_hours(world: World) -> None:
    told = world.ask(None, "GET", "/sites/s/busy-hours").json()
    assert (told["hours"], told["from_at"]) == ([], None)
    now = datetime.now(UTC)
    world.community.session(world.community.connectors[0], now - timedelta(minutes=5), now, 5)
    assert world.client.get(
        "/api/v1/sites/s/busy-hours", headers={"Cache-Control": "no-cache"}
    ).json()["hours"] == []  # fmt: skip


def occupy(world: World, status: str) -> None:
    """Every port says this, and is heard now."""
    world.db.execute("UPDATE connector_state SET status = %s", (status,))
    world.community.heard(datetime.now(UTC))


def test_who_waits_is_told_once_of_the_first_free_port(world: World) -> None:
    occupy(world, "charging")
    made = world.ask(None, "POST", "/sites/s/waits")
    assert made.status_code == 201
    path = f"/waits/{made.json()['token']}"
    assert made.json()["url"].endswith(made.json()["token"])
    assert world.ask(None, "GET", path).json()["state"] == "waiting"
    occupy(world, "available")
    hit = world.ask(None, "GET", path).json()
    assert (hit["state"], hit["free"], hit["token"]) == ("free", 6, None)
    occupy(world, "charging")
    after = world.ask(None, "GET", path).json()
    assert (after["state"], after["free"], after["free_at"]) == ("free", 0, hit["free_at"])
    row = world.db.execute("SELECT w::text AS told FROM waiter w").fetchone()
    assert row is not None and made.json()["token"] not in row["told"]
    assert world.ask(None, "DELETE", path).status_code == 200
    assert world.ask(None, "GET", path).status_code == 404
    assert world.ask(None, "POST", "/sites/nowhere/waits").status_code == 404


def test_a_wait_ends_after_a_day_and_unknown_ports_are_not_free(world: World) -> None:
    occupy(world, "available")
    world.community.heard(datetime.now(UTC) - timedelta(hours=1))
    token = world.ask(None, "POST", "/sites/s/waits").json()["token"]
    assert world.ask(None, "GET", f"/waits/{token}").json()["state"] == "waiting"
    world.db.execute("UPDATE waiter SET expires_at = now()")
    occupy(world, "available")
    assert world.ask(None, "GET", f"/waits/{token}").json()["state"] == "over"
    assert world.ask(None, "GET", f"/waits/{'x' * 24}").status_code == 404


def test_a_resident_waits_on_a_page_without_javascript(world: World) -> None:
    occupy(world, "charging")
    client = world.client
    english = {"Accept-Language": "en"}
    assert 'action="/s/s/wait"' in client.get("/s/s", headers=english).text
    page = client.post("/s/s/wait", headers=english)
    assert page.status_code == 200 and "Waiting for a free port" in page.text
    assert (page.headers["cache-control"], page.headers["x-robots-tag"]) == ("no-store", "noindex")
    assert '<meta http-equiv="refresh"' in page.text
    occupy(world, "available")
    told = client.get(page.url.path, headers=english).text
    assert "A port is free" in told and "6 of 6 free now" in told
    occupy(world, "charging")
    assert "It has been taken again" in client.get(page.url.path, headers=english).text
    again = client.post("/s/s/wait", headers=english)
    gone = client.post(again.url.path, data={"stop": "1"}, headers=english)
    assert gone.url.path == "/s/s" and client.get(again.url.path).status_code == 404


@given(st.text(max_size=40) | st.from_regex(r"[MTWFS][oaeuhr](-Su)? [0-2][0-9]:[0-5]0-2[0-4]:00"))
@settings(max_examples=300, deadline=None)
def test_opening_hours_are_read_or_refused_with_a_reason(text: str) -> None:
    try:
        spans = read_opening_hours(text)
    except ValueError as error:
        assert len(str(error)) > 10
    else:
        assert spans == tuple(sorted(spans))
        assert all(span.begins < span.ends <= "24:00" and 1 <= span.weekday <= 7 for span in spans)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "no hours"),
        ("Mo 8:00-20:00", "08:00-20:00"),
        ("Mo 20:00-08:00", "08:00-20:00"),
        ("Fr-Mo 08:00-20:00", "Mo to Su"),
        ("Mo 08:00-12:00,11:00-13:00", "overlap"),
        ("daily", "24/7"),
    ],
)
def test_wrong_opening_hours_say_what_would_be_right(text: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        read_opening_hours(text)


def test_right_opening_hours_are_spans_by_weekday() -> None:
    assert read_opening_hours("24/7") == ()
    spans = read_opening_hours("Sa-Su 10:00-12:00,13:00-24:00; Mo 08:00-09:00")
    assert [(s.weekday, s.begins, s.ends) for s in spans] == [
        (1, "08:00", "09:00"),
        (6, "10:00", "12:00"),
        (6, "13:00", "24:00"),
        (7, "10:00", "12:00"),
        (7, "13:00", "24:00"),
    ]
