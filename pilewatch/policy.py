"""What an installation decides about faults and promises: thresholds, windows, deadlines.

Defaults are starting points; a TOML file changes them. Times are seconds unless named otherwise.
"""

import tomllib
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Meta, Struct

from pilewatch.faultcodes import FAULTS, Fault
from pilewatch.workdays import Calendar, china, load_calendar

Seconds = Annotated[float, Meta(ge=0, le=366 * 86400)]
Share = Annotated[float, Meta(gt=0, le=1)]
PromiseHours = Annotated[float, Meta(gt=0, le=5 * 8784)]
Severity = Annotated[int, Meta(ge=1, le=3)]
Weight = Annotated[float, Meta(ge=0, le=100)]
Promise = Literal["accept", "arrive", "repair"]
PROMISES: tuple[Promise, ...] = ("accept", "arrive", "repair")


class BadPolicy(ValueError):
    """The policy file cannot be used; `str()` says where and why."""


class Debounce(Struct, frozen=True, forbid_unknown_fields=True):
    """How long a fault must last before it is an open incident, and its absence before it ends."""

    people_s: Seconds = 2
    reported_s: Seconds = 10
    silence_s: Seconds = 60
    stale_s: Seconds = 120
    clock_s: Seconds = 120
    clear_s: Seconds = 60
    by_code: dict[str, Seconds] = {}


class Correlation(Struct, frozen=True, forbid_unknown_fields=True):
    """When the silence of several chargers is one fault of what they share."""

    share: Share = 0.8
    at_least: Annotated[int, Meta(ge=2)] = 2
    excused_s: Annotated[float, Meta(ge=0)] = 1800.0
    """So long a restarting or ill-connected charger may be silent before that is a fault too."""


class Hours(Struct, frozen=True, forbid_unknown_fields=True):
    """Hours of one promise, by severity."""

    people_h: PromiseHours
    equipment_h: PromiseHours
    notice_h: PromiseHours


class Deadlines(Struct, frozen=True, forbid_unknown_fields=True):
    """What is promised when a ticket opens: accepted, someone there, repaired, within hours.

    The three of its own are those to the repair. Of the severities in `working` only working hours
    count; the others run round the clock.
    """

    people_h: PromiseHours = 4
    equipment_h: PromiseHours = 48
    notice_h: PromiseHours = 168
    accept: Hours = Hours(0.5, 2, 24)
    arrive: Hours = Hours(2, 24, 72)
    working: frozenset[Severity] = frozenset()

    def promised(self, promise: Promise, severity: int) -> timedelta:
        """How long this promise takes; in working time where `working` says so."""
        hours = self if promise == "repair" else self.arrive if promise == "arrive" else self.accept
        return timedelta(hours=(hours.people_h, hours.equipment_h, hours.notice_h)[severity - 1])


class Step(Struct, frozen=True, forbid_unknown_fields=True):
    """Whom to tell when this share of a promise's time is used; 1 is the breach itself."""

    share: Annotated[float, Meta(gt=0, le=20)]
    to: Literal["repairer", "operator", "grid_worker", "community"]


class Escalation(Struct, frozen=True, forbid_unknown_fields=True):
    """Who hears of a promise in danger, step by step; a step's number is its level."""

    steps: tuple[Step, ...] = (
        Step(0.75, "repairer"),
        Step(1, "operator"),
        Step(1.5, "grid_worker"),
        Step(2, "community"),
    )


class Planned(Struct, frozen=True, forbid_unknown_fields=True):
    """How long after a planned downtime what it stopped may take to come back."""

    grace_s: Seconds = 900


class Evidence(Struct, frozen=True, forbid_unknown_fields=True):
    """What proves a repair, and how long a claim may wait for its proof."""

    min_session_wh: Annotated[float, Meta(gt=0)] = 50
    healthy_idle_s: Seconds = 1800
    verify_within_s: Annotated[float, Meta(gt=0)] = 72 * 3600


class Sessions(Struct, frozen=True, forbid_unknown_fields=True):
    """When sessions in a row show a fault (plug-broken, no-output, auth-refused)."""

    in_a_row: Annotated[int, Meta(ge=2, le=50)] = 3
    window_s: Annotated[float, Meta(gt=0)] = 3 * 86400
    delivered_wh: Annotated[float, Meta(gt=0)] = 5
    brief_s: Annotated[float, Meta(gt=0)] = 60
    refused_in_a_row: Annotated[int, Meta(ge=2, le=50)] = 4


