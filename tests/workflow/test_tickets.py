"""The state machine alone: whatever is asked in whatever order, its promises hold."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilewatch.policy import Policy
from pilewatch.workflow import tickets
from pilewatch.workflow.tickets import (
    Accept,
    Action,
    Assign,
    Claim,
    Close,
    Comment,
    Merge,
    Recover,
    Refused,
    Reject,
    Reopen,
    ReturnClaim,
    Start,
    Ticket,
    TicketState,
    Verify,
    Worsen,
    apply,
)

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
    Comment("hm"),
    Worsen("relay-welded", 1),
]


@given(st.lists(st.sampled_from(ACTIONS), max_size=40), st.sampled_from([1, 2, 3]))
def test_any_order_of_actions_keeps_the_promises(actions: list[Action], severity: int) -> None:
    ticket, now = _ticket(severity), NOW
    for action in actions:
        now += timedelta(minutes=1)
        before = ticket
        try:
            ticket, entry = apply(before, action, now, POLICY)
        except Refused as refused:
            assert refused.state == before.state
            assert refused.allowed == tickets.possible(before.state)
            continue
        assert ticket.version == before.version + 1
        assert (entry.from_state, entry.to_state) == (before.state, ticket.state)
        if ticket.state in (TicketState.VERIFIED, TicketState.CLOSED):
            assert ticket.evidence and ticket.evidence["kind"]
        assert (ticket.state == TicketState.MERGED) == (ticket.merged_into is not None)
        assert (ticket.closed_at is not None) == (ticket.state in tickets.FINAL)
        if ticket.deadline_at != before.deadline_at:
            assert isinstance(action, Reopen | Worsen)
        if ticket.state == TicketState.REPAIRED:
            assert ticket.claimed_at and ticket.verify_by_at


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
    assert caught.value.allowed == ["assign", "accept", "reject", "merge", "comment"]
