"""Phrases for phones and posters, and why an interval is what it is, in both languages."""

from collections.abc import Mapping
from functools import lru_cache

from babel.numbers import format_decimal

from api.pages.words import LOCALES
from pilewatch.catalogues import read_catalogue
from pilewatch.intervals import Interval, Reason

LANGUAGES = tuple(LOCALES)


@lru_cache(maxsize=len(LOCALES))
def phrases(language: str) -> Mapping[str, str]:
    """Every phrase of this language by its key."""
    return read_catalogue("api.fieldwork", LOCALES[language])


def interval_text(language: str, found: Interval, look_back_days: int) -> str:
    """How often, instead of how often at most, and why: one sentence."""
    t = phrases(language)
    days = {"days": found.days, "instead_of": found.instead_of}
    if not found.reasons:
        return t["interval.usual"].format(**days)
    told = [_reason(language, reason, look_back_days) for reason in found.reasons]
    return t["interval.shorter"].format(**days, reasons=t["semicolon"].join(told))


def _reason(language: str, reason: Reason, look_back_days: int) -> str:
    amount = format_decimal(reason.amount, locale=LOCALES[language])
    return phrases(language)[f"reason.{reason.word}"].format(amount=amount, days=look_back_days)
