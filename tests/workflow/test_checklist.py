"""Checklists: what is a checklist, which answers fit it, and what a failed item means."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilewatch.checklist import (
    Answer,
    BadAnswers,
    BadChecklist,
    Checklist,
    Failure,
    charger_type,
    judge,
    load_checklist,
    read_checklist,
    shipped,
)
from pilewatch.faultcodes import FAULTS

EBIKE = next(c for c in shipped() if c.code == "patrol-ebike")
ELECTRICAL = next(c for c in shipped() if c.code == "electrical")
PORTS = (1, 2, 3)


def well(checklist: Checklist, **other: Answer) -> list[Answer]:
    """Answers with which everything is in order, but for those named (`_` for `-`)."""
    said = {name.replace("_", "-"): answer for name, answer in other.items()}
    return [
        said.get(item.code)
        or (
            Answer(item.code, ok=True)
            if item.kind == "check"
            else Answer(item.code, value=item.most if item.most is not None else item.least)
        )
        for item in checklist.items
    ]


def test_every_type_of_charger_has_a_patrol_and_an_electrical_test() -> None:
    for purpose in ("patrol", "electrical"):
        found = [t for c in shipped() if c.purpose == purpose for t in c.chargers]
        assert sorted(found) == ["ac", "dc", "ebike"]
    named = {item.code for c in shipped() for item in c.items}
    asked = "cable plug housing earth screen rcd-button extinguisher poster qr earth-resistance"
    assert {*asked.split(), "rcd-trip-time", "surface-temperature"} <= named


def test_a_charger_is_of_the_type_of_its_strongest_connector() -> None:
    assert charger_type("ebike", 90_000) == "ebike"
    assert charger_type("car", 7_000) == charger_type("car", None) == "ac"
    assert charger_type("car", 60_000) == "dc"


def test_a_charger_without_a_fault_passes() -> None:
    for checklist in shipped():
        judged = judge(checklist, well(checklist), PORTS, wrong_pile=False)
        assert judged.passed and judged.complete and not judged.failures


def test_each_failed_port_is_a_failure_with_the_items_fault() -> None:
    answers = well(EBIKE, socket=Answer("socket", ok=False, ports=(3, 1, 3)))
    assert judge(EBIKE, answers, PORTS, wrong_pile=False).failures == (
        Failure("socket", "plug-broken", 3, None, True),
        Failure("socket", "plug-broken", 1, None, True),
    )


@pytest.mark.parametrize(
    ("item", "value", "code"),
    [
        ("earth-resistance", 4.01, "no-earth"),
        ("earth-resistance", 4.0, None),
        ("insulation-resistance", 0.99, "insulation"),
        ("rcd-trip-time", 301, "leakage-test-failed"),
        ("supply-voltage", 190, "under-voltage"),
        ("supply-voltage", 240, "over-voltage"),
    ],
)
def test_a_number_is_held_against_its_limits(item: str, value: float, code: str | None) -> None:
    answers = well(ELECTRICAL, **{item: Answer(item, value=value)})
    failures = judge(ELECTRICAL, answers, PORTS, wrong_pile=False).failures
    assert [(f.code, f.value) for f in failures] == ([] if code is None else [(code, value)])


def test_the_code_of_another_pile_fails_the_item_that_is_about_it() -> None:
    judged = judge(EBIKE, well(EBIKE), PORTS, wrong_pile=True)
    assert [f.item for f in judged.failures] == ["qr"]


def test_what_was_skipped_with_a_reason_leaves_the_inspection_incomplete() -> None:
    skipped = well(EBIKE, extinguisher=Answer("extinguisher", skipped="the shed is locked"))
    judged = judge(EBIKE, skipped, PORTS, wrong_pile=False)
    assert (judged.complete, judged.passed, judged.failures) == (False, False, ())
    optional = [a for a in well(EBIKE) if a.item != "screen"]
    assert judge(EBIKE, optional, PORTS, wrong_pile=False).passed


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (Answer("socket"), "socket: exactly one of ok, value and skipped"),
        (Answer("socket", ok=True, skipped="x"), "socket: exactly one"),
        (Answer("socket", value=3), "socket: ok is needed"),
        (Answer("surface-temperature", ok=True), "surface-temperature: a value in °C"),
        (Answer("surface-temperature", value=float("nan")), "the value is no number"),
        (Answer("socket", ok=True, ports=(1,)), "socket: ports are named only"),
        (Answer("housing", ok=False, ports=(1,)), "housing: ports are named only"),
        (Answer("socket", ok=False, ports=(9,)), "socket: the charger has no port 9"),
        (Answer("engine", ok=True), "engine: no such item"),
        (Answer("screen", ok=True), "screen: answered twice"),
    ],
)
def test_answers_that_do_not_fit_are_refused_with_what_would_be_right(
    answer: Answer, told: str
) -> None:
    rest = [a for a in well(EBIKE) if a.item != answer.item or a.item == "screen"]
    with pytest.raises(BadAnswers) as refused:
        judge(EBIKE, [*rest, answer], PORTS, wrong_pile=False)
    assert any(told in problem for problem in refused.value.problems)


def test_every_missing_answer_is_named_at_once() -> None:
    with pytest.raises(BadAnswers) as refused:
        judge(EBIKE, [], PORTS, wrong_pile=False)
    required = [item.code for item in EBIKE.items if item.required]
    assert [p.partition(":")[0] for p in refused.value.problems] == required


GOOD = """
code = "own"
purpose = "patrol"
chargers = ["ebike"]
name = { zh = "自己的", en = "own" }
[[items]]
code = "roof"
fault = "water-ingress"
text = { zh = "顶棚不漏", en = "The roof is tight" }
"""


def test_an_own_checklist_is_read_and_its_version_is_its_content(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text(GOOD, encoding="utf-8")
    found = load_checklist(path)
    assert found.items[0].fault == "water-ingress"
    assert found.digest == read_checklist("# a remark\n" + GOOD, "x").digest
    assert found.digest != read_checklist(GOOD.replace("tight", "whole"), "x").digest
    assert msgspec.convert(msgspec.to_builtins(found), Checklist) == found


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("water-ingress", "rain"), "roof: fault: 'rain' is no fault code"),
        (('"roof"', '"roof"\nunit = "m"'), "only a number has limits"),
        (('"roof"', '"roof"\nkind = "number"\nunit = "m"'), "at least one limit"),
        (('"roof"', '"roof"\nkind = "number"\nunit = "m"\nleast = 3\nmost = 2'), "greater"),
        (('"ebike"', '"tram"'), "Invalid enum value 'tram'"),
        (("[[items]]", "[[item]]"), "unknown field"),
        (('code = "own"', "code = "), "own.toml"),
        ((GOOD, GOOD + GOOD[GOOD.index("[[items]]") :]), "taken by another item"),
    ],
)
def test_a_file_that_is_no_checklist_is_refused_with_the_place(
    change: tuple[str, str], told: str
) -> None:
    with pytest.raises(BadChecklist) as refused:
        read_checklist(GOOD.replace(*change), "own.toml")
    assert told in str(refused.value) and str(refused.value).startswith("own.toml: ")


SAID = st.builds(
    Answer,
    item=st.sampled_from([item.code for item in EBIKE.items] + ["x"]),
    ok=st.none() | st.booleans(),
    value=st.none() | st.floats(),
    skipped=st.none() | st.just("no time"),
    ports=st.lists(st.integers(1, 4), max_size=3).map(tuple),
)


@given(st.lists(SAID, max_size=14), st.booleans())
def test_any_answers_are_judged_or_refused(answers: list[Answer], wrong_pile: bool) -> None:
    try:
        judged = judge(EBIKE, answers, PORTS, wrong_pile=wrong_pile)
    except BadAnswers as refused:
        assert refused.problems
        return
    assert judged.passed == (judged.complete and not judged.failures)
    assert all(f.code in FAULTS and f.port in {None, *PORTS} for f in judged.failures)


@given(st.dictionaries(st.sampled_from([i.code for i in EBIKE.items]), st.booleans()))
def test_a_charger_passes_just_where_every_item_is_well(ill: dict[str, bool]) -> None:
    checks = {i.code for i in EBIKE.items if i.kind == "check"}
    said: dict[str, Any] = {c: Answer(c, ok=ok) for c, ok in ill.items() if c in checks}
    judged = judge(EBIKE, well(EBIKE, **said), PORTS, wrong_pile=False)
    assert judged.passed == all(a.ok for a in said.values())
