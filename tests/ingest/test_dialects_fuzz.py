"""No message, however broken, brings anything but `BadMessage` out of a decoder."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.fuzz import MAPPING, everything, fuzz
from ingest.dialects.mapping import read_mapping
from ingest.dialects.toml_lines import BadMapping

NAMES = sorted(everything())
_INPUTS = 50_000
_FILES = 5_000
"""An operator's files are few and read at the start only; each costs a millisecond."""


@pytest.mark.parametrize("name", NAMES)
def test_broken_messages_are_refused_and_never_crash(name: str) -> None:
    found = fuzz(name, _FILES if name == "mapping-file" else _INPUTS, seed=7)
    assert found.wrong == []
    assert found.accepted > found.inputs / 50 and found.refused > found.inputs / 50


@settings(deadline=None)
@given(st.integers(0, len(MAPPING)), st.integers(0, 40), st.binary(max_size=12))
def test_a_broken_mapping_file_is_refused_with_its_line(begin: int, cut: int, put: bytes) -> None:
    try:
        read_mapping("m.toml", MAPPING[:begin] + put + MAPPING[begin + cut :])
    except BadMapping as error:
        assert str(error).startswith("m.toml:")
