"""What the pages show, as pure functions from rows."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any, Final

from pilewatch.faultcodes import FAULTS
from pilewatch.model import Effect
from pilewatch.store.explanation import Chart
from pilewatch.workflow.questions import Asking
from pilewatch.workflow.reports import ASKABLE, Receipt
from pilewatch.workflow.tickets import FINAL, possible

Row = dict[str, Any]
STOPPING = sorted(code for code, fault in FAULTS.items() if fault.effect == Effect.OUT_OF_ORDER)
"""Faults that put a port out of order."""
PORT_WORDS = ("free", "busy", "reported", "broken", "off", "unknown")
SAYINGS = (
    *("no-output", "plug-broken", "display-failure"),
    *("reader-failure", "over-temperature", "internal-error"),
)
"""What a resident can say with one tap, by fault code."""
PHOTO_WORDS = ("large", "broken", "many")
"""Why a photo cannot be used."""
NOT_CHOSEN: Final[Row] = {}
_FRESH = timedelta(minutes=5)
"""Within it a pile's word is as good as looking at it."""

# --- residents


@dataclass(frozen=True)
class Pile:
    """One charger with its ports. `heard_at` is the oldest confirmation among its known ports,
    `silent_since` the latest of all where none is known."""

    code: str
    label: str
    kind: str
    ports: list[Row]
    count: Counter[str] = field(default_factory=Counter)
    heard_at: datetime | None = None
    silent_since: datetime | None = None

    def sure(self, now: datetime) -> str:
        """How sure what is shown is: as sure as its oldest word is fresh, and unsure where nothing
        is known or somebody says otherwise than the pile."""
        if self.heard_at is None or self.count["unknown"] or self.count["reported"]:
            return "unsure" if self.heard_at is None else "fairly"
        return "sure" if now - self.heard_at <= _FRESH else "fairly"

    @property
    def notes(self) -> list[Row]:
        """Ports of which there is more to say than one word."""
        silent = self.count["unknown"] == len(self.ports)  # told once, of the whole pile
        return [
            p
            for p in self.ports
            if p["errors"] or p["ticket_code"] or (p["shown"] == "unknown" and not silent)
        ]


def piles(ports: Iterable[Row]) -> list[Pile]:
    """Ports, in order, under their chargers."""
    found = []
    for code, group in groupby(ports, key=lambda row: row["charger"]):
        rows = list(group)
        known = [r["heard_at"] for r in rows if r["shown"] != "unknown" and r["heard_at"]]
        count = Counter(r["shown"] for r in rows)
        heard = [r["heard_at"] for r in rows if r["heard_at"]]
        pile = Pile(
            code,
            rows[0]["label"],
            rows[0]["kind"],
            rows,
            count,
            heard_at=min(known, default=None),
            silent_since=max(heard, default=None),
        )
        found.append(pile)
    return found


def count(found: Iterable[Pile]) -> Counter[str]:
    """Ports of all piles by what is shown of them."""
    return sum((pile.count for pile in found), Counter())


def by_grid(sites: Iterable[Row]) -> list[tuple[str, list[Row]]]:
    """Sites under the name of their grid."""
    return [(name, list(rows)) for name, rows in groupby(sites, key=lambda row: row["grid"])]


def chosen(ports: list[Row], port: str | None) -> Row | None:
    """The port of this number; None for "I don't know" (0), `NOT_CHOSEN` for anything else."""
    if port == "0":
        return None
    return next((row for row in ports if str(row["number"]) == port), NOT_CHOSEN)


_TOLD_TO_RESIDENTS = frozenset(
    {
        *("opened", "assigned", "accepted", "started", "claimed", "claim-returned", "verified"),
        *("recovered", "closed", "reopened", "rejected", "inspected", "resident-confirmed"),
        "announced",
    }
)


@dataclass(frozen=True)
class Story:
    """A receipt's content: the steps told, the question asked."""

    code: str
    reported_at: datetime
    state: str
    steps: list[Row]
    others: int
    asking: Asking | None
    photos: list[int]
    contact: bool
    live: bool
    late: bool
    promised_at: datetime | None


def receipt_story(receipt: Receipt, place: Row, now: datetime) -> Story:
    """What the reporter is told."""
    steps = [line for line in receipt.timeline if line["action"] in _TOLD_TO_RESIDENTS]
    if receipt.state is None:
        steps = [{"action": "opened", "at": receipt.reported_at}]
    waiting = "dismissed" if receipt.dismissed else "review"
    unrepaired = receipt.state is not None and receipt.state not in ASKABLE | FINAL
    deadline = place["deadline_at"] if unrepaired else None
    return Story(
        code=receipt.code,
        reported_at=receipt.reported_at,
        state=receipt.state.value if receipt.state else waiting,
        steps=steps,
        others=receipt.others,
        asking=receipt.asking,
        photos=receipt.photos,
        contact=receipt.contact,
        live=unrepaired or receipt.waits,
        late=deadline is not None and deadline < now,
        promised_at=deadline,
    )


