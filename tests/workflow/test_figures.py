"""The figures of a month: a small one counted by hand, and what holds for any."""

from dataclasses import asdict, replace
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from pilewatch.workflow.figures import Group, Line, Month, figures

SHANGHAI = ZoneInfo("Asia/Shanghai")
MAY = Month(2026, 5, SHANGHAI)
LATER = datetime(2026, 6, 10, tzinfo=UTC)


def at(day: int, hour: int = 12, month: int = 5) -> datetime:
    """A moment at the place."""
    return datetime(2026, month, day, hour, tzinfo=SHANGHAI)


LINE = Line(
    raised_at=at(2), settled_at=at(3, 14), done_at=at(3), deadline_at=at(4), paused_at=None,
    state="closed", source="machine", severity=2, kind="no-output", place="东门车棚", reopened=0,
    paused_s=0.0, escalated=False, satisfied=None,
)  # fmt: skip
BY_HAND = [
    LINE,  # 24 hours
    replace(LINE, source="page", done_at=at(5), settled_at=at(5, 15), satisfied=True),  # late, 72 h
    replace(  # from before, escalated, late: 10 days
        LINE, raised_at=at(25, month=4), done_at=at(5), settled_at=at(6),
        deadline_at=at(27, month=4), place="西门", escalated=True,
        reopened=1, satisfied=False, paused_s=7200.0,
    ),
    replace(LINE, state="rejected", kind="blocked", done_at=at(2, 18), settled_at=at(2, 18)),
    # Open at the end: one past its deadline, one whose clock stood, one repaired in time.
    replace(LINE, settled_at=None, done_at=None, state="accepted", deadline_at=at(20)),
    replace(LINE, settled_at=None, done_at=None, paused_at=at(19), deadline_at=at(20)),
    replace(LINE, raised_at=at(31, 23), settled_at=at(2, month=6), done_at=at(1, 1, 6),
            deadline_at=at(1, 2, 6)),
]  # fmt: skip


def test_a_month_is_counted_as_by_hand() -> None:
    found = figures(BY_HAND, MAY, LATER)
    counted = {key: value for key, value in asdict(found).items() if isinstance(value, int | float)}
    assert counted == {
        "before": 1, "raised": 6, "settled": 4, "after": 3, "inside_grid": 3, "escalated": 1,
        "on_time": 2, "late": 2, "reopened": 1, "rejected": 1, "satisfied": 1, "dissatisfied": 1,
        "overdue": 1, "paused_s": 7200.0, "hours": 72.0,
    }  # fmt: skip
    assert found.by_site == [
        Group("东门车棚", raised=6, settled=3, on_time=2, late=1, open=3),
        Group("西门", raised=0, settled=1, late=1, escalated=1),
    ]
    assert [(g.name, g.raised) for g in found.by_kind] == [("no-output", 5), ("blocked", 1)]
    assert [(g.name, g.raised) for g in found.by_source] == [("machine", 5), ("page", 1)]
    days = {day: counts for day, *counts in found.days if any(counts)}
    assert days == {
        date(2026, 5, 2): [5, 1], date(2026, 5, 3): [0, 1], date(2026, 5, 5): [0, 1],
        date(2026, 5, 6): [0, 1], date(2026, 5, 31): [1, 0],
    }  # fmt: skip
    assert len(found.days) == 31


def test_a_month_that_is_not_over_is_judged_as_of_now() -> None:
    line = replace(LINE, settled_at=None, done_at=None, deadline_at=at(20))
    assert figures([line], MAY, at(19)).overdue == 0
    assert figures([line], MAY, at(21)).overdue == 1


def test_december_ends_with_the_year() -> None:
    december = Month(2026, 12, SHANGHAI)
    assert december.ends == datetime(2027, 1, 1, tzinfo=SHANGHAI)
    assert december.begins == datetime(2026, 12, 1, tzinfo=SHANGHAI)


MOMENTS = st.timedeltas(timedelta(), timedelta(days=90)).map(lambda since: at(1, month=4) + since)


@st.composite
def any_line(draw: st.DrawFn) -> Line:
    """A line that the query of this month would give."""
    raised = draw(MOMENTS.filter(lambda m: m < MAY.ends))
    done = draw(st.none() | st.timedeltas(timedelta(), timedelta(days=60)))
    after = draw(st.timedeltas(timedelta(), timedelta(days=9)))
    settled = None if done is None or draw(st.booleans()) else raised + done + after
    if settled is not None and settled < MAY.begins:
        settled = MAY.begins
    return replace(
        LINE,
        raised_at=raised,
        done_at=None if done is None else raised + done,
        settled_at=settled,
        deadline_at=raised + timedelta(hours=48),
        place=draw(st.sampled_from("ab")),
        source=draw(st.sampled_from(["machine", "page"])),
        escalated=draw(st.booleans()),
        satisfied=draw(st.sampled_from([None, True, False])),
    )


@given(st.lists(any_line(), max_size=30))
def test_what_was_open_and_what_came_is_settled_or_open(lines: list[Line]) -> None:
    found = figures(lines, MAY, LATER)
    assert found.before + found.raised == len(lines)
    assert found.before + found.raised - found.settled == found.after
    assert found.inside_grid + found.escalated == found.settled == found.on_time + found.late
    assert found.satisfied + found.dissatisfied <= found.settled
    assert sum(raised for _, raised, _ in found.days) == found.raised
    assert sum(settled for *_, settled in found.days) == found.settled
    for groups in (found.by_site, found.by_kind, found.by_source):
        for key in ("raised", "settled", "late", "on_time"):
            assert sum(getattr(g, key) for g in groups) == getattr(found, key)
        assert sum(g.open for g in groups) == found.after
