"""Working time: never in a pause, monotone, right in the zone of the place."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilewatch.policy import BadPolicy, Deadlines, Policy, load_policy
from pilewatch.workdays import china, load_calendar
from pilewatch.workflow.deadlines import due, used

SHANGHAI = ZoneInfo("Asia/Shanghai")
ZONES = st.sampled_from(
    [ZoneInfo(name) for name in ("Asia/Shanghai", "Asia/Urumqi", "Europe/Berlin", "UTC")]
)
MOMENTS = st.timedeltas(timedelta(), timedelta(days=420)).map(
    lambda later: datetime(2025, 12, 1, tzinfo=UTC) + later
)
LENGTHS = st.timedeltas(timedelta(), timedelta(hours=300))


def _local(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=SHANGHAI)


@given(MOMENTS, LENGTHS, ZONES)
def test_a_deadline_is_working_time_and_takes_exactly_its_length(
    start: datetime, length: timedelta, zone: ZoneInfo
) -> None:
    at = due(start, length, china(), zone)
    assert at >= start and used(start, at, china(), zone) == length
    if length:
        local = at.astimezone(zone)
        assert china().is_worked(local.date())
        assert any(p.opens < local.time() <= p.closes for p in china().periods)


@given(MOMENTS, LENGTHS, LENGTHS, st.timedeltas(timedelta(), timedelta(days=20)), ZONES)
def test_later_starts_and_longer_promises_are_never_due_earlier(
    start: datetime, length: timedelta, more: timedelta, later: timedelta, zone: ZoneInfo
) -> None:
    at = due(start, length, china(), zone)
    assert due(start + later, length, china(), zone) >= at
    assert due(start, length + more, china(), zone) >= at
    assert due(at, more, china(), zone) == due(start, length + more, china(), zone) or not length
    assert due(start, length, None, zone) <= max(at, start)


@pytest.mark.parametrize(
    ("start", "hours", "expected"),
    [
        ("2026-09-30T16:00", 4, "2026-10-08T11:00"),  # the National Day week is no working time
        ("2026-09-18T17:00", 1, "2026-09-20T09:00"),  # a made-up Sunday is
        ("2026-02-13T18:00", 7.5, "2026-02-14T17:30"),  # so is the Saturday before the festival
        ("2026-05-12T11:30", 1, "2026-05-12T14:00"),  # lunch
        ("2026-05-12T03:00", 3.5, "2026-05-12T12:00"),  # closing time belongs to the day
        ("2026-05-15T17:30", 2, "2026-05-18T10:30"),
    ],
)
def test_known_days_of_2026(start: str, hours: float, expected: str) -> None:
    at = due(_local(start), timedelta(hours=hours), china(), SHANGHAI)
    assert at == _local(expected)


def test_the_year_2026_has_its_248_working_days() -> None:
    days = [date(2026, 1, 1) + timedelta(days=n) for n in range(365)]
    assert sum(map(china().is_worked, days)) == 248


def test_a_missing_year_is_told_where_working_hours_count() -> None:
    december = datetime(2026, 12, 3, tzinfo=UTC)
    assert Policy().warnings(december) == []
    working = Policy(areas={"wanhe": Deadlines(working=frozenset({2, 3}))})
    assert working.warnings(datetime(2026, 11, 3, tzinfo=UTC)) == []
    assert ["2027" in text for text in working.warnings(december)] == [True]


def test_a_policy_file_brings_areas_steps_and_its_own_calendar(tmp_path: Path) -> None:
    (tmp_path / "days.toml").write_text(
        "weekdays = [6]\nperiods = [{opens = 09:00:00, closes = 10:00:00}]\n"
    )
    file = tmp_path / "policy.toml"
    file.write_text(
        'calendar_file = "days.toml"\n[areas.wanhe]\nworking = [3]\nnotice_h = 2\n'
        '[[escalation.steps]]\nshare = 1\nto = "operator"\n'
    )
    policy = load_policy(file)
    calendar = policy.counting("wanhe", 3)
    assert calendar is not None and policy.counting("wanhe", 2) is policy.counting("b", 3) is None
    length = policy.deadlines_of("wanhe").promised("repair", 3)
    assert due(_local("2026-05-15T12:00"), length, calendar, SHANGHAI) == _local("2026-05-23T10:00")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("weekdays = []\nperiods = [{opens = 09:00:00, closes = 10:00:00}]", "weekdays"),
        ("weekdays = [1]\nperiods = [{opens = 09:00:00, closes = 08:00:00}]", "periods"),
        (
            "weekdays = [1]\nperiods = [{opens = 09:00:00, closes = 10:00:00}]\n[years.2026]\n"
            'source = "x"\nholidays = []\nmade_up = [2025-01-01]',
            "years.2026: 2025-01-01 is of another year",
        ),
    ],
)
def test_a_wrong_calendar_is_refused_with_its_place(tmp_path: Path, text: str, told: str) -> None:
    file = tmp_path / "c.toml"
    file.write_text(text)
    with pytest.raises(ValueError, match=told):
        load_calendar(file)
    policy = tmp_path / "p.toml"
    policy.write_text('calendar_file = "c.toml"')
    with pytest.raises(BadPolicy, match=told):
        load_policy(policy)


def test_steps_must_rise(tmp_path: Path) -> None:
    file = tmp_path / "p.toml"
    step = '[[escalation.steps]]\nshare = 1\nto = "operator"\n'
    file.write_text(step * 2)
    with pytest.raises(BadPolicy, match="each share must be greater"):
        load_policy(file)
