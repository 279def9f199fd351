"""Scenario files: what is wrong is told by line, with what would be right."""

from pathlib import Path

import pytest

from pilewatch.store.registry_file import BadRegistry, read_registry
from simulator.community import Community, build, write_registry_file
from simulator.scenario import BadScenario, read_scenario
from simulator.world import BadTarget, World
from tests.simulator.conftest import SCENARIOS, START

_SCRIPT = "faults:\n  scripted:\n    - "
GOOD = "community: {ebike: 2, car: 1}\n"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("heartbeat_s: 5\n", ":1: give either `registry`"),
        (GOOD + "registry: x.yaml\n", "give either"),
        (GOOD + "heartbeat_s: fast\n", ":2: heartbeat_s: Expected `int`"),
        (GOOD + "heartbeat_s: 0\n", ":2: heartbeat_s: Expected `int` >= 1"),
        (GOOD + "colour: red\n", ":2: Object contains unknown field `colour`"),
        (GOOD + "faults:\n  rates:\n    plug-broke: 3\n", ":4: faults.rates.plug-broke: "),
        (GOOD + "faults:\n  rates: {plug-broken: -1}\n", ":3: faults.rates"),
        (GOOD + "faults:\n  rates: {plug-broken: .nan}\n", ":3: faults.rates"),
        (GOOD + _SCRIPT + "{at: soon, code: plug-broken}\n", "[0].at: 'soon' is no duration"),
        (GOOD + _SCRIPT + "{at: 5s, code: plug-broken, charger: X}\n", "[0].charger: 'X'"),
        (GOOD + _SCRIPT + "{at: 5s, code: nope}\n", "is no fault code"),
        (GOOD + _SCRIPT + "{at: 5, code: blocked, charger: S-C0001, connector: 9}\n", "tor 9"),
        (GOOD + "faults: {repair: {min: 5h, max: 1h}}\n", "must not be longer"),
        (GOOD + "demand:\n  ebike:\n    hours: [1, 2]\n", ":4: demand.ebike.hours"),
        (GOOD + "demand:\n  ebike: {energy_wh: [9, 2]}\n", "the smaller comes first"),
        (GOOD + "heartbeat_s: 5\nheartbeat_s: 6\n", ":3: heartbeat_s is already given on line 2"),
        ("community: {ports: [20, 10]}\n", "the smaller comes first"),
        ("- a\n- b\n", "right would be a mapping"),
        ("a: [\n", "not YAML"),
        ("a: &x [*x]\n", "nested too deeply"),
        ("a: \0\n", "NUL byte"),
        ("a: 2026-99-99\n", ":1:"),
        ("", "right would be a mapping"),
    ],
)  # fmt: skip
def test_each_mistake_is_told_by_line(tmp_path: Path, text: str, told: str) -> None:
    file = tmp_path / "s.yaml"
    file.write_text(text)
    with pytest.raises(BadScenario) as caught:
        read_scenario(file)
    assert told in str(caught.value)
    assert "s.yaml:" in str(caught.value)


def test_a_missing_or_broken_file_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(BadScenario, match="No such file"):
        read_scenario(tmp_path / "none.yaml")
    broken = tmp_path / "b.yaml"
    broken.write_bytes(b"a: \xff\n")
    with pytest.raises(BadScenario, match="not UTF-8"):
        read_scenario(broken)
    broken.write_text("registry: none.yaml\n")
    with pytest.raises(BadRegistry, match=r"none\.yaml"):
        read_scenario(broken)


def test_durations_may_carry_units(tmp_path: Path) -> None:
    file = tmp_path / "s.yaml"
    file.write_text(
        GOOD
        + "faults: {scripted: [{at: 1.5m, code: blocked, lasts: 2h}, {at: 7, code: blocked}]}\n"
    )
    scenario, _ = read_scenario(file)
    assert [f.at for f in scenario.faults.scripted] == [90, 7]
    assert scenario.faults.scripted[0].lasts == 7200


@pytest.mark.parametrize("name", ["wanhe.yaml", "demo.yaml"])
def test_wanhe_is_as_the_brief_says(name: str) -> None:
    _, registry = read_scenario(SCENARIOS / name)
    assert (len(registry.grids), len(registry.sites), len(registry.companies)) == (3, 8, 3)
    ebike = [c for c in registry.chargers.values() if c.kind == "ebike"]
    assert (len(ebike), len(registry.chargers)) == (40, 60)
    assert all(10 <= len(c.plugs()) <= 20 for c in ebike)
    assert 580 <= sum(len(c.plugs()) for c in registry.chargers.values()) <= 620


def test_a_generated_registry_can_be_loaded_from_its_file(tmp_path: Path) -> None:
    made = build(Community(grids=4, sites=30, ebike=200, car=100))
    write_registry_file(made, tmp_path / "r.yaml")
    assert read_registry(tmp_path / "r.yaml") == made


def test_a_scripted_fault_at_the_wrong_kind_of_charger_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "s.yaml"
    file.write_text(
        GOOD + "faults: {scripted: [{at: 5s, code: connector-lock, charger: S-E0001}]}\n"
    )
    scenario, registry = read_scenario(file)
    with pytest.raises(BadTarget, match=r"faults\.scripted\[0\]: connector-lock"):
        World(scenario, registry, 1, START)
