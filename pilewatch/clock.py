"""Time is passed in, so that a decision can be repeated: production hands over `utc_now`."""

from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]
"""Gives the present moment as an aware UTC datetime."""


def utc_now() -> datetime:
    """The machine's present moment, aware, UTC."""
    return datetime.now(UTC)
