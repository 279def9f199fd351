"""Rounds: opened in time, done, done in part or missed, and every fact of it kept."""

from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.notify.news import read_news
from alerts.notify.receivers import Receiver
from alerts.notify.routing import concerns
from alerts.notify.words import Words
from pilewatch.checklist import shipped
from pilewatch.policy import Patrols
from pilewatch.store.pool import Db
from pilewatch.workflow.checklists import checklist_for, keep_checklist
from pilewatch.workflow.inspections import record_inspection
from pilewatch.workflow.patrols import (
    Due,
    Plan,
    change_plan,
    end_plan,
    enter_plan,
    fill_stops,
    next_look,
    round_wanted,
    sweep_patrols,
)
from tests.workflow.conftest import NOW, Community

DAY = timedelta(days=1)
RULE = Patrols()


class Ward:
    """A community with a patrol plan over its site."""

    def __init__(self, community: Community):
        self.community = community
        self.db: Db = community.db
        self.policy = community.policy

    def plan(self, **other: Any) -> int:
        """Enter a plan: every 90 days, the first in ten days."""
        usual: dict[str, Any] = {
            "name": "round of S",
            "kind": "patrol",
            "purpose": "patrol",
            "scope_kind": "site",
            "scope_id": self.community.site,
            "interval_days": 90,
            "route": "nearest",
            "chargers": (),
            "worker_id": None,
            "first_due_at": NOW + 10 * DAY,
        }
        with self.db.transaction():
            plan = Plan(**{**usual, **other})
            return enter_plan(self.db, self.policy, NOW, plan, self.community.worker)

    def sweep(self, days: float) -> None:
        """What the engine does so many days later."""
        sweep_patrols(self.db, self.policy, NOW + days * DAY)

    def inspect(self, charger: int, days: float, round_id: int | None = None) -> bool | None:
        """A sound inspection of a charger by its place; whether it was late."""
        at = NOW + days * DAY
        with self.db.transaction():
            kept = checklist_for(self.db, at, 1, "patrol", "ebike")
            id = uuid4()
            record_inspection(
                self.db,
                self.policy,
                at,
                id=id,
                charger_id=self.community.chargers[charger],
                connector_id=None,
                person_id=self.community.worker,
                inspected_at=at,
                passed=True,
                test_charge=False,
                answers=[],
                note=None,
            )
            self.db.execute("UPDATE inspection SET checklist_id = %s WHERE id = %s", (kept.id, id))
            return fill_stops(
                self.db,
                at,
                inspection_id=id,
                charger_id=self.community.chargers[charger],
                purpose="patrol",
                inspected_at=at,
                round_id=round_id,
            )

    def rounds(self) -> list[tuple[str, float, int]]:
        """State, days until due, and stops of every round."""
        rows = self.db.execute(
            "SELECT state, due_at, (SELECT count(*) FROM patrol_stop WHERE round_id = o.id) AS n "
            "FROM patrol_round o ORDER BY id"
        )
        return [(r["state"], round((r["due_at"] - NOW) / DAY, 2), r["n"]) for r in rows]

    def told(self) -> list[str]:
        """Topics of the notifications about rounds."""
        rows = self.db.execute("SELECT topic FROM outbox WHERE topic LIKE 'round.%' ORDER BY id")
        return [row["topic"] for row in rows]


@pytest.fixture
def ward(community: Community) -> Ward:
    """The community with nothing planned."""
    return Ward(community)


def test_a_round_opens_in_time_is_done_and_the_next_comes_after_the_interval(ward: Ward) -> None:
    ward.plan()
    assert ward.rounds() == []
    ward.sweep(2.9)
    assert ward.rounds() == []
    ward.sweep(3.1)
    ward.sweep(3.2)
    assert ward.rounds() == [("open", 10, 3)]
    assert [ward.inspect(n, 4) for n in range(3)] == [False, False, False]
    assert ward.rounds() == [("done", 10, 3)]
    ward.sweep(86)
    assert ward.rounds() == [("done", 10, 3)]
    ward.sweep(87.1)
    assert ward.rounds()[1:] == [("open", 94, 3)]
    assert ward.told() == ["round.opened", "round.opened"]


