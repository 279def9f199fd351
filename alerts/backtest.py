"""Stored history through the same engine with another policy, and what would have been different.

`replay` reads one database and writes only the other, scratch one. What history does not hold is
not replayed: which ports a heartbeat named (it confirms them all), when no ingester listened,
wrong clocks, alerts of other programs, merged tickets. Nobody is there to obey a reset either: the
replay asks people at once, and what a reset cured in reality is not judged.
"""

import contextlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from statistics import median
from typing import Any

import msgspec
from psycopg import sql

from alerts.engine import Engine
from alerts.maintenance import roll_up
from pilewatch.model import Kind, Observation, ReportedError, Status
from pilewatch.policy import Policy, SelfRepair
from pilewatch.store import queries
from pilewatch.store.pool import Db
from pilewatch.workflow import tickets
from pilewatch.workflow.desk import RESIDENT, Actor, NotFound, act
from pilewatch.workflow.inspections import record_inspection
from pilewatch.workflow.reports import file_report

Write = Callable[[Sequence[Observation], datetime], None]
"""The ingester's way of writing one batch into the scratch database, at this moment."""

WARM_UP = timedelta(hours=2)
_SQL = queries.load("backtest")
_NEAR = timedelta(hours=1)
"""Tickets of one matter that opened so close together are the same one."""
_MANY = 2000
_NO_RESETS = SelfRepair(codes=frozenset())
_REGISTRY: dict[str, tuple[str, ...]] = {
    "area": ("id", "code", "name", "timezone"),
    "grid": ("id", "area_id", "code", "name"),
    "company": ("id", "code", "name"),
    "site": ("id", "code", "grid_id", "company_id", "name"),
    "gateway": ("id", "code", "site_id"),
    "charger": (
        *("id", "code", "site_id", "gateway_id", "kind", "label", "vendor", "model", "active"),
    ),
    "connector": ("id", "charger_id", "number", "max_power_w", "active"),
}


# --- what happened, and what would have


@dataclass(frozen=True)
class Promise:
    """A ticket as a comparison sees it. `began_at` is the fault's first sight, if a machine saw
    it; `detected_at` is when it became an incident."""

    subject_kind: str
    subject_id: int
    code: str
    family: str
    severity: int
    state: str
    opened_at: datetime
    closed_at: datetime | None
    began_at: datetime | None
    detected_at: datetime
    place: str
    unreplayable: bool = False

    @property
    def matter(self) -> tuple[str, int, str]:
        """What it is about."""
        return self.subject_kind, self.subject_id, self.family

    @property
    def delay_s(self) -> float | None:
        """From first sight to detection."""
        if self.began_at is None:
            return None
        return (self.detected_at - self.began_at).total_seconds()


@dataclass(frozen=True)
class Spared:
    """A fault that asked for no ticket in reality, because a reset was tried first."""

    subject_kind: str
    subject_id: int
    family: str
    opened_at: datetime
    ended_at: datetime | None

    def explains(self, ticket: Promise) -> bool:
        """Whether this ticket is about it."""
        same = (self.subject_kind, self.subject_id, self.family) == ticket.matter
        until = None if self.ended_at is None else self.ended_at + _NEAR
        return (
            same
            and self.opened_at - _NEAR <= ticket.opened_at
            and (until is None or ticket.opened_at <= until)
        )


@dataclass(frozen=True)
class Pair:
    """One matter in both worlds; one of the two may be missing."""

    real: Promise | None
    replayed: Promise | None

    @property
    def shift_s(self) -> float:
        """How much later it would have been detected; negative: earlier."""
        if self.real is None or self.replayed is None:
            return 0.0
        return (self.replayed.detected_at - self.real.detected_at).total_seconds()


@dataclass(frozen=True)
class Difference:
    """The whole comparison; `tolerance_s` is how far detection may move by the replay's step."""

    begins: datetime
    ends: datetime
    tolerance_s: float
    same: list[Pair] = field(default_factory=list)
    missing: list[Promise] = field(default_factory=list)
    extra: list[Promise] = field(default_factory=list)
    not_judged: list[Promise] = field(default_factory=list)

    @property
    def moved(self) -> list[Pair]:
        """Tickets that would have come at another time."""
        return [pair for pair in self.same if abs(pair.shift_s) > self.tolerance_s]

    @property
    def empty(self) -> bool:
        """Nothing would have been different."""
        return not (self.missing or self.extra or self.moved)

    def summary(self) -> dict[str, Any]:
        """Counts; false alarms are tickets that people rejected in reality."""
        real = [pair.real for pair in self.same if pair.real] + self.missing
        then = [pair.replayed for pair in self.same if pair.replayed] + self.extra
        rejected = sum(ticket.state == "rejected" for ticket in real)
        spared = sum(ticket.state == "rejected" for ticket in self.missing)
        return {
            "tickets": {"real": len(real), "with_policy": len(then)},
            "missing": len(self.missing),
            "extra": len(self.extra),
            "moved": len(self.moved),
            "false_alarms": {"real": rejected, "with_policy_known": rejected - spared},
            "median_delay_s": {"real": _median(real), "with_policy": _median(then)},
            "not_judged": len(self.not_judged),
        }


