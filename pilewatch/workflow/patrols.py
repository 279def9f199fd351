"""Patrols and surveys: plans make rounds, rounds are done, done in part, or missed.

What is due is decided by pure functions; each other function runs inside its caller's transaction.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta
from typing import Any, Literal

from psycopg.types.json import Jsonb

from pilewatch.checklist import Purpose, charger_type
from pilewatch.intervals import Evidence, Interval, interval
from pilewatch.policy import Patrols, Policy
from pilewatch.route import Place, given_order, nearest_order
from pilewatch.store import queries
from pilewatch.store.pool import Db
from pilewatch.workflow.checklists import checklist_for
from pilewatch.workflow.desk import NotFound, VersionConflict

_SQL = queries.load("patrols")
_WORKFLOW = queries.load("workflow")
_ALL = 1_000_000
_LOOK_AGAIN = timedelta(days=1)
_SOON = timedelta(hours=1)
Kind = Literal["patrol", "survey"]
Scope = Literal["area", "grid", "site"]
Route = Literal["given", "nearest"]


@dataclass(frozen=True)
class Plan:
    """What is to be walked. A survey (全面排查) has no interval: it is one round.

    `chargers` is the given order, by code; `first_due_at` is for piles never inspected before.
    """

    name: str
    kind: Kind
    purpose: Purpose
    scope_kind: Scope
    scope_id: int
    interval_days: int | None
    route: Route
    chargers: tuple[str, ...]
    worker_id: int | None
    first_due_at: datetime


@dataclass(frozen=True)
class Due:
    """A pile and when it has to be inspected at the latest."""

    charger_id: int
    at: datetime
    opens_at: datetime
    """From when on a round may take it."""


@dataclass(frozen=True)
class Wanted:
    """The round to open now: its piles, and when it is due."""

    charger_ids: frozenset[int]
    due_at: datetime


@dataclass(frozen=True)
class Pile:
    """A pile of a plan's scope, as the store knows it."""

    id: int
    place: Place
    kind: str
    strongest_w: float | None
    area_id: int
    evidence: Evidence
    last_at: datetime | None
    under_way: bool


# --- decisions


def due(rule: Patrols, pile: Pile, found: Interval, first_due_at: datetime) -> Due:
    """When this pile is due: its interval after the last inspection that counts."""
    every = timedelta(days=found.days)
    at = first_due_at if pile.last_at is None else pile.last_at + every
    return Due(pile.id, at, at - min(timedelta(days=rule.lead_days), every / 2))


def round_wanted(rule: Patrols, dues: Sequence[Due], now: datetime) -> Wanted | None:
    """The round that these piles need now; None while nothing is due soon.

    It is due when its first pile is, and takes along what falls due a little later. What is
    overdue already gets the usual lead anew.
    """
    opened = [one for one in dues if one.opens_at <= now]
    if not opened:
        return None
    anew = now + timedelta(days=rule.lead_days)
    until = max(now, min(one.at for one in opened)) + timedelta(days=rule.together_days)
    taken = [one for one in dues if one.opens_at <= now or one.at <= until]
    due_at = min(one.at if one.at > now else anew for one in taken)
    return Wanted(frozenset(one.charger_id for one in taken), due_at)


def next_look(dues: Sequence[Due], now: datetime) -> datetime:
    """When to look again: as something opens, and daily, since evidence changes."""
    opens = min((one.opens_at for one in dues), default=now + _LOOK_AGAIN)
    return max(now + _SOON, min(opens, now + _LOOK_AGAIN))


def interval_of(rule: Patrols, purpose: Purpose, planned: int, pile: Pile) -> Interval:
    """The pile's own interval within a plan of so many days."""
    return interval(rule, planned, rule.longest_days(purpose), pile.evidence)


# --- plans


