"""Checklists of inspections: what is looked at, what is measured, and what a failed item means.

A checklist is a TOML file; what an inspection answered is judged against the very version that the
worker had. Pure.
"""

import hashlib
import math
import tomllib
from collections.abc import Iterable, Sequence
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from pilewatch.faultcodes import FAULTS

Purpose = Literal["patrol", "electrical"]
ChargerType = Literal["ebike", "ac", "dc"]
Word = Annotated[str, Meta(pattern=r"^[a-z0-9-]{1,40}$")]
Said = Annotated[str, Meta(min_length=1, max_length=200)]
STRONGEST_AC_W = 22_000
"""A car's pile with a stronger connector is taken for a DC pile."""


class BadChecklist(ValueError):
    """The file is no checklist; `str()` says where and why."""


class BadAnswers(ValueError):
    """The answers do not fit the checklist; `problems` says which and what would be right."""

    def __init__(self, problems: list[str]):
        super().__init__("; ".join(problems))
        self.problems = problems


class Text(Struct, frozen=True, forbid_unknown_fields=True):
    """What people read, in both languages."""

    zh: Said
    en: Said


class Item(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One thing to look at or to measure; a number must lie within `least` and `most`.

    `fault` is the code of the ticket that a failure opens, `fault_below` that of a number below
    `least`, where it is another. `each_port`: a failure may name ports. `scan`: a scanned code of
    another pile fails it. `session_proves`: a charging session shows its repair; otherwise only
    another inspection does. `photo`: one is asked for.
    """

    code: Word
    text: Text
    fault: str
    fault_below: str | None = None
    kind: Literal["check", "number"] = "check"
    unit: Annotated[str, Meta(max_length=10)] | None = None
    least: float | None = None
    most: float | None = None
    required: bool = True
    each_port: bool = False
    scan: bool = False
    session_proves: bool = False
    photo: bool = False


class Checklist(Struct, frozen=True, forbid_unknown_fields=True):
    """What one kind of inspection of some types of chargers consists of."""

    code: Word
    purpose: Purpose
    chargers: Annotated[tuple[ChargerType, ...], Meta(min_length=1)]
    name: Text
    items: Annotated[tuple[Item, ...], Meta(min_length=1, max_length=60)]

    @property
    def digest(self) -> bytes:
        """SHA-256 of the content: another content is another version."""
        return hashlib.sha256(msgspec.json.encode(self)).digest()


class Answer(Struct, frozen=True, omit_defaults=True):
    """What was found at one item: `ok`, a `value` in the item's unit, or why it was `skipped`."""

    item: Annotated[str, Meta(max_length=40)]
    ok: bool | None = None
    value: float | None = None
    skipped: Said | None = None
    ports: Annotated[tuple[Annotated[int, Meta(ge=1, le=999)], ...], Meta(max_length=999)] = ()
    photos: Annotated[tuple[Annotated[str, Meta(max_length=64)], ...], Meta(max_length=10)] = ()
    note: Annotated[str, Meta(max_length=500)] | None = None


class Failure(Struct, frozen=True):
    """An item that failed, at one port or, with None, at the charger as a whole."""

    item: str
    code: str
    port: int | None
    value: float | None
    session_proves: bool


class Judged(Struct, frozen=True):
    """`complete`: no required item was skipped. `passed`: complete, and nothing failed."""

    failures: tuple[Failure, ...]
    complete: bool

    @property
    def passed(self) -> bool:
        """Whether the charger may be called sound."""
        return self.complete and not self.failures


def charger_type(kind: str, strongest_w: float | None) -> ChargerType:
    """The type of a charger by its kind and the power of its strongest connector, in watts."""
    if kind == "ebike":
        return "ebike"
    return "dc" if strongest_w is not None and strongest_w > STRONGEST_AC_W else "ac"


def read_checklist(text: str, where: str) -> Checklist:
    """Read and check one TOML text. Raises `BadChecklist`."""
    try:
        found = msgspec.convert(tomllib.loads(text), Checklist)
    except (ValueError, RecursionError) as error:
        raise BadChecklist(f"{where}: {error}") from error
    seen: set[str] = set()
    for item in found.items:
        wrong = _wrong_with(item)
        if item.code in seen:
            wrong = "its code is taken by another item"
        if wrong is not None:
            raise BadChecklist(f"{where}: items: {item.code}: {wrong}")
        seen.add(item.code)
    return found


def load_checklist(path: Path) -> Checklist:
    """The same from a file."""
    try:
        return read_checklist(path.read_text(encoding="utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise BadChecklist(f"{path}: {error}") from error


@lru_cache(maxsize=1)
def shipped() -> tuple[Checklist, ...]:
    """The checklists that come with the program."""
    folder = files("pilewatch") / "checklists"
    found = sorted((e for e in folder.iterdir() if e.name.endswith(".toml")), key=lambda e: e.name)
    return tuple(read_checklist(entry.read_text(encoding="utf-8"), entry.name) for entry in found)


def judge(
    checklist: Checklist, answers: Sequence[Answer], ports: Iterable[int], *, wrong_pile: bool
) -> Judged:
    """What these answers say of a charger with these ports. Raises `BadAnswers`.

    `wrong_pile`: what was scanned there is the code of another pile.
    """
    known, numbers = {item.code: item for item in checklist.items}, frozenset(ports)
    given: dict[str, Answer] = {}
    problems = []
    for answer in answers:
        item = known.get(answer.item)
        wrong = "no such item" if item is None else _wrong_answer(item, answer, numbers)
        if answer.item in given:
            wrong = "answered twice"
        if wrong is not None:
            problems.append(f"{answer.item}: {wrong}")
        given[answer.item] = answer
    problems += [
        f"{item.code}: an answer is needed, or why it was skipped"
        for item in checklist.items
        if item.required and item.code not in given
    ]
    if problems:
        raise BadAnswers(problems)
    pairs = [(item, given[item.code]) for item in checklist.items if item.code in given]
    return Judged(
        tuple(failure for item, said in pairs for failure in _failures(item, said, wrong_pile)),
        complete=not any(item.required and said.skipped is not None for item, said in pairs),
    )


def _failures(item: Item, answer: Answer, wrong_pile: bool) -> list[Failure]:
    code = item.fault
    if answer.value is not None:
        below = item.least is not None and answer.value < item.least
        failed = below or (item.most is not None and answer.value > item.most)
        code = item.fault_below or code if below else code
    else:
        failed = answer.ok is False or (item.scan and wrong_pile)
    where: list[int | None] = [*dict.fromkeys(answer.ports)] or [None]
    proves = item.session_proves
    return [Failure(item.code, code, port, answer.value, proves) for port in where if failed]


def _wrong_answer(item: Item, answer: Answer, ports: frozenset[int]) -> str | None:
    told = [answer.ok is not None, answer.value is not None, answer.skipped is not None]
    if sum(told) != 1:
        return "exactly one of ok, value and skipped is needed"
    if item.kind == "number" and answer.ok is not None:
        return f"a value in {item.unit} is needed"
    if item.kind == "check" and answer.value is not None:
        return "ok is needed, it is no measurement"
    if answer.value is not None and not math.isfinite(answer.value):
        return "the value is no number"
    if answer.ports and not (item.each_port and answer.ok is False):
        return "ports are named only where an item of each port failed"
    strange = sorted(set(answer.ports) - ports)
    return f"the charger has no port {strange[0]}" if strange else None


def _wrong_with(item: Item) -> str | None:
    for code in (item.fault, item.fault_below or item.fault):
        if code not in FAULTS:
            return f"fault: {code!r} is no fault code"
    if item.kind == "check":
        limits = (item.unit, item.least, item.most, item.fault_below)
        return None if not any(x is not None for x in limits) else "only a number has limits"
    if item.unit is None or (item.least is None and item.most is None):
        return "a number needs its unit and at least one limit"
    if item.each_port or item.scan:
        return "each_port and scan are for checks"
    if item.least is not None and item.most is not None and item.least > item.most:
        return "least is greater than most"
    return None
