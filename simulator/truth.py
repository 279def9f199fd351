"""What is really broken: one record for each fault, written when it starts and when it ends."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

Visible = Literal["reported", "shown", "hidden"]
EndedBy = Literal["repair", "reset", "self", "end of run"]


class Truth(Struct, kw_only=True):
    """One fault. What it hits is the narrowest of site, gateway, charger, connector that is set.

    A reset cures what is `soft`."""

    fault: str
    code: str
    site: str
    gateway: str | None = None
    charger: str | None = None
    connector: int | None = None
    start: datetime
    end: datetime | None = None
    visible: Visible
    soft: bool = False
    ended_by: EndedBy | None = None


class Encounter(Struct, frozen=True):
    """Somebody could not charge, and what they would say of the pile."""

    at: datetime
    charger: str
    connector: int
    code: str
    fault: str


class TruthFile:
    """Appends a line when a fault starts (its `end` is null) and when it ends; the last one wins.

    Each line is on disk before the next thing happens, so that a kill loses nothing.
    """

    def __init__(self, path: Path, also: Callable[[Truth], None] | None = None):
        self._file = path.open("w", encoding="utf-8")
        self._also = also

    def write(self, truth: Truth) -> None:
        """Keep how the fault stands now."""
        self._file.write(msgspec.json.encode(truth).decode() + "\n")
        self._file.flush()
        if self._also is not None:
            self._also(truth)

    def close(self) -> None:
        """Done."""
        self._file.close()
