"""The documents' example frames, and frames made to order."""

import csv
from collections.abc import Iterator
from pathlib import Path

from hypothesis import strategies as st

from pilewatch.dny.frames import Frame

SAMPLES = Path(__file__).parent / "samples" / "frames.tsv"


def samples() -> Iterator[tuple[str, int, bytes]]:
    """Name, command and bytes of each example of the protocol's documents."""
    with SAMPLES.open(encoding="utf-8") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            yield row["name"], int(row["command"], 16), bytes.fromhex(row["hex"])


SAMPLE = {name: data for name, _, data in samples()}

frames = st.builds(
    Frame,
    st.integers(0, 2**32 - 1),
    st.integers(0, 2**16 - 1),
    st.integers(0, 255),
    st.binary(max_size=242),
)
