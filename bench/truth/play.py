"""Plans played and judged, several at once."""

import hashlib
import pickle
import shutil
import sys
import tempfile
import uuid
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat
from multiprocessing import get_context
from pathlib import Path

from bench.truth.judge import Judged, Opened, judge
from bench.truth.replay import Plan, Replay
from bench.truth.rivals import Alertmanager, Mailer
from deploy.embedded import EmbeddedPostgres
from pilewatch.policy import Policy
from pilewatch.store.migrate import migrate
from pilewatch.store.pool import Db, connect

_MEMORY = Path("/dev/shm")
_FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
_TICKETS = """
SELECT t.id, t.code, t.family, s.code AS site, g.code AS gateway, c.code AS charger,
       n.number AS connector, t.opened_at AS at
FROM ticket t JOIN site s ON s.id = t.site_id
LEFT JOIN charger c ON c.id = t.charger_id LEFT JOIN connector n ON n.id = t.connector_id
LEFT JOIN gateway g ON g.id = CASE t.subject_kind WHEN 'gateway' THEN t.subject_id
                                  ELSE c.gateway_id END
WHERE t.state <> 'merged' ORDER BY t.opened_at, t.id
"""


def tickets(db: Db) -> list[Opened]:
    """Every ticket that was not merged into another."""
    return [Opened(**row) for row in db.execute(_TICKETS)]


def play(server_url: str, plan: Plan, keep: Path | None) -> dict[str, Judged]:
    """One run on a database of its own: what we, and the two others, made of it.

    With `keep`, a run that is there already is not played again.
    """
    kept = keep and keep / f"{hashlib.sha256(repr(plan).encode()).hexdigest()[:16]}.pickle"
    if kept and kept.exists():
        return pickle.loads(kept.read_bytes())  # type: ignore[no-any-return]
    judged = _play(server_url, plan)
    if kept:
        kept.write_bytes(pickle.dumps(judged))
    return judged


def _play(server_url: str, plan: Plan) -> dict[str, Judged]:
    name = f"truth_{uuid.uuid4().hex[:10]}"
    with connect(server_url, application="truth") as admin:
        admin.execute(f"CREATE DATABASE {name}")
    try:
        url = f"{server_url.rsplit('/', 1)[0]}/{name}"
        with (
            connect(url, application="truth writer") as writer,
            connect(url, application="truth") as db,
        ):
            migrate(db, timescale="off")
            replay = Replay(writer, db, plan, Policy())
            mailer, rules = Mailer(replay.world), Alertmanager(replay.world)
            replay.played.listeners += [mailer.hear, rules.hear]
            truths = replay.run().truth
            judged = {
                "pilewatch": judge(truths, tickets(db)),
                "mail": judge(truths, mailer.sent),
                "rules": judge(truths, rules.fired),
            }
            said = f"{replay.played.messages} messages, {len(truths)} faults"
            print(f"  seed {plan.seed}: {said}", file=sys.stderr, flush=True)
            return judged
    finally:
        with connect(server_url, application="truth") as admin:
            admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


def play_all(plans: list[Plan], jobs: int, keep: Path | None) -> list[dict[str, Judged]]:
    """Each plan in a process, so many at once, on one server in memory."""
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="truth-", dir=_MEMORY if _MEMORY.is_dir() else None))
    folder.chmod(0o755)
    try:
        server = EmbeddedPostgres(folder / "pg", settings=_FAST).start()
        try:
            with ProcessPoolExecutor(jobs, get_context("spawn")) as pool:
                return list(pool.map(play, repeat(server.url), plans, repeat(keep)))
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
