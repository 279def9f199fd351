"""What an installation decides about faults and promises: thresholds, windows, deadlines.

Defaults are starting points; a TOML file changes them. Times are seconds unless named otherwise.
"""

import tomllib
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from pilewatch.faultcodes import FAULTS, Fault

Seconds = Annotated[float, Meta(ge=0, le=366 * 86400)]
Share = Annotated[float, Meta(gt=0, le=1)]


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


class Deadlines(Struct, frozen=True, forbid_unknown_fields=True):
    """Hours from opening to repair, by severity."""

    people_h: Annotated[float, Meta(gt=0)] = 4
    equipment_h: Annotated[float, Meta(gt=0)] = 48
    notice_h: Annotated[float, Meta(gt=0)] = 168


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
    mismatch_wh: Annotated[float, Meta(gt=0)] = 100
    mismatch: Share = 0.05
    currentless: Annotated[int, Meta(ge=1)] = 2
    unanswered: Annotated[int, Meta(ge=2)] = 3
    brief_s: Annotated[float, Meta(gt=0)] = 45
    cap_of: Annotated[int, Meta(ge=3)] = 15
    cap_sessions: Annotated[int, Meta(ge=2)] = 5
    cap_within: Share = 0.01
    cap_share: Share = 0.9
    drift: Annotated[float, Meta(gt=1)] = 1.5
    drift_sessions: Annotated[int, Meta(ge=2)] = 4
    drift_least_k: Annotated[float, Meta(gt=0)] = 8


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
    """When an update broke sessions: `broken` of them at least, and more than `share`."""

    broken: Annotated[int, Meta(ge=2)] = 4
    broken_s: Annotated[float, Meta(gt=0)] = 360
    share: Share = 0.35
    well: Annotated[int, Meta(ge=2)] = 6


class Delivery(Struct, frozen=True, forbid_unknown_fields=True):
    """Attempts and pauses of notifications."""

    attempts: Annotated[int, Meta(ge=1)] = 12
    first_pause_s: Annotated[float, Meta(gt=0)] = 2
    longest_pause_s: Annotated[float, Meta(gt=0)] = 3600


class Reports(Struct, frozen=True, forbid_unknown_fields=True):
    """How much one network address, or everyone about one charger, may say without an account."""

    window_s: Annotated[int, Meta(ge=1, le=86400)] = 600
    address_window: Annotated[int, Meta(ge=1)] = 10
    address_day: Annotated[int, Meta(ge=1)] = 30
    charger_window: Annotated[int, Meta(ge=1)] = 30


class Policy(Struct, frozen=True, forbid_unknown_fields=True):
    """The whole policy of an installation."""

    debounce: Debounce = Debounce()
    correlation: Correlation = Correlation()
    deadlines: Deadlines = Deadlines()
    evidence: Evidence = Evidence()
    sessions: Sessions = Sessions()
    limits: Limits = Limits()
    controller: Controller = Controller()
    session_meters: SessionMeters = SessionMeters()
    flapping: Flapping = Flapping()
    demand: Demand = Demand()
    firmware: Firmware = Firmware()
    delivery: Delivery = Delivery()
    reports: Reports = Reports()

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

    def repair_within(self, severity: int) -> timedelta:
        """From opening to the promised repair."""
        hours = self.deadlines
        return timedelta(hours=(hours.people_h, hours.equipment_h, hours.notice_h)[severity - 1])


def load_policy(path: Path | None) -> Policy:
    """Read and check a policy file; the defaults where there is none. Raises `BadPolicy`."""
    if path is None:
        return Policy()
    try:
        policy = msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8")), Policy)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadPolicy(f"{path}: {error}") from error
    except msgspec.ValidationError as error:
        raise BadPolicy(f"{path}: {error}") from error
    unknown = sorted(set(policy.debounce.by_code) - set(FAULTS))
    if unknown:
        raise BadPolicy(f"{path}: debounce.by_code: {unknown[0]!r} is no fault code")
    return policy
