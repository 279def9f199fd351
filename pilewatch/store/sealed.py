"""Sealed secrets of the database under another key: `pilewatch secrets reseal`."""

from dataclasses import dataclass

from pilewatch.sealing import Lost, Seal
from pilewatch.store import queries
from pilewatch.store.pool import Db

_SQL = queries.load("sealed")
KINDS = ("webhooks", "ocpi_parties", "second_factors", "contacts")
_PIECE = 500


@dataclass
class Resealed:
    """Secrets of one kind; `lost` are closed by none of the keys, and stay as they are."""

    kind: str
    renewed: int = 0
    kept: int = 0
    lost: int = 0


def reseal(db: Db, seal: Seal, kind: str) -> Resealed:
    """Close every secret of this kind by the first key, in pieces of one transaction each: it may
    be broken off, and run again, while everything else runs."""
    found, after, more = Resealed(kind), 0, True
    while more:
        with db.transaction():
            rows = db.execute(_SQL[kind], {"after": after, "limit": _PIECE}).fetchall()
            for row in rows:
                after = row["id"]
                try:
                    renewed = seal.renew(row["kept"])
                except Lost:
                    found.lost += 1
                    continue
                if renewed == row["kept"]:
                    found.kept += 1
                    continue
                db.execute(_SQL[f"renew_{kind}"], {"id": row["id"], "kept": renewed})
                found.renewed += 1
        more = len(rows) == _PIECE
    return found
