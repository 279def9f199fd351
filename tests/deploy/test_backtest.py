"""Stored history through the engine with another policy: exactly the expected difference."""

import json
import subprocess
import sys
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import groupby
from pathlib import Path

import pytest

from alerts.backtest import Difference
from alerts.engine import Engine
from deploy.backtest import CannotReplay, run_backtest, writer
from pilewatch.model import Kind, Observation, ReportedError, Status
from pilewatch.policy import Debounce, Policy
from pilewatch.settings import Settings
from pilewatch.store.pool import Db
from pilewatch.workflow.desk import Actor, act
from pilewatch.workflow.reports import file_report
from pilewatch.workflow.tickets import Accept, Claim, Reject
from tests.parts import database_on
from tests.workflow.conftest import NOW, Community

POLICY = Policy(debounce=Debounce(reported_s=10, silence_s=30, clear_s=60))
STEP = timedelta(seconds=20)


def at(minute: float) -> datetime:
    """So many minutes after NOW."""
    return NOW + timedelta(minutes=minute)


@dataclass
class Afternoon:
    """Two hours that happened: what chargers said, and the live engine over it."""

    db: Db
    community: Community
    said: list[Observation] = field(default_factory=list)

    def say(self, minute: float, charger: int, kind: Kind, port: int = 0, **more: object) -> None:
        """One message."""
        self.said.append(
            Observation(
                kind=kind, charger=f"C{charger}", connector=port, observed_at=at(minute),
                received_at=at(minute), confirms_all=kind == Kind.HEARTBEAT,
                **more,  # type: ignore[arg-type]
            )
        )  # fmt: skip

    def status(self, minute: float, charger: int, port: int, *codes: str) -> None:
        """A port is well, or has these faults."""
        self.say(
            minute, charger, Kind.STATUS, port,
            status=Status.FAULTED if codes else Status.AVAILABLE,
            errors=tuple(ReportedError(code) for code in codes),
        )  # fmt: skip

    def live(self) -> None:
        """All of it through the writer and the live engine, moment by moment."""
        write = writer(self.db, self.db)
        engine = Engine(self.db, POLICY)
        by_time = sorted(self.said, key=lambda o: o.received_at)
        for now, together in groupby(by_time, key=lambda o: o.received_at):
            write(list(together), now)
            self.db.execute(
                "INSERT INTO listener VALUES ('t', %s, %s) ON CONFLICT (client_id) "
                "DO UPDATE SET alive_at = excluded.alive_at",
                (at(-60), now),
            )
            for later in (0, 4):  # the engine looks also when nothing has come
                while engine.turn(now + timedelta(seconds=later)):
                    pass
            self.people(now)

    def people(self, now: datetime) -> None:
        """What people do in that minute."""
        person = Actor("person", self.community.worker)
        place = {"site_id": self.community.site, "charger_id": self.community.chargers[1]}
        with self.db.transaction():
            if now == at(30):
                row = self.db.execute("SELECT id FROM ticket WHERE code = 'relay-open'").fetchone()
                assert row is not None
                act(self.db, POLICY, now, row["id"], Reject("it works"), person)
            if now == at(40):
                row = self.db.execute(
                    "SELECT id FROM ticket WHERE code = 'connector-lock'"
                ).fetchone()
                assert row is not None
                act(self.db, POLICY, now, row["id"], Accept(), person)
                act(self.db, POLICY, now, row["id"], Claim("worn", "replaced"), person)
            if now == at(50):
                file_report(
                    self.db, POLICY, now, source="page", **place,
                    connector_id=self.community.connectors[3], code="no-output", note="dead",
                )  # fmt: skip


@pytest.fixture
def afternoon(plain_db: Db) -> Afternoon:
    """Known faults: one brief, one lasting, one blink, one silence."""
    a = Afternoon(plain_db, Community(plain_db))
    plain_db.execute("UPDATE connector_state SET status = 'unknown', status_at = NULL")
    plain_db.execute("UPDATE charger_state SET last_seen_at = NULL, confirmed_at = NULL")
    for charger in range(3):
        online = {"bootId": "b", "heartbeatS": 60}
        a.say(-5, charger, Kind.ONLINE, data=online)
        for port in (1, 2):
            a.status(-5 + 0.1 * port, charger, port)
        for minute in range(-4, 120):
            if charger != 2 or not 60 <= minute < 75:
                a.say(minute, charger, Kind.HEARTBEAT, data={"uptimeS": 1.0, "rssiDbm": -60})
    a.status(20.1, 0, 1, "relay-open")
    a.status(20.6, 0, 1)
    a.status(25.1, 1, 1, "connector-lock")
    a.status(38.1, 1, 1)
    a.status(45.1, 0, 2, "meter-failure")
    a.status(45.2, 0, 2)
    a.live()
    return a