# --- staff


@dataclass(frozen=True)
class Matter:
    """A ticket with the incidents that it answers."""

    ticket: Row
    incidents: list[Row]
    members: list[Row]

    @property
    def evidence(self) -> Row | None:
        """The latest thing that the machine saw."""
        for incident in self.incidents:
            latest = incident["evidence"].get("latest") or incident["evidence"].get("first")
            if latest:
                return dict(latest)
        return None


@dataclass(frozen=True)
class Wanted:
    """The board's filter; None is everything. `late` shows only missed deadlines, `since` what
    came in from then on."""

    site: str | None = None
    severity: int | None = None
    state: str | None = None
    late: bool = False
    since: datetime | None = None


@dataclass(frozen=True)
class Due:
    """The promise that is due next: its word and its moment."""

    promise: str
    at: datetime


def next_due(ticket: Row) -> Due:
    """The earliest promise not kept yet; `repair` where only that is left."""
    open_ones = [Due("repair", ticket["deadline_at"])]
    if ticket["accepted_at"] is None and ticket["accept_by_at"] is not None:
        open_ones.append(Due("accept", ticket["accept_by_at"]))
    if ticket["arrived_at"] is None and ticket["arrive_by_at"] is not None:
        open_ones.append(Due("arrive", ticket["arrive_by_at"]))
    return min(open_ones, key=lambda due: due.at)


def overdue(ticket: Row, now: datetime) -> bool:
    """A promise is broken: neither repaired nor paused, and past what is due next."""
    repaired = ticket["state"] in ASKABLE or ticket["state"] in FINAL
    return not repaired and next_due(ticket).at < (ticket["paused_at"] or now)


def matters(tickets: list[Row], incidents: list[Row]) -> list[Matter]:
    """Incidents folded under their tickets, and members under their parents."""
    by_ticket: dict[int | None, list[Row]] = {}
    by_parent: dict[int | None, list[Row]] = {}
    for incident in incidents:
        if incident["parent_id"] is not None:
            by_parent.setdefault(incident["parent_id"], []).append(incident)
        else:
            by_ticket.setdefault(incident["ticket_id"], []).append(incident)
    found = []
    for ticket in tickets:
        own = by_ticket.get(ticket["id"], [])
        members = [m for parent in own for m in by_parent.get(parent["id"], [])]
        found.append(Matter(ticket, own, members))
    return found


def actions(ticket: Row, rights: Iterable[str], state: Any) -> list[str]:
    """What this caller may do with the ticket now."""
    allowed = set(rights)
    can = possible(state, paused=ticket["paused_at"] is not None)
    return [word for word in can if word in allowed and word != "merge"]


@dataclass(frozen=True)
class Curve:
    """A small picture: SVG points of a line, and the span of its values."""

    points: str
    low: float
    high: float
    last: float
    bottom: float
    top: float
    """What the picture's edges stand for."""


def curve(
    rows: list[Row], key: str, width: int = 300, height: int = 60, also: float | None = None
) -> Curve | None:
    """The line of one value over time; None with fewer than two values. The picture reaches to
    `also`, too."""
    values = [(r["bin"].timestamp(), float(r[key])) for r in rows if r[key] is not None]
    if len(values) < 2:
        return None
    start, end = values[0][0], values[-1][0]
    low, high = min(v for _, v in values), max(v for _, v in values)
    bottom, top = (low, high) if also is None else (min(low, also), max(high, also))
    rise = (top - bottom) or 1.0
    points = " ".join(
        f"{(at - start) / (end - start) * width:.1f},{height - (v - bottom) / rise * height:.1f}"
        for at, v in values
    )
    return Curve(points, low, high, values[-1][1], bottom, top)


@dataclass(frozen=True)
class LimitCurve:
    """A measure around an incident: its line, and how high the limit lies (None: no limit)."""

    curve: Curve
    limit: float | None
    limit_y: float | None


def limit_curve(chart: Chart, height: int = 60) -> LimitCurve | None:
    """The side of each bin that is nearer to breaking the limit; None with fewer than two bins."""
    limit = chart.limit
    below = limit is not None and min(bin["min"] for bin in chart.bins) < limit
    above = limit is None or max(bin["max"] for bin in chart.bins) >= limit
    side = "min" if below and not above else "max"
    rows = [{"bin": bin["at"], "value": bin[side]} for bin in chart.bins]
    found = curve(rows, "value", height=height, also=limit)
    if found is None:
        return None
    if limit is None:
        return LimitCurve(found, None, None)
    rise = (found.top - found.bottom) or 1.0
    return LimitCurve(found, limit, round(height - (limit - found.bottom) / rise * height, 1))
