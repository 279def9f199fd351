"""A bench meeting's papers: minutes for the record, and the feedback sheet for the next bench."""

from datetime import datetime
from typing import Any

from api.pages.evidence import proof
from api.pages.words import Speech
from pilewatch import paper

Row = dict[str, Any]
LABELS = (
    *("grid", "place", "time", "attendees", "agenda", "minutes", "matters", "none", "number"),
    *("raised", "owner", "deadline", "state", "next", "signed", "date", "page", "of", "pages"),
    *("your-word", "satisfied", "unsatisfied", "became"),
)
"""Words that stand on every paper."""


def minutes(t: Speech, meeting: Row, matters: list[Row]) -> bytes:
    """The minutes as a PDF of A4 pages."""
    return paper.pdf("api", "papers/minutes.typ", minutes_data(t, meeting, matters))


def feedback(
    t: Speech, meeting: Row, matters: list[Row], since: datetime | None, now: datetime
) -> bytes:
    """What became of earlier meetings' matters, as a PDF of A4 pages."""
    data = feedback_data(t, meeting, matters, since, now)
    return paper.pdf("api", "papers/feedback.typ", data)


def minutes_data(t: Speech, meeting: Row, matters: list[Row]) -> Row:
    """What the minutes say, in words."""
    return {
        **_head(t, meeting, "paper.minutes-title"),
        "attendees": _people(t, meeting["attendees"]),
        "agenda": meeting["agenda"],
        "minutes": (meeting["minutes"] or "").strip(),
        "matters": [_line(t, row) for row in matters],
        "next": _next(t, meeting),
        "closed": meeting["closed_at"] is not None,
        "draft": t("paper.draft"),
    }


def feedback_data(
    t: Speech, meeting: Row, matters: list[Row], since: datetime | None, now: datetime
) -> Row:
    """What the feedback sheet says. `since` is when the last meeting was: what was done before it
    has been told there, and is counted only."""
    told = [m for m in matters if since is None or m["done_at"] is None or m["done_at"] >= since]
    blocks = [_outcome(t, row, now) for row in told]
    marks = [block["mark"] for block in blocks]
    counts = [(word, marks.count(word)) for word in ("done", "answered", "open", "late")]
    return {
        **_head(t, meeting, "paper.feedback-title"),
        "lead": t("paper.lead"),
        "counts": [
            {"mark": word, "label": t(f"paper.mark.{word}"), "count": count}
            for word, count in counts
        ],
        "matters": blocks,
        "earlier": t("paper.earlier", count=len(matters) - len(told)) if told != matters else "",
        "next": _next(t, meeting),
        "printed": t("paper.printed", when=f"{t.date(now)} {t.clock(now)[:5]}"),
    }


def _head(t: Speech, meeting: Row, title: str) -> Row:
    return {
        "title": t(title),
        "labels": {word: t(f"paper.{word}") for word in LABELS},
        "grid": f"{meeting['area_name']} · {meeting['grid_name']}",
        "place": meeting["place"],
        "time": _moment(t, meeting["starts_at"]),
    }


def _moment(t: Speech, moment: datetime) -> str:
    return f"{t.date(moment)} {t.clock(moment)[:5]}"


def _people(t: Speech, attendees: int | None) -> str:
    return "" if attendees is None else t("paper.people", count=attendees)


def _next(t: Speech, meeting: Row) -> str:
    if meeting["next_at"] is None:
        return ""
    return " · ".join(part for part in (_moment(t, meeting["next_at"]), meeting["next_place"])
                      if part)  # fmt: skip


def _line(t: Speech, row: Row) -> Row:
    return {
        "kind": t(f"matter.{row['kind']}"),
        "text": row["text"],
        "where": _where(t, row),
        "owner": _owner(t, row),
        "deadline": t.date(row["deadline_at"]),
        "state": _state(t, row),
    }


def _where(t: Speech, row: Row) -> str:
    parts = [row["site_name"], row["label"]]
    if row["connector"] is not None:
        parts.append(t("port.number", number=row["connector"]))
    return " · ".join(part for part in parts if part)


def _owner(t: Speech, row: Row) -> str:
    # A worker's name is on the record of the matter, not on a sheet that hangs in the street.
    return row["company_name"] or t("paper.grid-worker" if row["person"] else "paper.nobody")


def _state(t: Speech, row: Row) -> str:
    if row["ticket_state"] is not None:
        return t(f"mend.{row['ticket_state']}")
    return t(f"matter-state.{row['state']}")


def _outcome(t: Speech, row: Row, now: datetime) -> Row:
    mark = "open" if row["state"] in ("raised", "handed-on") else str(row["state"])
    if mark == "open" and row["deadline_at"] < now:
        mark = "late"
    return {
        **_line(t, row),
        "mark": mark,
        "label": t(f"paper.mark.{mark}"),
        "raised": t("paper.raised-on", day=t.date(row["met_at"]), place=row["meeting_place"]),
        "became": _became(t, row),
    }


def _became(t: Speech, row: Row) -> list[str]:
    """What happened, one sentence a line."""
    lines = [_state(t, row)]
    if row["answer"]:
        lines.append(row["answer"])
    if row["rejected_for"]:
        lines.append(t("paper.rejected-for", reason=row["rejected_for"]))
    if row["ticket_state"] == "closed":
        lines.append(proof(t, row["evidence"]))
        lines.append(t("paper.closed-on", day=t.date(row["done_at"])))
    lines += [t(f"paper.{word}", count=row[word]) for word in ("content", "disputed") if row[word]]
    if row["state"] in ("raised", "handed-on"):
        lines.append(t("paper.owes", owner=_owner(t, row), day=t.date(row["deadline_at"])))
    return [line for line in lines if line]
