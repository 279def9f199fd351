"""Completing statuses that tell only a part of a connector's state. Pure.

Many makes send each value under a topic of its own, so that a status and the errors beside it come
in different messages. What a message leaves out stays as it was; history gets the whole.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from pilewatch.model import Kind, Status

Row = tuple[Any, ...]
KIND, STATUS, ERRORS, CONNECTOR_ID = 4, 10, 11, 3
"""Places in a staged row."""


class Partial(NamedTuple):
    """What a staged status speaks of; see `Observation`."""

    source: str | None
    only_from: frozenset[Status] | None


class Known(NamedTuple):
    """The last that is known of a connector; `errors` as decoded JSON."""

    status: str
    errors: list[dict[str, Any]]


def complete(
    rows: Sequence[Row], partial: Mapping[int, Partial], known: Mapping[int, Known]
) -> list[Row]:
    """The rows with each partial status completed, in their order, from what was before it.

    One that says nothing new becomes a confirmation: it refreshes the age and is not stored again.
    """
    now = dict(known)
    completed = []
    for row in rows:
        place, connector_id = row[0], row[CONNECTOR_ID]
        if connector_id in now and row[KIND] in (Kind.STATUS, Kind.CONFIRM):
            before = now[connector_id]
            after = _after(before, row, partial.get(place))
            now[connector_id] = after
            if place in partial:
                row = _whole(row, after, same=after == before)  # noqa: PLW2901
        completed.append(row)
    return completed


def _after(before: Known, row: Row, part: Partial | None) -> Known:
    status = before.status if row[STATUS] is None else row[STATUS]
    if part is not None and part.only_from is not None and before.status not in part.only_from:
        status = before.status
    if row[ERRORS] is None:
        return Known(status, before.errors)
    said = json.loads(row[ERRORS])
    if part is None or part.source is None:
        return Known(status, said)
    others = [error for error in before.errors if error.get("source") != part.source]
    return Known(status, sorted(others + said, key=lambda error: error.get("source") or ""))


def _whole(row: Row, said: Known, *, same: bool) -> Row:
    whole = list(row)
    whole[KIND] = int(Kind.CONFIRM) if same else row[KIND]
    whole[STATUS], whole[ERRORS] = said.status, json.dumps(said.errors, ensure_ascii=False)
    if not said.errors:
        whole[ERRORS] = "[]"
    return tuple(whole)