def enter_plan(db: Db, policy: Policy, now: datetime, plan: Plan, person_id: int) -> int:
    """A new plan, with its round where one is due. Raises `ValueError` for an impossible one."""
    _check(policy.patrols, plan.purpose, plan.kind, plan.interval_days)
    if plan.kind == "survey" and plan.first_due_at <= now:
        raise ValueError("first_due_at: a survey is due in the future")
    _check_order(db, asdict(plan))
    values = {**asdict(plan), "chargers": list(plan.chargers), "person_id": person_id, "now": now}
    row = db.execute(_SQL["add_plan"], values).fetchone()
    assert row is not None
    if open_round(db, policy, now, row["id"]) is None and plan.kind == "survey":
        raise ValueError(f"the {plan.scope_kind} has no active pile to survey")
    return int(row["id"])


def change_plan(
    db: Db, policy: Policy, now: datetime, id: int, change: dict[str, Any], version: int | None
) -> None:
    """Another name, interval, route, order or worker, for the rounds to come.

    Raises `NotFound`, `VersionConflict`, `ValueError`.
    """
    row = _lock_plan(db, id, version)
    if row["kind"] == "survey":
        raise ValueError("a survey cannot be changed: give its round to another, or end it")
    merged = {**row, **change}
    _check(policy.patrols, row["purpose"], row["kind"], merged["interval_days"])
    _check_order(db, merged)
    db.execute(_SQL["change_plan"], {**merged, "chargers": list(merged["chargers"]), "now": now})
    open_round(db, policy, now, id)


def end_plan(db: Db, now: datetime, id: int, version: int | None) -> None:
    """No more rounds; those that are open stay. Raises as `change_plan`."""
    _lock_plan(db, id, version)
    db.execute(_SQL["end_plan"], {"id": id, "now": now})


def assign_round(db: Db, id: int, worker_id: int | None, version: int | None) -> None:
    """Give an open round to a worker, or, with None, to all of the grid. Raises as above."""
    row = db.execute(_SQL["lock_round"], {"id": id}).fetchone()
    if row is None:
        raise NotFound(f"round {id}")
    if version not in (None, row["version"]):
        raise VersionConflict(row["version"], "round")
    if row["state"] != "open":
        raise ValueError(f"the round is {row['state']}: it can no longer be given to anybody")
    db.execute(_SQL["assign_round"], {"id": id, "worker_id": worker_id})


def _lock_plan(db: Db, id: int, version: int | None) -> dict[str, Any]:
    row = db.execute(_SQL["lock_plan"], {"id": id}).fetchone()
    if row is None:
        raise NotFound(f"patrol plan {id}")
    if version not in (None, row["version"]):
        raise VersionConflict(row["version"], "patrol plan")
    if row["ended_at"] is not None:
        raise ValueError("the plan has ended; enter a new one")
    return row


def _check(rule: Patrols, purpose: Purpose, kind: Kind, days: int | None) -> None:
    if kind == "survey":
        if days is not None:
            raise ValueError("interval_days: a survey is one round and has none")
        return
    longest = rule.longest_days(purpose)
    if days is None or not 1 <= days <= longest:
        raise ValueError(f"interval_days: right would be 1 to {longest}, the rules' longest")


def _check_order(db: Db, plan: dict[str, Any]) -> None:
    row = db.execute(_SQL["strangers"], {**plan, "chargers": list(plan["chargers"])}).fetchone()
    if row is not None:
        raise ValueError(f"chargers: {row['code']} is no active pile of this {plan['scope_kind']}")


# --- rounds


def sweep_patrols(db: Db, policy: Policy, now: datetime) -> None:
    """Close the rounds whose time is over, and open what is due; each its own transaction."""
    while _close_next(db, policy, now):
        pass
    while _open_next(db, policy, now):
        pass


def _close_next(db: Db, policy: Policy, now: datetime) -> bool:
    grace = timedelta(hours=policy.patrols.sync_grace_hours)
    with db.transaction():
        row = db.execute(_SQL["round_to_close"], {"now": now, "grace": grace}).fetchone()
        if row is not None:
            _close_missed(db, now, row["id"], row["plan_id"])
    return row is not None


