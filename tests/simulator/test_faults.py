"""Each fault alone in a small world: its physical signature is there, and gone after the repair."""

import itertools
from collections.abc import Callable
from pathlib import Path
from statistics import median

import pytest

from pilewatch.faultcodes import FAULTS
from pilewatch.model import Kind, Observation, Status
from simulator.faults import KINDS
from simulator.messages import Sent
from simulator.world import BadTarget
from tests.simulator.conftest import Small, codes, raw

Said = list[Observation]
Signature = Callable[[Said, Small, str], bool]
HOURS = 2 * 3600.0
PORT = 2


def meters(said: Said) -> Said:
    return [o for o in said if o.kind == Kind.METER]


def ended(said: Said) -> Said:
    return [o for o in said if o.kind == Kind.SESSION_ENDED]


def loaded(said: Said) -> Said:
    return [o for o in meters(said) if (o.power_w or 0) > 20]


def statuses(said: Said) -> list[Status | None]:
    return [o.status for o in said if o.kind == Kind.STATUS]


def peak(said: Said, name: str) -> float:
    return max((getattr(o, name) or 0.0 for o in meters(said)), default=0.0)


def lengths(said: Said) -> list[float]:
    began = {o.session_id: o.observed_at for o in said if o.kind == Kind.SESSION_STARTED}
    return [
        (o.observed_at - began[o.session_id]).total_seconds()
        for o in ended(said)
        if o.session_id in began
    ]


def empty_sessions(said: Said, _: Small, __: str) -> bool:
    energies = [o.energy_wh for o in ended(said)]
    return bool(energies) and all(e is not None and e < 1 for e in energies[1:])


def nobody_starts(said: Said, small: Small, charger: str) -> bool:
    """No session of the port while its neighbours have some, and it says available throughout."""
    neighbours = [o for o in small.said(charger) if o.connector != PORT]
    mine = [o for o in said if o.kind == Kind.SESSION_STARTED]
    confirmed = {o.status for o in said if o.kind == Kind.CONFIRM}
    return not mine and len(ended(neighbours)) > 2 and Status.AVAILABLE in confirmed


def stopped_at_once(said: Said) -> bool:
    return Status.FAULTED in statuses(said)


def declares(code: str) -> Signature:
    return lambda said, *_: code in codes(said)


def and_faulted(code: str, physics: Signature) -> Signature:
    return lambda said, small, charger: (
        code in codes(said) and stopped_at_once(said) and physics(said, small, charger)
    )


def registers_fall(said: Said, *_: object) -> bool:
    energies = [o.energy_wh for o in meters(said) if o.energy_wh is not None]
    return any(b < a - 0.2 for a, b in itertools.pairwise(energies))


def mismatch(said: Said, *_: object) -> bool:
    """The register's growth differs from the power's integral by more than 5 %."""
    counted = flowed = 0.0
    values = meters(said)
    for a, b in itertools.pairwise(values):
        if a.session_id and a.session_id == b.session_id:
            hours = (b.observed_at - a.observed_at).total_seconds() / 3600
            flowed += ((a.power_w or 0) + (b.power_w or 0)) / 2 * hours
            counted += (b.energy_wh or 0) - (a.energy_wh or 0)
    return flowed > 50 and abs(counted / flowed - 1) > 0.05


def no_good_meter(said: Said, *_: object) -> bool:
    values = meters([o for o in said if o.session_id])
    distinct = {(o.energy_wh, o.power_w, o.voltage_v) for o in values}
    absurd = any(abs(o.power_w or 0) > 1e5 for o in values)
    return bool(values) and (absurd or len(distinct) <= 1)


def welded(said: Said, *_: object) -> bool:
    return any(o.session_id is None and (o.power_w or 0) > 20 for o in meters(said))


def hot_under_load(said: Said, *_: object) -> bool:
    return peak(said, "temperature_c") > 75


def drifts(said: Said, small: Small, _: str) -> bool:
    """The plug's rise above the air for its A², session by session, grows."""
    rises = []
    for _session, values in itertools.groupby(loaded(said), lambda o: o.session_id):
        amps = [(o, o.current_a or 0.0) for o in values if o.temperature_c is not None]
        full = [(o, a) for o, a in amps if a > 0.95 * max(a for _, a in amps)]
        if len(full) > 40:  # 20 minutes, in which the plug has become warm
            rises.append(median(above_air(o, small) / a**2 for o, a in full[40:]))
    return len(rises) > 1 and rises[-1] > 1.35 * rises[0]


def above_air(said: Observation, small: Small) -> float:
    world = small.world
    at = (said.observed_at - world.wall(0)).total_seconds()
    return (said.temperature_c or 0.0) - world.sky.celsius(at)


def drops(_: Said, small: Small, charger: str) -> bool:
    return "drop" in small.links(charger)


def all_drop_together(_: Said, small: Small, charger: str) -> bool:
    return all("drop" in small.links(code) for code in small.world.chargers)


