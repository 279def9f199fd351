"""One rule of a mapping file, compiled, and what it reads of a message. Pure and bounded."""

from collections.abc import Callable, Iterator
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple

from ingest.dialects.heard import Heard
from ingest.dialects.topics import Pattern
from ingest.dialects.values import Get, Here, key_of
from pilewatch.model import Kind, Observation, ReportedError, Status
from pilewatch.store.observations import microseconds
from pilewatch.wire import CHARGER_ID, CLOCK_AHEAD, CLOCK_FLOOR, BadMessage

MAX_ELEMENTS = 999
MOST_ERRORS = 32
Numbers = Callable[[Here], float | None]
Words = Callable[[Here], Any]


class Port(NamedTuple):
    """What is read of each element."""

    connector: Numbers | None
    fixed: int | None
    status: Callable[[Here], "Said | None"] | None
    faults: tuple[Callable[[Here], list[ReportedError] | None], ...]
    source: str | None
    measures: tuple[tuple[str, Numbers], ...]
    session: Callable[[Here], "Session | None"] | None
    session_id: Words | None


class Said(NamedTuple):
    status: Status
    only_from: frozenset[Status] | None


class Session(NamedTuple):
    kind: Kind
    id: str | None
    energy_wh: float | None
    reason: str | None


class Payload(NamedTuple):
    """How a payload is read: a text may be split, and a text in it may be JSON itself."""

    format: str
    split: tuple[str, ...] = ()
    pairs: str | None = None
    inside: Get | None = None


When = tuple[tuple[Get, frozenset[str]], ...]
"""Places, and the values that they must have."""


def holds(when: When, here: Here) -> bool:
    """Whether every place has one of its values."""
    return all(key_of(get(here)) in wanted for get, wanted in when)


class Rule(NamedTuple):
    """One `[[topic]]`, compiled."""

    pattern: Pattern
    payload: Payload
    when: When
    charger: Get | None
    each: tuple[Get, ...]
    keyed: bool
    """Whether a place asks for an element's `{key}`."""
    at: Callable[[Here], datetime | None] | None
    seq: Numbers | None
    port: Port
    heartbeat: tuple[tuple[tuple[str, Numbers], ...], bool] | None
    online: Callable[[Here], bool | None] | None
    told: tuple[tuple[str, Get], ...]
    line: int


class Where(NamedTuple):
    """Whose message it is; `say` makes an observation that has its charger and times."""

    heard: Heard
    say: Callable[..., Observation]


def nested(values: Any) -> dict[str, Any]:
    """Names with slashes as objects in objects, so that a pointer reads as the name does."""
    found: dict[str, Any] = {}
    for name, value in values:
        here = found
        *above, last = name.split("/", 15)
        for step in above:
            below = here.setdefault(step, {})
            if not isinstance(below, dict):
                below = here[step] = {"": below}
            here = below
        here[last] = value
    return found


def parted(text: str, separators: tuple[str, ...], pairs: str | None) -> Any:
    """A text as lists in lists, by separators, outermost first; with pairs, objects instead of
    the innermost lists."""
    if not separators:
        return _trimmed(text) if pairs is None else _named([text], pairs)
    parts = text.split(separators[0])
    if len(separators) > 1:
        return [parted(part, separators[1:], pairs) for part in parts]
    return [_trimmed(part) for part in parts] if pairs is None else _named(parts, pairs)


def _trimmed(text: str) -> str:
    return text.strip().strip('"')


def _named(parts: list[str], pairs: str) -> dict[str, str]:
    found = (part.partition(pairs) for part in parts)
    return {_trimmed(name): _trimmed(value) for name, middle, value in found if middle}


def top_of(rule: Rule, heard: Heard, value: Any) -> Here | None:
    """Where reading begins: the payload, or the JSON inside of it; None where that is absent."""
    top = Here(value, value, value, 0, heard.names)
    if rule.payload.inside is None:
        return top
    inner = rule.payload.inside(top)
    if isinstance(inner, str):
        if "\\u0000" in inner:
            raise BadMessage("the JSON inside holds \\u0000, which no text may contain")
        inner = heard.json_of(inner.encode(errors="surrogatepass"))
    return None if inner is None else top._replace(element=inner)


def charger_of(rule: Rule, top: Here) -> str:
    found = top.names.get("charger") if rule.charger is None else rule.charger(top)
    if isinstance(found, int) and not isinstance(found, bool):
        found = str(found)
    if not isinstance(found, str) or not CHARGER_ID.fullmatch(found):
        said = "is missing" if found is None else f"is {str(found)[:80]!r}"
        raise BadMessage(f"the charger's id {said}; right would be 1 to 64 of A-Z a-z 0-9 . _ -")
    return found


