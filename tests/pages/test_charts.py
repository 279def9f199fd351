"""The geometry of pictures over time, the plan of sites, and the repairer's way."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.pages.charts import Frame, bands, line, silences
from api.pages.past import wished
from api.pages.places import days_of
from api.pages.repair import by_way
from api.pages.sitemap import HEIGHT, WIDTH, condition, spots

NOW = datetime(2026, 5, 1, 8, tzinfo=UTC)
HOUR = Frame(NOW - timedelta(hours=1), NOW, timedelta(minutes=1))


def _at(minute: float) -> datetime:
    return HOUR.begins + timedelta(minutes=minute)


def _row(minute: float, value: float | None) -> dict[str, Any]:
    return {"at": _at(minute), "low": value, "mean": value, "high": value}


def test_a_missing_bin_is_a_gap_and_not_a_line_through_it() -> None:
    rows = [_row(0, 10), _row(1, 20), _row(10, 30), _row(20, 5), _row(21, 5)]
    drawn = line(HOUR, rows, "low", "mean", "high")
    assert drawn is not None
    assert drawn.path.count("M") == 3
    assert (drawn.low, drawn.high, drawn.last, drawn.bottom) == (5, 30, 5, 0)


def test_the_limit_is_inside_the_picture_and_nothing_measured_is_no_picture() -> None:
    drawn = line(HOUR, [_row(0, 40)], "low", "mean", "high", limit=80)
    assert drawn is not None and drawn.limit_y is not None and 0 < drawn.limit_y < 10
    assert line(HOUR, [_row(0, None)], "low", "mean", "high") is None


def test_silence_outweighs_what_a_port_had_said() -> None:
    changes = [
        {"number": 1, "at": _at(0), "status": "available"},
        {"number": 1, "at": _at(30), "status": "charging"},
    ]
    contact = [{"at": _at(0), "heard": True}, {"at": _at(20), "heard": False},
               {"at": _at(25), "heard": True}]  # fmt: skip
    silent = silences(HOUR, contact, _at(50), NOW)
    pieces = bands(HOUR, changes, silent)[1]
    assert [p.word for p in pieces] == ["available", "unknown", "available", "charging", "unknown"]
    assert [p.begins for p in pieces] == [_at(0), _at(20), _at(25), _at(30), _at(50)]


@given(
    st.lists(
        st.tuples(st.integers(0, 3599), st.sampled_from(["available", "faulted", "charging"])),
        min_size=1,
        max_size=1500,
    ),
    st.lists(st.tuples(st.integers(0, 3599), st.booleans()), max_size=20),
)
def test_bands_are_in_order_inside_the_picture_and_bounded(
    said: list[tuple[int, str]], heard: list[tuple[int, bool]]
) -> None:
    at = HOUR.begins
    changes = [
        {"number": 1, "at": at + timedelta(seconds=s), "status": word} for s, word in sorted(said)
    ]
    contact = [{"at": at + timedelta(seconds=s), "heard": h} for s, h in sorted(heard)]
    pieces = bands(HOUR, changes, silences(HOUR, contact, None, NOW)).get(1, [])
    assert len(pieces) <= 401
    for one, next_one in pairwise(pieces):
        assert one.ends <= next_one.begins
    assert all(0 <= p.left <= 100 and p.width > 0 for p in pieces)


def test_the_worst_of_a_cell_is_kept_where_a_port_flaps() -> None:
    words = ("available", "faulted")
    changes = [{"number": 1, "at": _at(n / 20), "status": words[n % 2]} for n in range(1200)]
    pieces = bands(HOUR, changes, [])[1]
    assert {p.word for p in pieces} == {"faulted"}


@pytest.mark.parametrize(
    ("said", "problem", "length"),
    [
        ({"hours": "168"}, None, timedelta(days=7)),
        ({"from": "2026-05-01T10:00", "to": "2026-05-01T11:30"}, None, timedelta(minutes=90)),
        ({"from": "2026-05-01T10:00:00+08:00", "to": "2026-05-01T03:00:00Z"}, None,
         timedelta(hours=1)),
        ({"from": "yesterday", "to": "now"}, "unreadable", timedelta(days=1)),
        ({"from": "2026-05-01T10:00", "to": ""}, "unreadable", timedelta(days=1)),
        ({"from": "2026-05-02T10:00", "to": "2026-05-01T10:00"}, "length", timedelta(days=1)),
        ({"from": "2020-05-02T10:00", "to": "2026-05-01T10:00"}, "length", timedelta(days=1)),
        ({"from": "0001-01-01T00:00", "to": "9999-12-31T23:59"}, "unreadable", timedelta(days=1)),
        ({"hours": "99999999999999"}, None, timedelta(days=1)),
    ],
)  # fmt: skip
def test_any_range_is_understood_or_refused_in_words(
    said: dict[str, str], problem: str | None, length: timedelta
) -> None:
    whole = {**dict.fromkeys(("hours", "from", "to", "port"), ""), **said}
    found = wished(NOW, ZoneInfo("Asia/Shanghai"), whole)
    assert (found.problem, found.length) == (problem, length)


def _site(
    code: str, latitude: float | None, longitude: float | None, **more: Any
) -> dict[str, Any]:
    usual = {"ports": 10, "usable": 10, "unknown": 0, "tickets": 0, "danger": 0}
    return {"code": code, "latitude": latitude, "longitude": longitude, **usual, **more}


@given(st.lists(st.tuples(st.floats(-85, 85), st.floats(-180, 180)), max_size=20))
def test_every_site_is_on_the_plan(points: list[tuple[float, float]]) -> None:
    found = spots([_site(str(n), *point) for n, point in enumerate(points)])
    assert len(found) == len(points)
    assert all(0 <= s.x <= WIDTH and 0 <= s.y <= HEIGHT for s in found)


def test_north_is_above_and_a_site_without_a_place_is_left_out() -> None:
    found = spots([_site("north", 32.2, 114.0), _site("south", 32.1, 114.0),
                   _site("nowhere", None, None)])  # fmt: skip
    heights = {s.site["code"]: s.y for s in found}
    assert set(heights) == {"north", "south"} and heights["north"] < heights["south"]


@pytest.mark.parametrize(
    ("more", "word"),
    [
        ({}, "good"), ({"tickets": 1}, "some"), ({"usable": 7}, "bad"),
        ({"unknown": 6, "usable": 4}, "unknown"), ({"ports": 0}, "unknown"),
        ({"danger": 1, "unknown": 10}, "danger"),
    ],
)  # fmt: skip
def test_a_site_is_told_in_one_word(more: dict[str, Any], word: str) -> None:
    assert condition(_site("s", 0, 0, **more)) == word


def test_a_piles_day_is_the_sum_of_its_ports_and_unknown_days_stay_unknown() -> None:
    found = days_of("C", "c", [[100, 100, 0, 0], [50, 100, 0, 0]])
    assert found.shares == [0.75, None] and found.whole == 0.75


def test_the_way_leads_to_danger_first_and_then_from_site_to_nearest_site() -> None:
    places = {"far": 33.0, "near": 32.11, "north": 34.0}
    rows = [
        {"id": n, "site": site, "latitude": places[site], "longitude": 114.0, "severity": level}
        for n, (site, level) in enumerate([("near", 2), ("north", 3), ("far", 2), ("near", 1)])
    ]
    assert [row["id"] for row in by_way(rows)] == [3, 1, 2, 0]
