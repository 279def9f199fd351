"""An update after which sessions break off that formerly did not."""

from collections.abc import Sequence
from datetime import datetime
from itertools import takewhile

from alerts.detectors.session_meter import Metered
from alerts.incidents import Finding, Key
from pilewatch.faultcodes import FAULTS
from pilewatch.model import SubjectKind
from pilewatch.policy import Firmware

FIRMWARE = "firmware"


def changed_behaviour(sessions: Sequence[Metered], at: datetime, rule: Firmware) -> list[Finding]:
    """Compares a charger's sessions (newest first) under its present firmware with those before.

    Sees the share that ended within `broken_s`. May be wrong where the update came together with
    another fault; a fault of one port alone is not counted here.
    """
    if not sessions or sessions[0].firmware is None:
        return []
    present = sessions[0].firmware
    new = list(takewhile(lambda s: s.firmware == present, sessions))
    old = sessions[len(new) :]
    broken = [s for s in new if (s.seconds or 0) < rule.broken_s]
    well = sum(1 for _ in takewhile(lambda s: s not in broken, new))
    key = Key(SubjectKind.CHARGER, sessions[0].charger_id, FAULTS["firmware-fault"].family)
    if well >= rule.well and _luck(len(broken), well, len(new)) < rule.luck:
        return [Finding(key, FIRMWARE, "firmware-fault", present=False, at=at)]
    if not old or len(broken) < rule.broken:
        return []
    formerly = sum((s.seconds or 0) < rule.broken_s for s in old) / len(old)
    share = len(broken) / len(new)
    several = len({s.connector_id for s in broken}) > 1 or len({s.connector_id for s in new}) == 1
    evidence = {"firmware": present, "broken": round(share, 2), "formerly": round(formerly, 2)}
    if several and share > rule.share and share > 3 * formerly:
        return [Finding(key, FIRMWARE, "firmware-fault", present=True, at=at, evidence=evidence)]
    return []


def _luck(broken: int, well: int, of: int) -> float:
    """Chance of so many good sessions in a row, if still as many of them broke off as before."""
    return (1 - broken / (of - well)) ** well if of > well else 0.0