def test_a_round_that_was_not_walked_is_missed_on_record_and_comes_again(ward: Ward) -> None:
    ward.plan()
    ward.sweep(4)
    ward.inspect(0, 5)
    ward.sweep(10.9)
    assert ward.rounds() == [("open", 10, 3)], "phones have a day to hand in"
    ward.sweep(11.1)
    assert ward.rounds() == [("partly", 10, 3), ("open", 18.1, 2)]
    ward.sweep(19.2)
    assert [state for state, _, _ in ward.rounds()] == ["partly", "missed", "open"]
    assert ward.told() == [
        "round.opened", "round.partly", "round.opened", "round.missed", "round.opened",
    ]  # fmt: skip


def test_a_missed_round_is_told_in_both_languages_to_those_of_its_place(ward: Ward) -> None:
    ward.plan(scope_kind="grid", scope_id=1)
    ward.sweep(4)
    ward.inspect(0, 5)
    ward.sweep(11.1)
    rows = ward.db.execute("SELECT id FROM outbox WHERE topic = 'round.partly'").fetchall()
    [news] = read_news(ward.db, [row["id"] for row in rows])
    assert (news.grid, news.area, news.site) == ("g", "a", None)
    assert concerns(Receiver("x", "log", grids=["g"]), news)
    assert not concerns(Receiver("x", "log", sites=["s"]), news)
    chinese = Words("zh-CN", "https://x").message([news])
    assert chinese.title == "[提示] 巡查只完成一部分：round of S"
    assert chinese.body.splitlines()[1] == "已查 1 台，共 3 台"
    english = Words("en", "https://x").message([news])
    assert english.title.endswith("Round was done only in part: round of S")
    assert english.body.splitlines()[0].startswith("Due: May 11")


def test_what_comes_after_the_end_is_kept_as_late_and_changes_no_state(ward: Ward) -> None:
    ward.plan()
    ward.sweep(4)
    ward.sweep(11.1)
    first = ward.db.execute("SELECT min(id) AS id FROM patrol_round").fetchone()
    assert first is not None
    assert ward.inspect(0, 11.5, first["id"]) is True
    assert ward.rounds()[0][0] == "missed"
    rows = ward.db.execute(
        "SELECT late, round_id FROM patrol_stop WHERE late IS NOT NULL ORDER BY 2"
    )
    assert [row["late"] for row in rows] == [True, False], "the missed one, and the one after it"


def test_done_in_time_and_handed_in_within_the_grace_is_not_late(ward: Ward) -> None:
    ward.plan()
    ward.sweep(4)
    assert ward.inspect(0, 9.9) is False
    assert ward.inspect(1, 10.5) is True


def test_of_two_workers_at_one_pile_the_first_counts_and_both_are_kept(ward: Ward) -> None:
    ward.plan()
    ward.sweep(4)
    assert ward.inspect(0, 5) is False
    assert ward.inspect(0, 5.1) is None
    row = ward.db.execute("SELECT count(*) AS n FROM inspection").fetchone()
    assert row == {"n": 2}


def test_evidence_shortens_the_interval_of_its_own_pile_and_is_written_down(ward: Ward) -> None:
    ward.plan()
    ward.sweep(4)
    for n in range(3):
        ward.inspect(n, 4)
    ward.db.execute("UPDATE charger SET installed_on = %s WHERE code = 'C1'",
                    (NOW.date() - 9 * 365 * DAY,))  # fmt: skip
    for start in (5, 6, 7):
        ward.db.execute(
            "INSERT INTO incident (subject_kind, subject_id, site_id, charger_id, code, family, "
            "severity, effect, detector, phase, started_at, opened_at, ended_at) VALUES ('charger',"
            " %s, %s, %s, 'plug-broken', 'contact', 2, 'out-of-order', 't', 'cleared', %s, %s, %s)",
            (ward.community.chargers[1], ward.community.site, ward.community.chargers[1],
             *(NOW + start * DAY,) * 3),
        )  # fmt: skip
    ward.sweep(30)
    assert ward.rounds()[1:] == [("open", 34, 1)]
    row = ward.db.execute(
        "SELECT c.code, interval_days, reasons FROM patrol_stop t "
        "JOIN charger c ON c.id = t.charger_id ORDER BY round_id DESC LIMIT 1"
    ).fetchone()
    assert row is not None
    assert (row["code"], row["interval_days"]) == ("C1", 30)
    assert [(r["reason"], r["amount"]) for r in row["reasons"]] == [("faults", 3), ("age", 9.1)]
    assert row["reasons"][0]["codes"] == {"plug-broken": 3}


