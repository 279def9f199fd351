"""`pilewatch setup`: the link for the first admin of an installation."""

import argparse
import sys
from collections.abc import Callable
from typing import Any

from pilewatch.clock import utc_now
from pilewatch.settings import Settings
from pilewatch.store.pool import Db, connect
from pilewatch.workflow.firststeps import admin_can_log_in, new_code


def register(commands: Any, add: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the command."""
    del commands
    add("setup", _setup, "print the link for the first admin; good for a day, and once")


def link(settings: Settings, db: Db) -> str:
    """Where the first admin begins."""
    return f"{settings.api.public_url.rstrip('/')}/setup?code={new_code(db, utc_now())}"


def _setup(settings: Settings, _: argparse.Namespace) -> int:
    with connect(settings.database.url.get_secret_value(), application="pilewatch setup") as db:
        if admin_can_log_in(db):
            print("an admin can log in already: people are added there, or by `pilewatch person`",
                  file=sys.stderr)  # fmt: skip
            return 1
        print(link(settings, db))
    return 0
