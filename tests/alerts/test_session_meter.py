"""What a session's meter values say of meter, contact, cap and ageing."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.detectors.session_meter import Metered, session_meter_faults
from pilewatch.policy import SessionMeters

RULE = SessionMeters()
NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
GOOD = Metered(
    connector_id=1, charger_id=1, kind="car", max_power_w=7000, session_id="s", ended_at=NOW,
    seconds=3600, energy_wh=5000, samples=120, valued=120, absurd=0, alike=False, steady=True,
    falls=0, span_s=3600, rise_wh=5000, integral_wh=4990, volts=226, peak_w=6000, peak_a=26,
    mean_a2=500, excess_k=10, firmware="1",
)  # fmt: skip
EMPTY = replace(GOOD, energy_wh=0, rise_wh=0, integral_wh=0, peak_w=0, peak_a=0, mean_a2=0,
                excess_k=None, samples=2, valued=2, span_s=30)  # fmt: skip


def _said(newest_first: Iterable[Metered], apart_h: float = 8) -> dict[str, bool]:
    sessions = [
        replace(session, session_id=str(n), ended_at=NOW - timedelta(hours=n * apart_h))
        for n, session in enumerate(newest_first)
    ]
    return {f.code: f.present for f in session_meter_faults(sessions, NOW, RULE)}


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"absurd": 2}, "meter-failure"),
        ({"valued": 0}, "meter-failure"),
        ({"alike": True}, "meter-failure"),
        ({"falls": 2}, "meter-backwards"),
        ({"rise_wh": 4600}, "meter-mismatch"),
        ({"rise_wh": 5300}, "meter-mismatch"),
    ],
)
def test_a_meter_that_is_wrong_is_named(change: dict[str, float], code: str) -> None:
    assert _said([replace(GOOD, **change)])[code]  # type: ignore[arg-type]


@given(st.floats(0.96, 1.04), st.floats(200, 40_000))
def test_a_register_within_five_percent_is_sound(share: float, energy: float) -> None:
    said = _said([replace(GOOD, rise_wh=share * energy, integral_wh=energy)])
    assert not any(present for code, present in said.items() if code.startswith("meter"))


def test_a_clock_that_jumped_makes_no_meter_wrong() -> None:
    jumped = replace(GOOD, steady=False, falls=9, rise_wh=1)
    assert "meter-backwards" not in _said([jumped]) and "meter-mismatch" not in _said([jumped])


def test_long_sessions_without_current_are_an_open_relay_and_brief_ones_no_answer() -> None:
    long, brief = replace(EMPTY, seconds=65), replace(EMPTY, seconds=20)
    assert _said([long, long, GOOD])["relay-open"]
    assert "relay-open" not in _said([long, GOOD])
    assert _said([brief] * 3)["ev-comms"]
    assert "ev-comms" not in _said([brief] * 2)
    ebike = replace(brief, kind="ebike")
    assert _said([ebike] * 5) == {}
    changed = _said([long, long, *[brief] * 9])
    assert changed["relay-open"] and not changed["ev-comms"]
    assert not _said([GOOD, long, long])["relay-open"]


def test_one_plateau_of_many_vehicles_below_what_was_reached_is_derated() -> None:
    capped = [replace(GOOD, peak_w=2000 + n) for n in range(5)]
    assert _said([*capped, GOOD])["derated"]
    assert not _said(capped)["derated"]
    assert _said([*capped[:3], GOOD])["derated"], "exactly alike, and far below"
    near = [replace(GOOD, peak_w=4000 + 2 * n) for n in range(3)]
    assert not _said([*near, GOOD]).get("derated")
    various = [replace(GOOD, peak_w=watts) for watts in (2000, 2500, 3100, 1800, 4000)]
    assert not _said([*various, GOOD]).get("derated")
    assert _said([*capped[:2], *[GOOD] * 10])["derated"], "two are enough where none was so weak"
    assert not _said([*capped[:2], *[GOOD] * 9]).get("derated")
    weak = replace(GOOD, peak_w=3000)
    assert not _said([*capped[:2], *[GOOD] * 9, weak]).get("derated")
    frozen = [replace(session, rise_wh=0) for session in capped]
    assert not _said([*frozen, GOOD]).get("derated"), "a dead meter says nothing of power"


@given(st.lists(st.tuples(st.floats(0.3, 600), st.floats(-0.3, 0.3)), min_size=16, max_size=16))
def test_weather_and_load_alone_never_age_a_plug(loads: list[tuple[float, float]]) -> None:
    sessions = [
        replace(GOOD, mean_a2=a2, excess_k=0.02 * a2 + noise, seconds=7200) for a2, noise in loads
    ]
    assert not _said(sessions).get("thermal-drift")


@given(st.lists(st.floats(200, 600), min_size=16, max_size=16), st.floats(2, 4))
def test_a_contact_of_twice_the_resistance_has_aged(loads: list[float], times: float) -> None:
    sessions = [
        replace(GOOD, mean_a2=a2, excess_k=0.02 * a2 * (times if n < 4 else 1))
        for n, a2 in enumerate(loads)
    ]
    assert _said(sessions)["thermal-drift"]
    assert not _said(sessions, apart_h=2).get("thermal-drift"), "four in an evening are no trend"
