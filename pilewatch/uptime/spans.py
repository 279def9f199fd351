"""Pieces of time in microseconds since 1970: sorted, apart from each other, half-open. Pure."""

from collections.abc import Hashable, Iterable, Sequence
from typing import TypeAlias, TypeVar

Span: TypeAlias = tuple[int, int]
"""From (in it) to (not in it)."""
Spans: TypeAlias = list[Span]
V = TypeVar("V", bound=Hashable)


def melt(pieces: Iterable[Span]) -> Spans:
    """Any pieces in order, without overlap; those that touch are one, empty ones are gone."""
    found: Spans = []
    last = None
    for begins, ends in sorted(pieces):
        if begins >= ends:
            continue
        if last is not None and begins <= last:
            if ends > last:
                found[-1] = (found[-1][0], ends)
                last = ends
        else:
            found.append((begins, ends))
            last = ends
    return found


def union(*many: Spans) -> Spans:
    """What is in any of them."""
    filled = [spans for spans in many if spans]
    if len(filled) < 2:
        return filled[0] if filled else []
    return melt(span for spans in filled for span in spans)


def intersect(one: Spans, other: Spans) -> Spans:
    """What is in both."""
    found: Spans = []
    if not one or not other:
        return found
    ones, others = iter(one), iter(other)
    begins, ends = next(ones)
    from_, to = next(others)
    try:
        while True:
            low = begins if begins > from_ else from_
            if ends < to:
                if low < ends:
                    found.append((low, ends))
                begins, ends = next(ones)
            else:
                if low < to:
                    found.append((low, to))
                from_, to = next(others)
    except StopIteration:
        return found


def subtract(one: Spans, other: Spans) -> Spans:
    """What is in the first and not in the second."""
    if not one or not other:
        return one
    found: Spans = []
    place, many = 0, len(other)
    for begins, ends in one:
        at = begins
        while place < many and other[place][1] <= at:
            place += 1
        k = place
        while k < many:
            from_, to = other[k]
            if from_ >= ends:
                break
            if from_ > at:
                found.append((at, from_))
            at = to
            k += 1
        if at < ends:
            found.append((at, ends))
    return found


def total(spans: Spans) -> int:
    """Microseconds of all of them."""
    return sum([ends - begins for begins, ends in spans])


def steps(changes: Sequence[tuple[int, V]], until: int) -> dict[V, Spans]:
    """A step function as the spans of each of its values; the last one holds until then."""
    found: dict[V, Spans] = {}
    for place, (at, value) in enumerate(changes):
        ends = changes[place + 1][0] if place + 1 < len(changes) else until
        if at < ends:
            spans = found.setdefault(value, [])
            if spans and spans[-1][1] == at:
                spans[-1] = (spans[-1][0], ends)
            else:
                spans.append((at, ends))
    return found
