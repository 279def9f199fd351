"""Settings from the environment: secrets in files, and wrong values told without them."""

from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from pilewatch.settings import BadSettings, load_settings

_NAME = "PILEWATCH_RESIDENTS__CONTACT_KEYS"


def test_a_secret_is_read_from_the_file_that_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = Fernet.generate_key().decode()
    file = tmp_path / "keys"
    file.write_text(f"{key}\n")
    monkeypatch.setenv(_NAME, "replaced")
    monkeypatch.setenv(f"{_NAME}_FILE", str(file))
    for _ in range(2):
        kept = load_settings().residents.contact_keys
        assert kept is not None and kept.get_secret_value() == key
        assert key not in repr(load_settings())


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_a_file_that_cannot_be_read_is_told_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None
) -> None:
    file = tmp_path / "keys"
    if content is not None:
        file.write_bytes(content)
    monkeypatch.setenv(f"{_NAME}_FILE", str(file))
    with pytest.raises(BadSettings, match=f"{_NAME}_FILE"):
        load_settings()


def test_a_wrong_key_is_told_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(_NAME, "secret-but-wrong")
    with pytest.raises(BadSettings) as caught:
        load_settings()
    assert "residents.contact_keys" in str(caught.value)
    assert "32 bytes in base64url" in str(caught.value)
    assert "secret-but-wrong" not in str(caught.value)
