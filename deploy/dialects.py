"""`pilewatch dialects` and `pilewatch dialect try`: what is spoken, what a message would say."""

import argparse
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from ingest.dialects.mapping import load_mapping
from ingest.dialects.registry import Dialects, built_in, choose
from ingest.dialects.toml_lines import BadMapping
from pilewatch.model import Observation
from pilewatch.settings import Settings
from pilewatch.wire import SUBSCRIPTION, BadMessage, Decoded

_STDIN = Path("-")


def register(commands: Any, add: Any) -> None:
    """Hang the commands into the parser."""
    add("dialects", _list, "the makes that the ingester understands, and the topics it listens to")
    inner = commands.add_parser("dialect", help="try a mapping file").add_subparsers(
        required=True, metavar="COMMAND"
    )
    text = "what a mapping file makes of one message; exit 1 where it refuses it, 2 for the file"
    one = add("try", _try, text, inner)
    one.add_argument("file", type=Path)
    one.add_argument("--topic", required=True)
    payload = one.add_mutually_exclusive_group(required=True)
    payload.add_argument("--payload", metavar="TEXT")
    payload.add_argument("--payload-file", type=Path, metavar="FILE", help="for bytes; - is stdin")
    one.add_argument("--at", metavar="TIME", help="when it was received, ISO 8601 with offset")
    one.add_argument("--retained", action="store_true", help="as the broker's retained copy")


def _list(settings: Settings, _: argparse.Namespace) -> int:
    spoken = {make.name for make in choose(settings.ingest).makes}
    print(f"{'native':12} on   {SUBSCRIPTION}")
    print(f"{'':17} the contract of docs/architecture.md")
    for make in (*built_in(settings.ingest), *map(load_mapping, settings.ingest.mappings)):
        on = "on " if make.name in spoken else "off"
        filters = dict.fromkeys(one.pattern.subscription for one in make.listens)
        first, *rest = _short(list(filters))
        print(f"{make.name:12} {on}  {first}")
        for line in (*rest, make.what, make.page):
            print(f"{'':17} {line}")
    return 0


def _short(filters: list[str]) -> list[str]:
    shown = [" ".join(filters[n : n + 3]) for n in range(0, min(len(filters), 6), 3)]
    return [*shown, f"and {len(filters) - 6} more"] if len(filters) > 6 else shown


def _try(_: Settings, arguments: argparse.Namespace) -> int:
    try:
        make = load_mapping(arguments.file)
        at = datetime.now(UTC)
        if arguments.at is not None:
            at = datetime.fromisoformat(arguments.at).astimezone(UTC)
        payload = (arguments.payload or "").encode()
        if arguments.payload_file == _STDIN:
            payload = sys.stdin.buffer.read()
        elif arguments.payload_file is not None:
            payload = arguments.payload_file.read_bytes()
    except (BadMapping, OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    if all(one.pattern.match(arguments.topic) is None for one in make.listens):
        print(f"the file does not listen to {arguments.topic}; it does to", file=sys.stderr)
        for one in make.listens:
            print(f"  {one.pattern.text}", file=sys.stderr)
        return 1
    try:
        said = Dialects((make,)).decode(arguments.topic, payload, at, replayed=arguments.retained)
    except BadMessage as error:
        print(f"refused: {error}", file=sys.stderr)
        return 1
    _show(said)
    return 0


def _show(said: Decoded) -> None:
    if not said.observations:
        print("nothing: no place of the file is in this payload")
    for one in said.observations:
        whole = f"{one.charger}" + (f"/{one.connector}" if one.connector else "")
        clock = "; its clock is wrong, ours counts" if one.clock_fault else ""
        print(f"{one.kind.name.lower().replace('_', ' ')} of {whole} at "
              f"{one.observed_at.isoformat()}{clock}")  # fmt: skip
        for key, value in _told(one).items():
            print(f"  {key} = {value}")


def _told(one: Observation) -> dict[str, str]:
    """What the observation itself says, in words."""
    found = {}
    names = ("status", "errors", "session_id", "reason", "energy_wh", "power_w", "voltage_v")
    for name in (*names, "current_a", "temperature_c", "soc", "residual_current_ma", "data"):
        value = getattr(one, name)
        if value is not None and value is not False:
            found[name] = msgspec.json.encode(value).decode()
    if one.status is not None and one.only_from is not None:
        found["status"] += f", if it was {', '.join(sorted(one.only_from))}"
    if one.errors is not None and one.errors_source is not None:
        found["errors"] += f", as far as {one.errors_source} tells"
    if one.confirms_all:
        found["confirms"] = "all ports"
    return found
