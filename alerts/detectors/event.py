"""What detectors look at: a change, as the ingester wrote it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True)
class Event:
    """A change that someone may have to decide about. `charger_id` 0: it is about a whole site."""

    id: int
    kind: str
    charger_id: int
    connector_id: int | None
    number: int | None
    observed_at: datetime
    received_at: datetime
    payload: dict[str, Any]
