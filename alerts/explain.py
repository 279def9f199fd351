"""An incident in words, for the command line. Pure."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from pilewatch.store.explanation import Chart, Explanation

_NOT_VALUES = frozenset({"at", "code", "limit", "value", "measure"})
_WIDE = 40


def in_words(found: Explanation) -> Iterator[str]:
    """Lines: what, where, when, which values against which limit, the measure, the consequences."""
    row = found.incident
    place = " ".join(
        str(part)
        for part in (
            row["site_name"],
            row["charger"],
            f"port {row['connector']}" if row["connector"] else None,
        )
        if part
    )
    yield f"incident {row['incident']}: {row['code']} (severity {row['severity']}) at {place}"
    yield f"phase {row['phase']}, found by {row['detector']}"
    yield f"began {_time(row['started_at'])}"
    if row["opened_at"] is not None:
        waited = row["opened_at"] - row["started_at"]
        yield f"counted from {_time(row['opened_at'])}, after {_span(waited)}"
    if row["ended_at"] is not None:
        yield f"ended {_time(row['ended_at'])}, after {_span(row['ended_at'] - row['started_at'])}"
    for word, said in (("first", found.first), ("latest", found.latest)):
        if said:
            yield f"seen {word}: {_said(said)}"
    if found.ports:
        yield f"at ports {', '.join(map(str, found.ports))}"
    if reset := row["evidence"].get("reset"):
        yield f"gone after reset {reset['command']} of {reset['at']}, and stayed away"
    if row["parent"] is not None:
        yield f"explained by incident {row['parent']}"
    if row["members"]:
        yield f"explains incidents {', '.join(map(str, row['members']))}"
    yield f"ticket {row['ticket']}" if row["ticket"] is not None else "no ticket"
    if found.chart is not None:
        yield from _drawn(found.chart, row["started_at"])


def _said(said: dict[str, Any]) -> str:
    parts = [str(said.get("at", ""))]
    if "value" in said and "limit" in said:
        parts.append(f"{said['value']} against the limit {said['limit']}")
    parts += [f"{k}: {v}" for k, v in said.items() if k not in _NOT_VALUES and v is not None]
    return "; ".join(part for part in parts if part)


def _drawn(chart: Chart, began: datetime) -> Iterator[str]:
    """One line a bin: its most, as a bar; `|` is the limit."""
    yield ""
    limit = "" if chart.limit is None else f", limit {chart.limit:g}"
    yield f"{chart.measure} of port {chart.connector} in {chart.unit}{limit}"
    highest = max([b["max"] for b in chart.bins] + [chart.limit or 0.0]) or 1.0
    shown = False
    for one in chart.bins:
        if not shown and one["at"] + chart.step > began:
            yield f"{'':8} -- began {_time(began)}"
            shown = True
        bar = ["#"] * round(max(one["max"], 0.0) / highest * _WIDE)
        bar += [" "] * (_WIDE + 1 - len(bar))
        if chart.limit is not None:
            bar[min(_WIDE, round(max(chart.limit, 0.0) / highest * _WIDE))] = "|"
        yield f"{one['at']:%H:%M:%S} {''.join(bar)} {one['min']:.4g} .. {one['max']:.4g}"


def _time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"


def _span(length: timedelta) -> str:
    return str(timedelta(seconds=round(length.total_seconds())))
