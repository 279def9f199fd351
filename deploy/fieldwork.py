"""`pilewatch checklist load` and `pilewatch poster`."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pilewatch.clock import utc_now
from pilewatch.settings import Settings
from pilewatch.store.pool import Db, connect


def add_commands(add: Callable[..., argparse.ArgumentParser], commands: Any) -> None:
    """Register both."""
    checklist = commands.add_parser("checklist", help="what inspections look at")
    inner = checklist.add_subparsers(required=True, metavar="COMMAND")
    load = add("load", _load_checklist, "load an area's own checklist (TOML)", inner)
    load.add_argument("file", type=Path)
    load.add_argument("--area", required=True, metavar="CODE")
    poster = add("poster", _poster, "the poster of a pile, or those of a site, as PDF")
    poster.add_argument("place", metavar="SITE|CHARGER", help="by code")
    poster.add_argument("-o", "--output", type=Path, required=True, metavar="FILE")
    poster.add_argument("--size", choices=("a4", "a5"), default="a4")


def _load_checklist(settings: Settings, arguments: argparse.Namespace) -> int:
    from pilewatch.checklist import BadChecklist, load_checklist  # noqa: PLC0415
    from pilewatch.workflow.checklists import keep_checklist  # noqa: PLC0415

    try:
        found = load_checklist(arguments.file)
    except BadChecklist as error:
        return _tell(str(error))
    with _connect(settings) as db, db.transaction():
        row = db.execute("SELECT id FROM area WHERE code = %s", (arguments.area,)).fetchone()
        if row is None:
            return _tell(f"there is no area {arguments.area}")
        kept = keep_checklist(db, utc_now(), found, row["id"])
    print(f"{found.code}, version {kept.number}: {len(found.items)} items")
    return 0


def _poster(settings: Settings, arguments: argparse.Namespace) -> int:
    from api.fieldwork.sheets import content_of, sheets  # noqa: PLC0415
    from pilewatch.workflow.posters import make_poster, poster_piles  # noqa: PLC0415

    keys = settings.posters.keyring()
    key_id = keys[0][0] if keys else None
    url = settings.api.public_url.rstrip("/")
    with _connect(settings) as db, db.transaction():
        for word in ("site", "charger"):
            rows = poster_piles(db, **{word: arguments.place})
            if rows:
                break
        else:
            return _tell(f"there is no site or active charger {arguments.place}")
        now = utc_now()
        made = sum(make_poster(db, now, r["id"], content_of(r, url), key_id, None) for r in rows)
        rows = poster_piles(db, **{word: arguments.place})
        pages = sheets(rows, keys, arguments.size)
    try:
        arguments.output.write_bytes(pages)
    except OSError as error:
        return _tell(f"{arguments.output}: {error.strerror}")
    if not keys:
        print("not signed: posters.keys is not set, so a scan will prove no presence")
    print(f"{arguments.output}: {len(rows)} pages, {made} new versions")
    return 0


def _connect(settings: Settings) -> Db:
    return connect(settings.database.url.get_secret_value(), application="pilewatch")


def _tell(problem: str) -> int:
    print(problem, file=sys.stderr)
    return 1
