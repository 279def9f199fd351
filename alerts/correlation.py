"""Root cause over symptoms: when what several chargers share explains the fault of each. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass

from alerts.incidents import Incident, Key, Phase
from pilewatch.faultcodes import FAULTS
from pilewatch.model import SubjectKind
from pilewatch.policy import Correlation

_SILENCE = FAULTS["power-loss"].family
_SUPPLY = FAULTS["over-voltage"].family
_AWAY_AT_TIMES = frozenset({"reboot-loop", "weak-signal", "flapping"})
SHARED = (_SILENCE, _SUPPLY)
"""Fault families that chargers may have in common."""


@dataclass(frozen=True)
class Near:
    """Chargers that share a charger's site and gateway, itself included; `ill` have its fault."""

    site_id: int
    gateway_id: int | None
    site_all: int
    site_ill: int
    gateway_all: int
    gateway_ill: int


def may_be_shared(key: Key) -> bool:
    """Only a whole charger's fault can be that of its gateway or site."""
    return key.subject_kind == SubjectKind.CHARGER and key.family in SHARED


def shared_cause(key: Key, near: Near, rule: Correlation) -> Key | None:
    """The gateway or site that explains this charger's fault; None where it is its own.

    Silence: most chargers of the site (then it has no power) or behind the gateway. Supply: the
    mains of a site is one, so that two chargers which measure the same fault at once are enough.
    """
    site = Key(SubjectKind.SITE, near.site_id, key.family)
    if key.family == _SUPPLY:
        return site if near.site_ill >= rule.at_least else None
    whole_site = near.gateway_id is None or near.site_all > near.gateway_all
    if whole_site and _most(near.site_ill, near.site_all, rule):
        return site
    if near.gateway_id is not None and _most(near.gateway_ill, near.gateway_all, rule):
        return Key(SubjectKind.GATEWAY, near.gateway_id, key.family)
    return None


def persists(parent: Key, ill: int, chargers: int, rule: Correlation) -> bool:
    """Whether the shared fault goes on, with so many of its chargers still ill.

    It takes fewer to go on than to begin: chargers come back one after the other, and the last of
    them are no faults of their own.
    """
    if parent.family == _SUPPLY:
        return ill > 0
    return ill >= rule.at_least and ill > rule.share / 2 * chargers


def code_of(parent: Key, child_code: str) -> str:
    """What the shared fault is called: silence by what is silent, all else as each of them."""
    if parent.family != _SILENCE:
        return child_code
    return "offline-gateway" if parent.subject_kind == SubjectKind.GATEWAY else "power-loss"


def shared_by_ports(family: str, ill: int, ports: int) -> bool:
    """All ports of a charger at once are the charger's fault; so are two on one breaker."""
    if family in (_SUPPLY, FAULTS["flapping"].family, FAULTS["dead-available"].family):
        return False
    tripped = family == FAULTS["short-circuit"].family
    return ports >= 2 and (ill >= ports or (tripped and ill >= 2))


def _most(ill: int, chargers: int, rule: Correlation) -> bool:
    return ill >= rule.at_least and ill >= rule.share * chargers


def excused(key: Key, live: Iterable[Incident]) -> bool:
    """Whether a charger's silence is, for a while, what another fault of it looks like.

    A controller that restarts, or a radio at its limit, is away for minutes again and again.
    """
    return key.family == _SILENCE and any(
        other.phase == Phase.OPEN and other.code in _AWAY_AT_TIMES for other in live
    )
