"""`pilewatch registry`: load a file, see what it would change, and have it back as a file."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pilewatch.settings import Settings
from pilewatch.store.pool import Db, connect
from pilewatch.store.registry import load_registry
from pilewatch.store.registry_file import read_registry
from pilewatch.store.registry_stored import changes, registry_as, stored_registry


def add_commands(add: Callable[..., argparse.ArgumentParser], into: Any) -> None:
    """The subcommands."""
    text = "load a registry file (YAML, CSV or XLSX); may be repeated"
    load = add("load", _load, text, into)
    load.add_argument("file", type=Path)
    load.add_argument("--dry-run", action="store_true", help="only show what it would change")
    diff = add("diff", _diff, "what loading a file would change", into)
    diff.add_argument("file", type=Path)
    export = add("export", _export, "the registry as a file, by its ending", into)
    export.add_argument("file", type=Path, help="NAME.yaml, .csv or .xlsx")


def _connect(settings: Settings) -> Db:
    return connect(settings.database.url.get_secret_value(), application="pilewatch registry")


def _load(settings: Settings, arguments: argparse.Namespace) -> int:
    if arguments.dry_run:
        return _diff(settings, arguments)
    with _connect(settings) as db:
        print(load_registry(db, arguments.file))
    return 0


def _diff(settings: Settings, arguments: argparse.Namespace) -> int:
    wanted = read_registry(arguments.file)
    with _connect(settings) as db:
        found = list(changes(stored_registry(db), wanted))
    for change in found:
        print(change)
    print(f"differences: {len(found)}" if found else "nothing would change")
    return 0


def _export(settings: Settings, arguments: argparse.Namespace) -> int:
    with _connect(settings) as db:
        registry = stored_registry(db)
    try:
        arguments.file.write_bytes(registry_as(registry, arguments.file.suffix.lower()))
    except (ValueError, OSError) as error:
        print(f"{arguments.file}: {error}", file=sys.stderr)
        return 2
    print(f"{len(registry.chargers)} chargers written to {arguments.file}")
    return 0