def _median(promises: Iterable[Promise]) -> float | None:
    delays = [p.delay_s for p in promises if p.delay_s is not None]
    return median(delays) if delays else None


def compare(
    real: Iterable[Promise],
    replayed: Iterable[Promise],
    begins: datetime,
    ends: datetime,
    step: timedelta,
    spared: Iterable[Spared] = (),
) -> Difference:
    """Pair the tickets of both worlds by matter and time; only those opened in the range count."""
    found = Difference(begins, ends, 2 * step.total_seconds())
    waiting = list(replayed)
    for ticket in real:
        inside = begins <= ticket.opened_at < ends
        if ticket.unreplayable:
            found.not_judged.extend([ticket] if inside else [])
            continue
        twins = [other for other in waiting if _same(ticket, other, ends)]
        if twins:
            twin = min(twins, key=lambda other: abs(other.detected_at - ticket.detected_at))
            waiting.remove(twin)
            if inside:
                found.same.append(Pair(ticket, twin))
        elif inside:
            found.missing.append(ticket)
    cured = list(spared)
    for ticket in waiting:
        if begins <= ticket.opened_at < ends:
            explained = any(one.explains(ticket) for one in cured)
            (found.not_judged if explained else found.extra).append(ticket)
    return found


def _same(one: Promise, other: Promise, ends: datetime) -> bool:
    if one.matter != other.matter:
        return False
    overlap = one.opened_at <= (other.closed_at or ends) and other.opened_at <= (
        one.closed_at or ends
    )
    return overlap or abs(one.opened_at - other.opened_at) <= _NEAR


# --- playing history again


def replay(
    source: Db,
    scratch: Db,
    policy: Policy,
    begins: datetime,
    ends: datetime,
    write: Write,
    *,
    step: timedelta,
    progress: Callable[[datetime], None] | None = None,
) -> Difference:
    """What would have been different in the range. The engine looks once each `step` of history's
    time, and has `WARM_UP` before the range to find what was already broken."""
    start = begins - WARM_UP
    copy_registry(source, scratch)
    codes = _codes(source)
    seed = [observation(row, codes) for row in _rows(source, "seed", begins=start)]
    for place in range(0, len(seed), _MANY):
        write(seed[place : place + _MANY], start)
    deeds = deque(_deeds(source, start, ends))
    engine = Engine(scratch, msgspec.structs.replace(policy, self_repair=_NO_RESETS))
    hour = start
    for now, said in _ticks(source, start, ends, step):
        if progress is not None:
            progress(now)
        for place in range(0, len(said), _MANY):
            write(said[place : place + _MANY], now)
        scratch.execute(_SQL["show_listener"], {"since": start, "now": now})
        while deeds and deeds[0].at <= now:
            # People acted on what the engine had shown them by then.
            while engine.turn(deeds[0].at):
                pass
            deeds.popleft().do(scratch, policy)
        while engine.turn(now):
            pass
        if now - hour >= timedelta(hours=1):
            roll_up(scratch, now)
            hour = now
    real, replayed = (
        [Promise(**row) for row in _rows(db, "tickets", begins=start, ends=ends)]
        for db in (source, scratch)
    )
    spared = [Spared(**row) for row in _rows(source, "spared", begins=start, ends=ends)]
    return compare(real, replayed, begins, ends, step, spared)


def copy_registry(source: Db, scratch: Db) -> None:
    """The same places with the same numbers; of people only that they exist."""
    for table, columns in _REGISTRY.items():
        names = sql.SQL(", ").join(map(sql.Identifier, columns))
        place = sql.SQL("{} ({})").format(sql.Identifier(table), names)
        _copy(source, place, scratch, place)
    people = sql.SQL("(SELECT id, 'p' || id, '', role, company_id, active FROM person)")
    _copy(source, people, scratch, sql.SQL("person (id, login, name, role, company_id, active)"))


