"""The `pilewatch` command. Exit codes: 0 done, 1 something is wrong, 2 wrong use or settings."""

import argparse
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg

from deploy import (
    audit,
    benches,
    contacts,
    dialects,
    ebike,
    fieldwork,
    figures,
    ocpp,
    openapi,
    people,
    register,
    secrets,
    setup,
    trials,
)
from deploy.ledger import add_ledger
from pilewatch.clock import utc_now
from pilewatch.settings import BadSettings, Settings, load_settings
from pilewatch.store.migrate import MigrationError, all_migrations, migrate
from pilewatch.store.pool import Db, connect
from pilewatch.store.registry import BadRegistry

Command = Callable[[Settings, argparse.Namespace], int]


def main(argv: list[str] | None = None) -> int:
    """Run one command; problems are told in a sentence on stderr."""
    arguments = _parser().parse_args(argv)
    run: Command = arguments.run
    try:
        return run(load_settings(), arguments)
    except BadSettings as error:
        return _tell(error, 2)
    except (BadRegistry, MigrationError) as error:
        return _tell(error, 1)
    except psycopg.OperationalError as error:
        return _tell(f"the database cannot be reached: {str(error).strip()}", 1)
    except psycopg.errors.UndefinedTable:
        return _tell("the database has no tables yet; run `pilewatch migrate`", 1)


def _tell(problem: object, code: int) -> int:
    print(problem, file=sys.stderr)
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="pilewatch",
        description="Turns what charging piles and their users say into repaired piles.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, run: Command, text: str, into: Any = commands) -> argparse.ArgumentParser:
        made: argparse.ArgumentParser = into.add_parser(name, help=text, description=text)
        made.set_defaults(run=run)
        return made

    demo = add("demo", _demo, "everything on this machine, with simulated chargers and people")
    demo.add_argument("--folder", type=Path, default=Path(".pilewatch"), help="where its data is")
    demo.add_argument("--host", default="127.0.0.1", help="0.0.0.0 lets a phone in your net see it")
    demo.add_argument("--port", type=int, help="of the pages; 8080 where that is free")
    demo.add_argument("--scenario", type=Path, help="another one for the same registry")
    demo.add_argument("--seed", type=int, default=1)
    demo.add_argument("--speed", type=float, default=1.0)
    add("migrate", _migrate, "bring the database to this version")
    add("ingest", _ingest, "take in what chargers say over MQTT")
    ebike.register(add)
    add("alerts", _alerts, "turn faults into incidents and tickets")
    add("api", _api, "answer people and programs over HTTP")
    document = add("openapi", openapi.run, "the API's OpenAPI document, for clients")
    document.add_argument("--out", type=Path, metavar="FILE", help="instead of printing it")
    add("status", _status, "what is up, and what waits; exit 1 if something is wrong")
    registry = commands.add_parser("registry", help="areas, grids, sites, chargers, connectors")
    inner = registry.add_subparsers(required=True, metavar="COMMAND")
    register.add_commands(add, inner)
    people.register(commands, add)
    audit.register(commands, add)
    dialects.register(commands, add)
    ocpp.register(commands, add)
    setup.register(commands, add)
    fieldwork.add_commands(add, commands)
    notify = commands.add_parser("notify", help="who is told of incidents and tickets")
    inner = notify.add_subparsers(required=True, metavar="COMMAND")
    test = add("test", _notify_test, "send a test message to every receiver", inner)
    test.add_argument("--receiver", metavar="NAME", help="only to this one")
    contacts.add_commands(add, commands)
    secrets.register(commands, add)
    explain = add("explain", _explain, "why there is an incident: values, limit, consequences")
    explain.add_argument("incident", type=int)
    figures.register(add, commands)
    ledger = commands.add_parser("ledger", help="the ledger of all matters, as files")
    add_ledger(add, ledger.add_subparsers(required=True, metavar="COMMAND"))
    benches.add_benches(add)
    _add_backtest(add("backtest", _backtest, "what another policy would have changed"))
    trials.register(add)
    _add_simulate(add("simulate", _simulate, "a community of chargers that fail, over MQTT"))
    return parser


