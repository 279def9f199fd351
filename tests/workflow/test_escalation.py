"""Promises in danger are told upwards, each step once, in a real database."""

import threading
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from pilewatch.model import SubjectKind
from pilewatch.policy import Deadlines, Hours, Policy
from pilewatch.store.pool import Db, connect
from pilewatch.workflow.desk import ENGINE, Actor, Subject, act, open_ticket
from pilewatch.workflow.escalation import sweep_promises
from pilewatch.workflow.orders import Part, Step, split_ticket, step_order
from pilewatch.workflow.tickets import Accept, Claim, Escalate, Pause, Reopen, Resume, Start
from tests.workflow.conftest import NOW, Community

PERSON = Actor("person")


def _open(c: Community, code: str = "relay-open", connector: int = 0) -> int:
    subject = Subject(SubjectKind.CONNECTOR, c.connectors[connector])
    with c.db.transaction():
        return open_ticket(c.db, c.policy, NOW, subject=subject, code=code, actor=ENGINE).ticket_id


def _do(c: Community, ticket: int, hours: float, *actions: Any) -> None:
    with c.db.transaction():
        for action in actions:
            act(c.db, c.policy, NOW + timedelta(hours=hours), ticket, action, PERSON)


def _sweep(c: Community, hours: float, db: Db | None = None) -> int:
    db = db or c.db
    with db.transaction():
        return sweep_promises(db, c.policy, NOW + timedelta(hours=hours))


def _told(c: Community) -> list[tuple[str, int, str]]:
    rows = c.db.execute("SELECT payload FROM outbox WHERE topic = 'ticket.escalated' ORDER BY id")
    said = [row["payload"] for row in rows]
    return [(p["promise"], p["level"], p["to"]) for p in said]


def test_before_and_at_the_breach_the_next_one_up_is_told_once(community: Community) -> None:
    c = community
    ticket = _open(c)  # equipment: accept in 2 h, arrive in 24 h, repair in 48 h
    assert _sweep(c, 1.4) == 0
    assert _sweep(c, 1.5) == 1 and _sweep(c, 1.6) == 0
    assert _sweep(c, 2) == 1
    assert _told(c) == [("accept", 1, "repairer"), ("accept", 2, "operator")]
    _do(c, ticket, 2.5, Accept())
    assert _sweep(c, 17.9) == 0, "an accepted ticket breaks no promise to accept"
    assert _sweep(c, 24) == 2
    _do(c, ticket, 25, Start())
    assert _sweep(c, 200) == 4
    assert _told(c)[2:] == [
        ("arrive", 1, "repairer"), ("arrive", 2, "operator"), ("repair", 1, "repairer"),
        ("repair", 2, "operator"), ("repair", 3, "grid_worker"), ("repair", 4, "community"),
    ]  # fmt: skip
    assert _sweep(c, 10_000) == 0
    assert c.timeline(ticket).count("escalated") == 8


def test_what_was_slept_through_is_caught_up_in_order(community: Community) -> None:
    c = community
    _open(c, "relay-welded")  # people: 0.5 h, 2 h, 4 h
    assert _sweep(c, 9) == 12
    moments = c.db.execute(
        "SELECT data ->> 'promise' AS promise, (data ->> 'level')::int AS level FROM ticket_entry "
        "WHERE action = 'escalated' ORDER BY id"
    ).fetchall()
    assert [m["level"] for m in moments if m["promise"] == "repair"] == [1, 2, 3, 4]
    assert moments[-1] == {"promise": "repair", "level": 4}


def test_a_pause_and_a_claim_stop_the_ladder(community: Community) -> None:
    c = community
    ticket = _open(c)
    _do(c, ticket, 1, Accept(), Start(), Pause("weather"))
    assert _sweep(c, 500) == 0
    _do(c, ticket, 500, Resume())
    row = c.db.execute("SELECT deadline_at, paused_s FROM ticket").fetchone()
    assert row == {"deadline_at": NOW + timedelta(hours=547), "paused_s": 499 * 3600}
    assert _sweep(c, 534) == 0
    assert _sweep(c, 535) == 1
    _do(c, ticket, 536, Claim("worn", "replaced"))
    assert _sweep(c, 5000) == 0
    _do(c, ticket, 5000, Reopen("dead again"))
    assert _sweep(c, 5002) == 2, "a new promise, a new ladder"


def test_an_area_counts_its_own_hours(community: Community) -> None:
    c = community
    working = Deadlines(accept=Hours(1, 1, 1), working=frozenset({1, 2, 3}))
    c.policy = Policy(areas={"a": working})
    ticket = _open(c)  # 16:00 on Labour Day in Shanghai
    row = c.db.execute("SELECT accept_by_at FROM ticket WHERE id = %s", (ticket,)).fetchone()
    assert row is not None
    assert row["accept_by_at"].isoformat() == "2026-05-06T01:30:00+00:00"
    assert _sweep(c, 24 * 4) == 0


