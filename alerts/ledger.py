"""Incidents in the database, through a cache that lives for one transaction."""

import json
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from alerts.incidents import Incident, Key, Phase
from pilewatch.faultcodes import FAULTS
from pilewatch.model import SubjectKind
from pilewatch.store import queries
from pilewatch.store.pool import Db

SQL = queries.load("alerts")


def incident_from(row: dict[str, Any]) -> Incident:
    """An incident as its row tells."""
    return Incident(
        id=row["id"],
        key=Key(SubjectKind(row["subject_kind"]), row["subject_id"], row["family"]),
        detector=row["detector"],
        code=row["code"],
        severity=row["severity"],
        phase=Phase(row["phase"]),
        started_at=row["started_at"],
        opened_at=row["opened_at"],
        quiet_since=row["quiet_since"],
        ended_at=row["ended_at"],
        due_at=row["due_at"],
        parent_id=row["parent_id"],
        ticket_id=row["ticket_id"],
        evidence=row["evidence"],
    )


class Ledger:
    """Live incidents by key, read once and written through. One for each transaction."""

    def __init__(self, db: Db):
        self.db = db
        self._live: dict[Key, Incident] = {}
        self._whole: set[int] = set()
        """Chargers all of whose live incidents have been read."""
        self._charger_of: dict[Key, int] = {}

    def read_chargers(self, ids: Iterable[int]) -> None:
        """Read what is live on these chargers and their connectors in one query."""
        wanted = sorted(set(ids) - self._whole)
        if wanted:
            for row in self.db.execute(SQL["live_incidents_of_chargers"], {"ids": wanted}):
                self.keep(incident_from(row))
            self._whole |= set(wanted)

    def keep(self, incident: Incident) -> Incident:
        """Remember a row just read, unless this transaction knows it better."""
        return self._live.setdefault(incident.key, incident)

    def at(self, kind: SubjectKind, subject_id: int | None) -> list[Incident]:
        """Live incidents of this subject among those read."""
        return [
            i
            for i in self._live.values()
            if i.key.subject_id == subject_id and i.key.subject_kind == kind
        ]

    def find(self, key: Key, charger_id: int | None = None) -> Incident | None:
        """The live incident of this key; the database is asked unless all is known."""
        if key in self._live:
            return self._live[key]
        if charger_id is not None and charger_id in self._whole:
            return None
        row = self.db.execute(SQL["live_incident"], _key_values(key)).fetchone()
        return None if row is None else self.keep(incident_from(row))

    def write(self, incident: Incident) -> Incident:
        """Insert or update; gives it with its id."""
        values = _values(incident)
        if incident.id is None:
            row = self.db.execute(SQL["insert_incident"], values).fetchone()
            if row is None:
                raise LookupError(f"no such subject, or already live: {incident.key}")
            values["id"] = row["id"]
            incident = Incident(**{**_fields(incident), "id": row["id"]})
        else:
            self.db.execute(SQL["update_incident"], values)
        if incident.live:
            self._live[incident.key] = incident
        else:
            self._live.pop(incident.key, None)
        self.db.execute(
            SQL["notify"], {"channel": "pilewatch_incident", "payload": str(incident.id)}
        )
        return incident

    def moved(self, ticket_id: int, into: int) -> None:
        """The ticket was merged, and its incidents with it: what is remembered follows."""
        for key, incident in self._live.items():
            if incident.ticket_id == ticket_id:
                self._live[key] = replace(incident, ticket_id=into)

    def tell(self, incident: Incident, word: str, now: datetime) -> None:
        """A notification about the incident, with a key of its own for each turn of events."""
        key = incident.key
        moment = incident.opened_at if word == "opened" else incident.ended_at
        self.db.execute(
            SQL["add_outbox"],
            {
                "key": f"incident/{incident.id}/{word}/{moment and moment.isoformat()}",
                "topic": f"incident.{word}",
                "payload": Jsonb(
                    {
                        "incident": incident.id,
                        "subject_kind": key.subject_kind.value,
                        "subject_id": key.subject_id,
                        "code": incident.code,
                        "severity": incident.severity,
                        "ticket": incident.ticket_id,
                        "at": now.isoformat(),
                    }
                ),
                "now": now,
            },
        )


def _fields(incident: Incident) -> dict[str, Any]:
    return {name: getattr(incident, name) for name in incident.__dataclass_fields__}


def _key_values(key: Key) -> dict[str, Any]:
    return {
        "subject_kind": key.subject_kind.value,
        "subject_id": key.subject_id,
        "family": key.family,
    }


def _values(incident: Incident) -> dict[str, Any]:
    return {
        **_fields(incident),
        **_key_values(incident.key),
        "effect": FAULTS[incident.code].effect,
        "phase": incident.phase.value,
        "evidence": Jsonb(incident.evidence, dumps=lambda value: json.dumps(value, default=str)),
    }
