"""Self-repair first: a remote reset where it is safe, and a ticket only where that does not help.

`objection`, `judge` are the rules, pure; `SelfRepair` carries them out within the engine's
transaction. An incident has one trial at most, a row of `self_repair`: it waits while the charger
is in use, then for its reset, then while the fault stays away for the policy's watch.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from alerts.incidents import Incident, Phase
from alerts.ledger import Ledger, incident_from
from pilewatch.faultcodes import FAULTS
from pilewatch.model import SubjectKind
from pilewatch.policy import Policy
from pilewatch.policy import SelfRepair as Rule
from pilewatch.store import queries
from pilewatch.store.pool import Db
from pilewatch.workflow.commands import DANGERS, Order, expire, order
from pilewatch.workflow.desk import ENGINE, act
from pilewatch.workflow.tickets import Comment

_SQL = queries.load("commands")
_FAILED = frozenset({"rejected", "failed", "expired"})
_AT_WORK = frozenset({"sent", "accepted", "done"})


class Verdict(StrEnum):
    """What happens to a trial now."""

    WAIT = "wait"
    RESET = "reset"
    TICKET = "ticket"
    DROP = "drop"
    """Another incident explains this one: no reset, no ticket."""


@dataclass(frozen=True)
class Circumstances:
    """What is known of the charger now. `shared` is a reset, for another of its incidents, that
    serves this one too; `last_tried_at` the latest reset because of the same matter before."""

    online: bool
    in_use: bool
    danger: bool
    ticketed: bool
    resets_today: int
    last_tried_at: datetime | None = None
    shared: int | None = None


@dataclass(frozen=True)
class Trial:
    """How far it is. `reset_at` is when the reset was sent, while it is queued when it was
    ordered; `gone_at` when the fault was last seen to go."""

    began_at: datetime
    reset_state: str | None = None
    ordered_at: datetime | None = None
    reset_at: datetime | None = None
    gone_at: datetime | None = None

    @property
    def went_after_reset(self) -> bool:
        """The fault went away once the reset had been ordered, which was while it was there."""
        return (
            self.reset_state in _AT_WORK
            and self.ordered_at is not None
            and self.gone_at is not None
            and self.gone_at >= self.ordered_at
        )


def suits(incident: Incident, rule: Rule) -> bool:
    """Whether a reset could help at all: a fault of the list, of one charger, without danger."""
    return (
        incident.code in rule.codes
        and incident.severity > 1
        and FAULTS[incident.code].severity > 1
        and incident.key.subject_kind in (SubjectKind.CHARGER, SubjectKind.CONNECTOR)
    )


def objection(incident: Incident, seen: Circumstances, rule: Rule, now: datetime) -> str | None:
    """Why no reset may be tried; None where it may."""
    if not suits(incident, rule) or seen.danger:
        return "danger"
    if seen.ticketed:
        return "ticket"
    if (
        seen.last_tried_at is not None
        and (now - seen.last_tried_at).total_seconds() < rule.recurs_s
    ):
        return "recurred"
    if seen.shared is not None:
        return None
    if not seen.online:
        return "offline"
    return "limit" if seen.resets_today >= rule.per_day else None


def judge(
    incident: Incident, trial: Trial, seen: Circumstances, rule: Rule, now: datetime
) -> tuple[Verdict, str | None]:
    """What comes next, and why."""
    if incident.phase == Phase.MEMBER:
        return Verdict.DROP, "member"
    if incident.severity == 1 or seen.danger:
        return Verdict.TICKET, "danger"
    if seen.ticketed:
        return Verdict.TICKET, "ticket"
    if trial.reset_at is None:
        return _before(incident, trial, seen, rule, now)
    return _after(incident, trial, trial.reset_at, rule, now)


def _before(
    incident: Incident, trial: Trial, seen: Circumstances, rule: Rule, now: datetime
) -> tuple[Verdict, str | None]:
    if incident.quiet:
        return Verdict.WAIT, None  # perhaps it goes by itself
    against = objection(incident, seen, rule, now)
    if against is not None:
        return Verdict.TICKET, against
    if seen.in_use and seen.shared is None:
        late = now >= trial.began_at + timedelta(seconds=rule.wait_s)
        return (Verdict.TICKET, "in-use") if late else (Verdict.WAIT, None)
    return Verdict.RESET, None


def _after(
    incident: Incident, trial: Trial, reset_at: datetime, rule: Rule, now: datetime
) -> tuple[Verdict, str | None]:
    if incident.quiet:
        return Verdict.WAIT, None
    if trial.reset_state in _FAILED:
        return Verdict.TICKET, trial.reset_state
    if trial.reset_state not in _AT_WORK:
        return Verdict.WAIT, None
    if trial.went_after_reset:
        return Verdict.TICKET, "came-back"
    if now >= reset_at + timedelta(seconds=rule.effect_s):
        return Verdict.TICKET, "still-there"
    return Verdict.WAIT, None


class SelfRepair:
    """The trials within one turn of the engine."""

    def __init__(self, db: Db, ledger: Ledger, policy: Policy, now: datetime):
        self.db = db
        self.ledger = ledger
        self.policy = policy
        self.now = now

    @property
    def _rule(self) -> Rule:
        return self.policy.self_repair

    def begin(self, incident: Incident) -> bool:
        """Put it on trial before anybody is asked; False where it has had one, or nothing speaks
        for it. The reset itself is for `sweep`, which knows everything that came meanwhile."""
        if not suits(incident, self._rule) or incident.ticket_id is not None:
            return False
        charger = self._one("charger_of", **_subject(incident))
        seen = self._circumstances(incident, charger["charger_id"])
        if objection(incident, seen, self._rule, self.now) is not None:
            return False
        values = {"incident_id": incident.id, "now": self.now, **charger}
        return self.db.execute(_SQL["begin_self_repair"], values).rowcount == 1

    def sweep(self) -> list[Incident]:
        """Carry on with every trial; gives the incidents that need a ticket now."""
        expire(self.db, self.now)
        needy = []
        for row in self.db.execute(_SQL["live_self_repairs"]).fetchall():
            incident = self.ledger.keep(incident_from(row))
            seen = self._circumstances(incident, row["repair_charger"])
            verdict, why = judge(incident, _trial(row), seen, self._rule, self.now)
            if verdict == Verdict.RESET:
                self._reset(incident, row["repair_charger"], seen)
            elif verdict == Verdict.TICKET:
                self._end(incident, "ticket", why)
                needy.append(incident)
            elif verdict == Verdict.DROP:
                self._end(incident, "cleared", why)
        return needy

    def hold(self, incident: Incident) -> Incident:
        """An incident whose fault has just gone: on trial it must stay away for the watch."""
        if (
            incident.ticket_id is not None
            or incident.quiet_since is None
            or self._row(incident) is None
        ):
            return incident
        values = {"incident_id": incident.id, "gone_at": incident.quiet_since}
        self.db.execute(_SQL["note_gone"], values)
        watch = timedelta(seconds=self._rule.watch_s)
        return replace(incident, due_at=incident.quiet_since + max(watch, self.policy.clear_after))

    def cleared(self, incident: Incident) -> None:
        """It stayed away: what cured it is evidence, and nobody has to come."""
        row = None if incident.ticket_id is not None else self._row(incident)
        if row is None:
            return
        cured = _trial(row).went_after_reset
        self._end(incident, "cured" if cured else "cleared", None)
        if cured:
            said = {"command": row["command_id"], "at": row["reset_at"].isoformat()}
            incident = self.ledger.write(
                replace(incident, evidence={**incident.evidence, "reset": said})
            )
            self.ledger.tell(incident, "cured", self.now, command=row["command_id"])

    def tell(self, incident: Incident) -> None:
        """Every reset because of this matter, on the timeline of its ticket, once."""
        if not suits(incident, self._rule):
            return
        since = self.now - timedelta(seconds=self._rule.recurs_s)
        values = {**_subject(incident), "since": since, "ticket_id": incident.ticket_id}
        assert incident.ticket_id is not None
        for row in self.db.execute(_SQL["reset_history"], values).fetchall():
            said = {
                "command": row["id"],
                "issued_at": row["issued_at"].isoformat(),
                "state": row["state"],
                "detail": row["detail"],
                "outcome": row["outcome"],
                "why": row["reason"],
            }
            tried = Comment(None, "reset-tried", said)
            act(self.db, self.policy, self.now, incident.ticket_id, tried, ENGINE)
            self.db.execute(_SQL["link_ticket"], {"id": row["id"], "ticket_id": incident.ticket_id})

    def _circumstances(self, incident: Incident, charger_id: int) -> Circumstances:
        values = {
            **_subject(incident),
            "incident_id": incident.id,
            "charger_id": charger_id,
            "dangers": DANGERS,
            "now": self.now,
            "started_at": incident.started_at,
        }
        return Circumstances(**self._one("circumstances", **values))

    def _reset(self, incident: Incident, charger_id: int, seen: Circumstances) -> None:
        """Order it, or share the one that was ordered; where a person's own is under way, wait."""
        id = seen.shared
        if id is None:
            what = Order(
                charger_id,
                "reset",
                incident.code,
                timedelta(seconds=self._rule.expires_s),
                incident_id=incident.id,
            )
            id = order(self.db, self.now, what)
        if id is not None:
            values = {"incident_id": incident.id, "command_id": id}
            self.db.execute(_SQL["attach_reset"], values)
            self.ledger.tell(incident, "reset", self.now, command=id)

    def _end(self, incident: Incident, outcome: str, why: str | None) -> None:
        values = {"incident_id": incident.id, "now": self.now, "outcome": outcome, "reason": why}
        self.db.execute(_SQL["end_self_repair"], values)

    def _row(self, incident: Incident) -> dict[str, Any] | None:
        values = {"incident_id": incident.id}
        return self.db.execute(_SQL["self_repair_of"], values).fetchone()

    def _one(self, name: str, **values: Any) -> dict[str, Any]:
        row = self.db.execute(_SQL[name], values).fetchone()
        assert row is not None
        return row


def _trial(row: dict[str, Any]) -> Trial:
    return Trial(**{name: row[name] for name in Trial.__dataclass_fields__})


def _subject(incident: Incident) -> dict[str, Any]:
    key = incident.key
    return {
        "subject_kind": key.subject_kind.value,
        "subject_id": key.subject_id,
        "family": key.family,
    }
