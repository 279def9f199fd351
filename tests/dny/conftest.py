"""The documents' example frames, and frames made to order."""

import csv
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import strategies as st

from pilewatch.dny.frames import Frame
from pilewatch.store.pool import connect
from pilewatch.store.registry import load_registry

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


REGISTRY = """\
areas: [{code: a, name: A}]
grids: [{code: g, area: a, name: G}]
sites: [{code: s, grid: g, name: S}]
gateways: [{code: H, site: s, device: dny-1}]
chargers:
  - {code: E1, site: s, kind: ebike, label: '1', connectors: 2, device: dny-11220795}
  - {code: E2, site: s, kind: ebike, label: '2', connectors: 16, gateway: H, device: dny-2}
  - {code: dny-3, site: s, kind: ebike, label: '3', connectors: 16, gateway: H}
"""


@pytest.fixture
def url(plain_database_url: str, tmp_path: Path) -> str:
    """A database with three cabinets."""
    file = tmp_path / "registry.yaml"
    file.write_text(REGISTRY)
    with connect(plain_database_url, application="test") as db:
        load_registry(db, file)
    return plain_database_url