class Limits(Struct, frozen=True, forbid_unknown_fields=True):
    """What a meter value may be; shares are of the nominal voltage or of the rated current."""

    nominal_v: Annotated[float, Meta(gt=0)] = 220
    over_voltage: Share = 0.10
    under_voltage: Share = 0.15
    over_current: Share = 0.10
    temperature_c: Annotated[float, Meta(gt=0)] = 80
    residual_current_ma: Annotated[float, Meta(gt=0)] = 30
    unasked_w: Annotated[float, Meta(gt=0)] = 15
    unasked_s: Annotated[float, Meta(ge=0)] = 60


class Controller(Struct, frozen=True, forbid_unknown_fields=True):
    """More than `boots` within `boots_within_s` is a loop; weaker than `rssi_dbm` is weak."""

    boots: Annotated[int, Meta(ge=1)] = 3
    boots_within_s: Annotated[float, Meta(gt=0)] = 1800
    rssi_dbm: Annotated[float, Meta(lt=0)] = -100
    clock_lag_s: Annotated[float, Meta(gt=0)] = 300


class SessionMeters(Struct, frozen=True, forbid_unknown_fields=True):
    """When the meter's values over whole sessions show a fault; see docs/detectors."""

    looked_back: Annotated[int, Meta(ge=2, le=200)] = 60
    judged_s: Annotated[float, Meta(gt=0)] = 120
    absurd: Annotated[int, Meta(ge=1)] = 2
    alike: Annotated[int, Meta(ge=3)] = 8
    falls: Annotated[int, Meta(ge=1)] = 2
    mismatch_wh: Annotated[float, Meta(gt=0)] = 1000
    mismatch: Share = 0.05
    currentless: Annotated[int, Meta(ge=1)] = 2
    unanswered: Annotated[int, Meta(ge=2)] = 3
    brief_s: Annotated[float, Meta(gt=0)] = 45
    cap_of: Annotated[int, Meta(ge=3)] = 15
    cap_sessions: Annotated[int, Meta(ge=2)] = 5
    cap_within: Share = 0.01
    cap_share: Share = 0.9
    flat_sessions: Annotated[int, Meta(ge=2)] = 3
    flat_within: Share = 0.002
    flat_share: Share = 0.6
    flat_known: Annotated[int, Meta(ge=3)] = 10
    drift: Annotated[float, Meta(gt=1)] = 1.3
    drift_sessions: Annotated[int, Meta(ge=2)] = 3
    drift_span_s: Annotated[float, Meta(ge=0)] = 86400
    drift_known: Annotated[int, Meta(ge=4)] = 10
    drift_noise_k: Annotated[float, Meta(gt=0)] = 0.12


class Flapping(Struct, frozen=True, forbid_unknown_fields=True):
    """More than `changes` between faulted and healthy within the window are one fault."""

    changes: Annotated[int, Meta(ge=2)] = 6
    window_s: Annotated[float, Meta(gt=0)] = 3600


class Demand(Struct, frozen=True, forbid_unknown_fields=True):
    """When an unused port is dead: so many sessions were to be expected by its neighbours'.

    The history that it is compared with reaches back `history_s` before its last session.
    """

    expected: Annotated[float, Meta(gt=0)] = 14
    known_sessions: Annotated[int, Meta(ge=1)] = 10
    history_s: Annotated[float, Meta(gt=0)] = 14 * 86400
    rest_s: Annotated[float, Meta(gt=0)] = 6 * 3600
    """A port used within so long is not looked at."""


class Firmware(Struct, frozen=True, forbid_unknown_fields=True):
    """When an update broke sessions: `broken` of them at least, and more than `share`.

    It is over after `well` good ones in a row, if mere `luck` has not so often that many.
    """

    broken: Annotated[int, Meta(ge=2)] = 4
    broken_s: Annotated[float, Meta(gt=0)] = 360
    share: Share = 0.35
    well: Annotated[int, Meta(ge=2)] = 6
    luck: Share = 0.00001


