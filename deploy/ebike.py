"""`pilewatch ebike-gateway` and `pilewatch ebike-tap`."""

import argparse
from collections.abc import Callable
from typing import Any

from pilewatch.settings import Settings


def register(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Add both commands."""
    add("ebike-gateway", _gateway, "be the server that modems of e-bike cabinets connect to")
    tap = add("ebike-tap", _tap, "pass modems on to another server unchanged, and listen")
    tap.add_argument("--listen", type=_address, required=True, metavar="HOST:PORT")
    tap.add_argument("--upstream", type=_address, required=True, metavar="HOST:PORT")


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise argparse.ArgumentTypeError(f"{text}: right would be HOST:PORT, as 0.0.0.0:7054")
    return host.strip("[]"), int(port)


def _gateway(settings: Settings, _: argparse.Namespace) -> int:
    from ingest.ebike.gateway import run  # noqa: PLC0415

    return run(settings)


def _tap(settings: Settings, arguments: Any) -> int:
    from ingest.ebike.tap import Address, run  # noqa: PLC0415

    return run(settings, Address(*arguments.listen), Address(*arguments.upstream))
