"""`make bench`: what the ingester costs and how fast it is, beside references of the same run.

Ratios matter; absolute figures depend on the machine. Needs mosquitto (`make parts`).
`--only a,b` measures these alone, `--quick` takes short ones for trying.
"""

import argparse
import sys

from bench import drain, latency, outage
from bench.stage import Result, stage


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench.ingest", description=__doc__)
    parser.add_argument("--only", default="a,b,c,d,e", help="which of a,b,c,d,e")
    parser.add_argument("--quick", action="store_true", help="short, for trying")
    return parser.parse_args()


def main() -> int:
    """Print the table; exit 1 if a target is missed."""
    chosen = _arguments()
    only, quick = set(chosen.only.split(",")), chosen.quick
    results: list[Result] = []
    with stage() as parts:
        if only & {"a", "b"}:
            count, pairs = (30_000, 1) if quick else (100_000, 3)
            results += drain.measure(parts, pairs=pairs, count=count, only=only)
        if "c" in only:
            results += latency.row_visible(parts, rate=5000, seconds=5 if quick else 15)
        if "d" in only:
            results += latency.ticket_visible(parts, rate=2000, faults=40 if quick else 200)
        if "e" in only:
            results += outage.measure(parts, rate=2000, away_s=30 if quick else 300)
    _print(results)
    return 0 if all(r.passed for r in results) else 1


def _print(results: list[Result]) -> None:
    print(f"{'what':40} {'value':>9}     {'target':>8}        said")
    for r in results:
        verdict = "pass" if r.passed else "MISS"
        print(f"{r.what:40} {r.value:9.2f}  {r.sense:>2} {r.target:8.2f}  {verdict}  {r.said}")


if __name__ == "__main__":
    sys.exit(main())