class SelfRepair(Struct, frozen=True, forbid_unknown_fields=True):
    """Which faults a remote reset may cure before a ticket is opened; see docs/commands.md.

    Whatever the list says, never where people may be in danger. No codes: it is off.
    """

    codes: frozenset[str] = frozenset(
        {"internal-error", "reader-failure", "payment-terminal", "display-failure", "ev-comms"}
    )
    per_day: Annotated[int, Meta(ge=0, le=24)] = 2
    """Resets of one charger within any 24 hours."""
    wait_s: Seconds = 1800
    """How long a charger in use is waited for."""
    expires_s: Annotated[float, Meta(ge=10, le=3600)] = 120
    effect_s: Seconds = 180
    """How long after the reset the fault may still be seen."""
    watch_s: Seconds = 600
    """How long it must stay gone."""
    recurs_s: Seconds = 86400
    """A fault that comes back within so long is not reset again: it gets its ticket."""


class Delivery(Struct, frozen=True, forbid_unknown_fields=True):
    """Attempts and pauses of notifications."""

    attempts: Annotated[int, Meta(ge=1)] = 12
    first_pause_s: Annotated[float, Meta(gt=0)] = 2
    longest_pause_s: Annotated[float, Meta(gt=0)] = 3600


class Reports(Struct, frozen=True, forbid_unknown_fields=True):
    """How much one network address may say without an account, what looks like spam, and when a
    reporter is asked again.

    Beyond `charger_window` words about one charger in a window, sent sooner than `min_form_s`
    after the form was shown, or with a text that came `same_text` times within a day, a report
    waits for a review. A contact is erased `contact_days` after its matter closed.
    """

    window_s: Annotated[int, Meta(ge=1, le=86400)] = 600
    address_window: Annotated[int, Meta(ge=1)] = 10
    address_day: Annotated[int, Meta(ge=1)] = 30
    charger_window: Annotated[int, Meta(ge=1)] = 30
    min_form_s: Annotated[float, Meta(ge=0, le=60)] = 1
    same_text: Annotated[int, Meta(ge=1)] = 3
    ask_again_days: Annotated[int, Meta(ge=1, le=366)] = 28
    contact_days: Annotated[int, Meta(ge=0, le=366)] = 42


class Meetings(Struct, frozen=True, forbid_unknown_fields=True):
    """Within how many days a matter that is not about charging is answered, if nobody says."""

    answer_days: Annotated[int, Meta(ge=1, le=366)] = 15


class Weights(Struct, frozen=True, forbid_unknown_fields=True):
    """How much each kind of evidence counts against a pile. A sum of 1 halves its interval."""

    people_fault: Weight = 1.0
    equipment_fault: Weight = 0.5
    notice_fault: Weight = 0.1
    report: Weight = 0.2
    failed_item: Weight = 0.25
    year_of_age: Weight = 0.1
    session_a_day: Weight = 0.05
    harsh_day: Weight = 0.05


class Patrols(Struct, frozen=True, forbid_unknown_fields=True):
    """Inspections at least as often as the rules want, and oftener where evidence says so.

    Statutory: a patrol every three months and an electrical test every year (Beijing's rules for
    e-bike charging places). A round opens `lead_days` before it is due and takes along what falls
    due within `together_days` after that. Age counts beyond `young_years`, use beyond
    `usual_sessions_a_day` for each port. What was done in time may arrive within
    `sync_grace_hours` after the round was due: phones are offline. Further from the pile than
    `near_m` (and the phone's accuracy) its code is taken for a picture. With `presence_required` an
    inspection counts for its round, and proves a repair, only where the pile's code was scanned.
    """

    patrol_days: Annotated[int, Meta(ge=1, le=92)] = 90
    electrical_days: Annotated[int, Meta(ge=1, le=366)] = 365
    shortest_days: Annotated[int, Meta(ge=1, le=90)] = 14
    look_back_days: Annotated[int, Meta(ge=1, le=730)] = 60
    lead_days: Annotated[int, Meta(ge=1, le=30)] = 7
    together_days: Annotated[int, Meta(ge=0, le=30)] = 7
    young_years: Annotated[float, Meta(ge=0)] = 5
    usual_sessions_a_day: Annotated[float, Meta(ge=0)] = 3
    sync_grace_hours: Annotated[float, Meta(ge=0, le=240)] = 24
    near_m: Annotated[float, Meta(gt=0)] = 300
    presence_required: bool = False
    weights: Weights = Weights()

    def longest_days(self, purpose: str) -> int:
        """What the rules allow at most."""
        return self.electrical_days if purpose == "electrical" else self.patrol_days


