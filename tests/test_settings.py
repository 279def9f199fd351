"""Settings from the environment: secrets in files, and wrong values told without them."""

from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from pilewatch.settings import BadSettings, load_settings

_NAME = "PILEWATCH_SEALING__KEYS"


def test_a_secret_is_read_from_the_file_that_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = Fernet.generate_key().decode()
    file = tmp_path / "keys"
    file.write_text(f"{key}\n")
    monkeypatch.setenv(_NAME, "replaced")
    monkeypatch.setenv(f"{_NAME}_FILE", str(file))
    for _ in range(2):
        kept = load_settings().sealing.keys
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


@pytest.mark.parametrize("ending", ["", "_FILE"])
def test_a_former_name_of_a_key_is_refused_with_the_present_one(
    monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    monkeypatch.setenv(f"PILEWATCH_PEOPLE__TOTP_KEYS{ending}", "x")
    with pytest.raises(BadSettings, match="is PILEWATCH_SEALING__KEYS now"):
        load_settings()


def test_a_wrong_key_is_told_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(_NAME, "secret-but-wrong")
    with pytest.raises(BadSettings) as caught:
        load_settings()
    assert "sealing.keys" in str(caught.value)
    assert "32 bytes in base64url" in str(caught.value)
    assert "secret-but-wrong" not in str(caught.value)
