"""The database killed under a running engine, a standby that takes over, events that come twice:
incidents, tickets and resets end as those of the undisturbed run."""

import multiprocessing
import random
import time
from collections.abc import Callable
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg

from alerts.engine import Engine
from alerts.ledger import SQL
from deploy.embedded import EmbeddedPostgres
from pilewatch.store.pool import Db, connect
from tests.alerts.conftest import POLICY, Watched
from tests.conftest import make_database
from tests.ingest.conftest import wait_until

_FORK = multiprocessing.get_context("fork")
_CODES = ("relay-open", "internal-error", "display-failure", "ev-comms")
_STEPS = 7
_RESTARTS = (2, 5)
_LOST = 3


def _lead(url: str, now: datetime) -> None:
    """One of two engines: waits for the other to die, then decides until nothing waits."""
    try:
        with connect(url, application="engine") as db:
            while not (row := db.execute(SQL["try_to_lead"]).fetchone()) or not row["leads"]:
                time.sleep(0.01)
            engine = Engine(db, POLICY)
            while engine.turn(now):
                pass
    except psycopg.OperationalError:
        raise SystemExit(_LOST) from None


def _story(w: Watched, twice: Callable[[], bool], look: Callable[[int, float], None]) -> None:
    """Ports break and recover, a pile dies and returns, resets help on some piles."""
    chance = random.Random(5)
    for step in range(_STEPS):
        at = 200.0 * step
        w.lives(at, *range(5))
        for charger in range(5):
            codes = chance.sample(_CODES, chance.choice((0, 0, 1, 2)))
            for _ in range(1 + twice()):
                w.says(at, charger, 1, "faulted" if codes else "available", *codes)
        if step in (3, 4):
            for _ in range(1 + twice()):
                (w.dies if step == 3 else w.returns)(at + 1, 2)
        look(step, at + 60)
        w.db.execute(
            "UPDATE command SET sent_at = %s, ended_at = %s, "
            "state = CASE charger_id %% 2 WHEN 0 THEN 'done' ELSE 'rejected' END "
            "WHERE state = 'queued'",
            (w.at(at + 61), w.at(at + 61)),
        )
        look(step, at + 70)


def _outcome(db: Db) -> dict[str, list[str]]:
    """All that counts, without numbers, which a rolled back attempt uses up."""
    wanted = {
        "incidents": "SELECT subject_kind, subject_id, code, phase, opened_at, ended_at "
        "FROM incident",
        "tickets": "SELECT subject_kind, subject_id, code, severity, state, opened_at, "
        "deadline_at FROM ticket",
        "timeline": "SELECT t.subject_id, t.code, e.at, e.action, e.to_state "
        "FROM ticket_entry e JOIN ticket t ON t.id = e.ticket_id",
        "resets": "SELECT charger_id, issued_at, state FROM command",
        "trials": "SELECT charger_id, began_at, ended_at, outcome, reason FROM self_repair",
    }
    return {
        name: sorted(str(tuple(row.values())) for row in db.execute(sql))
        for name, sql in wanted.items()
    }


def test_restarts_takeovers_and_repeated_events_end_where_the_undisturbed_run_does(
    postgres: EmbeddedPostgres, parts_folder: Path
) -> None:
    with connect(make_database(postgres.url), application="t") as db:
        calm = Watched(db)
        _story(calm, lambda: False, lambda _, seconds: calm.look(seconds))
        expected = _outcome(db)
    assert all(expected.values()), expected
    server = EmbeddedPostgres(parts_folder / "killed", settings={"fsync": "off"}).start()
    try:
        chased = _Chased(server, make_database(server.url))
        _story(chased.watched, lambda: chased.chance.random() < 0.5, chased.look)
        assert _outcome(chased.watched.db) == expected
    finally:
        server.stop()


def _waits(db: Db) -> bool:
    row = db.execute(
        "SELECT count(*) AS n FROM pg_stat_activity WHERE application_name = 'engine' "
        "AND wait_event_type = 'Lock' AND datname = current_database()"
    ).fetchone()
    return row is not None and row["n"] > 0


class _Chased:
    """The same story with two engines, of which the first dies in the middle of each turn."""

    def __init__(self, server: EmbeddedPostgres, url: str):
        self.server = server
        self.url = url
        self.chance = random.Random(9)
        self.watched = Watched(connect(url, application="t"))
        self._restarts = set(_RESTARTS)

    def look(self, step: int, seconds: float) -> None:
        """The leader dies, or the server under it; the standby, or a new engine, decides."""
        now = self.watched.at(seconds)
        with_server = step in self._restarts
        self._restarts.discard(step)
        with closing(connect(self.url, application="holder")) as holder:
            holder.execute("BEGIN")
            holder.execute("LOCK TABLE incident IN EXCLUSIVE MODE")  # the leader waits for it
            leader = self._engine(now)
            wait_until(lambda: _waits(self.watched.db), 60)
            standby = self._engine(now)
            if with_server:
                self.server.kill()
            else:
                leader.kill()
        leader.join(60)
        standby.join(60)
        if with_server:
            assert (leader.exitcode, standby.exitcode) == (_LOST, _LOST)
            self.server.start()
            self.watched.db = connect(self.url, application="t")
            standby = self._engine(now)
            standby.join(60)
        assert standby.exitcode == 0

    def _engine(self, now: datetime) -> Any:
        made = _FORK.Process(target=_lead, args=(self.url, now))
        made.start()
        return made
