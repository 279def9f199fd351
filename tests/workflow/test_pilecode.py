"""The signed code on a pile: only what our key has signed for this pile is believed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilewatch.pilecode import Scanned, address, read_code, read_keys
from pilewatch.settings import BadSettings, Posters, load_settings

KEYS = read_keys("k2 new-secret-new-secret\nk1 old-secret-old-secret\n")
CODES = st.from_regex(r"[A-Za-z0-9._-]{1,64}", fullmatch=True)


@given(CODES, st.integers(1, 999_999_999))
def test_a_signed_code_is_read_back(charger: str, number: int) -> None:
    code = address("https://piles.example/", KEYS, charger, number)
    assert read_code(KEYS, code) == Scanned("signed", charger, number)
    assert read_code(KEYS, code.replace("piles.example", "10.0.0.1:8080")).why == "signed"


@given(CODES, st.integers(1, 10**9 - 1), st.integers(0, 200), st.characters(codec="ascii"))
def test_a_changed_code_is_never_believed_for_another_pile_or_version(
    charger: str, number: int, place: int, letter: str
) -> None:
    code = address("https://piles.example", KEYS, charger, number)
    changed = code[: place % len(code)] + letter + code[place % len(code) + 1 :]
    read = read_code(KEYS, changed)
    assert read.why != "signed" or (read.charger, read.number) == (charger, number)


@given(st.text(max_size=600))
def test_any_text_can_be_scanned(text: str) -> None:
    assert read_code(KEYS, text).why != "signed"
    assert read_code(KEYS, f"https://x/p/C1?s={text}").why != "signed"


def test_an_old_key_is_believed_until_it_is_taken_out() -> None:
    old = address("https://x", KEYS[1:], "C1", 3)
    assert read_code(KEYS, old) == Scanned("signed", "C1", 3)
    assert read_code(KEYS[:1], old).why == "unknown-key"
    forged = read_keys("k1 another-secret-of-somebody")
    assert read_code(KEYS, address("https://x", forged, "C1", 3)).why == "bad-signature"


def test_without_a_key_the_code_is_not_signed_and_says_so() -> None:
    plain = address("https://x", (), "C1", 3)
    assert plain == "https://x/p/C1"
    assert read_code(KEYS, plain) == Scanned("unsigned", "C1")
    assert read_code(KEYS, None).why == "not-scanned"
    assert read_code(KEYS, "WIFI:S:x;;").why == "no-code"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "a line of ID SECRET is needed"),
        ("k1", "line 1: right would be ID SECRET"),
        ("k1 short", "line 1: the secret needs 16"),
        ("k-1 0123456789abcdef", "line 1: right would be"),
        ("\nk1 0123456789abcdef\nk1 0123456789abcdeg", "line 3: the id k1 is taken"),
    ],
)
def test_keys_that_are_none_are_refused_without_telling_them(
    text: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ValueError, match=told) as refused:
        read_keys(text)
    assert "0123456789abcde" not in str(refused.value)
    monkeypatch.setenv("PILEWATCH_POSTERS__KEYS", text)
    with pytest.raises(BadSettings) as unusable:
        load_settings()
    assert "posters.keys" in str(unusable.value) and "0123456789abcde" not in str(unusable.value)


def test_no_keys_are_an_empty_ring() -> None:
    assert Posters().keyring() == ()
