"""The engine killed at random points, again and again: it ends where the undisturbed one does."""

import multiprocessing
import random
from collections.abc import Callable
from datetime import datetime
from typing import Any

from alerts.engine import Engine
from deploy.embedded import EmbeddedPostgres
from pilewatch.store.pool import Db, connect
from tests.alerts.conftest import POLICY, Watched
from tests.conftest import make_database

_KILLS = 50
_CODES = ("relay-open", "over-current", "smoke-fire", "display-failure", "connector-lock")
_FORK = multiprocessing.get_context("fork")


def _decide(url: str, now: datetime) -> None:
    """What an engine does in a process of its own, until nothing waits."""
    with connect(url, application="engine") as db:
        engine = Engine(db, POLICY)
        while engine.turn(now):
            pass


def _story(w: Watched, look: Callable[[float], None]) -> None:
    """Ports break and recover, complain twice; chargers die and return; all looked at by `look`."""
    chance = random.Random(7)
    for step in range(20):
        at = 30.0 * step
        for charger in range(5):
            port = 1 + chance.randrange(2)
            codes = chance.sample(_CODES, chance.randrange(3))
            for _ in range(1 + chance.randrange(2)):  # events may come twice
                w.says(at + charger, charger, port, "faulted" if codes else "available", *codes)
        if step in (6, 14):
            for charger in range(5):
                (w.dies if step == 6 else w.returns)(at + 10 + charger / 10, charger)
        else:
            w.lives(at + 20, *(range(5) if step < 6 or step > 14 else ()))
        w.listens(at + 25)
        look(at + 30)


def _outcome(db: Db) -> dict[str, list[Any]]:
    """Everything that counts, without the numbers that a rolled back attempt uses up."""
    wanted = {
        "incidents": "SELECT subject_kind, subject_id, code, phase, started_at, opened_at, "
        "ended_at FROM incident",
        "tickets": "SELECT subject_kind, subject_id, code, severity, state, opened_at, "
        "deadline_at FROM ticket",
        "timeline": "SELECT t.subject_kind, t.subject_id, t.code, e.at, e.action, e.to_state "
        "FROM ticket_entry e JOIN ticket t ON t.id = e.ticket_id",
        "outbox": "SELECT topic, payload - '{incident,ticket,command}'::text[] AS payload "
        "FROM outbox",
    }
    return {
        name: sorted(str(tuple(row.values())) for row in db.execute(sql))
        for name, sql in wanted.items()
    }


def test_fifty_kills_end_where_the_undisturbed_engine_does(postgres: EmbeddedPostgres) -> None:
    with connect(make_database(postgres.url), application="t") as db:
        calm = Watched(db)
        _story(calm, calm.look)
        expected = _outcome(db)
    url, chance, kills = make_database(postgres.url), random.Random(3), 0
    with connect(url, application="t") as db:
        chased = Watched(db)

        def look(seconds: float) -> None:
            nonlocal kills
            for _ in range(6):
                engine = _FORK.Process(target=_decide, args=(url, chased.at(seconds)))
                engine.start()
                engine.join(chance.uniform(0.005, 0.1))
                kills += engine.exitcode is None
                engine.kill()
                engine.join()
            last = _FORK.Process(target=_decide, args=(url, chased.at(seconds)))
            last.start()
            last.join(60)
            assert last.exitcode == 0

        _story(chased, look)
        assert _outcome(db) == expected
    assert kills >= _KILLS
    assert len(expected["tickets"]) > 5