def _open_next(db: Db, policy: Policy, now: datetime) -> bool:
    with db.transaction():
        row = db.execute(_SQL["plan_to_look_at"], {"now": now}).fetchone()
        if row is not None:
            open_round(db, policy, now, row["id"])
    return row is not None


def open_round(db: Db, policy: Policy, now: datetime, plan_id: int) -> int | None:
    """Open the plan's next round where its time has come; gives the round's id."""
    plan = db.execute(_SQL["lock_plan"], {"id": plan_id}).fetchone()
    assert plan is not None
    rule = policy.patrols
    piles = read_piles(
        db,
        rule,
        now,
        purpose=plan["purpose"],
        scope_kind=plan["scope_kind"],
        scope_id=plan["scope_id"],
        plan_id=plan_id,
    )
    if plan["kind"] == "survey":
        db.execute(_SQL["look_again"], {"id": plan_id, "look_at": None})
        wanted = Wanted(frozenset(pile.id for pile in piles), plan["first_due_at"])
        return _open(db, now, plan, piles, {}, wanted) if piles else None
    days = plan["interval_days"]
    found = {pile.id: interval_of(rule, plan["purpose"], days, pile) for pile in piles}
    dues = [due(rule, p, found[p.id], plan["first_due_at"]) for p in piles if not p.under_way]
    wanted_now = round_wanted(rule, dues, now)
    taken = frozenset() if wanted_now is None else wanted_now.charger_ids
    at = next_look([one for one in dues if one.charger_id not in taken], now)
    db.execute(_SQL["look_again"], {"id": plan_id, "look_at": at})
    return None if wanted_now is None else _open(db, now, plan, piles, found, wanted_now)


def _open(
    db: Db,
    now: datetime,
    plan: dict[str, Any],
    piles: Sequence[Pile],
    intervals: dict[int, Interval],
    wanted: Wanted,
) -> int:
    row = db.execute(
        _SQL["add_round"],
        {
            "plan_id": plan["id"],
            "worker_id": plan["worker_id"],
            "now": now,
            "due_at": wanted.due_at,
        },
    ).fetchone()
    assert row is not None
    chosen = {pile.place.charger: pile for pile in piles if pile.id in wanted.charger_ids}
    places = [pile.place for pile in chosen.values()]
    given = plan["route"] == "given"
    way = given_order(places, plan["chargers"]) if given else nearest_order(places)
    lists: dict[tuple[int, str], int] = {}
    stops = []
    for number, place in enumerate(way, 1):
        pile = chosen[place.charger]
        kind = charger_type(pile.kind, pile.strongest_w)
        if (pile.area_id, kind) not in lists:
            kept = checklist_for(db, now, pile.area_id, plan["purpose"], kind)
            lists[pile.area_id, kind] = kept.id
        found = intervals.get(pile.id)
        stop = {
            "round_id": row["id"],
            "charger_id": pile.id,
            "place": number,
            "checklist_id": lists[pile.area_id, kind],
            "interval_days": None if found is None else found.days,
            "reasons": Jsonb(reasons_of(found)),
        }
        stops.append(stop)
    with db.cursor() as cursor:
        cursor.executemany(_SQL["add_stop"], stops)
    tell(db, now, row["id"], "opened")
    return int(row["id"])


def reasons_of(found: Interval | None) -> list[dict[str, Any]]:
    """Why an interval is shorter than planned, as data."""
    if found is None:
        return []
    return [
        {"reason": r.word, "amount": r.amount, "weight": round(r.weight, 3), "codes": dict(r.codes)}
        for r in found.reasons
    ]


