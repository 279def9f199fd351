"""`python -m bench.dialects`: what decoding a message costs, as a ratio to the native contract's.

Each dialect decodes its samples in turn with the native one, some rounds; the median of the rounds'
ratios counts. `bench.makes` measures what that means for the whole ingester.
"""

import sys
import time
from datetime import UTC, datetime, timedelta
from statistics import median

from bench.fuzz import corpora
from ingest.dialects.registry import Dialects
from pilewatch.wire import BadMessage

_ROUNDS = 7
_MESSAGES = 1_000
_NOW = datetime(2026, 5, 3, 13, 10, tzinfo=UTC)


def cost(dialects: Dialects, corpus: list[tuple[str, bytes]]) -> float:
    """Seconds of CPU a message; each is far enough from the last to be let through."""
    moments = [_NOW + timedelta(seconds=31 * n) for n in range(_MESSAGES)]
    messages = [corpus[n % len(corpus)] for n in range(_MESSAGES)]
    began = time.thread_time()
    for (topic, sent), at in zip(messages, moments, strict=True):
        dialects.decode(topic, sent, at)
    return (time.thread_time() - began) / _MESSAGES


def is_read(dialects: Dialects, topic: str, sent: bytes) -> bool:
    """Whether it is understood; then its route is known, too, as in all of a charger's life."""
    try:
        return bool(dialects.decode(topic, sent, _NOW).observations)
    except BadMessage:
        return False


def main() -> int:
    """Print the table."""
    found = corpora()
    native = found.pop("native")
    print(f"{'dialect':16} decoding / native decoding")
    for name, (dialects, samples) in found.items():
        corpus = [message for message in samples if is_read(dialects, *message)]
        ratios = [cost(dialects, corpus) / cost(*native) for _ in range(_ROUNDS)]
        print(f"{name:16} {median(ratios):5.2f}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
