"""A worker's offline day: inspections made by a phone, sent in any order, as often as it likes.

Each is taken by itself. The rules where two things disagree are stated in docs/patrols.md; nothing
that could be read is lost.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from math import isfinite
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from msgspec import Meta, Struct
from psycopg.types.json import Jsonb

from pilewatch.checklist import Answer, BadAnswers, Judged, charger_type, judge
from pilewatch.pilecode import Keys, Scanned, read_code
from pilewatch.policy import Patrols, Policy
from pilewatch.route import metres
from pilewatch.store import queries
from pilewatch.store.pool import Db
from pilewatch.workflow.checklists import Kept, get_checklist
from pilewatch.workflow.desk import NotFound
from pilewatch.workflow.inspections import Findings, record_inspection
from pilewatch.workflow.patrols import fill_stops

_SQL = queries.load("patrols")
_CLOCK = timedelta(minutes=5)
_EARLIEST = datetime(2020, 1, 1, tzinfo=UTC)
Presence = Literal["proven", "unproven", "wrong-pile"]
Outcome = Literal["accepted", "duplicate", "conflict"]
Id = Annotated[int, Meta(ge=1, le=2**53)]
Port = Annotated[int, Meta(ge=1, le=999)]


class Visit(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One inspection as the phone kept it; `id` is made there.

    `checklist` is the id of the version that was answered; `test_charges` are the ports that
    charged; `scanned` is the text of the pile's code; coordinates are degrees.
    """

    id: UUID
    charger: Annotated[str, Meta(min_length=1, max_length=64)]
    checklist: Id
    inspected_at: Annotated[datetime, Meta(tz=True)]
    answers: Annotated[tuple[Answer, ...], Meta(max_length=60)]
    round: Id | None = None
    test_charges: Annotated[tuple[Port, ...], Meta(max_length=999)] = ()
    note: Annotated[str, Meta(max_length=2000)] | None = None
    scanned: Annotated[str, Meta(max_length=500)] | None = None
    latitude: Annotated[float, Meta(ge=-90, le=90)] | None = None
    longitude: Annotated[float, Meta(ge=-180, le=180)] | None = None
    accuracy_m: Annotated[float, Meta(ge=0, le=100_000)] | None = None


class BadVisit(ValueError):
    """It cannot be taken as it is; `problems` says what would be right."""

    def __init__(self, problems: list[str]):
        super().__init__("; ".join(problems))
        self.problems = problems


@dataclass(frozen=True)
class Worker:
    """Who was there; `grids` None: may walk all."""

    id: int
    grids: list[int] | None


@dataclass
class Taken:
    """What became of one inspection; `rules` are the words of the rules that were applied."""

    outcome: Outcome
    rules: list[str] = field(default_factory=list)
    passed: bool | None = None
    complete: bool | None = None
    presence: Presence | None = None
    presence_why: str | None = None
    late: bool | None = None
    tickets: list[int] = field(default_factory=list)
    verified_tickets: list[int] = field(default_factory=list)


def read_visit(raw: object) -> Visit:
    """Check what the phone sent. Raises `BadVisit`."""
    try:
        visit = msgspec.convert(raw, Visit)
        text = msgspec.json.encode(visit)
    except (msgspec.ValidationError, UnicodeEncodeError) as error:
        raise BadVisit([str(error)]) from error
    if b"\\u0000" in text:
        raise BadVisit(["the character NUL cannot be kept"])
    numbers = [visit.latitude, visit.longitude, visit.accuracy_m, *(a.value for a in visit.answers)]
    if not all(isfinite(n) for n in numbers if n is not None):
        raise BadVisit(["a value or coordinate is no finite number"])
    if visit.inspected_at < _EARLIEST:
        raise BadVisit(["inspected_at: before 2020; set the phone's clock"])
    return visit


