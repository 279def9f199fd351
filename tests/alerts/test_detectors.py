"""What piles show without saying it: in sessions, in meter values, in their controller."""

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
        ({"power_w": 120.0}, "connector", "relay-welded"),
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
    w.look(11)
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