def _backtest(url: str, policy: Policy) -> Difference:
    return run_backtest(Settings(), policy, at(0), at(120), database_url=url, step=STEP)


def _codes(found: Difference) -> tuple[list[str], list[str], list[str]]:
    return (
        [t.code for t in found.missing],
        [t.code for t in found.extra],
        [p.real.code for p in found.moved if p.real],
    )


def test_the_same_policy_changes_nothing_and_another_exactly_what_it_must(
    afternoon: Afternoon, plain_database_url: str
) -> None:
    db = afternoon.db
    happened = db.execute("SELECT code FROM ticket ORDER BY id").fetchall()
    codes = [row["code"] for row in happened]
    assert codes == ["relay-open", "connector-lock", "no-output", "offline-charger"]
    before = db.execute("SELECT count(*) AS n, max(id) AS m FROM ticket_entry").fetchall()

    same = _backtest(plain_database_url, POLICY)
    assert same.empty, (same.missing, same.extra, same.moved)
    assert [p.real.code for p in same.same if p.real] == codes
    assert same.summary()["false_alarms"] == {"real": 1, "with_policy_known": 1}

    patient = Policy(debounce=Debounce(reported_s=90, silence_s=30, clear_s=60))
    slow = _backtest(plain_database_url, patient)
    assert _codes(slow) == (["relay-open"], [], ["connector-lock"])
    assert [p.shift_s for p in slow.moved] == [80]
    assert slow.summary()["false_alarms"] == {"real": 1, "with_policy_known": 0}

    hasty = Policy(debounce=Debounce(reported_s=3, silence_s=30, clear_s=60))
    fast = _backtest(plain_database_url, hasty)
    assert _codes(fast) == ([], ["meter-failure"], [])

    after = db.execute("SELECT count(*) AS n, max(id) AS m FROM ticket_entry").fetchall()
    assert after == before, "what is live is not touched"
    left = db.execute("SELECT datname FROM pg_database WHERE datname LIKE '%backtest%'").fetchall()
    assert left == []


def test_what_a_reset_cured_in_reality_is_not_judged(
    afternoon: Afternoon, plain_database_url: str
) -> None:
    a = Afternoon(afternoon.db, afternoon.community)
    for minute in (80, 81, 82):
        a.say(minute, 0, Kind.HEARTBEAT, data={"uptimeS": 1.0, "rssiDbm": -60})
    a.status(80.1, 0, 1, "internal-error")
    a.status(81.1, 0, 1)
    a.say(99, 0, Kind.HEARTBEAT, data={"uptimeS": 1.0, "rssiDbm": -60})
    a.live()
    row = a.db.execute("SELECT outcome FROM self_repair").fetchall()
    assert row == [{"outcome": "cleared"}]
    found = _backtest(plain_database_url, POLICY)
    assert [t.code for t in found.not_judged] == ["internal-error"]
    assert found.empty, (found.missing, found.extra, found.moved)


def test_the_command_prints_a_table_and_json(
    afternoon: Afternoon, plain_database_url: str, tmp_path: Path
) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text("[debounce]\nreported_s = 90\nsilence_s = 30\nclear_s = 60\n")
    command = [
        *(sys.executable, "-m", "deploy.command", "backtest", "--policy", str(policy)),
        *("--from", at(0).isoformat(), "--to", at(60).isoformat(), "--step-s", "20"),
        *("--database-url", plain_database_url),
    ]
    table = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout
    assert "missing  relay-open" in table and "a false alarm" in table
    said = subprocess.run(
        [*command, "--json"], capture_output=True, text=True, check=True, timeout=120
    ).stdout
    document = json.loads(said)
    assert document["summary"]["missing"] == 1
    assert document["missing"][0]["code"] == "relay-open"


def test_a_role_that_may_not_create_databases_is_told_so(
    plain_db: Db, plain_database_url: str
) -> None:
    plain_db.execute("DROP ROLE IF EXISTS reader_only")
    plain_db.execute("CREATE ROLE reader_only LOGIN")
    name = plain_database_url.rsplit("/", 1)[1]
    url = database_on(plain_database_url.replace("//postgres@", "//reader_only@"), name)
    with pytest.raises(CannotReplay, match="CREATEDB"):
        _backtest(url, POLICY)
    plain_db.execute("DROP ROLE reader_only")
    with pytest.raises(CannotReplay, match="before"):
        run_backtest(Settings(), POLICY, at(1), at(0), database_url=plain_database_url)
