"""What piles show without saying it: in sessions, in meter values, in their controller."""

from typing import Any

import pytest

from tests.alerts.conftest import Watched


def _session(w: Watched, start: float, lasted: float, wh: float, port: int = 1) -> None:
    w.session(w.connectors[port - 1], w.at(start), w.at(start + lasted), wh)
    w.event(start + lasted, "connector.session", 0, port, phase="ended")


def _refusal(w: Watched, at: float, card: str, port: int = 1) -> None:
    w.db.execute(
        "INSERT INTO charging_session (connector_id, session_id, refused_at) VALUES (%s, %s, %s) "
        "ON CONFLICT DO NOTHING",
        (w.connectors[port - 1], card, w.at(at)),
    )
    w.event(at, "connector.session", 0, port, phase="refused")


def _meter(w: Watched, at: float, charger: int = 0, port: int = 1, **values: float) -> None:
    names = ", ".join(f"{name} = %s" for name in values)
    w.db.execute(
        f"UPDATE connector_state SET meter_at = %s, {names} WHERE connector_id = %s",
        (w.at(at), *values.values(), w.connectors[charger * 2 + port - 1]),
    )
    w.lives(at, *range(5))


def test_three_sessions_of_seconds_are_a_broken_plug(watched: Watched) -> None:
    w = watched
    for start in (0, 60):
        _session(w, start, 8, 0.2)
    w.look(90)
    assert w.incidents() == []
    _session(w, 120, 9, 0.1)
    w.look(140)
    assert w.tickets() == [("connector", "plug-broken", "open")]


def test_sessions_that_last_but_give_nothing_are_no_output(watched: Watched) -> None:
    w = watched
    for start in (0, 1000, 2000):
        _session(w, start, 600, 0.0)
    w.look(2700)
    assert w.tickets() == [("connector", "no-output", "open")]


def test_a_session_that_delivers_in_between_is_no_pattern(watched: Watched) -> None:
    w = watched
    for start, wh in ((0, 0.1), (60, 0.1), (120, 40), (400, 0.1), (460, 0.1)):
        _session(w, start, 10, wh)
    w.look(500)
    assert w.incidents() == []


def test_bad_sessions_on_different_ports_are_no_pattern(watched: Watched) -> None:
    w = watched
    for start, port in ((0, 1), (60, 2), (120, 1), (180, 2)):
        _session(w, start, 10, 0.1, port)
    w.look(300)
    assert w.incidents() == []


def test_the_same_pattern_after_the_repair_is_a_new_ticket(watched: Watched) -> None:
    w = watched
    for start in (0, 60, 120):
        _session(w, start, 8, 0.2)
    w.look(140)
    w.db.execute(
        "UPDATE ticket SET state = 'closed', evidence = '{\"kind\": \"inspection\"}', "
        "closed_at = %s",
        (w.at(200),),
    )
    _session(w, 300, 8, 0.2)
    w.look(320)
    assert [state for _, _, state in w.tickets()] == ["closed", "open"]


def test_a_session_that_delivers_clears_the_pattern(watched: Watched) -> None:
    w = watched
    for start in (0, 60, 120):
        _session(w, start, 8, 0.2)
    _session(w, 200, 1800, 300)
    w.look(2000)
    w.look(2061)
    assert w.incidents() == [("connector", "plug-broken", "cleared")]


def test_different_people_refused_in_a_row_at_one_charger(watched: Watched) -> None:
    w = watched
    for n in range(4):
        _refusal(w, 10 * n, f"card {n}", port=1 + n % 2)
        assert w.incidents() == []
    w.look(60)
    assert w.tickets() == [("charger", "auth-refused", "open")]


def test_one_card_refused_again_and_again_is_its_own_fault(watched: Watched) -> None:
    w = watched
    for n in range(6):
        _refusal(w, 10 * n, f"{n % 2} card", port=1 + n % 2)
    w.look(60)
    assert w.incidents() == []


@pytest.mark.parametrize(
    ("values", "kind", "code"),
    [
        ({"voltage_v": 245.0}, "charger", "over-voltage"),
        ({"voltage_v": 180.0}, "charger", "under-voltage"),
        ({"current_a": 30.0}, "connector", "over-current"),
        ({"temperature_c": 85.0}, "connector", "over-temperature"),
        ({"residual_current_ma": 31.0}, "connector", "ground-fault"),
    ],
)
def test_a_value_beyond_its_limit_is_one_ticket_and_clears(
    watched: Watched, values: dict[str, float], kind: str, code: str
) -> None:
    w = watched
    w.db.execute("UPDATE connector SET max_power_w = 3500")
    _meter(w, 10, **values)
    w.look(10)
    _meter(w, 22, **values)
    w.look(22)
    w.look(23)
    assert w.incidents() == [(kind, code, "open")]
    assert len(w.tickets()) == 1
    good = {"voltage_v": 221.0, "current_a": 2.0, "temperature_c": 31.0, "power_w": 0.0}
    _meter(w, 30, residual_current_ma=1.0, **good)
    w.look(30)
    w.look(91)
    assert w.incidents() == [(kind, code, "cleared")]


