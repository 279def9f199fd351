"""Messages for people, in their language, from catalogues."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

from babel import Locale
from babel.dates import format_skeleton, get_datetime_format

from alerts.notify.news import News
from alerts.notify.receivers import Language
from pilewatch.catalogues import read_catalogue

LOCALES: dict[str, str] = {"zh-CN": "zh_CN", "en": "en"}
_SHOWN = 5
"""So many members are named; the others are counted."""
_LINES = 40
"""So many news are told in one message; the others are counted."""


@dataclass(frozen=True)
class Message:
    """What a person reads."""

    title: str
    body: str


@lru_cache(maxsize=len(LOCALES))
def catalogue(language: Language) -> Mapping[str, str]:
    """Every phrase of this language by its key."""
    return read_catalogue("alerts.notify", LOCALES[language])


@dataclass(frozen=True)
class Words:
    """How one receiver is spoken to. Links begin with `public_url`."""

    language: Language
    public_url: str

    def __call__(self, key: str, **values: object) -> str:
        """The phrase of this key; a word of a newer program shows itself."""
        text = catalogue(self.language).get(key)
        if text is None:
            return key.partition(".")[2] or key
        return text.format(**values) if values else text

    def when(self, moment: datetime, zone: str | None) -> str:
        """Day and time of day at the place."""
        locale = Locale.parse(LOCALES[self.language])
        tz = ZoneInfo(zone or "Asia/Shanghai")
        day, time = (
            format_skeleton(parts, moment, tzinfo=tz, locale=locale) for parts in ("MMMd", "Hm")
        )
        return str(get_datetime_format("medium", locale)).format(time, day)

    def message(self, news: Sequence[News]) -> Message:
        """One message about these news; an incident whose ticket is among them is told with it."""
        tickets = {n.ticket_id for n in news if n.topic.startswith("ticket.")}
        told = [n for n in news if n.topic.startswith("ticket.") or n.ticket_id not in tickets]
        if len(told) == 1:
            return Message(self.title(told[0]), "\n".join(self._lines(told[0])))
        worst = min(told, key=lambda n: n.severity)
        blocks = ["\n".join([self.title(n), *self._lines(n)]) for n in told[:_LINES]]
        if len(told) > _LINES:
            blocks.append(self("more", count=len(told) - _LINES))
        title = self("digest", severity=self(f"severity.{worst.severity}"), count=len(told))
        return Message(title, "\n\n".join(blocks))

    def question(self, news: News, kind: str, link: str) -> str:
        """What a reporter is asked, with the address of the receipt."""
        return self(kind, fault=self(f"fault.{news.code}"), place=self._place(news), link=link)

    def title(self, news: News) -> str:
        """What happened, where."""
        if news.topic.startswith("round."):
            severity, topic = self(f"severity.{news.severity}"), self(f"topic.{news.topic}")
            return self(
                "round.title", severity=severity, topic=topic, name=news.payload.get("name")
            )
        return self(
            "title",
            severity=self(f"severity.{news.severity}"),
            topic=self(f"topic.{news.topic}"),
            fault=self(f"fault.{news.code}") if news.code else "",
            place=self._place(news),
        )

    def _place(self, news: News) -> str:
        parts = [news.site_name or "", news.charger_label or ""]
        if news.connector is not None:
            parts.append(self("port", number=news.connector))
        return " ".join(part for part in parts if part)

    def _lines(self, news: News) -> list[str]:
        lines = []
        if news.topic.startswith("round."):
            due = datetime.fromisoformat(news.payload["due_at"])
            lines.append(self("round.due", when=self.when(due, news.timezone)))
            count = {key: news.payload.get(key) for key in ("done", "stops")}
            return [*lines, self("round.count", **count)]
        if news.topic == "ticket.escalated":
            promise = self(f"promise.{news.payload.get('promise')}")
            lines.append(self("escalation", promise=promise, level=news.payload.get("level")))
        if news.started_at is not None:
            lines.append(self("started", when=self.when(news.started_at, news.timezone)))
        if news.ended_at is not None and news.topic == "incident.cleared":
            lines.append(self("ended", when=self.when(news.ended_at, news.timezone)))
        if news.state is not None and news.topic.startswith("ticket."):
            lines.append(self("state", state=self(f"state.{news.state}")))
        if news.deadline_at is not None and news.state not in ("closed", "rejected", "merged"):
            lines.append(self("deadline", when=self.when(news.deadline_at, news.timezone)))
        if news.members:
            named = self("comma").join(news.members[:_SHOWN])
            lines.append(self("members", count=len(news.members), named=named))
        if news.ticket_id is not None:
            lines.append(f"{self.public_url.rstrip('/')}/console/tickets/{news.ticket_id}")
        return lines
