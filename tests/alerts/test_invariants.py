"""Whatever happens in whatever order: the promises that hold for every incident and ticket."""

from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alerts.incidents import Finding, Incident, Key, Phase, advance, begin, see
from pilewatch.model import SubjectKind
from pilewatch.policy import PROMISES, Policy
from pilewatch.workflow.tickets import (
    Accept,
    Assign,
    Claim,
    Close,
    Comment,
    Pause,
    Recover,
    Refused,
    Reject,
    Reopen,
    Resume,
    ReturnClaim,
    Start,
    Ticket,
    TicketState,
    Verify,
    Worsen,
)
from pilewatch.workflow.transitions import apply, promised
from tests.alerts.conftest import POLICY, Watched
from tests.workflow.conftest import NOW

_PROOF = {"kind": "session"}
_ACTIONS: list[Any] = [
    Assign(company=1), Accept(), Start(), Claim("c", "r"), ReturnClaim("no"), Verify(_PROOF),
    Verify({}), Recover(_PROOF), Recover({}), Close(), Reject("no fault"), Reopen("again"),
    Comment("x"), Worsen("smoke-fire", 1), Worsen("derated", 3), Pause("part"), Resume(),
]  # fmt: skip


@given(st.lists(st.sampled_from(_ACTIONS), max_size=30), st.integers(1, 3))
def test_no_ticket_closes_without_evidence_and_no_deadline_moves_untold(
    actions: list[Any], severity: int
) -> None:
    policy = Policy()
    ticket = Ticket(
        1, TicketState.OPEN, "connector", 1, 1, 1, 1, "relay-open", "relay", severity,
        opened_at=NOW, clock_at=NOW, **promised(policy, severity, NOW, None, ZoneInfo("UTC")),
    )  # fmt: skip
    for hours, action in enumerate(actions):
        try:
            changed, entry = apply(ticket, action, NOW + timedelta(hours=hours), policy)
        except Refused:
            continue
        due = {promise: (ticket.due_at(promise), changed.due_at(promise)) for promise in PROMISES}
        moved = {promise for promise, (before, after) in due.items() if before != after}
        assert moved == set(entry.data.get("moved", {}))
        if entry.action == "worsened":
            assert changed.severity <= ticket.severity
        if changed.state in (TicketState.VERIFIED, TicketState.CLOSED):
            assert changed.evidence is not None and changed.evidence["kind"]
        assert changed.version == ticket.version + 1
        ticket = changed


_MOMENTS = st.lists(
    st.tuples(st.floats(0, 300), st.booleans(), st.sampled_from(["relay-open", "relay-welded"])),
    min_size=1,
    max_size=25,
)


@given(_MOMENTS)
def test_an_incident_passes_through_its_phases_only_as_they_follow(
    moments: list[tuple[float, bool, str]],
) -> None:
    after = {
        Phase.PENDING: {Phase.OPEN, Phase.DISMISSED, Phase.CLEARING, Phase.CLEARED},
        Phase.OPEN: {Phase.CLEARING, Phase.CLEARED},
        Phase.CLEARING: {Phase.OPEN, Phase.CLEARED},
    }
    key = Key(SubjectKind.CONNECTOR, 1, "relay")
    at: datetime = NOW
    incident: Incident | None = None
    for pause, present, code in moments:
        at += timedelta(seconds=pause)
        finding = Finding(key, "d", code, present=present, at=at)
        if incident is None or not incident.live:
            incident = begin(finding, POLICY) if present else None
            continue
        before = incident
        incident = advance(incident, at, POLICY)
        if incident.live:
            incident = see(incident, finding, POLICY)
        assert incident.phase == before.phase or incident.phase in after[before.phase]
        assert incident.severity <= before.severity
        assert (incident.ended_at is None) == incident.live
        assert incident.due_at is None or incident.live


_DEEDS = st.lists(
    st.tuples(
        st.integers(0, 4),
        st.integers(1, 2),
        st.sampled_from(["dies", "returns", "smoke-fire", "relay-open", "connector-lock", "well"]),
        st.integers(1, 90),
    ),
    max_size=14,
)


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(_DEEDS)
def test_any_interleaving_leaves_one_live_incident_and_ticket_for_each_matter(
    watched: Watched, deeds: list[tuple[int, int, str, int]]
) -> None:
    w, at = watched, 0
    for table in ("event", "incident", "ticket_entry", "ticket", "outbox"):
        w.db.execute(f"TRUNCATE {table} CASCADE")
    w.db.execute("UPDATE charger_state SET offline_said_at = NULL")
    for charger, port, deed, pause in deeds:
        at += pause
        if deed == "dies":
            w.dies(at, charger)
        elif deed == "returns":
            w.returns(at, charger)
        elif deed == "well":
            w.says(at, charger, port, "available")
        else:
            w.says(at, charger, port, "faulted", deed)
        w.look(at + 1)
    w.look(at + 200)
    doubled = (
        "SELECT subject_kind, subject_id, family FROM {0} WHERE {1} GROUP BY 1, 2, 3 "
        "HAVING count(*) > 1"
    )
    live = "phase IN ('pending', 'open', 'clearing', 'member')"
    assert w.db.execute(doubled.format("incident", live)).fetchall() == []
    going = "state NOT IN ('closed', 'rejected', 'merged')"
    assert w.db.execute(doubled.format("ticket", going)).fetchall() == []
    unowned = "SELECT id FROM incident WHERE phase = 'open' AND ticket_id IS NULL"
    assert w.db.execute(unowned).fetchall() == []
    lost = (
        "SELECT i.id FROM incident i JOIN ticket t ON t.id = i.ticket_id "
        "WHERE i.phase = 'open' AND t.state IN ('merged', 'closed', 'rejected')"
    )
    assert w.db.execute(lost).fetchall() == []
    assert w.db.execute("SELECT id FROM dead_event").fetchall() == []
