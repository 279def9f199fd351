"""The three figures, computed by hand from the regulations, and the algebra under them."""

from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilewatch.uptime.measures import (
    CLOSED,
    NEVI_YEAR,
    Layers,
    Left,
    LeftOut,
    Tally,
    count,
    excluded_pieces,
    take_apart,
)
from pilewatch.uptime.periods import Length, check_week, closed, microseconds, moment, period
from pilewatch.uptime.reading import add
from pilewatch.uptime.spans import Spans, intersect, melt, steps, subtract, total, union

MINUTE = 60_000_000
HOUR = 60 * MINUTE
YEAR = 365 * 24 * HOUR


def _year(*down: tuple[int, int], state: str = "faulted", left: tuple[Left, ...] = ()) -> Layers:
    """A year that a port was heard in, and down in these minutes."""
    bad = melt((a * MINUTE, b * MINUTE) for a, b in down)
    whole = [(0, YEAR)]
    said = {"working": subtract(whole, bad), state: bad}
    heard = subtract(whole, bad) if state == "silent" else whole
    return Layers((0, YEAR), said, heard, left=LeftOut(left))


def _left(reason: str, *minutes: tuple[int, int]) -> Left:
    return Left(
        melt((a * MINUTE, b * MINUTE) for a, b in minutes), reason, "letter 7", "exclusion/1"
    )


def test_nevi_is_the_formula_of_680_116_b_3() -> None:
    """10,000 minutes of outage, 2,500 of them in a documented power cut."""
    cut = _left("utility", (4000, 5000), (9000, 10500))
    tally = count(_year((1000, 11000), left=(cut,)))
    assert (tally.nevi_total, tally.nevi_outage) == (NEVI_YEAR, 10_000 * MINUTE)
    assert tally.nevi_excluded == 2500 * MINUTE
    assert tally.nevi == (525_600 - 7_500) / 525_600
    assert tally.nevi_missed == 0


def test_97_percent_must_be_exceeded_not_reached() -> None:
    """3 % of 525,600 minutes are 15,768."""
    assert count(_year((0, 15_768))).nevi_missed == 1
    assert count(_year((0, 15_767))).nevi_missed == 0


def test_excluded_time_in_which_the_port_was_up_excludes_nothing() -> None:
    tally = count(_year((1000, 2000), left=(_left("utility", (3000, 90_000)),)))
    assert (tally.nevi_excluded, tally.nevi) == (0, (525_600 - 1000) / 525_600)


def test_a_year_of_366_days_still_has_525_600_minutes_for_nevi() -> None:
    leap = YEAR + 24 * HOUR
    tally = count(Layers((0, leap), {"faulted": [(0, leap)]}, [(0, leap)]))
    assert (tally.nevi_total, tally.nevi, tally.plain) == (NEVI_YEAR, 0.0, 0.0)


def test_less_than_the_required_power_is_an_outage_for_nevi_alone() -> None:
    layers = Layers((0, 10), {"working": [(0, 10)]}, [(0, 10)], weak=[(2, 5)])
    tally = count(layers)
    assert (tally.nevi, tally.plain, tally.uk) == (0.7, 1.0, 1.0)


@pytest.mark.parametrize(
    ("state", "plain", "nevi", "uk"),
    [
        ("faulted", 0.9, 0.9, 0.9),
        ("unavailable", 0.9, 0.9, 0.9),
        ("unknown", 0.9, 0.9, 1.0),
        ("silent", 0.9, 0.9, 1.0),
    ],
)
def test_unknown_is_down_but_for_regulation_7_3_b(
    state: str, plain: float, nevi: float, uk: float
) -> None:
    tally = count(_year((0, 52_560), state=state))
    assert (tally.plain, tally.nevi, tally.uk) == (plain, nevi, uk)
    assert tally.uk_ineligible == (52_560 * MINUTE if uk == 1 else 0)


def test_a_point_with_limited_hours_is_judged_in_those_hours_only() -> None:
    """Reg. 7(5): open 08:00 to 20:00, broken 06:00 to 10:00 on one of ten days: 2 of 120 hours."""
    days = 10
    shut = [(d * 24 * HOUR, (d * 24 + 8) * HOUR) for d in range(days)]
    shut += [((d * 24 + 20) * HOUR, (d + 1) * 24 * HOUR) for d in range(days)]
    bad = [(6 * HOUR, 10 * HOUR)]
    window = (0, days * 24 * HOUR)
    said = {"working": subtract([window], bad), "faulted": bad}
    hours = Left(melt(shut), CLOSED, "opening hours", "hours")
    tally = count(Layers(window, said, [window], left=LeftOut((hours,))))
    assert tally.uk == (120 - 2) / 120
    assert tally.nevi == (240 - 2) / 240
    assert tally.plain == (240 - 4) / 240
    assert tally.uk_exempt == 0


def test_exempt_time_leaves_the_denominator() -> None:
    """100 h, 10 h out of order, all within 20 exempt hours: 80 of 80."""
    window = (0, 100 * HOUR)
    bad = [(30 * HOUR, 40 * HOUR)]
    said = {"working": subtract([window], bad), "faulted": bad}
    left = Left([(25 * HOUR, 45 * HOUR)], "vandalism", "police 12", "exclusion/1")
    tally = count(Layers(window, said, [window], left=LeftOut((left,))))
    assert (tally.uk_total, tally.uk_down, tally.uk_exempt) == (80 * HOUR, 0, 20 * HOUR)
    maintenance = Left([(25 * HOUR, 45 * HOUR)], "maintenance", "plan 1", "downtime/1")
    tally = count(Layers(window, said, [window], left=LeftOut((maintenance,))))
    assert (tally.uk, tally.nevi) == (0.9, 1.0)


