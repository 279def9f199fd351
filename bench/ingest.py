"""`make bench`: what the ingester costs and how fast it is, beside references of the same run.

Ratios matter; absolute figures depend on the machine. Needs mosquitto (`make parts`).
`--only a,b` measures these alone, `--quick` takes short ones for trying.
"""

import argparse
import signal
import sys
from collections.abc import Iterator

from bench import drain, latency, outage
from bench.stage import Result, Stage, report, stage


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench.ingest", description=__doc__)
    parser.add_argument("--only", default="a,b,c,d,e", help="which of a,b,c,d,e")
    parser.add_argument("--quick", action="store_true", help="short, for trying")
    return parser.parse_args()


def main() -> int:
    """Print the table; exit 1 if a target is missed."""
    chosen = _arguments()
    only, quick = set(chosen.only.split(",")), chosen.quick
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the parts are ended too
    print(f"{'what':44} {'value':>9}     {'target':>8}        said")
    with stage() as parts:
        return report(_results(parts, only, quick=quick))


def _results(parts: Stage, only: set[str], *, quick: bool) -> Iterator[Result]:
    if only & {"a", "b"}:
        count, rounds = (30_000, 1) if quick else (100_000, 3)
        yield from drain.measure(parts, rounds=rounds, count=count, only=only)
    if "c" in only:
        yield from latency.row_visible(parts, rate=5000, seconds=5 if quick else 15)
    if "d" in only:
        yield from latency.ticket_visible(parts, rate=2000, faults=40 if quick else 200)
    if "e" in only:
        yield from outage.measure(parts, rate=2000, away_s=30 if quick else 300)


if __name__ == "__main__":
    sys.exit(main())