def hold_rounds(db: Db, visits: Iterable[Visit]) -> None:
    """Lock what these may fill until the caller's transaction ends; before anything else of it."""
    wanted = [(visit.charger, visit.round) for visit in visits]
    values = {"chargers": [c for c, _ in wanted], "named": [r for _, r in wanted if r is not None]}
    db.execute(_SQL["lock_rounds"], values)


def take_visit(
    db: Db, policy: Policy, keys: Keys, now: datetime, worker: Worker, visit: Visit
) -> Taken:
    """Take one inspection, inside the caller's transaction.

    Raises `BadVisit` where the answers do not fit, and `NotFound` for a pile or checklist that
    does not exist or is not within the worker's grids.
    """
    place = db.execute(_SQL["visited"], {"code": visit.charger, "grids": worker.grids}).fetchone()
    if place is None:
        raise NotFound(f"charger {visit.charger} in your grids")
    hold_rounds(db, [visit])
    digest = _digest(worker, visit)
    known = _known(db, now, worker, visit, digest)
    if known is not None:
        return known
    kept = get_checklist(db, visit.checklist)
    kind = charger_type(place["kind"], place["strongest_w"])
    if kind not in kept.checklist.chargers:
        raise BadVisit([f"checklist: {kept.checklist.code} is not for chargers of type {kind}"])
    scanned = read_code(keys, visit.scanned)
    presence, why = presence_of(policy.patrols, visit, scanned, place)
    ports = {int(number): id for number, id in place["ports"].items()}
    judged = _judge(kept, visit, ports, wrong_pile=presence == "wrong-pile")
    taken = Taken("accepted", [], judged.passed, judged.complete, presence, why)
    certain = _judge_time(visit, now, taken)
    counts = presence == "proven" or (
        presence == "unproven" and not policy.patrols.presence_required
    )
    inspected_at = min(visit.inspected_at, now)
    recorded = record_inspection(
        db,
        policy,
        now,
        id=visit.id,
        charger_id=place["id"],
        connector_id=None,
        person_id=worker.id,
        inspected_at=inspected_at,
        passed=judged.passed,
        test_charge=bool(visit.test_charges),
        answers=msgspec.to_builtins(visit.answers),
        note=visit.note,
        findings=_findings(kept, visit, judged, ports, proves=certain and counts),
    )
    if not recorded.created:  # its twin was faster
        again = _known(db, now, worker, visit, digest)
        assert again is not None
        return again
    round_id = _round(db, visit, place, taken)
    _complete(db, visit, taken, scanned, round_id, digest)
    taken.verified_tickets = recorded.verified_tickets
    _count(db, now, visit, kept, place, taken, round_id, inspected_at, counts=counts)
    row = db.execute(_SQL["kept_inspection"], {"id": visit.id}).fetchone()
    assert row is not None
    taken.tickets = row["tickets"]
    if row["settled"]:
        taken.rules.append("settled-meanwhile")
    return taken


def presence_of(
    rule: Patrols, visit: Visit, scanned: Scanned, place: Mapping[str, Any]
) -> tuple[Presence, str]:
    """Whether the worker stood at this pile, and what speaks for or against it.

    A picture of the code looks like the code: coordinates, where the phone gave them, must not
    contradict it.
    """
    if scanned.charger is not None and scanned.charger != visit.charger:
        return "wrong-pile", scanned.why
    if scanned.why != "signed":
        return "unproven", scanned.why
    here, there = (visit.latitude, visit.longitude), (place["latitude"], place["longitude"])
    if None in here or None in there:
        return "proven", scanned.why
    away = metres(here[0] or 0, here[1] or 0, there[0] or 0, there[1] or 0)
    if away > rule.near_m + (visit.accuracy_m or 0):
        return "unproven", "far-away"
    return "proven", "signed-and-near"


def _digest(worker: Worker, visit: Visit) -> bytes:
    text = msgspec.json.encode([worker.id, visit], order="deterministic")
    return hashlib.sha256(text).digest()