def test_a_network_is_judged_by_the_time_of_all_its_points_together() -> None:
    whole, half = count(_year()), count(_year((0, 262_800)))
    both = add([whole, half])
    assert both.uk == 0.75 and both.connectors == 2 and both.nevi_missed == 1
    assert add([]).uk is None and Tally().plain is None and Tally().nevi is None


def test_an_incident_outweighs_what_the_pile_says_and_what_it_does_not() -> None:
    layers = Layers((0, 100), {"working": [(0, 100)]}, [(0, 50)], out=[(20, 70)], quiet=[(5, 10)])
    parts = take_apart(layers)
    assert parts.out_of_order == [(20, 70)]
    assert parts.working == [(0, 5), (10, 20)]
    assert parts.unknown == [(5, 10), (70, 100)]


def test_overlapping_reasons_are_listed_once_and_add_up() -> None:
    lefts = (
        _left("vandalism", (1200, 1500)),
        _left("utility", (1000, 1300)),
        _left("access", (1400, 1600)),
    )
    layers = _year((1100, 1450), left=lefts)
    pieces = excluded_pieces(layers)
    tally = count(layers)
    told = [(p.measure, p.reason, p.span[0] // MINUTE, p.span[1] // MINUTE) for p in pieces]
    assert told == [
        ("uk", "utility", 1000, 1200),
        ("nevi", "utility", 1100, 1200),
        ("nevi", "vandalism", 1200, 1450),
        ("uk", "vandalism", 1200, 1500),
        ("uk", "access", 1500, 1600),
    ]
    by = {m: sum(p.span[1] - p.span[0] for p in pieces if p.measure == m) for m in ("nevi", "uk")}
    assert by == {"nevi": tally.nevi_excluded, "uk": tally.service - tally.uk_total}


pieces = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), max_size=8)


def _set(spans: Spans) -> set[int]:
    return {moment for begins, ends in spans for moment in range(begins, ends)}


@given(pieces, pieces)
def test_spans_are_sets_of_moments(one: Spans, other: Spans) -> None:
    a, b = melt(one), melt(other)
    assert _set(a) == _set(one)
    for made, expected in (
        (union(a, b), _set(a) | _set(b)),
        (intersect(a, b), _set(a) & _set(b)),
        (subtract(a, b), _set(a) - _set(b)),
    ):
        assert _set(made) == expected and total(made) == len(expected)
        assert made == melt(made)


@given(
    st.lists(st.tuples(st.integers(0, 40), st.sampled_from("xyz")), max_size=9), st.integers(0, 50)
)
def test_a_step_function_is_the_spans_of_its_values(
    told: list[tuple[int, str]], until: int
) -> None:
    line = sorted(dict(told).items())
    found = steps(line, until)
    for at in range(until):
        before = [value for when, value in line if when <= at]
        holds = {value for value, spans in found.items() if at in _set(spans)}
        assert holds == set(before[-1:])


def test_months_follow_the_sites_own_clock() -> None:
    london, shanghai = "Europe/London", "Asia/Shanghai"
    begins, ends = period("2026-03").span(london)
    assert ends - begins == (31 * 24 - 1) * HOUR
    assert moment(period("2026-03").span(shanghai)[0]).isoformat() == "2026-02-28T16:00:00+00:00"
    year = period("2026-11", Length.YEAR)
    assert year.span(london)[1] - year.span(london)[0] == YEAR
    twelve = period("2026-02", Length.TWELVE_MONTHS)
    assert (str(twelve), str(twelve.first)) == ("2025-03 to 2026-02", "2025-03-01")
    for wrong in ("2026-13", "2026-1", "1999-01", "٢٠٢٦-٠١", "9999-12"):
        with pytest.raises(ValueError, match="month"):
            period(wrong)


def test_opening_hours_follow_the_clock_through_its_changes() -> None:
    """London, the last Sunday of March: 01:00 becomes 02:00."""

    def at(text: str) -> int:
        return microseconds(datetime.fromisoformat(text).replace(tzinfo=UTC))

    week = {str(day): [["08:00", "20:00"]] for day in range(1, 7)}
    within = at("2026-03-28T00:00"), at("2026-03-31T00:00")
    assert closed([(date(2020, 1, 1), week)], "Europe/London", within) == [
        (at("2026-03-28T00:00"), at("2026-03-28T08:00")),
        (at("2026-03-28T20:00"), at("2026-03-30T07:00")),
        (at("2026-03-30T19:00"), at("2026-03-31T00:00")),
    ]
    later = [(date(2026, 3, 30), week)]
    assert closed(later, "Europe/London", within)[0][0] == at("2026-03-29T23:00")
    assert closed([], "Europe/London", within) == []
    open_ = {str(day): [["00:00", "24:00"]] for day in range(1, 8)}
    assert closed([(date(2020, 1, 1), open_)], "Europe/London", within) == []


@pytest.mark.parametrize(
    ("week", "told"),
    [
        ({"8": []}, "the days are"),
        ({"1": [["8:00", "20:00"]]}, "day 1: a piece"),
        ({"1": [["08:00", "24:01"]]}, "day 1: a piece"),
        ({"1": [["20:00", "08:00"]]}, "day 1: pieces"),
        ({"2": [["08:00", "12:00"], ["11:00", "13:00"]]}, "day 2: pieces"),
    ],
)
def test_impossible_hours_are_refused(week: dict[str, list[list[str]]], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        check_week(week)
