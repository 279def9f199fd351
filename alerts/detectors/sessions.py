"""What charging sessions show: plugs that make no contact, outlets that give nothing, refusals."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import takewhile

from alerts.detectors.event import Event
from alerts.incidents import Finding, Key
from pilewatch.faultcodes import FAULTS
from pilewatch.model import SubjectKind
from pilewatch.policy import Sessions

SESSIONS = "sessions"


@dataclass(frozen=True)
class Session:
    """One session of a connector that has ended or was refused; `at` is when. Times are UTC."""

    charger_id: int
    connector_id: int
    session_id: str
    at: datetime
    refused: bool
    started_at: datetime | None
    energy_wh: float | None

    @property
    def seconds(self) -> float | None:
        """How long it lasted, if its start is known."""
        return None if self.started_at is None else (self.at - self.started_at).total_seconds()


def session_faults(event: Event, history: Sequence[Session], rule: Sessions) -> list[Finding]:
    """What the latest sessions say, together, at the moment when one of them ended.

    `history` holds the charger's sessions, newest first; later ones than the event are ignored.
    """
    if event.kind != "connector.session" or event.connector_id is None:
        return []
    known = [s for s in history if s.at <= event.observed_at]
    at_port = [s for s in known if s.connector_id == event.connector_id]
    return [
        *contact(event.connector_id, at_port, event.received_at, rule),
        *refusals(event.charger_id, known, event.received_at, rule),
    ]


def contact(
    connector_id: int, sessions: Sequence[Session], at: datetime, rule: Sessions
) -> list[Finding]:
    """Sessions in a row, within the window, that deliver nothing.

    Mostly of seconds: the plug or socket makes no contact (plug-broken). Longer: authorised, and
    nothing comes (no-output). A session that delivers ends it. May be wrong where one vehicle with
    a broken charger of its own tries again and again; the next good session then clears it.
    """
    tried = [s for s in sessions if not s.refused and s.energy_wh is not None]
    if not tried:
        return []
    bad = list(takewhile(lambda s: (s.energy_wh or 0) < rule.delivered_wh, tried))
    if not bad:
        return [_finding("no-output", SubjectKind.CONNECTOR, connector_id, at, present=False)]
    recent = [s for s in bad if s.at > bad[0].at - timedelta(seconds=rule.window_s)]
    if len(recent) < rule.in_a_row:
        return []
    brief = [s for s in recent if s.seconds is not None and s.seconds < rule.brief_s]
    code = "plug-broken" if 2 * len(brief) >= len(recent) else "no-output"
    return [_finding(code, SubjectKind.CONNECTOR, connector_id, at, present=True, of=recent)]


def refusals(
    charger_id: int, sessions: Sequence[Session], at: datetime, rule: Sessions
) -> list[Finding]:
    """Different people refused in a row at one charger, and nobody let in between.

    May be wrong where one person tries several cards, none of them valid here.
    """
    refused = list(takewhile(lambda s: s.refused, sessions))
    if not refused:
        return [_finding("auth-refused", SubjectKind.CHARGER, charger_id, at, present=False)]
    recent = [s for s in refused if s.at > refused[0].at - timedelta(seconds=rule.window_s)]
    if len({s.session_id for s in recent}) < rule.refused_in_a_row:
        return []
    return [_finding("auth-refused", SubjectKind.CHARGER, charger_id, at, present=True, of=recent)]


def _finding(
    code: str,
    kind: SubjectKind,
    subject_id: int,
    at: datetime,
    *,
    present: bool,
    of: Sequence[Session] = (),
) -> Finding:
    seen = [
        {"session": s.session_id, "at": s.at.isoformat(), "s": s.seconds, "wh": s.energy_wh}
        for s in of[:10]
    ]
    evidence = {"sessions": seen} if seen else {}
    key = Key(kind, subject_id, FAULTS[code].family)
    return Finding(key, SESSIONS, code, present=present, at=at, evidence=evidence)