def clock_off(_: Said, small: Small, charger: str) -> bool:
    return any(
        "at" in (message := raw(item)) and abs(_seconds(message["at"], item)) > 300
        for item in small.items
        if isinstance(item, Sent) and item.charger == charger
    )


def _seconds(at: str, item: Sent) -> float:
    from datetime import datetime

    return (datetime.fromisoformat(at) - item.at).total_seconds()


def boots(_: Said, small: Small, charger: str) -> bool:
    ids = {
        raw(item)["bootId"]
        for item in small.items
        if isinstance(item, Sent) and item.charger == charger and item.topic.endswith("/online")
    }
    return len(ids) > 3


def weak(said: Said, small: Small, charger: str) -> bool:
    levels = [o.data["rssiDbm"] for o in small.said(charger) if o.kind == Kind.HEARTBEAT and o.data]
    return bool(levels) and min(map(float, levels)) < -100 and len(small.links(charger)) > 20  # type: ignore[arg-type]


def port_left_out(said: Said, small: Small, charger: str) -> bool:
    others = [o for o in small.said(charger, 1) if o.kind == Kind.CONFIRM]
    return len(said) < 3 and len(others) > 10


def volts(low: float, high: float) -> Signature:
    def found(said: Said, *_: object) -> bool:
        return any(low <= o.voltage_v <= high for o in meters(said) if o.voltage_v is not None)

    return found


def one_phase_dead(_: Said, small: Small, charger: str) -> bool:
    dead, alive = set(), set()
    for code in small.world.chargers:
        for o in meters(small.said(code)):
            if o.voltage_v is not None:
                (dead if o.voltage_v < 20 else alive).add((code, o.connector))
    return bool(dead - alive) and bool(alive - dead)


def refused(said: Said, *_: object) -> bool:
    tries = [o for o in said if o.kind in (Kind.SESSION_STARTED, Kind.SESSION_REFUSED)]
    return len(tries) > 1 and all(o.kind == Kind.SESSION_REFUSED for o in tries)


def cards_refused(said: Said, *_: object) -> bool:
    kinds = {o.kind for o in said}
    return {Kind.SESSION_REFUSED, Kind.SESSION_STARTED} <= kinds


def flaps(said: Said, *_: object) -> bool:
    said_now = statuses(said)
    changes = sum((a == "faulted") != (b == "faulted") for a, b in itertools.pairwise(said_now))
    return changes > 12


def plateau(said: Said, small: Small, charger: str) -> bool:
    others = [o for o in small.said(charger) if o.connector != PORT]
    return bool(loaded(said)) and peak(said, "power_w") < 0.75 * peak(others, "power_w")


def seconds_long(said: Said, *_: object) -> bool:
    short = [s for s in lengths(said) if s < 40]
    currents = {o.current_a == 0 for o in meters(said) if o.session_id}
    return len(short) > 3 and currents == {True, False}


def vendor_only(_: Said, small: Small, charger: str) -> bool:
    errors = [
        error
        for item in small.items
        if isinstance(item, Sent) and "/status/" in item.topic and item.charger == charger
        for error in raw(item)["errors"]
    ]
    return bool(errors) and all("code" not in e and e["vendorCode"] for e in errors)


def new_firmware(_: Said, small: Small, charger: str) -> bool:
    firmware = [
        raw(item)["firmware"]
        for item in small.items
        if isinstance(item, Sent) and item.charger == charger and item.topic.endswith("/online")
    ]
    reasons = [o.reason for o in ended(small.said(charger))]
    return bool(firmware) and firmware[0].endswith(".0.0") and "watchdog" in reasons


def all_ports_faulted(said: Said, small: Small, charger: str) -> bool:
    return all(
        Status.FAULTED in statuses(small.said(charger, number))
        for number in small.world.chargers[charger].connectors
    )


def residual(ma: float) -> Signature:
    return lambda said, *_: peak(said, "residual_current_ma") > ma


def limit(said: Said, small: Small, charger: str, factor: float = 1.01) -> bool:
    most = small.world.chargers[charger].connectors[PORT].limit_w
    return peak(said, "power_w") > factor * most