def _history(w: Watched, at: float, **values: float) -> None:
    """The meter's value as the writer keeps it: in history and in the current state."""
    w.db.execute("SELECT ensure_observation_day(%s)", (w.at(0).date(),))
    names = ", ".join(values)
    marks = ", ".join(["%s"] * len(values))
    w.db.execute(
        f"INSERT INTO observation (observed_at, received_at, charger_id, connector, connector_id, "
        f"kind, seq, {names}) VALUES (%s, %s, %s, 1, %s, 2, -1, {marks})",
        (w.at(at), w.at(at), w.chargers[0], w.connectors[0], *values.values()),
    )
    _meter(w, at, **values)


@pytest.mark.parametrize(("rise", "welded"), [(0.5, True), (0.0, False)])
def test_power_after_the_session_is_a_welded_relay_only_if_the_register_runs(
    watched: Watched, rise: float, welded: bool
) -> None:
    w = watched
    for n in range(4):
        _history(w, 10 + 30 * n, power_w=120.0, energy_wh=1000 + rise * n)
        w.look(10 + 30 * n)
    w.look(104)
    assert w.tickets() == [("connector", "relay-welded", "open")] * welded
    _meter(w, 120, power_w=0.0)
    w.look(120)
    w.look(181)
    assert w.incidents() == [("connector", "relay-welded", "cleared")] * welded


def test_the_last_value_of_a_session_is_no_welded_relay(watched: Watched) -> None:
    w = watched
    _meter(w, 10, power_w=300.0)
    w.db.execute("UPDATE connector_state SET status_at = %s", (w.at(9),))
    w.look(30)
    assert w.incidents() == []


def test_a_value_from_before_the_status_does_not_keep_a_fault_alive(watched: Watched) -> None:
    w = watched
    w.says(0, 0, 1, "faulted", "over-voltage")
    _meter(w, 10, voltage_v=260.0)
    w.look(12)
    w.says(20, 0, 1, "available")
    w.db.execute("UPDATE connector_state SET status_at = %s WHERE connector_id = %s",
                 (w.at(20), w.connectors[0]))  # fmt: skip
    w.look(21)
    w.look(90)
    assert w.incidents() == [("charger", "over-voltage", "cleared")]


def test_who_sees_a_fault_again_sees_it_gone(watched: Watched) -> None:
    w = watched
    w.says(0, 0, 1, "faulted", "over-voltage")
    w.look(12)
    w.says(20, 0, 1, "available")
    w.look(21)
    _meter(w, 30, voltage_v=260.0)
    w.look(30)
    assert w.incidents() == [("charger", "over-voltage", "open")]
    _meter(w, 40, voltage_v=221.0)
    w.look(40)
    w.look(101)
    assert w.incidents() == [("charger", "over-voltage", "cleared")]


def test_a_dead_outlet_is_not_low_voltage_and_old_values_say_nothing(watched: Watched) -> None:
    w = watched
    _meter(w, 10, voltage_v=0.0)
    w.look(30)
    _meter(w, 10, voltage_v=300.0)
    w.lives(400, *range(5))
    w.look(400)
    assert w.incidents() == []


def test_boots_again_and_again_are_a_loop(watched: Watched) -> None:
    w = watched
    w.db.execute("SELECT ensure_observation_day(%s)", (w.at(0).date(),))
    for n in range(4):
        w.db.execute(
            "INSERT INTO observation (observed_at, received_at, charger_id, connector, kind, seq, "
            "data) VALUES (%s, %s, %s, 0, 7, -1, jsonb_build_object('bootId', %s::text))",
            (w.at(60 * n), w.at(60 * n), w.chargers[1], str(n)),
        )
        w.db.execute(
            "UPDATE charger_state SET boot_at = %s WHERE charger_id = %s",
            (w.at(60 * n), w.chargers[1]),
        )
        w.event(60 * n, "charger.boot", 1, None, bootId=str(n))
        w.look(60 * n)
        assert len(w.incidents()) == (n == 3)
    w.lives(200, *range(5))
    w.look(200)
    assert w.tickets() == [("charger", "reboot-loop", "open")]
    w.lives(2200, *range(5))
    w.look(2200)
    w.look(2261)
    assert w.incidents() == [("charger", "reboot-loop", "cleared")]


