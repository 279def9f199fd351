"""`pilewatch ledger`: the sheet and the month's report, as files."""

import argparse
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pilewatch.clock import utc_now
from pilewatch.settings import Settings
from pilewatch.store.pool import Db, connect

_EVERYTHING = dict.fromkeys(("company_id", "owner_id", "person_id", "grids"))
"""Whoever may run commands on the server sees all of it."""
Add = Callable[..., argparse.ArgumentParser]


def add_ledger(add: Add, into: Any) -> None:
    """The subcommands."""
    report = add("report", _report, "the report of a month, as PDF", into)
    report.add_argument("--month", type=_month, required=True, metavar="YYYY-MM")
    export = add("export", _export, "all lines, as CSV or XLSX by the file's ending", into)
    for parser in (report, export):
        parser.add_argument("--area", metavar="CODE", help="only of this area")
        parser.add_argument("--language", choices=("zh", "en"), default="zh")
        parser.add_argument("-o", "--output", type=Path, required=True, metavar="FILE")


def _month(text: str) -> str:
    if not re.fullmatch(r"20\d\d-(0[1-9]|1[0-2])", text):
        raise argparse.ArgumentTypeError(f"{text}: right would be 2026-11")
    return text


def _report(settings: Settings, arguments: argparse.Namespace) -> int:
    from api.ledger.report import BadMonth, figures_of, make_pdf, read_month  # noqa: PLC0415
    from api.ledger.words import Words  # noqa: PLC0415

    now = utc_now()
    with _connect(settings) as db:
        try:
            asked = read_month(db, arguments.month, arguments.area)
        except BadMonth as error:
            return _tell(error)
        found = figures_of(db, asked, now, _EVERYTHING)
    made = make_pdf(asked, found, now, Words(arguments.language))
    return _write(arguments.output, lambda file: file.write(made))


def _export(settings: Settings, arguments: argparse.Namespace) -> int:
    from api.ledger.sheet import write_csv, write_xlsx  # noqa: PLC0415
    from api.ledger.words import Words, kind_names  # noqa: PLC0415
    from pilewatch.workflow.ledger import Wanted, all_lines  # noqa: PLC0415

    writers = {".csv": write_csv, ".xlsx": write_xlsx}
    write = writers.get(arguments.output.suffix.lower())
    if write is None:
        return _tell(f"{arguments.output}: right would be an ending of .csv or .xlsx", 2)
    with _connect(settings) as db, db.transaction():
        db.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        wanted = Wanted(area=arguments.area)
        most = 1_000_000  # rows of an Excel sheet, rounded down
        found = all_lines(db, utc_now(), wanted, kind_names(), narrowed=_EVERYTHING, most=most)
        words = Words(arguments.language)
        return _write(arguments.output, lambda file: write(found, words, file))


def _write(path: Path, fill: Callable[[Any], object]) -> int:
    try:
        with path.open("wb") as file:
            fill(file)
    except OSError as error:
        return _tell(error)
    print(path)
    return 0


def _connect(settings: Settings) -> Db:
    return connect(settings.database.url.get_secret_value(), application="pilewatch ledger")


def _tell(problem: object, code: int = 1) -> int:
    print(problem, file=sys.stderr)
    return code
