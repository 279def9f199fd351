"""What others are told: changes of places and ports, noted once, pushed to who wants them."""

from psycopg.types.json import Jsonb

from pilewatch.clock import Clock
from pilewatch.faultcodes import FAULTS
from pilewatch.model import Effect
from pilewatch.store import queries
from pilewatch.store.pool import Db

_SQL = queries.load("open")
_STOPPING = sorted(code for code, fault in FAULTS.items() if fault.effect == Effect.OUT_OF_ORDER)


def tell(db: Db, clock: Clock) -> int:
    """Note what has changed since it was last told; gives how many objects. One transaction.

    The moment is taken while nobody else can tell: who reads later sees no earlier moment appear.
    """
    with db.transaction():
        db.execute(_SQL["lock_told"])
        values = {"now": clock(), "stopping": _STOPPING}
        db.execute(_SQL["note_telling"], values)
        sites = {row["site_id"] for row in db.execute(_SQL["tell_sites"], values)}
        ports = db.execute(_SQL["tell_connectors"], values).fetchall()
        if (sites or ports) and db.execute(_SQL["pushed_parties"]).fetchall():
            for site in sites:
                _push(db, values, site, None, whole=True)
            for port in ports:
                if port["site_id"] not in sites:
                    _push(db, values, port["site_id"], port["connector_id"], whole=port["whole"])
    return len(sites) + len(ports)


def tell_parties(db: Db, clock: Clock) -> int:
    """The same where somebody wants changes pushed, every two seconds at most."""
    row = db.execute(_SQL["telling_due"], {"now": clock()}).fetchone()
    return tell(db, clock) if row is not None and row["due"] else 0


def _push(
    db: Db, values: dict[str, object], site: int, connector: int | None, *, whole: bool
) -> None:
    payload = Jsonb({"site": site, "connector": connector, "whole": whole})
    object = f"{site}" if connector is None else f"{site}/{connector}"
    db.execute(_SQL["push"], {**values, "object": object, "payload": payload})