def _copy(source: Db, what: sql.Composable, scratch: Db, place: sql.Composable) -> None:
    out = sql.SQL("COPY {} TO STDOUT (FORMAT binary)").format(what)
    into = sql.SQL("COPY {} FROM STDIN (FORMAT binary)").format(place)
    with source.cursor().copy(out) as reading, scratch.cursor().copy(into) as writing:
        for block in reading:
            writing.write(block)


def observation(row: dict[str, Any], codes: dict[int, str]) -> Observation:
    """A stored row as the message said it."""
    data = row["data"] or {}
    kind = Kind(row["kind"])
    return Observation(
        kind=kind,
        charger=codes[row["charger_id"]],
        connector=row["connector"],
        observed_at=row["observed_at"],
        received_at=row["received_at"],
        seq=row["seq"],
        digest=row["digest"],
        status=None if row["status"] is None else Status(row["status"]),
        errors=msgspec.convert(row["errors"] or (), tuple[ReportedError, ...])
        if kind == Kind.STATUS
        else None,
        data=data or None,
        confirms_all=kind == Kind.HEARTBEAT,
        **{name: row[name] for name in _VALUES},
    )


_VALUES = (
    *("session_id", "reason", "energy_wh", "power_w", "voltage_v", "current_a"),
    *("temperature_c", "soc", "residual_current_ma"),
)


def _codes(db: Db) -> dict[int, str]:
    return {row["id"]: row["code"] for row in db.execute("SELECT id, code FROM charger")}


def _rows(db: Db, name: str, **values: Any) -> list[dict[str, Any]]:
    return db.execute(_SQL[name], values).fetchall()


def _ticks(
    source: Db, start: datetime, ends: datetime, step: timedelta
) -> Iterator[tuple[datetime, list[Observation]]]:
    """Each moment at which the engine looks, with what came since the one before."""
    codes = _codes(source)
    said: list[Observation] = []
    now = start + step
    with source.transaction(), source.cursor("history") as cursor:
        cursor.execute(_SQL["history"], {"begins": start, "ends": ends})
        for row in cursor:
            while row["received_at"] > now:
                yield now, said
                now, said = now + step, []
            said.append(observation(row, codes))
        while now < ends + step:
            yield min(now, ends), said
            now, said = now + step, []


@dataclass(frozen=True)
class _Deed:
    """Something that a person did or said."""

    at: datetime
    kind: str
    row: dict[str, Any]

    def do(self, db: Db, policy: Policy) -> None:
        """Do it again; where the other policy leaves no such ticket, there is nothing to do."""
        with contextlib.suppress(tickets.Refused, NotFound), db.transaction():
            match self.kind:
                case "reports":
                    file_report(db, policy, self.at, note=None, **self.row)
                case "inspections":
                    record_inspection(db, policy, self.at, answers=[], note=None, **self.row)
                case _:
                    self._act(db, policy)

    def _act(self, db: Db, policy: Policy) -> None:
        row = self.row
        found = db.execute(_SQL["latest_ticket"], row).fetchone()
        if found is not None:
            person = row["person_id"]
            actor = RESIDENT if person is None else Actor("person", person)
            act(db, policy, self.at, found["id"], _action(row), actor)


def _deeds(source: Db, start: datetime, ends: datetime) -> list[_Deed]:
    found = []
    for kind in ("reports", "inspections", "actions"):
        for row in _rows(source, kind, begins=start, ends=ends):
            found.append(_Deed(row.pop("at"), kind, row))
    return sorted(found, key=lambda deed: deed.at)


def _action(row: dict[str, Any]) -> tickets.Action:
    data, note = row["data"], row["note"] or "-"
    match row["action"]:
        case "assigned" | "reassigned":
            return tickets.Assign(data.get("company_id"), data.get("assignee_id"))
        case "accepted":
            return tickets.Accept()
        case "started":
            return tickets.Start()
        case "claimed":
            return tickets.Claim(data["cause"], data["remedy"], data.get("part"))
        case "rejected":
            return tickets.Reject(note)
    return tickets.Reopen(note)


def as_json(found: Difference) -> dict[str, Any]:
    """The comparison for programs; times are ISO 8601."""

    def told(promise: Promise | None) -> dict[str, Any] | None:
        return None if promise is None else {**asdict(promise), "delay_s": promise.delay_s}

    pairs = [
        {"real": told(p.real), "with_policy": told(p.replayed), "shift_s": p.shift_s}
        for p in found.same
    ]
    document = {
        "from": found.begins,
        "to": found.ends,
        "summary": found.summary(),
        "same": pairs,
        "missing": [told(p) for p in found.missing],
        "extra": [told(p) for p in found.extra],
        "not_judged": [told(p) for p in found.not_judged],
    }
    return dict(msgspec.to_builtins(document))
