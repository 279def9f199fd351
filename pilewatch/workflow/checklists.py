"""Checklists in the database: each version that was ever used is kept, and the present one known.

Every function runs inside its caller's transaction.
"""

from dataclasses import dataclass
from datetime import datetime

import msgspec
from psycopg.types.json import Jsonb

from pilewatch.checklist import ChargerType, Checklist, Purpose, shipped
from pilewatch.store import queries
from pilewatch.store.pool import Db
from pilewatch.workflow.desk import NotFound

_SQL = queries.load("patrols")


@dataclass(frozen=True)
class Kept:
    """A checklist's version: the id is what inspections refer to."""

    id: int
    number: int
    checklist: Checklist


def keep_checklist(db: Db, now: datetime, checklist: Checklist, area_id: int | None) -> Kept:
    """The area's present version from now on (None: shipped); the same content is no new one."""
    db.execute(_SQL["lock_checklists"])
    scope = {"area_id": area_id, "code": checklist.code}
    latest = db.execute(_SQL["latest_checklist"], scope).fetchone()
    if latest is not None and latest["digest"] == checklist.digest:
        return Kept(latest["id"], latest["number"], checklist)
    values = {
        **scope,
        "number": 1 if latest is None else latest["number"] + 1,
        "purpose": checklist.purpose,
        "chargers": list(checklist.chargers),
        "digest": checklist.digest,
        "content": Jsonb(msgspec.to_builtins(checklist)),
        "now": now,
    }
    row = db.execute(_SQL["add_checklist"], values).fetchone()
    assert row is not None
    return Kept(row["id"], row["number"], checklist)


def checklist_for(db: Db, now: datetime, area_id: int, purpose: Purpose, kind: ChargerType) -> Kept:
    """What is answered at this type of charger: the area's own, else this program's."""
    values = {"area_id": area_id, "purpose": purpose, "charger_type": kind}
    row = db.execute(_SQL["checklist_in_area"], values).fetchone()
    if row is not None:
        return Kept(row["id"], row["number"], msgspec.convert(row["content"], Checklist))
    ours = next(c for c in shipped() if c.purpose == purpose and kind in c.chargers)
    return _shipped_version(db, now, ours)


def get_checklist(db: Db, id: int) -> Kept:
    """This very version. Raises `NotFound`."""
    values = {"id": id, "ids": None, "before": id + 1, "limit": 1}
    row = db.execute(_SQL["checklists"], values).fetchone()
    if row is None:
        raise NotFound(f"checklist {id}")
    return Kept(row["id"], row["number"], msgspec.convert(row["content"], Checklist))


def _shipped_version(db: Db, now: datetime, ours: Checklist) -> Kept:
    known = db.execute(_SQL["shipped_checklists"], {"digests": [ours.digest]}).fetchall()
    if known:
        return Kept(known[-1]["id"], known[-1]["number"], ours)
    return keep_checklist(db, now, ours, None)