def test_a_wrong_clock_is_a_notice_until_a_day_without(watched: Watched) -> None:
    w = watched
    w.event(0, "charger.clock", 2, None)
    w.db.execute("UPDATE charger_state SET clock_notice_on = %s", (w.at(0).date(),))
    w.look(121)
    assert w.tickets() == [("charger", "clock-wrong", "open")]
    w.lives(2 * 86400, *range(5))
    w.look(2 * 86400)
    w.look(2 * 86400 + 61)
    assert w.incidents() == [("charger", "clock-wrong", "cleared")]


def test_a_weak_radio_is_a_notice_with_hysteresis(watched: Watched) -> None:
    w = watched
    for at, rssi in ((0, -104), (11, -104), (20, -99)):
        w.db.execute("UPDATE charger_state SET rssi_dbm = %s WHERE charger_id = %s",
                     (rssi, w.chargers[3]))  # fmt: skip
        w.look(at)
    assert w.incidents() == [("charger", "weak-signal", "open")]
    w.db.execute("UPDATE charger_state SET rssi_dbm = -80")
    w.look(30)
    w.look(91)
    assert w.incidents() == [("charger", "weak-signal", "cleared")]


def _metered(
    w: Watched,
    start: float,
    seconds: int,
    *,
    late_s: float = 0,
    gap: range = range(0),
    **shape: float,
) -> None:
    """A session with a sample each half minute: `watts`, `celsius`, register by `register`."""
    watts, register = shape.get("watts", 2000.0), 100_000.0
    w.db.execute("SELECT ensure_observation_day(%s)", (w.at(start).date(),))
    w.session(w.connectors[0], w.at(start), w.at(start + seconds), 1000)
    session = w.at(start).isoformat()
    for second in range(0, seconds, 30):
        register += watts * 30 / 3600 * shape.get("register", 1.0)
        if second in gap:
            continue
        w.db.execute(
            "INSERT INTO observation (observed_at, received_at, charger_id, connector, "
            "connector_id, kind, seq, session_id, power_w, energy_wh, voltage_v, current_a, "
            "temperature_c) VALUES (%s, %s, %s, 1, %s, 2, -1, %s, %s, %s, 226, %s, %s)",
            (w.at(start + second), w.at(start + second + late_s), w.chargers[0], w.connectors[0],
             session, watts, register, watts / 226, shape.get("celsius", 20.0)),
        )  # fmt: skip
    ended = {"phase": "ended", "sessionId": session}
    w.event(start + seconds, "connector.session", 0, 1, **ended)


def test_a_register_that_counts_too_little_is_found_once_a_kilowatt_hour_has_flowed(
    watched: Watched,
) -> None:
    w = watched
    _metered(w, 0, 1200, register=0.9)
    w.look(1300)
    assert w.tickets() == [], "two thirds of a kilowatt-hour prove nothing"
    _metered(w, 2000, 1200, register=0.9)
    w.look(3300)
    assert w.tickets() == [("connector", "meter-mismatch", "open")]


@pytest.mark.parametrize(
    "spoiled", [{"gap": range(600, 2400)}, {"late_s": 4000.0}], ids=["gap", "wrong clock"]
)
def test_what_was_not_seen_or_has_no_sure_time_makes_no_meter_wrong(
    watched: Watched, spoiled: dict[str, Any]
) -> None:
    w = watched
    _metered(w, 0, 3600, **spoiled)
    w.look(9000)
    assert w.tickets() == []
    kept = w.db.execute("SELECT steady, rise_wh, integral_wh FROM session_meter").fetchone()
    assert kept is not None
    assert kept["steady"] == ("gap" in spoiled)
    assert kept["rise_wh"] == pytest.approx(kept["integral_wh"], abs=1)


def test_a_plug_that_grows_hotter_than_the_air_and_its_load_explain_has_aged(
    watched: Watched,
) -> None:
    w = watched
    day = 86400.0
    w.db.execute("SELECT ensure_observation_day(d::date) FROM generate_series(%s, %s, "
                 "interval '1 day') d", (w.at(0), w.at(20 * day)))  # fmt: skip
    for n in range(17):
        air = 10.0 + n  # spring comes
        for step in range(4):
            w.db.execute(
                "INSERT INTO observation (observed_at, received_at, charger_id, connector, "
                "connector_id, kind, seq, power_w, temperature_c) "
                "VALUES (%s, %s, %s, 2, %s, 2, -1, 0, %s)",
                (w.at(n * day + 1900 + step * 300),) * 2
                + (w.chargers[1], w.connectors[3], air + 0.1 * step),
            )
        _metered(w, n * day, 3600, celsius=air + (2 if n < 13 else 5))
        w.look(n * day + 3700)
        if n < 13:
            assert w.tickets() == []
    assert w.tickets() == [("connector", "thermal-drift", "open")]
