"""The state machine alone: whatever is asked in whatever order, its promises hold."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilewatch.policy import PROMISES, Deadlines, Policy
from pilewatch.workflow import tickets
from pilewatch.workflow.promises import next_danger
from pilewatch.workflow.tickets import (
    Accept,
    Action,
    Assign,
    Claim,
    Close,
    Comment,
    Escalate,
    Merge,
    Pause,
    Recover,
    Refused,
    Reject,
    Reopen,
    Resume,
    ReturnClaim,
    Split,
    Start,
    Ticket,
    TicketState,
    Verify,
    Worsen,
)
from pilewatch.workflow.transitions import apply, promised

NOW = datetime(2026, 5, 1, 8, tzinfo=UTC)
POLICY = Policy()


def _ticket(severity: int = 2) -> Ticket:
    return Ticket(
        1, TicketState.OPEN, "connector", 7, 1, 1, 7, "relay-open", "relay", severity,
        NOW, NOW + POLICY.deadlines.promised("repair", severity),
    )  # fmt: skip


ACTIONS: list[Action] = [
    Assign(company=1),
    Assign(),
    Accept(),
    Start(),
    Claim("worn", "replaced"),
    Claim("", ""),
    ReturnClaim("no evidence"),
    Verify({"kind": "session"}),
    Verify({}),
    Recover({"kind": "idle"}),
    Close(),
    Reject("not ours"),
    Reject(" "),
    Reopen("dead again"),
    Merge(2),
    Merge(1),
    Split(({"duty": "power", "task": "restore the mains"},)),
    Split(()),
    Comment("hm"),
    Worsen("relay-welded", 1),
    Pause("part"),
    Resume(),
]
POLICIES = st.sampled_from([POLICY, Policy(deadlines=Deadlines(working=frozenset({2, 3})))])
STEPS = st.tuples(st.sampled_from(ACTIONS), st.timedeltas(timedelta(), timedelta(days=3)))


@given(st.lists(STEPS, max_size=40), st.sampled_from([1, 2, 3]), POLICIES)
def test_any_order_of_actions_keeps_the_promises(
    steps: list[tuple[Action, timedelta]], severity: int, policy: Policy
) -> None:
    now = NOW
    due = promised(policy, severity, now, None, ZoneInfo("Asia/Shanghai"))
    ticket = replace(_ticket(severity), **due, clock_at=NOW)
    for action, later in steps:
        now += later
        before = ticket
        try:
            ticket, entry = apply(before, action, now, policy)
        except Refused as refused:
            paused = before.paused_at is not None
            assert refused.state == before.state
            assert refused.allowed == tickets.possible(before.state, paused=paused)
            continue
        assert ticket.version == before.version + 1
        assert (entry.from_state, entry.to_state) == (before.state, ticket.state)
        if ticket.state in (TicketState.VERIFIED, TicketState.CLOSED):
            assert ticket.evidence and ticket.evidence["kind"]
        assert (ticket.state == TicketState.MERGED) == (ticket.merged_into is not None)
        assert (ticket.closed_at is not None) == (ticket.state in tickets.FINAL)
        if ticket.state == TicketState.REPAIRED:
            assert ticket.claimed_at and ticket.verify_by_at
        _no_deadline_moved_silently(before, ticket, entry, action)
        danger = next_danger(ticket, policy)
        assert danger is None or ticket.paused_at is None
        assert ticket.paused_at is None or ticket.state in tickets.POSSIBLE[Pause]


def _no_deadline_moved_silently(
    before: Ticket, after: Ticket, entry: tickets.Entry, action: Action
) -> None:
    moved = entry.data.get("moved", {})
    for promise in PROMISES:
        old, new = before.due_at(promise), after.due_at(promise)
        assert (promise in moved) == (old != new)
        if old == new:
            continue
        assert old and new and moved[promise] == [old.isoformat(), new.isoformat()]
        if new > old:
            assert isinstance(action, Reopen) or before.paused_at is not None
        else:
            assert isinstance(action, Worsen)


def test_a_pause_stops_the_clock_and_what_was_already_due_stays_due() -> None:
    hour = timedelta(hours=1)
    due = promised(POLICY, 2, NOW, None, ZoneInfo("Asia/Shanghai"))
    ticket = replace(_ticket(), **due, clock_at=NOW)
    ticket, _ = apply(ticket, Accept(), NOW + hour, POLICY)
    ticket, entry = apply(ticket, Pause("part", "ordered"), NOW + 30 * hour, POLICY)
    assert (entry.action, entry.note, entry.data) == ("paused", "ordered", {"reason": "part"})
    assert next_danger(ticket, POLICY) is None
    with pytest.raises(Refused, match="paused already"):
        apply(ticket, Pause("part"), NOW + 31 * hour, POLICY)
    ticket, entry = apply(ticket, Start(), NOW + 40 * hour, POLICY)
    assert ticket.paused_at is None and ticket.paused_s == 36000
    assert ticket.deadline_at == NOW + 58 * hour, "18 hours were left"
    assert ticket.arrive_by_at == NOW + 24 * hour, "it was broken before the pause"
    assert entry.action == "started" and list(entry.data["moved"]) == ["repair"]
    danger = next_danger(ticket, POLICY)
    assert danger and danger.at == NOW + 46 * hour, "three quarters of 48 hours, and the pause"
    with pytest.raises(Refused, match="not paused"):
        apply(ticket, Resume(), NOW + 41 * hour, POLICY)


def test_each_step_of_a_promise_comes_at_its_share() -> None:
    due = promised(POLICY, 3, NOW, None, ZoneInfo("Asia/Shanghai"))
    ticket = replace(_ticket(3), **due, clock_at=NOW)
    found = []
    while (danger := next_danger(ticket, POLICY)) is not None:
        assert isinstance(danger.step, Escalate)
        if danger.step.promise == "accept":
            found.append((danger.step.to, (danger.at - NOW) / timedelta(hours=24)))
        ticket, _ = apply(ticket, danger.step, danger.at, POLICY)
    assert found == [
        ("repairer", 0.75), ("operator", 1.0), ("grid_worker", 1.5), ("community", 2.0),
    ]  # fmt: skip
    assert (ticket.accept_level, ticket.arrive_level, ticket.repair_level) == (4, 4, 4)


def test_the_whole_way() -> None:
    ticket = _ticket()
    way = [Assign(company=1), Accept(), Start(), Claim("a", "b"), Verify({"kind": "idle"}), Close()]
    for action in way:
        ticket, _ = apply(ticket, action, NOW, POLICY)
    assert ticket.state == TicketState.CLOSED
    reopened, _ = apply(ticket, Reopen("no"), NOW, POLICY)
    assert reopened.evidence is None and reopened.reopened == 1


def test_a_danger_to_people_never_closes_by_itself() -> None:
    with pytest.raises(Refused, match="someone has looked"):
        apply(_ticket(severity=1), Recover({"kind": "idle"}), NOW, POLICY)


def test_a_refusal_says_what_is_possible() -> None:
    with pytest.raises(Refused, match="claim is not possible while the ticket is open") as caught:
        apply(_ticket(), Claim("a", "b"), NOW, POLICY)
    assert caught.value.allowed == ["assign", "accept", "reject", "merge", "split", "comment"]
