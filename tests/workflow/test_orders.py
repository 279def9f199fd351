"""A ticket shared out between companies, what it costs, and who answers for a part."""

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilewatch.repaircodes import CAUSES, DUTIES, PARTS, PAYERS, REMEDIES
from pilewatch.workflow.costs import Cost, add_cost, costs_of, totals, withdraw_cost
from pilewatch.workflow.desk import Actor, NotFound, VersionConflict, act
from pilewatch.workflow.orders import (
    POSSIBLE,
    OrderState,
    Part,
    Step,
    WorkOrder,
    moved,
    split_ticket,
    step_order,
)
from pilewatch.workflow.tickets import (
    Accept,
    Claim,
    Comment,
    Merge,
    Refused,
    Reject,
    Reopen,
    Verify,
)
from pilewatch.workflow.verification import sweep_repaired
from pilewatch.workflow.warranty import covers
from tests.workflow.conftest import NOW, Community
from tests.workflow.test_ledger import do, opened

HOUR = timedelta(hours=1)


def actor(c: Community) -> Actor:
    """The grid worker."""
    return Actor("person", c.worker)


def split(c: Community, ticket: int, *duties: Any) -> list[int]:
    """One order of each duty; gives their ids."""
    parts = [Part(duty, c.company, None, "x", NOW + 24 * HOUR) for duty in duties]
    with c.db.transaction():
        split_ticket(c.db, c.policy, NOW, ticket, parts, actor(c))
    rows = c.db.execute("SELECT id FROM work_order WHERE ticket_id = %s ORDER BY id", (ticket,))
    return [row["id"] for row in rows][-len(parts) :]


def step(c: Community, order: int, word: Step, note: str | None = None, **more: Any) -> WorkOrder:
    """One step with an order."""
    with c.db.transaction():
        return step_order(c.db, c.policy, NOW, order, word, actor(c), note=note, **more)


def test_a_ticket_waits_until_each_side_has_done_its_part(community: Community) -> None:
    c = community
    ticket = opened(c)
    power, property_ = split(c, ticket, "power", "property")
    assert c.state(ticket) == "assigned"
    do(c, ticket, Accept())
    other = opened(c, 3)
    for action in (Claim("a", "b"), Reject("not ours"), Merge(other)):
        with pytest.raises(Refused, match="waits for 2 work orders"):
            do(c, ticket, action)
    step(c, power, "accept")
    assert step(c, power, "finish", "已送电").state == OrderState.DONE
    with pytest.raises(Refused, match="waits for 1 work orders"):
        do(c, ticket, Claim("a", "b"))
    step(c, property_, "cancel", "门本来就开着")
    do(c, ticket, Claim("a", "b"))
    assert c.state(ticket) == "repaired"
    assert c.timeline(ticket) == [
        "opened", "split", "accepted", "order-accepted", "order-done", "order-cancelled", "claimed",
    ]  # fmt: skip
    with pytest.raises(Refused, match="the ticket is repaired"):
        step(c, power, "return", "没有电")
    do(c, ticket, Reopen("还是没电"))
    assert step(c, power, "return", "没有电").state == OrderState.OPEN


def test_the_machine_does_not_close_what_is_shared_out(community: Community) -> None:
    c = community
    ticket = c.ticket("connector-lock", 0)
    c.db.execute(
        "INSERT INTO incident (subject_kind, subject_id, site_id, charger_id, connector_id, code, "
        "family, severity, effect, detector, phase, ticket_id, started_at, ended_at) VALUES "
        "('connector', %s, %s, %s, %s, 'connector-lock', 'lock', 2, 'out-of-order', 'reported', "
        "'cleared', %s, %s, %s)",
        (c.connectors[0], c.site, c.chargers[0], c.connectors[0], ticket, NOW, NOW + HOUR),
    )
    (order,) = split(c, ticket, "operator")
    later = NOW + 9 * HOUR
    c.heard(later)
    with c.db.transaction():
        assert sweep_repaired(c.db, c.policy, later).recovered == []
    step(c, order, "finish")
    with c.db.transaction():
        assert sweep_repaired(c.db, c.policy, later).recovered == [ticket]
    assert c.state(ticket) == "closed"


def test_an_order_that_changed_meanwhile_is_not_touched(community: Community) -> None:
    c = community
    (order,) = split(c, opened(c), "power")
    step(c, order, "accept", expected_version=1)
    with pytest.raises(VersionConflict) as caught:
        step(c, order, "finish", expected_version=1)
    assert (caught.value.version, caught.value.state) == (2, OrderState.ACCEPTED)
    with pytest.raises(Refused, match="accept is not possible while the work order is accepted"):
        step(c, order, "accept")
    with pytest.raises(NotFound, match="work order 999"):
        step(c, 999, "accept")


STEPS = st.tuples(st.sampled_from(list(POSSIBLE)), st.sampled_from([None, " ", "weil"]))


