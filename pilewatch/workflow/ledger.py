"""The ledger (问题台账): the one list of all matters of an area, filtered and searched.

A search is words with spaces between. Each must be contained in a line's text, or in the name of
its kind. Letters or digits (ASCII) at its beginning begin a word there, too; fewer than three of
them at its end also end one: "WH-E0" finds WH-E0 only, "WH-E013" and "E013" find WH-E0134.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from pilewatch.store import queries
from pilewatch.store.pool import Db

_SQL = queries.load("ledger")
_RUNS = re.compile(r"([a-z0-9]+)|([^\x00-\x7f]+)")
_FIRST, _LAST = re.compile(r"[a-z0-9]"), re.compile(r"[a-z0-9]+$")
_TERMS = 8
_PREFIX = 3
"""A shorter word of letters or digits is looked for as it is: it begins too many."""
_LONGEST = 64
"""So many characters of a word are kept as its token."""
_PAGE = 1000
SOURCES = ("machine", "page", "phone", "meeting", "open311", "inspection", "staff")
Names = Mapping[str, Sequence[str]]
"""What each kind is called, in every language, as plain text."""


class BadSearch(ValueError):
    """This cannot be searched for; `str()` says what would be right."""


@dataclass(frozen=True)
class Wanted:
    """A filter: codes of the registry, words, a time in which it was raised; None is everything.

    `overdue` is past the deadline, done or not; `settled` is closed, answered, rejected or merged.
    """

    area: str | None = None
    grid: str | None = None
    site: str | None = None
    company: str | None = None
    state: str | None = None
    kind: str | None = None
    source: str | None = None
    severity: int | None = None
    settled: bool | None = None
    overdue: bool | None = None
    from_at: datetime | None = None
    to_at: datetime | None = None
    text: str | None = None


@dataclass(frozen=True)
class Search:
    """`query` finds candidates by their tokens; each pattern, or one of its codes, decides."""

    query: str
    patterns: list[str]
    codes: list[str]


def search(plain: str, names: Names) -> Search:
    """What to look for. Raises `BadSearch` where there is no word, or too many."""
    terms = [term for term in dict.fromkeys(plain.split(" ")) if _RUNS.search(term)]
    if not 0 < len(terms) <= _TERMS:
        raise BadSearch(f"text: one to {_TERMS} words are needed")
    patterns = [_pattern(term) for term in terms]
    codes = [
        sorted(kind for kind, called in names.items() if any(re.search(p, name) for name in called))
        for p in patterns
    ]
    parts = [_either(term, kinds) for term, kinds in zip(terms, codes, strict=True)]
    return Search(" & ".join(parts), patterns, [",".join(kinds) for kinds in codes])


def _pattern(term: str) -> str:
    """The term at the edges of words, as both PostgreSQL and Python understand it."""
    text = re.sub(r"([^a-z0-9\u0080-\U0010ffff])", r"\\\1", term)
    last = _LAST.search(term)
    begins = r"(?<![a-z0-9])" if _FIRST.match(term) else ""
    ends = r"(?![a-z0-9])" if last and len(last[0]) < _PREFIX else ""
    return f"{begins}{text}{ends}"


def _either(term: str, kinds: Sequence[str]) -> str:
    ways = [f"({' & '.join(_tokens(term))})", *(f"'={kind}'" for kind in kinds)]
    return f"({' | '.join(ways)})"


def _tokens(term: str) -> Iterator[str]:
    """The tokens, as a tsquery names them, that a text with this term has."""
    for run in _RUNS.finditer(term):
        word, other = run.groups()
        if word is not None:
            begins = run.end() == len(term) and len(word) >= _PREFIX
            yield f"'{word[:_LONGEST]}'" + (":*" if begins else "")
        elif len(other) == 1:
            yield f"'{other}':*"
        else:
            yield from (f"'{other[i : i + 2]}'" for i in range(len(other) - 1))


@dataclass(frozen=True)
class Mark:
    """Where a page of the list ended: the next one begins after it."""

    at: datetime
    id: int


def lines(
    db: Db,
    now: datetime,
    wanted: Wanted,
    names: Names,
    *,
    narrowed: Mapping[str, Any],
    after: Mark | None,
    limit: int,
) -> list[dict[str, Any]]:
    """One page, newest first; `narrowed` is the caller's scope. Raises `BadSearch`."""
    return _page(db, now, _values(db, wanted, names, narrowed), after, limit)


def all_lines(
    db: Db,
    now: datetime,
    wanted: Wanted,
    names: Names,
    *,
    narrowed: Mapping[str, Any],
    most: int,
) -> Iterator[dict[str, Any]]:
    """Up to `most` lines, read page by page, as of one moment where the caller's transaction is
    one of repeatable reads. Raises `BadSearch`."""
    values = _values(db, wanted, names, narrowed)
    after: Mark | None = None
    while most > 0:
        rows = _page(db, now, values, after, min(_PAGE, most))
        yield from rows
        if len(rows) < min(_PAGE, most):
            return
        most -= len(rows)
        after = Mark(rows[-1]["raised_at"], rows[-1]["id"])


def _values(db: Db, wanted: Wanted, names: Names, narrowed: Mapping[str, Any]) -> dict[str, Any]:
    asked = db.execute(_SQL["asked"], {**asdict(wanted), **narrowed}).fetchone()
    assert asked is not None
    found = None if wanted.text is None else search(asked["plain"], names)
    looked = dict.fromkeys(("query", "patterns", "codes")) if found is None else asdict(found)
    return {**asdict(wanted), **asked, **looked, **narrowed}


def _page(
    db: Db, now: datetime, values: Mapping[str, Any], after: Mark | None, limit: int
) -> list[dict[str, Any]]:
    begins = ("infinity", 0) if after is None else (after.at, after.id)
    place = {"at": begins[0], "at_id": begins[1], "limit": limit, "now": now}
    return db.execute(_SQL["lines"], {**values, **place}, prepare=False).fetchall()