def _known(db: Db, now: datetime, worker: Worker, visit: Visit, digest: bytes) -> Taken | None:
    """What was said before under this id: the same again, or something else, kept beside."""
    row = db.execute(_SQL["kept_inspection"], {"id": visit.id}).fetchone()
    if row is None:
        return None
    if row["digest"] == digest:
        keys = ("passed", "complete", "presence", "presence_why", "late", "tickets")
        return Taken("duplicate", **{key: row[key] for key in keys})
    content = Jsonb(msgspec.to_builtins(visit))
    values = {"id": visit.id, "person_id": worker.id, "now": now, "digest": digest}
    db.execute(_SQL["keep_conflict"], {**values, "content": content})
    return Taken("conflict", ["same-id-other-content"])


def _judge(kept: Kept, visit: Visit, ports: dict[int, int], *, wrong_pile: bool) -> Judged:
    strange = sorted(set(visit.test_charges) - set(ports))
    if strange:
        raise BadVisit([f"test_charges: the charger has no port {strange[0]}"])
    try:
        return judge(kept.checklist, visit.answers, ports, wrong_pile=wrong_pile)
    except BadAnswers as error:
        raise BadVisit([f"answers: {problem}" for problem in error.problems]) from error


def _judge_time(visit: Visit, now: datetime, taken: Taken) -> bool:
    """Whether it is certain enough when this was, to be evidence."""
    if visit.inspected_at <= now + _CLOCK:
        return True
    taken.rules.append("clock-ahead")
    return False


def _findings(
    kept: Kept, visit: Visit, judged: Judged, ports: dict[int, int], *, proves: bool
) -> Findings:
    failed = {failure.item for failure in judged.failures}
    looked_at = {answer.item for answer in visit.answers if answer.skipped is None}
    return Findings(
        checklist=kept.checklist.code,
        failures=judged.failures,
        passed=judged.passed,
        sound=frozenset(looked_at - failed),
        tested=frozenset(visit.test_charges),
        ports=ports,
        proves=proves,
    )


def _round(db: Db, visit: Visit, place: Mapping[str, Any], taken: Taken) -> int | None:
    """The round that it names, where that has this pile."""
    if visit.round is None:
        return None
    values = {"id": visit.round, "charger_id": place["id"]}
    row = db.execute(_SQL["round_of_charger"], values).fetchone()
    if row is None:
        taken.rules.append("not-in-round")
        return None
    return int(row["id"])


def _complete(
    db: Db, visit: Visit, taken: Taken, scanned: Scanned, round_id: int | None, digest: bytes
) -> None:
    values = {
        "id": visit.id,
        "checklist_id": visit.checklist,
        "round_id": round_id,
        "complete": taken.complete,
        "presence": taken.presence,
        "presence_why": taken.presence_why,
        "poster_number": None if taken.presence == "wrong-pile" else scanned.number,
        "photos": Jsonb([photo for answer in visit.answers for photo in answer.photos]),
        "digest": digest,
    }
    db.execute(_SQL["complete_inspection"], values)


def _count(
    db: Db,
    now: datetime,
    visit: Visit,
    kept: Kept,
    place: Mapping[str, Any],
    taken: Taken,
    round_id: int | None,
    inspected_at: datetime,
    *,
    counts: bool,
) -> None:
    """Let it count for its rounds, or say why it does not."""
    if not counts:
        taken.rules.append("wrong-pile" if taken.presence == "wrong-pile" else "not-proven")
    elif not taken.complete:
        taken.rules.append("incomplete")
    else:
        taken.late = fill_stops(
            db,
            now,
            inspection_id=visit.id,
            charger_id=place["id"],
            purpose=kept.checklist.purpose,
            inspected_at=inspected_at,
            round_id=round_id,
        )
        if taken.late:
            taken.rules.append("late")
        if taken.late is None and round_id is not None:
            taken.rules.append("counted-before")