def fill_stops(
    db: Db,
    now: datetime,
    *,
    inspection_id: object,
    charger_id: int,
    purpose: Purpose,
    inspected_at: datetime,
    round_id: int | None,
) -> bool | None:
    """Let an inspection count for the rounds that have its pile; None where it counts for none.

    True: it is late for one of them. A closed round keeps its state.
    """
    values = {
        "charger_id": charger_id,
        "purpose": purpose,
        "inspected_at": inspected_at,
        "round_id": round_id,
    }
    late = None
    for row in db.execute(_SQL["stops_to_fill"], values).fetchall():
        is_open = row["state"] == "open"
        is_late = not is_open or inspected_at > row["due_at"]
        stop = {**row, "charger_id": charger_id, "inspection_id": inspection_id, "late": is_late}
        db.execute(_SQL["fill_stop"], stop)
        late = is_late or bool(late)
        if not is_open or not _finished(db, now, row["round_id"], row["plan_id"]):
            db.execute(_SQL["round_changed"], {"id": row["round_id"]})
    return late


def _finished(db: Db, now: datetime, round_id: int, plan_id: int) -> bool:
    count = db.execute(_SQL["counted_stops"], {"round_id": round_id}).fetchone()
    assert count is not None
    if count["done"] < count["stops"]:
        return False
    _close(db, now, round_id, plan_id, "done")
    return True


def _close_missed(db: Db, now: datetime, round_id: int, plan_id: int) -> None:
    count = db.execute(_SQL["counted_stops"], {"round_id": round_id}).fetchone()
    assert count is not None
    state = "partly" if count["done"] else "missed"
    _close(db, now, round_id, plan_id, state)
    tell(db, now, round_id, state)


def _close(db: Db, now: datetime, round_id: int, plan_id: int, state: str) -> None:
    db.execute(_SQL["close_round"], {"id": round_id, "state": state, "now": now})
    for name in ("end_survey", "look_at_plan"):
        db.execute(_SQL[name], {"plan_id": plan_id, "now": now})


def tell(db: Db, now: datetime, round_id: int, what: str) -> None:
    """A notification about a round: no names of people."""
    row = db.execute(_SQL["round_news"], {"id": round_id}).fetchone()
    assert row is not None
    news = {"round": round_id, "severity": 3, **row, "due_at": row["due_at"].isoformat()}
    values = {
        "key": f"round/{round_id}/{what}",
        "topic": f"round.{what}",
        "payload": Jsonb(news),
        "now": now,
    }
    db.execute(_WORKFLOW["add_outbox"], values)
    db.execute(_WORKFLOW["notify"], {"channel": "pilewatch_outbox", "payload": ""})


# --- what speaks against a pile


def read_piles(
    db: Db,
    rule: Patrols,
    now: datetime,
    *,
    purpose: Purpose,
    scope_kind: Scope | None = None,
    scope_id: int | None = None,
    plan_id: int | None = None,
    **narrowed: Any,
) -> list[Pile]:
    """The active piles of a scope by id, with their evidence."""
    wide = {"site": None, "company_id": None, "grids": None, "after": 0, "limit": _ALL}
    values = {
        **wide,
        **narrowed,
        "scope_kind": scope_kind,
        "scope_id": scope_id,
        "plan_id": plan_id,
        "purpose": purpose,
        "presence_required": rule.presence_required,
        "now": now,
        "since": now - timedelta(days=rule.look_back_days),
    }
    return [_pile(row, now) for row in db.execute(_SQL["piles"], values)]


def _pile(row: dict[str, Any], now: datetime) -> Pile:
    use = row["sessions_a_day"]
    evidence = Evidence(
        faults=tuple(sorted(row["faults"].items(), key=lambda one: (-one[1], one[0]))),
        reports=row["reports"],
        failed_items=row["failed_items"],
        age_years=_years(row["installed_on"], now.date()),
        sessions_a_day=None if use is None else float(use),
        harsh_days=row["harsh_days"],
    )
    place = Place(row["code"], row["site"], row["latitude"], row["longitude"])
    return Pile(
        row["id"],
        place,
        row["kind"],
        row["strongest_w"],
        row["area_id"],
        evidence,
        row["last_at"],
        row["under_way"],
    )


def _years(since: date | None, today: date) -> float | None:
    return None if since is None else max(0.0, (today - since).days / 365.25)