def test_racing_engines_take_each_step_once(community: Community, plain_database_url: str) -> None:
    c = community
    for connector in range(6):
        _open(c, connector=connector)
    start, counts = threading.Barrier(6), []

    def run() -> None:
        with connect(plain_database_url, application="race") as db:
            start.wait()
            for _ in range(5):
                counts.append(_sweep(c, 2, db))

    threads = [threading.Thread(target=run) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(counts) == 12 and len(_told(c)) == 12


def test_the_database_refuses_the_same_step_twice(community: Community) -> None:
    c = community
    ticket = _open(c)
    step = Escalate("accept", 1, "repairer", NOW)
    _do(c, ticket, 1.5, step)
    with pytest.raises(psycopg.errors.UniqueViolation):
        _do(c, ticket, 1.6, step)
    assert c.timeline(ticket) == ["opened", "escalated"]


def _split(c: Community, ticket: int, *hours: float) -> list[int]:
    """A work order due after each of these hours; gives their ids."""
    parts = [Part("power", c.company, None, "x", NOW + timedelta(hours=h)) for h in hours]
    with c.db.transaction():
        split_ticket(c.db, c.policy, NOW, ticket, parts, PERSON)
    return [row["id"] for row in c.db.execute("SELECT id FROM work_order ORDER BY id")]


def _step(c: Community, order: int, hours: float, *words: Step) -> None:
    with c.db.transaction():
        for word in words:
            now = NOW + timedelta(hours=hours)
            step_order(c.db, c.policy, now, order, word, PERSON, note="x")


def _overdue(c: Community) -> list[tuple[int, int, str]]:
    rows = c.db.execute("SELECT payload FROM outbox WHERE topic = 'ticket.escalated' ORDER BY id")
    said = [row["payload"] for row in rows if row["payload"]["promise"] == "order"]
    return [(p["order"], p["level"], p["to"]) for p in said]


def test_an_overdue_work_order_is_told_upwards_each_step_once(community: Community) -> None:
    c = community
    ticket = _open(c)
    first, second = _split(c, ticket, 10, 20)
    _sweep(c, 9.9)
    assert _overdue(c) == []
    for _ in range(3):
        _sweep(c, 10)
    assert _overdue(c) == [(first, 2, "operator")]
    _step(c, first, 12, "accept")
    _sweep(c, 15)
    assert _overdue(c)[1:] == [(first, 3, "grid_worker")]
    _step(c, first, 16, "finish")
    _sweep(c, 19)
    assert len(_overdue(c)) == 2, "done late, it is told no further"
    for _ in range(3):
        _sweep(c, 10_000)
    assert _overdue(c)[2:] == [(second, 2, "operator"), (second, 3, "grid_worker"),
                               (second, 4, "community")]  # fmt: skip
    _step(c, first, 10_001, "return")
    _sweep(c, 10_001)
    assert _overdue(c)[5:] == [(first, 4, "community")], "not done after all: it goes on"
    rows = c.db.execute("SELECT level, escalate_at FROM work_order").fetchall()
    assert rows == [{"level": 4, "escalate_at": None}] * 2


def test_a_pause_does_not_move_what_another_has_been_set(community: Community) -> None:
    c = community
    ticket = _open(c)
    (order,) = _split(c, ticket, 10)
    _do(c, ticket, 1, Accept(), Pause("access"))
    _sweep(c, 10)
    assert _overdue(c) == [(order, 2, "operator")]
    row = c.db.execute("SELECT paused_at FROM ticket").fetchone()
    assert row == {"paused_at": NOW + timedelta(hours=1)}


def test_an_order_that_ends_in_time_is_never_told(community: Community) -> None:
    c = community
    ticket = _open(c)
    done, cancelled, late_before = _split(c, ticket, 10, 10, -5)
    _step(c, done, 9, "finish")
    _step(c, cancelled, 9, "cancel")
    _sweep(c, 500)
    # Due before it was made: all of it at once, and once.
    assert _overdue(c) == [(late_before, level, whom) for level, whom in
                           ((2, "operator"), (3, "grid_worker"), (4, "community"))]  # fmt: skip


def test_racing_engines_tell_of_an_overdue_order_once(
    community: Community, plain_database_url: str
) -> None:
    c = community
    orders = _split(c, _open(c), 1, 1, 1, 1)
    start = threading.Barrier(4)

    def run() -> None:
        with connect(plain_database_url, application="race") as db:
            start.wait()
            for _ in range(3):
                _sweep(c, 100, db)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    _sweep(c, 100)
    told = _overdue(c)
    assert len(told) == len(set(told)) == 3 * len(orders)
