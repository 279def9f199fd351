"""kill -9 of the engine between decision and notification: one ticket a fault, nothing lost."""

import json
import os
import random
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from psycopg.types.json import Jsonb

from pilewatch.store.pool import Db, connect
from tests.ingest.conftest import wait_until
from tests.workflow.conftest import Community

FAULTS = ("relay-open", "display-failure", "meter-failure", "over-current", "reader-failure")


class Receiver:
    """A webhook's receiving end, which counts each key."""

    def __init__(self) -> None:
        self.keys: list[str] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.keys.append(json.loads(body)["key"])
                assert self.headers["X-Pilewatch-Signature"].startswith("t=")
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A real HTTP receiver."""
    made = Receiver()
    yield made
    made.server.shutdown()


def _engine(url: str, receiver: Receiver, folder: Path) -> "subprocess.Popen[bytes]":
    policy = folder / "policy.toml"
    policy.write_text("[debounce]\npeople_s = 0\nreported_s = 0.2\nclear_s = 0.2\n")
    environment = {
        **os.environ,
        "PILEWATCH_DATABASE__URL": url,
        "PILEWATCH_ALERTS__POLICY_FILE": str(policy),
        "PILEWATCH_ALERTS__TICK_S": "0.1",
        "PILEWATCH_ALERTS__WEBHOOK_URL": f"http://127.0.0.1:{receiver.server.server_port}/",
        "PILEWATCH_ALERTS__WEBHOOK_SECRET": "s",
    }
    log = (folder / "alerts.log").open("ab")
    return subprocess.Popen([sys.executable, "-m", "alerts"], env=environment, stderr=log)


def _count(db: Db, query: str) -> int:
    row = db.execute(f"SELECT count(*) AS n FROM {query}").fetchone()
    assert row is not None
    return int(row["n"])


def _faults(db: Db, community: Community, chance: random.Random) -> None:
    """Every connector breaks in one way or two, and says so more than once."""
    for place, connector in enumerate(community.connectors):
        codes = chance.sample(FAULTS, 2)
        for said in (codes[:1], codes, codes):
            now = datetime.now(UTC)
            db.execute(
                "INSERT INTO event (kind, charger_id, connector_id, observed_at, received_at, "
                "payload) VALUES ('connector.status', %s, %s, %s, %s, %s)",
                (community.chargers[place // 2], connector, now, now,
                 Jsonb({"status": "faulted", "errors": [{"code": code} for code in said]})),
            )  # fmt: skip
    db.execute("NOTIFY pilewatch_event")


def test_an_engine_killed_at_random_moments_and_a_standby(
    plain_database_url: str, receiver: Receiver, tmp_path: Path
) -> None:
    chance = random.Random(11)
    with connect(plain_database_url, application="t") as db:
        community = Community(db, chargers=40)
        engines = [_engine(plain_database_url, receiver, tmp_path) for _ in range(2)]
        try:
            for kill in range(4):
                _faults(db, community, chance)
                decided = 10 + chance.randrange(60) + kill * 20
                wait_until(lambda n=decided: _count(db, "incident") >= min(n, 80), 30)
                leader = chance.randrange(2)
                engines[leader].kill()
                engines[leader].wait()
                engines[leader] = _engine(plain_database_url, receiver, tmp_path)
            waiting = "event UNION ALL SELECT FROM outbox WHERE sent_at IS NULL"
            waiting = f"(SELECT FROM {waiting}) w"
            wait_until(lambda: _count(db, waiting) == 0, 60)
            wait_until(lambda: _count(db, "incident WHERE phase = 'pending'") == 0, 30)
            wait_until(lambda: _count(db, waiting) == 0, 60)
        finally:
            for engine in engines:
                engine.terminate()
            codes = [engine.wait(20) for engine in engines]
        assert codes == [0, 0]
        doubled = db.execute(
            "SELECT subject_kind, subject_id, family, count(*) FROM ticket WHERE state <> 'merged' "
            "GROUP BY 1, 2, 3 HAVING count(*) > 1"
        ).fetchall()
        assert doubled == []
        assert _count(db, "ticket WHERE state <> 'merged'") == _count(
            db, "(SELECT DISTINCT ticket_id FROM incident WHERE ticket_id IS NOT NULL) i"
        )
        assert _count(db, "incident WHERE opened_at IS NOT NULL AND ticket_id IS NULL") == 0
        written = {row["key"] for row in db.execute("SELECT key FROM outbox")}
        assert set(receiver.keys) == written
