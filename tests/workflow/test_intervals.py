"""How often a pile is inspected: never longer than the rules, shorter where evidence says so."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from api.fieldwork.words import interval_text
from pilewatch.faultcodes import FAULTS
from pilewatch.intervals import Evidence, interval
from pilewatch.policy import Patrols, Weights

RULE = Patrols()
COUNT = st.integers(0, 50)
EVIDENCE = st.builds(
    Evidence,
    faults=st.dictionaries(st.sampled_from(sorted(FAULTS)), st.integers(1, 30), max_size=4).map(
        lambda found: tuple(found.items())
    ),
    reports=COUNT,
    failed_items=COUNT,
    age_years=st.none() | st.floats(0, 60),
    sessions_a_day=st.none() | st.floats(0, 100),
    harsh_days=st.none() | COUNT,
)
WEIGHT = st.floats(0, 100)
RULES = st.builds(
    Patrols,
    patrol_days=st.integers(1, 92),
    shortest_days=st.integers(1, 90),
    weights=st.builds(Weights, *[WEIGHT] * 8),
)


def test_a_pile_without_evidence_keeps_the_plans_interval() -> None:
    assert interval(RULE, 60, 90, Evidence()).days == 60
    assert interval(RULE, 60, 90, Evidence(age_years=4, sessions_a_day=2)).reasons == ()


def test_three_plug_faults_and_nine_years_make_it_shorter_and_say_why() -> None:
    seen = Evidence(faults=(("plug-broken", 3),), age_years=9)
    found = interval(RULE, 90, 90, seen)
    assert (found.days, found.instead_of) == (31, 90)
    assert [(r.word, r.amount, r.codes) for r in found.reasons] == [
        ("faults", 3, (("plug-broken", 3),)),
        ("age", 9, ()),
    ]
    told = interval_text("en", found, 60)
    assert told == "every 31 days instead of 90: 3 faults in 60 days; 9 years old"
    assert (
        interval_text("zh", found, 60) == "每 31 天一次（原为 90 天）：60 天内故障 3 次；已用 9 年"
    )


def test_danger_to_people_weighs_more_than_a_notice() -> None:
    days = [
        interval(RULE, 90, 90, Evidence(faults=((code, 2),))).days
        for code in ("ground-fault", "relay-open", "weak-signal")
    ]
    assert days == sorted(days) and len(set(days)) == 3
    newer = interval(RULE, 90, 90, Evidence(faults=(("a-newer-programs-code", 2),)))
    assert newer.days == days[-1]


def test_evidence_makes_no_interval_shorter_than_the_policys_shortest() -> None:
    seen = Evidence(faults=(("smoke-fire", 50),))
    assert interval(RULE, 90, 90, seen).days == RULE.shortest_days
    assert interval(RULE, 7, 90, seen).days == 7


@given(RULES, st.integers(1, 400), st.integers(1, 366), EVIDENCE)
def test_it_is_never_longer_than_the_rules_or_the_plan(
    rule: Patrols, planned: int, longest: int, seen: Evidence
) -> None:
    found = interval(rule, planned, longest, seen)
    assert 1 <= found.days <= found.instead_of == min(planned, longest)
    assert (found.days < found.instead_of) == bool(found.reasons)


@given(RULES, st.integers(1, 92), EVIDENCE, st.data())
def test_more_evidence_never_makes_it_longer(
    rule: Patrols, planned: int, seen: Evidence, data: st.DataObject
) -> None:
    field = data.draw(st.sampled_from(["faults", "reports", "failed_items", "age_years",
                                       "sessions_a_day", "harsh_days"]))  # fmt: skip
    more = data.draw(st.integers(1, 20))
    if field == "faults":
        code = data.draw(st.sampled_from(sorted(FAULTS)))
        worse = replace(seen, faults=(*seen.faults, (code, more)))
    else:
        worse = replace(seen, **{field: (getattr(seen, field) or 0) + more})
    before, after = (interval(rule, planned, 90, one).days for one in (seen, worse))
    assert after <= before