def where_of(rule: Rule, top: Here, heard: Heard) -> Where:
    at = None if rule.at is None else rule.at(top)
    seq = None if rule.seq is None else rule.seq(top)
    if seq is not None and not 0 <= seq < 2**53:
        raise BadMessage(f"seq is {seq}; right would be 0 or more")
    number = -1 if seq is None else int(seq)
    if at is None or not CLOCK_FLOOR <= at <= heard.received_at + CLOCK_AHEAD:
        return _where(heard, heard.received_at, number, at is not None, heard.digest())
    if seq is None:
        # Clocks of whole seconds: what came later in the same one is later.
        number = microseconds(heard.received_at)
    return _where(heard, at, number)


def _where(
    heard: Heard, at: datetime, seq: int, clock_fault: bool = False, digest: int | None = None
) -> Where:
    say = partial(
        Observation,
        charger=heard.charger,
        observed_at=at,
        received_at=heard.received_at,
        seq=seq,
        clock_fault=clock_fault,
        replayed=heard.replayed,
        redelivered=heard.redelivered,
        digest=digest,
    )
    return Where(heard, say)


def elements(rule: Rule, top: Here) -> Iterator[Here]:
    if not rule.each:
        yield top
        return
    level = [(top.element, top.parent, "")]
    for get in rule.each:
        below: list[tuple[Any, Any, str]] = []
        for element, _, _ in level:
            inside = get(Here(top.root, element, element, 0, top.names))
            if isinstance(inside, dict):
                below += [(one, element, key) for key, one in inside.items()]
            elif isinstance(inside, list):
                below += [(one, element, str(n)) for n, one in enumerate(inside)]
            elif inside is not None:
                raise BadMessage(f"each: {str(inside)[:40]!r}; right would be a list or an object")
            if len(below) > MAX_ELEMENTS:
                raise BadMessage(f"each: more than {MAX_ELEMENTS} elements")
        level = below
    names = top.names
    for index, (element, parent, key) in enumerate(level):
        if rule.keyed:
            names = {**top.names, "key": key}
        yield Here(top.root, element, parent, index, names)


def port_of(rule: Rule, here: Here, where: Where, taken: set[int]) -> list[Observation]:
    port = rule.port
    status = None if port.status is None else port.status(here)
    told = [some for get in port.faults if (some := get(here)) is not None]
    errors: tuple[ReportedError, ...] | None = () if told else None
    if any(told):
        listed = [e for some in told for e in some][:MOST_ERRORS]
        errors = tuple(ReportedError(e.code, e.vendor_code, e.info, port.source) for e in listed)
    values = {name: v for name, get in port.measures if (v := get(here)) is not None}
    session = None if port.session is None else port.session(here)
    if not values and status is None and errors is None and session is None:
        return []
    connector = _connector(port, here)
    if connector in taken:
        raise BadMessage(f"connector {connector} comes twice in one message")
    taken.add(connector)
    found = []
    if status is not None or errors is not None:
        found.append(
            where.say(
                kind=Kind.STATUS,
                connector=connector,
                status=None if status is None else status.status,
                only_from=None if status is None else status.only_from,
                errors=errors,
                errors_source=None if errors is None else port.source,
            )
        )
    session_id = None if port.session_id is None else a_word(port.session_id(here), "session_id")
    if values:
        found.append(
            where.say(kind=Kind.METER, connector=connector, session_id=session_id, **values)
        )
    if session is not None:
        found.append(
            where.say(
                kind=session.kind,
                connector=connector,
                session_id=session.id,
                energy_wh=session.energy_wh,
                reason=session.reason,
            )
        )
    return found


def _connector(port: Port, here: Here) -> int:
    found = port.fixed if port.connector is None else port.connector(here)
    if found is None:
        raise BadMessage("the connector's number is missing")
    if found != int(found) or not (0 if port.fixed == 0 else 1) <= found <= 999:
        raise BadMessage(f"connector {found:g}; right would be 1 to 999")
    return int(found)


def a_word(value: Any, where: str) -> str | None:
    """A short text, as it is or of a number."""
    if value is None or value == "":
        return None
    if isinstance(value, dict | list):
        raise BadMessage(f"{where}: right would be a text")
    text = value if isinstance(value, str) else key_of(value)
    if len(text) > 200:
        raise BadMessage(f"{where}: {len(text)} characters; at most 200 are allowed")
    return text