@given(st.lists(STEPS, max_size=12))
def test_any_order_of_steps_keeps_an_order_whole(steps: list[tuple[Step, str | None]]) -> None:
    order = WorkOrder(1, 2, "power", 3, None, "x", NOW + HOUR, OrderState.OPEN, NOW)
    for word, note in steps:
        before = order
        try:
            order = moved(before, word, NOW, note)
        except Refused as refused:
            assert (refused.state, refused.version) == (before.state, before.version)
            continue
        assert before.state in POSSIBLE[word] and order.version == before.version + 1
        assert (order.settled_at is not None) == (order.state in ("done", "cancelled"))
        assert word not in ("return", "cancel") or (note and note.strip())
        assert replace(order, state=before.state, accepted_at=None, settled_at=None, note=None,
                       version=0) == replace(before, accepted_at=None, settled_at=None, note=None,
                                             version=0)  # fmt: skip


def socket(c: Community, until: date, **more: Any) -> Cost:
    """A socket with warranty of the company."""
    return Cost("part", 1, 4500, "operator", "socket", "S-1", c.company, until, **more)


def test_a_part_under_warranty_is_told_when_it_fails_again(community: Community) -> None:
    c = community
    today = NOW.date()
    first = opened(c, 0, "plug-broken")
    with c.db.transaction():
        add_cost(c.db, c.policy, NOW, first, socket(c, today + timedelta(days=365)), actor(c))
        add_cost(c.db, c.policy, NOW, first, Cost("labour", 3, 2000, "operator"), actor(c))
        assert covers(c.db, first) == [], "it is this ticket's own"
    do(c, first, Accept(), Claim("a", "b"), Verify({"kind": "session"}))
    c.db.execute("UPDATE ticket SET state = 'closed', closed_at = %s", (NOW,))
    again = opened(c, 0, "no-output", at=NOW + 24 * HOUR)
    assert c.timeline(again) == ["opened", "under-warranty"]
    (cover,) = covers(c.db, again)
    assert (cover.part, cover.warrantor, cover.installed_by) == ("socket", "c", first)
    assert opened(c, 1, "no-output") and c.timeline(again + 1) == ["opened"], "another port"
    screen = opened(c, 0, "display-failure")
    assert c.timeline(screen) == ["opened"], "a socket does not darken a screen"
    with c.db.transaction():
        add_cost(c.db, c.policy, NOW, again, socket(c, today), actor(c))
    (line,) = costs_of(c.db, again)
    assert line["under_warranty_of"] == first
    c.db.execute("UPDATE ticket SET state = 'rejected', closed_at = %s", (NOW,))
    later = opened(c, 0, "plug-broken", at=NOW + 48 * HOUR)
    assert c.timeline(later) == ["opened"], "the one that was put in last is no longer covered"


def test_costs_are_whole_fen_by_who_pays_and_a_mistake_counts_nowhere(
    community: Community,
) -> None:
    c = community
    ticket = opened(c)
    with c.db.transaction():
        wrong = add_cost(c.db, c.policy, NOW, ticket, Cost("travel", 1, 999, "user"), actor(c))
        add_cost(c.db, c.policy, NOW, ticket, Cost("labour", 3, 3333, "operator"), actor(c))
        add_cost(c.db, c.policy, NOW, ticket, Cost("other", 10000, 10**11, "power"), actor(c))
        withdraw_cost(c.db, c.policy, NOW, ticket, wrong, actor(c))
    assert totals(costs_of(c.db, ticket)) == {"operator": 9999, "power": 10**15}
    with pytest.raises(NotFound, match=f"cost {wrong}"), c.db.transaction():
        withdraw_cost(c.db, c.policy, NOW, ticket, wrong, actor(c))
    assert c.timeline(ticket) == ["opened", *["cost-added"] * 3, "cost-withdrawn"]


def test_only_what_is_meant_for_residents_reaches_a_receipt(community: Community) -> None:
    from pilewatch.workflow.reports import file_report, report_by_receipt

    c = community
    place = {"site_id": c.site, "charger_id": c.chargers[0], "connector_id": c.connectors[0]}
    with c.db.transaction():
        filed = file_report(
            c.db, c.policy, NOW, source="page", code="no-output", note="我的电话", **place
        )
        for comment in (Comment("供应商太慢"), Comment("周五换插座", "announced")):
            act(c.db, c.policy, NOW, filed.ticket_id, comment, actor(c))
    split(c, filed.ticket_id, "power")
    receipt = report_by_receipt(c.db, NOW, filed.receipt_token)
    assert receipt is not None
    told = [(step["action"], step["note"]) for step in receipt.timeline]
    assert told == [("opened", None), ("announced", "周五换插座")]


def test_every_code_has_a_name_in_each_language() -> None:
    from api.ledger.words import named, phrases

    assert set(phrases("zh")) == set(phrases("en"))
    for family, codes in {
        "cause": CAUSES, "remedy": REMEDIES, "part": PARTS, "duty": DUTIES, "payer": PAYERS,
    }.items():  # fmt: skip
        for name in named(family, codes):
            assert name["zh"] != name["code"] and name["en"], name