def _add_backtest(parser: argparse.ArgumentParser) -> None:
    def moment(text: str) -> datetime:
        found = datetime.fromisoformat(text)
        return found if found.tzinfo else found.replace(tzinfo=UTC)

    def seconds(text: str) -> timedelta:
        value = float(text)
        if not 1 <= value <= 3600:
            raise argparse.ArgumentTypeError(f"{text}: right would be 1 to 3600")
        return timedelta(seconds=value)

    parser.add_argument("--from", dest="begins", type=moment, required=True, metavar="T")
    parser.add_argument("--to", dest="ends", type=moment, required=True, metavar="T")
    parser.add_argument("--policy", type=Path, required=True, metavar="FILE")
    parser.add_argument("--database-url", metavar="URL", help="another one that holds the history")
    parser.add_argument(
        "--step-s",
        type=seconds,
        default=timedelta(seconds=10),
        metavar="S",
        help="how often the engine looks, in history's time",
    )
    parser.add_argument("--json", action="store_true", help="for programs")


def _add_simulate(parser: argparse.ArgumentParser) -> None:
    def bounded(low: float, high: float) -> Callable[[str], float]:
        def number(text: str) -> float:
            value = float(text)
            if not low <= value <= high:
                raise argparse.ArgumentTypeError(f"{text}: right would be {low:g} to {high:g}")
            return value

        return number

    parser.add_argument("--scenario", type=Path, required=True, metavar="FILE")
    parser.add_argument("--seed", type=int, default=1, help="the same seed, the same run")
    parser.add_argument("--speed", type=bounded(0.01, 100_000), default=1.0)
    parser.add_argument("--truth", type=Path, metavar="OUT.jsonl", help="what is really broken")
    parser.add_argument("--duration", type=bounded(0, 1e9), metavar="S", help="wall seconds")
    parser.add_argument("--connections", choices=("each", "shared"), default="each")
    parser.add_argument("--dry-run", type=Path, metavar="OUT.jsonl", help="a file, no broker")
    parser.add_argument("--write-registry", type=Path, metavar="FILE", help="and nothing else")
    parser.add_argument("--people", metavar="API_URL", help="play the people, too")
    parser.add_argument("--keys", type=Path, metavar="FILE", help="JSON: role to API key")


def _connect(settings: Settings) -> Db:
    return connect(settings.database.url.get_secret_value(), application="pilewatch")


def _migrate(settings: Settings, _: argparse.Namespace) -> int:
    with _connect(settings) as db:
        steps = migrate(db, timescale=settings.database.timescale)
    for step in steps:
        print(f"{step.version:04} {step.name}{f' ({step.flavour})' if step.flavour else ''}")
    print("up to date" if not steps else f"{len(steps)} migrations ran")
    return 0


def _demo(_: Settings, arguments: argparse.Namespace) -> int:
    from deploy.demo import SCENARIO, CannotRun, Wanted, run_demo  # noqa: PLC0415

    wanted = Wanted(
        folder=arguments.folder,
        host=arguments.host,
        port=arguments.port,
        scenario=arguments.scenario or SCENARIO,
        seed=arguments.seed,
        speed=arguments.speed,
    )
    try:
        return run_demo(wanted)
    except CannotRun as error:
        return _tell(error, 1)


# Each process imports only what it needs: the ingester is to stay small.


def _ingest(settings: Settings, _: argparse.Namespace) -> int:
    from ingest.main import run  # noqa: PLC0415

    return run(settings)


def _alerts(settings: Settings, _: argparse.Namespace) -> int:
    from alerts.main import run  # noqa: PLC0415

    return run(settings)


def _api(settings: Settings, _: argparse.Namespace) -> int:
    from api.main import run  # noqa: PLC0415

    return run(settings)


def _simulate(settings: Settings, arguments: argparse.Namespace) -> int:
    from simulator.main import Options, run  # noqa: PLC0415
    from simulator.scenario import BadScenario  # noqa: PLC0415
    from simulator.world import BadTarget  # noqa: PLC0415

    options = Options(
        scenario=arguments.scenario,
        seed=arguments.seed,
        speed=arguments.speed,
        truth=arguments.truth,
        duration_s=arguments.duration,
        connections=arguments.connections,
        dry_run=arguments.dry_run,
        write_registry=arguments.write_registry,
        people=arguments.people,
        keys=arguments.keys,
    )
    try:
        return run(settings, options)
    except (BadScenario, BadTarget, OSError) as error:
        return _tell(error, 1)


def _backtest(settings: Settings, arguments: argparse.Namespace) -> int:
    from deploy.backtest import CannotReplay, run_backtest, show  # noqa: PLC0415
    from pilewatch.policy import BadPolicy, load_policy  # noqa: PLC0415

    try:
        found = run_backtest(
            settings,
            load_policy(arguments.policy),
            arguments.begins,
            arguments.ends,
            database_url=arguments.database_url,
            step=arguments.step_s,
        )
    except BadPolicy as error:
        return _tell(error, 2)
    except CannotReplay as error:
        return _tell(error, 1)
    show(found, print, as_document=arguments.json)
    return 0


