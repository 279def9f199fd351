"""Signs that a report comes from no resident. A doubtful one waits for a review, unless people are
in danger; none is dropped. Pure."""

import hashlib
import unicodedata
from dataclasses import dataclass

from pilewatch.policy import Reports

_TELLING = 12
"""Letters of a note that is long enough to be recognised: "坏了" is what many people say."""


@dataclass(frozen=True)
class Form:
    """How a page's form came back. `trap` is what stood in the field that no person sees; `age_s`
    is how long the form had been shown, None where it does not carry our signature."""

    trap: str
    age_s: float | None


@dataclass(frozen=True)
class Recent:
    """What was said lately: reports with the same text in a day, and about the same charger in a
    window."""

    same_text: int
    same_charger: int


def signs(form: Form | None, recent: Recent, rule: Reports) -> list[str]:
    """Every sign by its word. `form` is None where a program speaks for a person."""
    found = []
    if form is not None:
        if form.trap:
            found.append("trap")
        if form.age_s is None:
            found.append("unsigned")
        elif form.age_s < rule.min_form_s:
            found.append("fast")
    if recent.same_text >= rule.same_text:
        found.append("same-text")
    if recent.same_charger >= rule.charger_window:
        found.append("burst")
    return found


def fingerprint(note: str | None) -> bytes | None:
    """A digest of what is said, whatever its case, width, spaces and punctuation; None where it is
    too short to be recognised."""
    plain = unicodedata.normalize("NFKC", note or "").casefold()
    letters = "".join(letter for letter in plain if letter.isalnum())
    return hashlib.sha256(letters.encode()).digest() if len(letters) >= _TELLING else None
