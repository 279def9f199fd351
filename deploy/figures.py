"""`pilewatch uptime`, `analyse` and `export parquet`: figures for people and notebooks."""

import argparse
import json
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pilewatch.settings import Settings
from pilewatch.store.pool import connect
from pilewatch.uptime.analysis import GROUPS, analyse
from pilewatch.uptime.building import built_until, rebuild
from pilewatch.uptime.export import TABLES, export_parquet
from pilewatch.uptime.measures import Tally
from pilewatch.uptime.periods import Length, Period, moment, period
from pilewatch.uptime.publishing import known_tallies
from pilewatch.uptime.reading import LEVELS, Place, places, sums

Add = Callable[..., argparse.ArgumentParser]


def register(add: Add, commands: Any) -> None:
    """Their words on the command line."""
    uptime = add("uptime", _uptime, "how much of the time connectors could be used, by three rules")
    _add_asking(uptime)
    uptime.add_argument("--by", choices=LEVELS, default="site", help="what each line is about")
    uptime.add_argument("--rebuild", action="store_true",
                        help="first build its intervals anew from what was observed")  # fmt: skip
    looked = add("analyse", _analyse, "what breaks, how often, for how long, and which model")
    _add_asking(looked)
    looked.add_argument(
        "--by", choices=GROUPS, default="model", help="reliability of each of these"
    )
    export = commands.add_parser("export", help="tables for a notebook")
    inner = export.add_subparsers(required=True, metavar="FORMAT")
    parquet = add("parquet", _export, "one table of a period as a Parquet file", inner)
    _add_period(parquet)
    parquet.add_argument("--table", choices=TABLES, required=True)
    parquet.add_argument("file", type=Path)


def _add_period(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--month", required=True, metavar="YYYY-MM", type=_month)
    parser.add_argument("--span", choices=list(Length), default=Length.MONTH, type=Length,
                        help="the month, the twelve that end with it, or its year")  # fmt: skip


def _add_asking(parser: argparse.ArgumentParser) -> None:
    _add_period(parser)
    for word in ("area", "company", "site", "charger"):
        parser.add_argument(f"--{word}", metavar="CODE", help=f"only of this {word}")
    parser.add_argument("--json", action="store_true", help="for programs")


def _month(text: str) -> str:
    try:
        period(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return text


def _asked(arguments: argparse.Namespace) -> Period:
    return period(arguments.month, arguments.span)


def _words(arguments: argparse.Namespace) -> dict[str, Any]:
    return {word: getattr(arguments, word) for word in ("area", "company", "site", "charger")}


def _uptime(settings: Settings, arguments: argparse.Namespace) -> int:
    asked = _asked(arguments)
    with connect(settings.database.url.get_secret_value(), application="pilewatch") as db:
        found = places(db, **_words(arguments))
        if arguments.rebuild:
            begins, ends = _outer(found, asked)
            rebuild(db, moment(begins), moment(ends))
        until = built_until(db)
        rows = sums(known_tallies(db, found, asked), arguments.by)
    if arguments.json:
        lines = [{"code": r.code, **asdict(r.tally), **_shares(r.tally)} for r in rows]
        print(json.dumps(lines, ensure_ascii=False, indent=1))
        return 0
    print(f"{asked}, known until {until.isoformat() if until else 'nothing yet'}; percent, hours")
    head = ("plain", "NEVI", "UK", "down", "excluded", "unknown", "ports")
    print(f"{arguments.by:24}" + "".join(f"{word:>10}" for word in head))
    for row in rows:
        t = row.tally
        shares = "".join(f"{_percent(share):>10}" for share in (t.plain, t.nevi, t.uk))
        hours = (t.service - t.working, t.nevi_excluded, t.unknown)
        times = "".join(f"{us / 3.6e9:10.2f}" for us in hours)
        print(f"{row.code or '-':24}{shares}{times}{t.connectors:10}")
    return 0


def _outer(found: list[Place], asked: Period) -> tuple[int, int]:
    spans = [asked.span(place.timezone) for place in found] or [asked.span("UTC")]
    return min(span[0] for span in spans), max(span[1] for span in spans)


def _shares(tally: Tally) -> dict[str, float | None]:
    return {"plain": tally.plain, "nevi": tally.nevi, "uk": tally.uk}


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.3f}"


def _analyse(settings: Settings, arguments: argparse.Namespace) -> int:
    with connect(settings.database.url.get_secret_value(), application="pilewatch") as db:
        found = places(db, **_words(arguments))
        told = asdict(analyse(db, found, _asked(arguments), by=arguments.by))
    if arguments.json:
        print(json.dumps(told, ensure_ascii=False, indent=1))
        return 0
    for name, rows in told.items():
        print(f"# {name}")
        for line in _table(rows):
            print(line)
    return 0


def _table(rows: list[dict[str, Any]]) -> Iterable[str]:
    if not rows:
        yield "nothing"
        return
    yield "".join(f"{name:>16}" for name in rows[0])
    for row in rows:
        yield "".join(f"{_cell(value):>16}" for value in row.values())


def _cell(value: Any) -> str:
    if isinstance(value, dict):
        return " ".join(f"{key}d:{share:.2f}" for key, share in value.items()) or "-"
    if value is None:
        return "-"
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def _export(settings: Settings, arguments: argparse.Namespace) -> int:
    with connect(settings.database.url.get_secret_value(), application="pilewatch") as db:
        try:
            count = export_parquet(db, arguments.table, _asked(arguments), arguments.file)
        except OSError as error:
            print(f"{arguments.file}: {error.strerror or error}")
            return 1
    print(f"{count} rows of {arguments.table} in {arguments.file}")
    return 0