def test_a_survey_is_one_round_over_all_piles_and_then_over(ward: Ward) -> None:
    plan = ward.plan(kind="survey", interval_days=None, scope_kind="area", scope_id=1)
    assert ward.rounds() == [("open", 10, 3)]
    for n in range(3):
        ward.inspect(n, 1)
    ward.sweep(400)
    assert ward.rounds() == [("done", 10, 3)]
    row = ward.db.execute("SELECT ended_at FROM patrol_plan WHERE id = %s", (plan,)).fetchone()
    assert row is not None and row["ended_at"] == NOW + DAY
    with pytest.raises(ValueError, match="cannot be changed"), ward.db.transaction():
        change_plan(ward.db, ward.policy, NOW, ward.plan(kind="survey", interval_days=None), {}, 1)


def test_a_plan_that_has_ended_makes_no_more_rounds(ward: Ward) -> None:
    plan = ward.plan()
    with ward.db.transaction():
        end_plan(ward.db, NOW, plan, None)
    ward.sweep(100)
    assert ward.rounds() == []


def test_an_impossible_plan_is_refused_with_what_would_be_right(ward: Ward) -> None:
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"interval_days": 91}, "right would be 1 to 90"),
        ({"interval_days": None}, "right would be 1 to 90"),
        ({"purpose": "electrical", "interval_days": 366}, "right would be 1 to 365"),
        ({"kind": "survey"}, "a survey is one round"),
        ({"kind": "survey", "interval_days": None, "first_due_at": NOW}, "due in the future"),
        ({"chargers": ("C0", "X1")}, "X1 is no active pile of this site"),
    ]
    for other, told in wrong:
        with pytest.raises(ValueError, match=told):
            ward.plan(**other)


def test_the_way_is_as_given(ward: Ward) -> None:
    ward.plan(route="given", chargers=("C2", "C0", "C1"), first_due_at=NOW + DAY)
    rows = ward.db.execute(
        "SELECT c.code FROM patrol_stop t JOIN charger c ON c.id = t.charger_id ORDER BY place"
    )
    assert [row["code"] for row in rows] == ["C2", "C0", "C1"]


def test_an_areas_own_checklist_goes_first_and_each_version_is_kept(ward: Ward) -> None:
    ours = next(c for c in shipped() if c.code == "patrol-ebike")
    with ward.db.transaction():
        first = checklist_for(ward.db, NOW, 1, "patrol", "ebike")
        assert checklist_for(ward.db, NOW, 1, "patrol", "ebike").id == first.id
        short = type(ours)("own", "patrol", ("ebike",), ours.name, ours.items[:2])
        own = keep_checklist(ward.db, NOW, short, 1)
        assert keep_checklist(ward.db, NOW, short, 1).id == own.id
        longer = type(ours)("own", "patrol", ("ebike",), ours.name, ours.items[:3])
        assert keep_checklist(ward.db, NOW, longer, 1).number == 2
        assert keep_checklist(ward.db, NOW, short, 1).number == 3
        now = checklist_for(ward.db, NOW, 1, "patrol", "ebike")
        assert (now.number, now.checklist) == (3, short)
        assert checklist_for(ward.db, NOW, 1, "patrol", "dc").checklist.code == "patrol-dc"


MOMENT = st.floats(-100, 200).map(lambda days: NOW + days * DAY)
DUES = st.lists(st.tuples(MOMENT, st.floats(0, 7)), max_size=12).map(
    lambda found: [Due(n, at, at - lead * DAY) for n, (at, lead) in enumerate(found)]
)


@given(DUES)
def test_a_round_takes_what_is_open_and_is_due_before_any_of_it(dues: list[Due]) -> None:
    wanted = round_wanted(RULE, dues, NOW)
    opened = {one.charger_id for one in dues if one.opens_at <= NOW}
    if wanted is None:
        assert not opened
        return
    assert opened <= wanted.charger_ids and opened
    taken = [one.at for one in dues if one.charger_id in wanted.charger_ids]
    assert wanted.due_at > NOW
    assert wanted.due_at <= min(at if at > NOW else NOW + RULE.lead_days * DAY for at in taken)


@given(DUES)
def test_the_next_look_is_never_later_than_what_opens_next(dues: list[Due]) -> None:
    looked: datetime = next_look(dues, NOW)
    assert NOW + timedelta(hours=1) <= looked <= NOW + DAY
    later = [one.opens_at for one in dues if one.opens_at > NOW + timedelta(hours=1)]
    assert all(looked <= at for at in later) or looked == NOW + timedelta(hours=1) or (
        looked <= NOW + DAY < min(later)
    )  # fmt: skip