class Policy(Struct, frozen=True, forbid_unknown_fields=True):
    """The whole policy of an installation. `areas` has other deadlines, by an area's code."""

    debounce: Debounce = Debounce()
    correlation: Correlation = Correlation()
    deadlines: Deadlines = Deadlines()
    areas: dict[str, Deadlines] = {}
    escalation: Escalation = Escalation()
    planned: Planned = Planned()
    calendar: Calendar = msgspec.field(default_factory=china)
    evidence: Evidence = Evidence()
    sessions: Sessions = Sessions()
    limits: Limits = Limits()
    controller: Controller = Controller()
    session_meters: SessionMeters = SessionMeters()
    flapping: Flapping = Flapping()
    demand: Demand = Demand()
    firmware: Firmware = Firmware()
    self_repair: SelfRepair = SelfRepair()
    delivery: Delivery = Delivery()
    reports: Reports = Reports()
    meetings: Meetings = Meetings()
    patrols: Patrols = Patrols()

    def debounce_of(self, fault: Fault) -> timedelta:
        """How long this fault must last before it counts."""
        waits = self.debounce
        seconds = waits.by_code.get(fault.code)
        if seconds is None:
            if fault.severity == 1:
                seconds = waits.people_s
            elif fault.code == "silent-port":
                seconds = waits.stale_s
            elif fault.code == "clock-wrong":
                seconds = waits.clock_s
            elif fault.family == "silence":
                seconds = waits.silence_s
            else:
                seconds = waits.reported_s
        return timedelta(seconds=seconds)

    @property
    def clear_after(self) -> timedelta:
        """How long a fault must be gone before its incident ends."""
        return timedelta(seconds=self.debounce.clear_s)

    def deadlines_of(self, area: str | None) -> Deadlines:
        """What is promised in this area."""
        return self.deadlines if area is None else self.areas.get(area, self.deadlines)

    def counting(self, area: str | None, severity: int) -> Calendar | None:
        """The calendar that this severity's promises are counted in; None: round the clock."""
        return self.calendar if severity in self.deadlines_of(area).working else None

    def warnings(self, now: datetime) -> list[str]:
        """What is not wrong, but should be mended soon."""
        if not any(d.working for d in (self.deadlines, *self.areas.values())):
            return []
        return [
            f"the calendar has no holidays of {year}: every weekday of its week counts as worked"
            for year in self.calendar.missing(now, ZoneInfo("Asia/Shanghai"))
        ]


def load_policy(path: Path | None) -> Policy:
    """Read and check a policy file; the defaults where there is none. Raises `BadPolicy`.

    `calendar_file` names the calendar's file, seen from the policy's own folder.
    """
    if path is None:
        return Policy()
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise BadPolicy(f"{path}: {error}") from error
    return read_policy(text, str(path), path.parent)


def read_policy(text: str, path: str, folder: Path | None = None) -> Policy:
    """Read and check a policy; `path` names it in errors, `folder` is where its calendar may be
    (None: nowhere). Raises `BadPolicy`."""
    try:
        said = tomllib.loads(text)
        calendar = said.pop("calendar_file", None)
        policy = msgspec.convert(said, Policy)
        if calendar is not None and folder is None:
            raise BadPolicy(f"{path}: calendar_file: only a policy file can name one")
        if calendar is not None and folder is not None:
            found = load_calendar(folder / str(calendar))
            policy = msgspec.structs.replace(policy, calendar=found)
    except BadPolicy:
        raise
    except (OSError, ValueError, RecursionError) as error:
        raise BadPolicy(f"{path}: {error}") from error
    unknown = sorted(set(policy.debounce.by_code) - set(FAULTS))
    if unknown:
        raise BadPolicy(f"{path}: debounce.by_code: {unknown[0]!r} is no fault code")
    for code in sorted(policy.self_repair.codes):
        if code not in FAULTS or FAULTS[code].severity == 1:
            why = "is danger to people" if code in FAULTS else "is no fault code"
            raise BadPolicy(f"{path}: self_repair.codes: {code!r} {why}")
    shares = [step.share for step in policy.escalation.steps]
    if shares != sorted(set(shares)):
        raise BadPolicy(f"{path}: escalation.steps: each share must be greater than the one before")
    return policy
