"""`pilewatch bench NAME`: the measurements of a source checkout."""

import argparse
import pkgutil
import runpy
import sys
from collections.abc import Callable
from importlib.util import find_spec

from pilewatch.settings import Settings

_NAMED = (
    *(
        "availability",
        "dialects",
        "fuzz",
        "growth",
        "ingest",
        "ledger",
        "modems",
        "sweep",
        "uptime",
    ),
)


def add_benches(add: Callable[..., argparse.ArgumentParser]) -> None:
    """The subcommand; what comes after the name goes to the measurement."""
    parser = add("bench", _run, "measure: ratios to a reference of the same run")
    parser.add_argument("name", choices=_NAMED)
    parser.add_argument("options", nargs=argparse.REMAINDER, help="see `pilewatch bench NAME -h`")


def _run(_: Settings, arguments: argparse.Namespace) -> int:
    # Not installed with the package: it needs the tests' parts, too.
    sys.path.insert(0, ".")
    spec = find_spec("bench")
    places = spec.submodule_search_locations if spec else []
    if arguments.name not in {module.name for module in pkgutil.iter_modules(places)}:
        print("run this in a checkout of the sources, with `make .venv/ready-dev`", file=sys.stderr)
        return 2
    sys.argv = [f"pilewatch bench {arguments.name}", *arguments.options]
    runpy.run_module(f"bench.{arguments.name}", run_name="__main__", alter_sys=False)
    return 0
