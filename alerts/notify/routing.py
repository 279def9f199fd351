"""Who is to be told of which news, and when. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from alerts.notify.news import News
from alerts.notify.receivers import Directory, Quiet, Receiver
from pilewatch.model import Severity

Duty = Mapping[int, frozenset[str]]
"""Of each site, the logins of those on duty for it; a site with nobody is left out."""
NOBODY: frozenset[str] = frozenset()
MACHINE_TOPICS = frozenset({"incident.opened", "incident.cleared"})
"""All that an Alertmanager understands."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Planned:
    """One delivery to be written; those of one receiver with one `key` are one message."""

    outbox_id: int
    receiver: str
    key: str
    due_at: datetime


def route(
    news: Iterable[News], directory: Directory, now: datetime, duty: Duty | None = None
) -> Iterator[Planned]:
    """Every delivery that these news ask for.

    What is held back, for a digest or by quiet hours, leaves together when its time comes. For
    people, what one decision says of one site is one message; programs get each by itself.
    """
    first: dict[tuple[str, int | None, datetime], str] = {}
    for one in news:
        here = (duty or {}).get(one.site_id or 0, NOBODY)
        for receiver in directory.receivers:
            kind = directory.address(receiver).kind
            if not concerns(receiver, one, here):
                continue
            if kind == "alertmanager" and one.topic not in MACHINE_TOPICS:
                continue
            due = due_at(receiver, one.severity, now)
            if kind != "apprise" or receiver.role == "resident":
                key = one.key
            elif due > now:
                key = f"digest/{receiver.name}/{due.isoformat()}"
            else:
                place = (receiver.name, one.site_id, one.created_at)
                key = first.setdefault(place, one.key)
            yield Planned(one.id, receiver.name, key, due)


def concerns(receiver: Receiver, news: News, here: frozenset[str] = NOBODY) -> bool:
    """Whether all conditions of the receiver hold; `here` are those on duty for the place.

    News that name the role they are for (an escalation) reach only receivers of that role; those
    of residents get nothing else. Danger to people where nobody is on duty reaches everybody who
    could be.
    """
    unattended = not here and news.severity == Severity.PEOPLE
    meant = news.payload.get("to")
    return (
        receiver.wants(news.topic)
        and news.severity <= receiver.least_severity
        and (meant is None or receiver.role in (None, meant))
        and (receiver.role != "resident" or meant == "resident")
        and (receiver.way is None or receiver.way == news.payload.get("way"))
        and (receiver.on_duty is None or receiver.on_duty in here or unattended)
        and (receiver.person is None or receiver.person == news.assignee)
        and (not receiver.companies or news.company in receiver.companies)
        and (not receiver.areas or news.area in receiver.areas)
        and (not receiver.grids or news.grid in receiver.grids)
        and (not receiver.sites or news.site in receiver.sites)
    )


def due_at(receiver: Receiver, severity: int, now: datetime) -> datetime:
    """When to send: at once for danger to people, else at the digest's next turn, and then not
    before the quiet hours are over."""
    if severity == Severity.PEOPLE:
        return now
    due = now
    if receiver.digest_minutes is not None:
        every = timedelta(minutes=receiver.digest_minutes)
        due = now - (now - _EPOCH) % every + every
    return due if receiver.quiet is None else _after_quiet(receiver.quiet, due)


def _after_quiet(quiet: Quiet, moment: datetime) -> datetime:
    zone = ZoneInfo(quiet.timezone)
    local = moment.astimezone(zone)
    clock = local.time()
    if quiet.begins <= quiet.until:
        inside, days = quiet.begins <= clock < quiet.until, 0
    else:
        inside = clock >= quiet.begins or clock < quiet.until
        days = 1 if clock >= quiet.begins else 0
    if not inside:
        return moment
    day = (local + timedelta(days=days)).date()
    return datetime.combine(day, quiet.until, zone).astimezone(UTC)
