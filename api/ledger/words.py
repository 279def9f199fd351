"""The ledger's words in Chinese and English: its own catalogue beside that of the pages."""

import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Literal
from zoneinfo import ZoneInfo

from api.pages.words import LOCALES, catalogue
from pilewatch.catalogues import read_catalogue
from pilewatch.faultcodes import FAULTS

Language = Literal["zh", "en"]
MATTERS = (
    *("parking", "fire-safety", "environment", "facilities"),
    *("neighbours", "other"),
)
"""Kinds of matters that are not about charging."""


@lru_cache(maxsize=len(LOCALES))
def phrases(language: Language) -> Mapping[str, str]:
    """Every phrase of this language by its key."""
    return {**catalogue(language), **read_catalogue("api.ledger", LOCALES[language])}


@dataclass(frozen=True)
class Words:
    """How a document speaks."""

    language: Language

    def __call__(self, key: str, **values: object) -> str:
        """The phrase of this key; a word of a newer program shows itself."""
        text = phrases(self.language).get(key)
        if text is None:
            return key.partition(".")[2] or key
        return text.format(**values) if values else text

    def kind(self, kind: str) -> str:
        """A fault, or another matter."""
        return self(f"fault.{kind}" if kind in FAULTS else f"matter.{kind}")

    def state(self, state: str) -> str:
        """Where a ticket or another matter stands."""
        key = f"state.{state}"
        return self(key if key in phrases(self.language) else f"stands.{state}")

    def when(self, moment: datetime, zone: ZoneInfo) -> str:
        """Day and time at the place, as forms have it."""
        return f"{moment.astimezone(zone):%Y-%m-%d %H:%M}"


def named(family: str, codes: Iterable[str]) -> list[dict[str, str]]:
    """Codes with their names in both languages."""
    zh, en = Words("zh"), Words("en")
    return [
        {"code": code, "zh": zh(f"{family}.{code}"), "en": en(f"{family}.{code}")} for code in codes
    ]


@lru_cache(maxsize=1)
def kind_names() -> Mapping[str, tuple[str, ...]]:
    """What each kind is called, as text is searched: folded and in lower case."""
    return {
        kind: tuple(
            unicodedata.normalize("NFKC", Words(language).kind(kind)).lower()
            for language in ("zh", "en")
        )
        for kind in (*FAULTS, *MATTERS)
    }