def _explain(settings: Settings, arguments: argparse.Namespace) -> int:
    from alerts.explain import in_words  # noqa: PLC0415
    from pilewatch.store.explanation import explain  # noqa: PLC0415

    with _connect(settings) as db:
        found = explain(db, arguments.incident, utc_now(), points=30)
    if found is None:
        return _tell(f"there is no incident {arguments.incident}", 1)
    for line in in_words(found):
        print(line)
    return 0


def _notify_test(settings: Settings, arguments: argparse.Namespace) -> int:
    from alerts.main import directory_of  # noqa: PLC0415
    from alerts.notify.channels import open_channels  # noqa: PLC0415
    from alerts.notify.receivers import BadReceivers  # noqa: PLC0415
    from alerts.notify.sending import NotSent  # noqa: PLC0415

    try:
        directory = directory_of(settings)
    except BadReceivers as error:
        return _tell(error, 2)
    channels = open_channels(directory.addresses, settings.api.public_url, utc_now)
    wanted = [r for r in directory.receivers if arguments.receiver in (None, r.name)]
    if not wanted:
        return _tell(f"there is no receiver {arguments.receiver}", 1)
    failed = 0
    for receiver in wanted:
        try:
            channels[receiver.channel].test(receiver)
        except NotSent as error:
            failed += 1
            print(f"{receiver.name:20} not sent: {error}")
        else:
            print(f"{receiver.name:20} sent")
    return 1 if failed else 0


_FIGURES = {
    "schema": "SELECT max(version) AS n FROM schema_migration",
    "chargers": "SELECT count(*) AS n FROM charger WHERE active",
    "last message": "SELECT max(last_seen_at) AS n FROM charger_state",
    "ingesters": "SELECT count(*) AS n FROM listener WHERE alive_at > %(now)s - interval '15 s'",
    "engine": "SELECT count(*) AS n FROM pg_locks l JOIN pg_database d ON d.oid = l.database "
    "WHERE l.locktype = 'advisory' AND d.datname = current_database() "
    "AND l.classid = 7150 AND l.objid = 2 AND l.granted",
    "events": "SELECT count(*) AS n FROM event",
    "oldest event": "SELECT min(received_at) AS n FROM event",
    "incidents": "SELECT count(*) AS n FROM incident WHERE phase IN ('open', 'clearing')",
    "tickets": "SELECT count(*) AS n FROM ticket "
    "WHERE state NOT IN ('closed', 'rejected', 'merged')",
    "reports to review": "SELECT count(*) AS n FROM report "
    "WHERE doubt <> '{}' AND reviewed_at IS NULL",
    "unsent": "SELECT count(*) AS n FROM outbox WHERE sent_at IS NULL AND due_at <= %(now)s",
    "dead letters": "SELECT count(*) AS n FROM delivery WHERE dead_at IS NOT NULL",
    "quarantine": "SELECT count(*) AS n FROM quarantine",
    "unknown chargers": "SELECT count(*) AS n FROM unknown_charger",
}


def _status(settings: Settings, _: argparse.Namespace) -> int:
    now = utc_now()
    found: dict[str, Any] = {}
    with _connect(settings) as db:
        for name, query in _FIGURES.items():
            row = db.execute(query, {"now": now}).fetchone()
            found[name] = None if row is None else row["n"]
    for name, value in found.items():
        said = value.isoformat(timespec="seconds") if isinstance(value, datetime) else value
        print(f"{name:18} {'-' if said is None else said}")
    problems = _problems(found, now)
    for problem in problems:
        print(f"! {problem}")
    return 1 if problems else 0


def _problems(found: dict[str, Any], now: datetime) -> list[str]:
    problems = []
    newest = max(step.version for step in all_migrations())
    if found["schema"] != newest:
        problems.append(f"the schema is at {found['schema']}, this program needs {newest}: migrate")
    if not found["ingesters"]:
        problems.append("no ingester listens to the broker")
    if not found["engine"]:
        problems.append("no alert engine decides")
    oldest = found["oldest event"]
    if oldest is not None and (now - oldest).total_seconds() > 60:
        problems.append("events have waited for more than a minute")
    if found["dead letters"]:
        problems.append(
            "some notifications were given up: GET /api/v1/deliveries?dead=1 names them"
        )
    return problems


if __name__ == "__main__":
    sys.exit(main())
