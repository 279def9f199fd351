"""What a notification is about: one outbox row with its matter and place."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pilewatch.store import queries
from pilewatch.store.pool import Db

_SQL = queries.load("notify")


@dataclass(frozen=True)
class News:
    """One thing that happened. Times are aware UTC; None where the matter has no such thing."""

    id: int
    key: str
    topic: str
    payload: dict[str, Any]
    created_at: datetime
    ticket_id: int | None
    incident_id: int | None
    code: str | None
    severity: int
    state: str | None
    deadline_at: datetime | None
    started_at: datetime | None
    ended_at: datetime | None
    subject_kind: str | None
    site_id: int | None
    site: str | None
    site_name: str | None
    grid: str | None
    area: str | None
    timezone: str | None
    company: str | None
    assignee: str | None
    charger: str | None
    charger_label: str | None
    connector: int | None
    members: list[str] | None


def read_news(db: Db, ids: list[int]) -> list[News]:
    """These rows of the outbox, in order of writing."""
    return [News(**row) for row in db.execute(_SQL["news"], {"ids": ids})]
