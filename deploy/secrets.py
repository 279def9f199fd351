"""`pilewatch secrets`: keys that seal what the database keeps, and their change."""

import argparse
import sys
from typing import Any

from pilewatch.settings import Settings
from pilewatch.store.pool import connect


def register(commands: Any, add: Any) -> None:
    """Register `secrets key` and `secrets reseal`."""
    group = commands.add_parser("secrets", help="what seals the secrets in the database")
    inner = group.add_subparsers(required=True, metavar="COMMAND")
    add("key", _key, "print a new key for sealing.keys; it is kept nowhere else", inner)
    add("reseal", _reseal, "close every secret by the first key; exit 1 if some are lost", inner)


def _key(_: Settings, __: argparse.Namespace) -> int:
    from cryptography.fernet import Fernet  # noqa: PLC0415

    print(Fernet.generate_key().decode())
    return 0


def _reseal(settings: Settings, _: argparse.Namespace) -> int:
    from pilewatch.store.sealed import KINDS, reseal  # noqa: PLC0415

    seal, lost = settings.sealing.seal(), 0
    if not seal:
        print("sealing.keys is not set: make one with `pilewatch secrets key`", file=sys.stderr)
        return 2
    with connect(settings.database.url.get_secret_value(), application="pilewatch") as db:
        for kind in KINDS:
            found = reseal(db, seal, kind)
            lost += found.lost
            said = f"{found.renewed} resealed, {found.kept} were, {found.lost} lost"
            print(f"{kind.replace('_', ' '):16} {said}")
    return 1 if lost else 0