SIGNATURES: dict[str, Signature] = {
    "ground-fault": and_faulted("ground-fault", residual(4)),
    "no-earth": and_faulted("no-earth", lambda *_: True),
    "leakage-test-failed": and_faulted("leakage-test-failed", lambda *_: True),
    "relay-welded": welded,
    "relay-open": empty_sessions,
    "over-temperature": and_faulted("over-temperature", hot_under_load),
    "thermal-drift": drifts,
    "smoke-fire": and_faulted("smoke-fire", all_ports_faulted),
    "water-ingress": and_faulted("water-ingress", residual(1.2)),
    "tilt-impact": and_faulted("tilt-impact", all_ports_faulted),
    "over-voltage": and_faulted("over-voltage", volts(242, 300)),
    "under-voltage": lambda s, w, c: declares("under-voltage")(s, w, c) and volts(140, 187)(s),  # type: ignore[call-arg]
    "phase-loss": one_phase_dead,
    "over-current": and_faulted("over-current", lambda s, w, c: limit(s, w, c, 1.1)),
    "overload-port": lambda s, w, c: declares("overload-port")(s, w, c) and limit(s, w, c),
    "short-circuit": and_faulted("short-circuit", volts(0, 5)),
    "no-output": empty_sessions,
    "derated": plateau,
    "ev-comms": empty_sessions,
    "insulation": declares("insulation"),
    "plug-broken": seconds_long,
    "jammed-socket": nobody_starts,
    "dead-available": nobody_starts,
    "plug-sensor": nobody_starts,
    "vandalism": nobody_starts,
    "blocked": nobody_starts,
    "connector-lock": and_faulted("connector-lock", lambda *_: True),
    "proximity-invalid": and_faulted("proximity-invalid", lambda *_: True),
    "diode-pilot": and_faulted("diode-pilot", lambda *_: True),
    "cable-theft": and_faulted("cable-theft", all_ports_faulted),
    "meter-failure": no_good_meter,
    "meter-backwards": registers_fall,
    "meter-mismatch": mismatch,
    "emergency-stop": and_faulted("emergency-stop", all_ports_faulted),
    "internal-error": vendor_only,
    "controller-memory": declares("controller-memory"),
    "reader-failure": lambda s, w, c: (
        declares("reader-failure")(s, w, c) and cards_refused(w.said(c))
    ),
    "payment-terminal": declares("payment-terminal"),
    "display-failure": declares("display-failure"),
    "auth-refused": refused,
    "flapping": flaps,
    "reboot-loop": boots,
    "firmware-fault": new_firmware,
    "clock-wrong": clock_off,
    "offline-charger": drops,
    "offline-gateway": all_drop_together,
    "power-loss": all_drop_together,
    "silent-port": port_left_out,
    "weak-signal": weak,
}


def test_every_fault_of_the_model_has_its_signature_here_and_is_of_the_taxonomy() -> None:
    assert set(SIGNATURES) == set(KINDS) <= set(FAULTS)
    assert len(KINDS) >= 25
    assert {kind.visible for kind in KINDS.values()} == {"reported", "shown", "hidden"}


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("code", sorted(KINDS))
def test_a_fault_shows_its_signature_until_it_is_repaired(code: str, seed: int) -> None:
    kind = KINDS[code]
    on_car = "ebike" not in kind.kinds or code == "thermal-drift"  # where the currents are
    charger = "T-C0001" if on_car else "T-E0001"
    small = Small(seed, per_day=300)
    small.until(HOURS)
    healthy = SIGNATURES[code](small.said(charger, PORT), small, charger)
    assert not healthy, "the signature is there without the fault"
    port = small.world.chargers[charger].connectors[PORT]
    for after in (60, 200, 400, 600, 900):  # so that there is a session soon
        small.world.at(HOURS + after, small.world.send_somebody, port)
    small.until(HOURS + 120)
    small.world.inject(code, charger, PORT, pace=600 if code == "thermal-drift" else 1)
    time = 2.5 * HOURS
    small.until(time)
    assert SIGNATURES[code](small.said(charger, PORT), small, charger)
    assert [t.code for t in small.world.truth] == [code]
    truth = small.world.truth[0]
    if kind.scope in ("site", "gateway"):
        small.world.repair(site=truth.site, gateway=truth.gateway)
    else:
        small.world.repair(charger, truth.connector)
    small.until(time + 3600)  # what was running comes to its end
    assert small.world.truth[0].ended_by == "repair"
    small.until(time + 3600 + HOURS)
    assert not SIGNATURES[code](small.said(charger, PORT), small, charger)
    assert small.world.works(charger, PORT)
    assert any((o.energy_wh or 0) > 20 for o in ended(small.said(charger, PORT)))


def test_a_fault_that_cannot_be_there_is_refused() -> None:
    world = Small().world
    for code, charger, port, right in (
        ("nonsense", "T-E0001", 1, "right would be"),
        ("plug-broken", "nowhere", 1, "no charger"),
        ("plug-broken", "T-E0001", 99, "no connector 99"),
        ("connector-lock", "T-E0001", 1, "kind ebike"),
    ):
        with pytest.raises(BadTarget, match=right):
            world.inject(code, charger, port)


def test_hidden_faults_are_met_by_people() -> None:
    for code in ("dead-available", "no-output", "plug-broken", "jammed-socket"):
        small = Small(per_day=300)
        small.until(60)
        small.world.inject(code, "T-E0001", PORT)
        small.until(HOURS)
        met = {(e.charger, e.connector, e.code) for e in small.world.encounters}
        assert met == {("T-E0001", PORT, code)}


def test_the_table_of_the_docs_lists_every_fault_and_who_notices_it() -> None:
    page = Path(__file__).parents[2] / "docs" / "simulator.md"
    for kind in KINDS.values():
        assert f"| {kind.code} | {kind.scope} | {kind.visible} |" in page.read_text()
