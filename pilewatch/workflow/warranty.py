"""Warranty: who answers for a part that was put in at this place not long ago."""

from dataclasses import dataclass
from datetime import date
from typing import Any

from pilewatch.repaircodes import PARTS
from pilewatch.store import queries
from pilewatch.store.pool import Db

_SQL = queries.load("costs")


@dataclass(frozen=True)
class Cover:
    """The latest part of its kind at a place, still under warranty when the ticket was opened."""

    cost_id: int
    part: str
    serial: str | None
    until: date
    warrantor_id: int
    warrantor: str
    installed_by: int

    def may_explain(self, family: str) -> bool:
        """Whether this part's failure shows in faults of this family."""
        return self.part in PARTS and family in PARTS[self.part].families

    def told(self) -> tuple[str, dict[str, Any]]:
        """Word and data of its line on a timeline."""
        about = {"part": self.part, "until": self.until.isoformat(), "ticket": self.installed_by}
        return "under-warranty", {**about, "warrantor": self.warrantor}


def covers(db: Db, ticket_id: int) -> list[Cover]:
    """Every part at the ticket's place for which somebody still answers, by the part's code."""
    return [Cover(**row) for row in db.execute(_SQL["covers"], {"ticket_id": ticket_id})]
