"""Who is on duty when: what can be planned, and who is found at any moment."""

import threading
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilewatch.store.pool import connect
from pilewatch.workflow.desk import NotFound
from pilewatch.workflow.shifts import (
    BadShift,
    Shift,
    cancel_shift,
    check,
    ended,
    enter_shift,
    hand_over,
    on_duty,
)
from tests.workflow.conftest import NOW, Community

_HOURS = st.integers(-30, 60)
_WISHES = st.tuples(_HOURS, _HOURS, st.integers(1, 2), st.sampled_from([None, 7]))


def _shift(begins: float, ends: float, person: int = 1, site: int | None = None) -> Shift:
    at = [NOW + timedelta(hours=hours) for hours in (begins, ends)]
    return Shift(person, *at, None if site is None else "site", site)


@pytest.mark.parametrize(
    ("shift", "word"),
    [(_shift(8, 8), "order"), (_shift(1, 26), "long"), (_shift(-9, -1), "past"),
     (_shift(-9, 0), "past"), (_shift(3, 5), "twice")],
)  # fmt: skip
def test_what_cannot_be_is_refused_in_a_word(shift: Shift, word: str) -> None:
    with pytest.raises(BadShift) as refused:
        check(shift, [_shift(4, 12)], NOW)
    assert refused.value.word == word


@given(
    st.lists(st.tuples(_HOURS, _HOURS, st.integers(1, 2), st.sampled_from([None, 7])), max_size=8)
)
def test_nobody_is_ever_on_duty_twice_for_the_same(
    wanted: list[tuple[int, int, int, int | None]],
) -> None:
    planned: list[Shift] = []
    for begins, ends, person, site in wanted:
        new = _shift(begins, ends, person, site)
        try:
            check(new, planned, NOW)
        except BadShift:
            continue
        planned.append(new)
    for hour in range(-30, 61):
        moment = NOW + timedelta(hours=hour, minutes=30)
        here = [(s.person_id, s.scope_id) for s in planned if s.from_at <= moment < s.to_at]
        assert len(here) == len(set(here))


def test_a_shift_ends_by_its_hand_over_but_never_later_than_planned() -> None:
    assert ended(_shift(-2, 6), NOW) == NOW
    assert ended(_shift(-9, -1), NOW) == NOW - timedelta(hours=1)
    for early_or_late in (_shift(0, 8), _shift(-30, -13)):
        with pytest.raises(ValueError, match="has"):
            ended(early_or_late, NOW)


def test_those_on_duty_are_found_by_the_place_of_the_matter(community: Community) -> None:
    db = community.db
    area, grid, other = (
        db.execute(sql).fetchone()["id"]  # type: ignore[index]
        for sql in (
            "SELECT id FROM area", "SELECT id FROM grid",
            "INSERT INTO site (code, grid_id, name) SELECT 't', id, 'T' FROM grid RETURNING id",
        )
    )  # fmt: skip
    people = {
        login: db.execute(
            "INSERT INTO person (login, name, role) VALUES (%s, 'x', 'operator') RETURNING id",
            (login,),
        ).fetchone()["id"]  # type: ignore[index]
        for login in ("all", "area", "grid", "here", "gone", "later", "off")
    }
    kinds = {"area": ("area", area), "grid": ("grid", grid), "here": ("site", community.site)}
    for login, id in people.items():
        begins = NOW + timedelta(hours=1 if login in ("later", "off") else -1)
        planned = Shift(id, begins, begins + timedelta(hours=8), *kinds.get(login, (None, None)))
        with db.transaction():
            made = enter_shift(db, NOW, planned, id)
            if login == "off":
                cancel_shift(db, NOW, made)
            if login == "gone":
                hand_over(db, NOW, made, "look at C1")
    assert on_duty(db, NOW, [community.site, other]) == {
        community.site: {"all", "area", "grid", "here"}, other: {"all", "area", "grid"},
    }  # fmt: skip
    db.execute("UPDATE person SET active = false WHERE login = 'all'")
    assert "all" not in on_duty(db, NOW, [other])[other]
    assert on_duty(db, NOW + timedelta(days=3), [other]) == {}
    with pytest.raises(NotFound):
        cancel_shift(db, NOW, 10**9)


def test_two_who_plan_the_same_at_once_plan_it_once(
    community: Community, plain_database_url: str
) -> None:
    planned = _shift(1, 9, community.worker)
    results: list[str] = []

    def plan() -> None:
        with connect(plain_database_url, application="test") as db:
            try:
                with db.transaction():
                    enter_shift(db, NOW, planned, community.worker)
                results.append("planned")
            except BadShift as refused:
                results.append(refused.word)

    threads = [threading.Thread(target=plan) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == ["planned", "twice", "twice", "twice"]
