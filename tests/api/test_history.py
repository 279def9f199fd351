"""History and series on both kinds of server."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from alerts.maintenance import roll_up
from api.history import span
from api.problems import Problem
from tests.api.conftest import World

START = datetime(2026, 5, 1, tzinfo=UTC)


def meter(world: World, minute: float, **values: Any) -> None:
    """A meter reading of C0's port 1, so many minutes after START."""
    at = START + timedelta(minutes=minute)
    world.db.execute(
        "INSERT INTO observation (observed_at, received_at, charger_id, connector, kind, seq, "
        "connector_id, session_id, power_w, energy_wh, voltage_v) "
        "VALUES (%s, %s, %s, 1, 2, -1, %s, 's', %s, %s, %s)",
        (at, at, world.community.chargers[0], world.community.connectors[0],
         values.get("power_w"), values.get("energy_wh"), values.get("voltage_v")),
    )  # fmt: skip
    world.db.execute("INSERT INTO rollup_due VALUES (date_trunc('hour', %s::timestamptz))", (at,))


def when(begins: float, ends: float) -> dict[str, str]:
    """Minutes after START as a query."""
    words = [(START + timedelta(minutes=m)).isoformat() for m in (begins, ends)]
    return dict(zip(("from", "to"), words, strict=True))


def test_history_pages_newest_first_without_gap_or_double(both: World) -> None:
    for minute in range(25):
        meter(both, minute, power_w=minute)
    both.db.execute("UPDATE observation SET connector = 2 WHERE power_w = 24")
    seen: list[float] = []
    query: dict[str, Any] = {**when(0, 60), "limit": 10, "kind": "meter"}
    while True:
        page = both.ask("operator", "GET", "/chargers/C0/observations", params=query).json()
        seen += [item["power_w"] for item in page["items"]]
        if page["next_cursor"] is None:
            break
        query["cursor"] = page["next_cursor"]
    assert seen == list(range(24, -1, -1))
    one = both.ask(
        "operator", "GET", "/chargers/C0/observations", params={**when(0, 60), "connector": 2}
    )
    assert [(i["power_w"], i["kind"]) for i in one.json()["items"]] == [(24, "meter")]


def test_a_series_is_cut_into_bins_with_least_mean_and_most(both: World) -> None:
    for minute in range(60):
        meter(both, minute, power_w=minute)
    query = {**when(0, 60), "connector": 1, "measure": "power_w", "points": 4}
    told = both.ask("operator", "GET", "/chargers/C0/series", params=query).json()
    assert told["step_s"] == 900
    assert [(b["samples"], b["min"], b["avg"], b["max"]) for b in told["bins"]] == [
        (15, 0, 7, 14), (15, 15, 22, 29), (15, 30, 37, 44), (15, 45, 52, 59),
    ]  # fmt: skip


def test_long_ranges_come_from_the_hourly_roll_up_and_energy_is_what_was_delivered(
    both: World,
) -> None:
    for hour in range(48):
        for minute in (0, 20, 40):
            meter(both, hour * 60 + minute, power_w=hour, energy_wh=hour * 60 + minute)
    roll_up(both.db, START + timedelta(days=3))
    query = {**when(0, 2880), "connector": 1, "points": 2}
    power = both.ask(
        "operator", "GET", "/chargers/C0/series", params={**query, "measure": "power_w"}
    ).json()
    assert power["step_s"] == 86400
    assert [(b["samples"], b["avg"], b["max"]) for b in power["bins"]] == [
        (72, 11.5, 23), (72, 35.5, 47),
    ]  # fmt: skip
    energy = {**query, "measure": "energy_wh"}
    told = both.ask("operator", "GET", "/chargers/C0/series", params=energy).json()
    assert [b["sum"] for b in told["bins"]] == [24 * 40, 24 * 40]
    fine = {**energy, **when(0, 60), "points": 1}
    assert both.ask("operator", "GET", "/chargers/C0/series", params=fine).status_code == 200


def test_history_is_for_staff_and_for_places_in_their_scope(world: World) -> None:
    assert world.ask(None, "GET", "/chargers/C0/observations").status_code == 401
    assert world.ask("repairer", "GET", "/chargers/C0/observations").status_code == 200
    world.db.execute("UPDATE site SET company_id = NULL")
    assert world.ask("repairer", "GET", "/chargers/C0/observations").status_code == 404
    series = "/chargers/C0/series?measure=power_w&connector="
    assert world.ask("operator", "GET", f"{series}1").status_code == 200
    assert world.ask("operator", "GET", f"{series}9").status_code == 404
    bad = world.ask("operator", "GET", "/chargers/C0/observations?cursor=zzz")
    assert (bad.status_code, "next_cursor" in bad.json()["detail"]) == (422, True)


def test_a_span_ends_after_it_begins() -> None:
    with pytest.raises(Problem):
        span(START, START, START - timedelta(days=1))
    with pytest.raises(Problem):
        span(START, START - timedelta(days=400), START)
    assert span(START, None, None).begins == START - timedelta(days=1)
    assert span(START, START - timedelta(days=30), START, 100).step == timedelta(hours=8)
