"""`pilewatch contacts`: erasing by hand what residents have left."""

import argparse
from typing import Any

from pilewatch.clock import utc_now
from pilewatch.settings import Settings
from pilewatch.store.pool import connect


def add_commands(add: Any, commands: Any) -> None:
    """Register `contacts erase`."""
    group = commands.add_parser("contacts", help="how residents may be reached")
    inner = group.add_subparsers(required=True, metavar="COMMAND")
    erase = add("erase", _erase, "erase the contacts whose time is over (the engine does)", inner)
    erase.add_argument("--report", type=int, metavar="ID", help="this report's, whatever its time")


def _erase(settings: Settings, arguments: argparse.Namespace) -> int:
    from pilewatch.policy import load_policy  # noqa: PLC0415
    from pilewatch.workflow.contacts import erase_contact, erase_contacts  # noqa: PLC0415

    policy = load_policy(settings.alerts.policy_file)
    with connect(settings.database.url.get_secret_value(), application="pilewatch") as db:
        if arguments.report is not None:
            erased = int(erase_contact(db, arguments.report))
        else:
            erased = erase_contacts(db, policy, utc_now())
    print(f"contacts erased: {erased}")
    return 0
