"""The mapping dialect: a TOML file teaches a new make without code. See docs/dialects/mapping.md.

The file is compiled once into look-ups; nothing in it is run. Reading a message takes a bounded
number of steps: at most `rules.MAX_ELEMENTS` elements with the file's own number of values each.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from ingest.dialects.heard import Heard, Listening, Make
from ingest.dialects.mapping_file import Compiler, promises
from ingest.dialects.rules import (
    Rule,
    Where,
    a_word,
    charger_of,
    elements,
    holds,
    nested,
    parted,
    port_of,
    top_of,
    where_of,
)
from ingest.dialects.sparkplug import Sparkplug
from ingest.dialects.toml_lines import BadMapping, Table, read_toml
from ingest.dialects.values import Here
from pilewatch.model import Kind, Observation
from pilewatch.wire import CHARGER_ID, MAX_PAYLOAD

MAX_TOPICS = 200
_AGAIN = timedelta(hours=1)
_INTRODUCED = 50_000


def load_mapping(file: Path) -> Make:
    """The dialect that a file describes. Raises `BadMapping`."""
    try:
        data = file.read_bytes()
    except OSError as error:
        raise BadMapping(f"{file}: {error.strerror}") from error
    return read_mapping(str(file), data)


def read_mapping(name: str, data: bytes) -> Make:
    """The same of a file's content."""
    return _Mapping(read_toml(name, data)).make()


class _Mapping:
    """One compiled file, and what it remembers: births (Sparkplug B), and to whom it told the
    promises of the file."""

    def __init__(self, top: Table):
        self.name = top.need("name", str)
        if not CHARGER_ID.fullmatch(self.name):
            raise top.wrong("right would be 1 to 64 of A-Z a-z 0-9 . _ -", "name")
        self.what = top.take("what", str, f"mapping {top.file.name}") or ""
        self._promised = promises(top)
        self._promises = any(value is not None for value in self._promised.values())
        self.rules = _with_sources([Compiler(table).rule() for table in top.tables("topic")])
        top.finish()
        if not 1 <= len(self.rules) <= MAX_TOPICS:
            raise top.wrong(f"right would be 1 to {MAX_TOPICS} [[topic]] tables")
        self._by_pattern: dict[str, list[Rule]] = {}
        for rule in self.rules:
            self._by_pattern.setdefault(rule.pattern.text, []).append(rule)
        self._introduced: dict[str, datetime] = {}
        self._sparkplug = Sparkplug()

    def make(self) -> Make:
        listens = tuple(Listening(rules[0].pattern) for rules in self._by_pattern.values())
        return Make(self.name, self.what, listens, self._read, "docs/dialects/mapping.md")

    def _read(self, heard: Heard) -> list[Observation]:
        found: list[Observation] = []
        for rule in self._by_pattern[heard.path]:
            found += self._apply(rule, heard)
        return self._introduce(found) if self._promises and found else found

    def _introduce(self, said: list[Observation]) -> list[Observation]:
        """Tell the file's promises of each charger now and then, as a charger would its own."""
        first = said[0]
        last = self._introduced.get(first.charger)
        now = first.received_at
        if first.kind in (Kind.ONLINE, Kind.OFFLINE) or (
            last is not None and last < now < last + _AGAIN
        ):
            return said
        if len(self._introduced) >= _INTRODUCED:
            self._introduced.clear()
        self._introduced[first.charger] = now
        told = msgspec.structs.replace(first, kind=Kind.ONLINE, connector=0, seq=-1)
        return [_bare(told, self._promised), *said]

    def _apply(self, rule: Rule, heard: Heard) -> list[Observation]:
        top = top_of(rule, heard, self._payload(rule, heard))
        if top is None or not holds(rule.when, top):
            return []
        heard = heard._replace(charger=charger_of(rule, top))
        where = where_of(rule, top, heard)
        found = self._whole(rule, top, where)
        taken: set[int] = set()
        for here in elements(rule, top):
            found += port_of(rule, here, where, taken)
        return found

    def _payload(self, rule: Rule, heard: Heard) -> Any:
        form, split, pairs, _ = rule.payload
        if form == "json":
            return heard.json()
        if form == "text":
            if split or pairs:
                return parted(heard.text(MAX_PAYLOAD), split, pairs)
            return heard.text()
        whose = tuple(part for name, part in heard.names.items() if name != "kind")
        kind = heard.names.get("kind", "DDATA")
        return nested(
            (m.name, m.value) for m in self._sparkplug.meaning(whose, kind, heard.payload)
        )

    def _whole(self, rule: Rule, top: Here, where: Where) -> list[Observation]:
        """What is said of the charger itself."""
        found = []
        if rule.online is not None and (online := rule.online(top)) is not None:
            told = {key: a_word(get(top), key) for key, get in rule.told}
            data = {**self._promised, **{k: v for k, v in told.items() if v is not None}}
            kind = Kind.ONLINE if online else Kind.OFFLINE
            found.append(where.say(kind=kind, data=data if online else None))
        if rule.heartbeat is not None:
            numbers, confirms = rule.heartbeat
            life = {name: get(top) for name, get in numbers}
            live = confirms and not where.heard.replayed
            found.append(where.say(kind=Kind.HEARTBEAT, data=life, confirms_all=live))
        return found


def _with_sources(rules: list[Rule]) -> tuple[Rule, ...]:
    """Where one rule alone tells faults, what it tells is all of them."""
    if sum(1 for rule in rules if rule.port.faults) > 1:
        return tuple(rules)
    return tuple(rule._replace(port=rule.port._replace(source=None)) for rule in rules)


def _bare(said: Observation, data: Mapping[str, str | int | float | None]) -> Observation:
    """An introduction beside what was said: nothing of the ports."""
    return Observation(
        kind=said.kind,
        charger=said.charger,
        observed_at=said.observed_at,
        received_at=said.received_at,
        replayed=said.replayed,
        redelivered=said.redelivered,
        digest=said.digest,
        data=dict(data),
    )
