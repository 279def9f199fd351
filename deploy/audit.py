"""`pilewatch audit verify`: whether the audit is still what was written."""

import argparse
import re
import sys
from collections.abc import Callable
from typing import Any

from pilewatch.settings import Settings
from pilewatch.store.pool import connect
from pilewatch.workflow.audit import verify

_SHOWN = 20


def register(commands: Any, add: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the command and its words."""
    audit = commands.add_parser("audit", help="who changed what, and whether that is whole")
    inner = audit.add_subparsers(required=True, metavar="COMMAND")
    text = "check every seal, and print the head: keep it elsewhere"
    check = add("verify", _verify, text, inner)
    check.add_argument("--head", type=_head, help="a head that was kept: finds rows cut off")


def _head(text: str) -> str:
    if not re.fullmatch(r"[0-9a-f]{64}", text.lower()):
        raise argparse.ArgumentTypeError("right would be the 64 hexadecimal digits that it printed")
    return text.lower()


def _verify(settings: Settings, arguments: argparse.Namespace) -> int:
    url = settings.database.url.get_secret_value()
    with connect(url, application="pilewatch audit") as db:
        found = verify(db, arguments.head)
    for sentence in found.wrong[:_SHOWN]:
        print(f"! {sentence}", file=sys.stderr)
    if len(found.wrong) > _SHOWN:
        print(f"! and {len(found.wrong) - _SHOWN} more", file=sys.stderr)
    print(f"{found.rows} rows, head {found.head}")
    return 1 if found.wrong else 0
