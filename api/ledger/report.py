"""The month's report: its figures in words, and the document that shows them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from api.ledger.words import Words
from pilewatch import paper
from pilewatch.store import queries
from pilewatch.store.pool import Db
from pilewatch.workflow.figures import Figures, Group, Month, figures, read_lines

_SQL = queries.load("ledger")
_SHOWN = 12
"""Bars of one chart; the others are counted."""


class BadMonth(LookupError):
    """There is nothing to report on; `str()` says why."""


@dataclass(frozen=True)
class Asked:
    """Which month of which area; no area: all of them."""

    month: Month
    area_id: int | None
    area: str | None


def read_month(db: Db, month: str, area: str | None) -> Asked:
    """`month` as 2026-11, in the zone of the area, or of the first. Raises `BadMonth`."""
    row = db.execute(_SQL["area"], {"area": area}).fetchone()
    if row is None:
        raise BadMonth("there is no area" if area is None else f"there is no area {area}")
    year, number = month.split("-")
    asked = Month(int(year), int(number), ZoneInfo(row["timezone"]))
    return Asked(asked, row["id"], row["name"]) if area else Asked(asked, None, None)


def figures_of(db: Db, asked: Asked, now: datetime, narrowed: Mapping[str, Any]) -> Figures:
    """The figures of this month, of what the scope allows."""
    return figures(read_lines(db, asked.month, asked.area_id, narrowed), asked.month, now)


def make_pdf(asked: Asked, found: Figures, now: datetime, words: Words) -> bytes:
    """The document."""
    return paper.pdf("api.ledger", "report.typ", shown(asked, found, now, words))


def shown(asked: Asked, found: Figures, now: datetime, words: Words) -> dict[str, Any]:
    """What the template prints: every text made, every bar counted."""
    month = asked.month
    when = words.when(now, month.zone)
    over = now >= month.ends
    balance = {
        key: getattr(found, key) for key in ("before", "raised", "settled", "after", "overdue")
    }
    notes = [words("report.balance", **balance)]
    if found.hours is not None:
        notes.append(words("report.hours", hours=found.hours))
    if found.paused_s:
        notes.append(words("report.paused", hours=round(found.paused_s / 3600, 1)))
    if found.settled:
        again = {"reopened": found.reopened, "rejected": found.rejected}
        notes.append(words("report.again", **again))
    return {
        "lang": words.language,
        "title": words("report.title"),
        "month": words("report.month", year=month.year, month=month.number),
        "area": asked.area or words("report.everywhere"),
        "made": words("report.made" if over else "report.so-far", when=when),
        "tiles": [
            [words(f"report.{key}"), str(getattr(found, key))]
            for key in ("before", "raised", "settled", "after")
        ],
        "notes": notes,
        "shares": [
            _share(words, "where", (("inside", found.inside_grid), ("escalated", found.escalated))),
            _share(words, "when", (("on-time", found.on_time), ("late", found.late))),
            _share(
                words,
                "answers",
                (
                    ("satisfied", found.satisfied),
                    ("dissatisfied", found.dissatisfied),
                    ("silent", found.settled - found.satisfied - found.dissatisfied),
                ),
            ),
        ],
        "days": {
            "title": words("report.by-day"),
            "bars": [[day.day, raised, settled] for day, raised, settled in found.days],
            "most": max((max(raised, settled) for _, raised, settled in found.days), default=0),
        },
        "groups": [
            _groups(words, "by-site", found.by_site),
            _groups(words, "by-kind", found.by_kind, words.kind),
            _groups(words, "by-source", found.by_source, lambda s: words(f"source.{s}")),
        ],
        "heads": [words(f"report.{key}") for key in ("name", "raised", "settled", "late", "open")],
        "legend": [words("report.raised"), words("report.settled")],
        "none": words("report.none"),
        "rule": words("report.rule"),
    }


def _share(words: Words, title: str, parts: Sequence[tuple[str, int]]) -> dict[str, Any]:
    """One bar of the whole, with what each part of it is."""
    whole = sum(count for _, count in parts)
    told = []
    for name, count in parts:
        percent = round(100 * count / whole) if whole else 0
        share = words("report.share", count=count, share=percent)
        told.append({"name": words(f"report.{name}"), "count": count, "share": share})
    return {"title": words(f"report.{title}"), "parts": told, "whole": whole}


def _groups(words: Words, title: str, groups: Sequence[Group], name: Any = str) -> dict[str, Any]:
    """The greatest first; the rest as one line that says how many it stands for."""
    rows = [[name(g.name), g.raised, g.settled, g.late, g.open] for g in groups[:_SHOWN]]
    rest = groups[_SHOWN:]
    if rest:
        sums = [sum(getattr(g, key) for g in rest) for key in ("raised", "settled", "late", "open")]
        rows.append([words("report.more", count=len(rest)), *sums])
    most = max((row[1] for row in rows), default=0)
    return {"title": words(f"report.{title}"), "rows": rows, "most": most}
