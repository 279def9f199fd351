"""`make truth`: seeds × faults × noise through the real parts; tables of what was found."""

import argparse
import dataclasses
import shutil
import sys
import tempfile
import time
import uuid
from pathlib import Path

from bench.truth.judge import Judged, Opened, Row, judge, table
from bench.truth.replay import Plan, Replay
from bench.truth.rivals import Alertmanager, Mailer
from deploy.embedded import EmbeddedPostgres
from pilewatch.policy import Policy
from pilewatch.store.migrate import migrate
from pilewatch.store.pool import Db, connect
from simulator.faults import KINDS

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


def play(server: EmbeddedPostgres, plan: Plan) -> dict[str, Judged]:
    """One run on a database of its own: what we, and the two others, made of it."""
    name = f"truth_{uuid.uuid4().hex[:10]}"
    with connect(server.url, application="truth") as admin:
        admin.execute(f"CREATE DATABASE {name}")
    try:
        url = f"{server.url.rsplit('/', 1)[0]}/{name}"
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
            print(
                f"  seed {plan.seed}: {replay.played.messages} messages, {len(truths)} faults",
                file=sys.stderr,
            )
            return judged
    finally:
        with connect(server.url, application="truth") as admin:
            admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


def print_rows(rows: list[Row]) -> None:
    """The table by fault, as Markdown."""
    print("| fault | faults | recall | named | precision | mean | max | p50 s | p95 s |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for row in rows:
        cells = [row.code, row.faults, _share(row.recall), row.named, _share(row.precision)]
        cells += [f"{row.mean:.2f}", row.most, _seconds(row.p50), _seconds(row.p95)]
        print("| " + " | ".join(map(str, cells)) + " |")


def print_comparison(runs: list[dict[str, Judged]]) -> None:
    """The three ways on the same data."""
    print("\n| way | tickets or mails | faults | missed | false | p50 delay s |")
    print("| --- | --- | --- | --- | --- | --- |")
    for way in ("pilewatch", "mail", "rules"):
        judged = [run[way] for run in runs]
        total = table(judged)[-1]
        sent = sum(len(v.tickets) for run in judged for v in run.verdicts) + total.false
        missed = total.faults - total.found
        cells = [way, sent, total.faults, missed, total.false, _seconds(total.p50)]
        print("| " + " | ".join(map(str, cells)) + " |")


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"


def _seconds(value: float | None) -> str:
    return "–" if value is None else f"{value:.0f}"


def main() -> int:
    """Run it; 1 where a healthy community got a ticket."""
    ask = argparse.ArgumentParser(prog="make truth")
    ask.add_argument("--seeds", default="1-3", help="as 1-20 or 3,5,8")
    ask.add_argument("--faults", default="all", help="codes by comma; none: a healthy community")
    ask.add_argument("--days", type=float, default=14.0)
    ask.add_argument("--warm", type=float, default=4.0, help="days before the first fault")
    ask.add_argument("--no-noise", action="store_true")
    ask.add_argument("--show", action="store_true", help="list what was missed, doubled or false")
    told = ask.parse_args()
    codes = tuple(sorted(KINDS)) if told.faults == "all" else tuple(told.faults.split(","))
    if told.faults == "none":
        codes = ()
    low, _, high = told.seeds.partition("-")
    seeds = range(int(low), int(high) + 1) if high else [int(s) for s in told.seeds.split(",")]
    folder = Path(tempfile.mkdtemp(prefix="truth-", dir=_MEMORY if _MEMORY.is_dir() else None))
    folder.chmod(0o755)
    started = time.monotonic()
    try:
        server = EmbeddedPostgres(folder / "pg", settings=_FAST).start()
        try:
            plan = Plan(0, codes, days=told.days, warm_days=told.warm, noise=not told.no_noise)
            runs = [play(server, dataclasses.replace(plan, seed=seed)) for seed in seeds]
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    ours = [run["pilewatch"] for run in runs]
    print_rows(table(ours))
    print_comparison(runs)
    if told.show:
        _show(ours)
    community = plan.community
    days = told.days * (community.ebike + community.car)
    print(f"\n{len(runs)} seeds, {days:.0f} charger-days each, {time.monotonic() - started:.0f} s")
    return int(not codes and any(run.false for run in ours))


def _show(runs: list[Judged]) -> None:
    for run in runs:
        for verdict in run.verdicts:
            truth = verdict.truth
            place = f"{truth.code} {truth.charger or truth.gateway or truth.site}/{truth.connector}"
            if not verdict.tickets:
                print(f"missed  {place} {truth.start:%d %H:%M} to {truth.end:%d %H:%M}")
            elif len(verdict.tickets) > 1 or not verdict.matching:
                got = ", ".join(
                    f"{t.code} {t.charger}/{t.connector} {t.at:%d %H:%M}" for t in verdict.tickets
                )
                print(f"several {place} {truth.start:%d %H:%M}: {got}")
        for t in run.false:
            print(f"false   {t.code} {t.site} {t.charger}/{t.connector} {t.at:%d %H:%M}")


if __name__ == "__main__":
    sys.exit(main())
