"""`pilewatch ocpp-gateway`, `ocpp-tap` and `ocpp-password`: chargers that speak OCPP."""

# Each process imports only what it needs.
# ruff: noqa: PLC0415

import argparse
import re
import secrets
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pilewatch.clock import utc_now
from pilewatch.settings import BadSettings, Settings
from pilewatch.store.pool import connect
from pilewatch.wire import CHARGER_ID
from pilewatch.workflow import audit


def register(commands: Any, add: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the commands and their words."""
    del commands
    add("ocpp-gateway", _gateway, "take in what chargers say over OCPP 1.6 and 2.0.1")
    tap = add("ocpp-tap", _tap, "listen between chargers and another OCPP system")
    tap.add_argument("--listen", type=_address, required=True, metavar="HOST:PORT")
    tap.add_argument("--upstream", required=True, metavar="URL", help="ws:// or wss://")
    tap.add_argument("--ca-file", type=Path, metavar="FILE", help="who signed upstream's name")
    tap.add_argument("--cert-file", type=Path, metavar="FILE", help="chargers come over TLS")
    tap.add_argument("--key-file", type=Path, metavar="FILE")
    password = add("ocpp-password", _password, "a new password for a charger, printed once")
    password.add_argument("charger", type=_charger, metavar="CHARGER")
    change = password.add_mutually_exclusive_group()
    change.add_argument("--stdin", action="store_true", help="read it instead of making one")
    change.add_argument("--remove", action="store_true", help="let it in no more")


def _address(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise argparse.ArgumentTypeError("right would be HOST:PORT, as 0.0.0.0:9000")
    return host.strip("[]"), int(port)


def _charger(text: str) -> str:
    if not re.fullmatch(CHARGER_ID, text):
        raise argparse.ArgumentTypeError("right would be 1 to 64 of A-Z a-z 0-9 . _ -")
    return text


def _gateway(settings: Settings, _: argparse.Namespace) -> int:
    from ingest.ocpp.gateway import run

    return run(settings)


def _tap(settings: Settings, arguments: argparse.Namespace) -> int:
    from ingest.ocpp.tap import BadUpstream, Tapped, run

    try:
        tapped = Tapped.read(
            arguments.upstream,
            listen=arguments.listen,
            ca_file=arguments.ca_file,
            cert_file=arguments.cert_file,
            key_file=arguments.key_file,
        )
    except BadUpstream as error:
        raise BadSettings(str(error)) from error
    return run(settings, tapped)


def _password(settings: Settings, arguments: argparse.Namespace) -> int:
    from ingest.ocpp.memory import drop_password, set_password

    charger, now = arguments.charger, utc_now()
    # 1.6 takes 16 to 20 bytes, 2.0.1 16 to 40 characters.
    made = sys.stdin.readline().rstrip("\n") if arguments.stdin else secrets.token_urlsafe(15)
    if not 8 <= len(made.encode()) <= 64:
        print("right would be a password of 8 to 64 bytes", file=sys.stderr)
        return 1
    url = settings.database.url.get_secret_value()
    with connect(url, application="pilewatch") as db, db.transaction():
        if not arguments.remove:
            set_password(db, charger, made.encode(), now)
        elif not drop_password(db, charger):
            print(f"{charger} has no password", file=sys.stderr)
            return 1
        action = "ocpp_password.remove" if arguments.remove else "ocpp_password.set"
        audit.record(db, now, None, action, f"charger/{charger}")
    if not (arguments.stdin or arguments.remove):
        print(made)
    return 0
