"""A matter that is not about charging, as a pure state machine: raised, handed on, answered, done.

A matter about charging has none of this: it is as its ticket is (`matter_now`).
"""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal

State = Literal["raised", "handed-on", "answered", "done"]
Kind = Literal[
    "charging", "parking", "fire-safety", "environment", "facilities", "neighbours", "other"
]


@dataclass(frozen=True)
class Owner:
    """Who owes the answer: a company or a person, never both."""

    company_id: int | None = None
    person_id: int | None = None


@dataclass(frozen=True)
class Matter:
    """As it stands. `answer` is what whoever raised it is told."""

    state: State
    owner: Owner
    deadline_at: datetime
    text: str
    kind: Kind
    answer: str | None = None
    answered_at: datetime | None = None
    done_at: datetime | None = None


@dataclass(frozen=True)
class HandOn:
    """Another one owes the answer now, by a deadline; also where an answer did not help."""

    owner: Owner
    deadline_at: datetime


@dataclass(frozen=True)
class Answer:
    """The owner says what was done, or why not."""

    text: str


@dataclass(frozen=True)
class Settle:
    """Whoever raised it has been told, and is content."""


@dataclass(frozen=True)
class Correct:
    """A slip of the pen: other words, another kind, another deadline."""

    text: str | None = None
    kind: Kind | None = None
    deadline_at: datetime | None = None


Step = HandOn | Answer | Settle | Correct
WORDS: dict[str, type[Any]] = {"hand-on": HandOn, "answer": Answer, "settle": Settle}
_POSSIBLE: dict[type[Any], frozenset[State]] = {
    HandOn: frozenset({"raised", "handed-on", "answered", "done"}),
    Answer: frozenset({"raised", "handed-on", "answered"}),
    Settle: frozenset({"answered"}),
    Correct: frozenset({"raised", "handed-on", "answered"}),
}


class Refused(Exception):
    """The step is not possible now. `state` is the present one, `allowed` what is possible."""

    def __init__(self, text: str, state: State):
        super().__init__(text)
        self.state = state
        self.allowed = possible(state)


def possible(state: State) -> list[str]:
    """What can be done with a matter in this state."""
    return [word for word, step in WORDS.items() if state in _POSSIBLE[step]]


def step(matter: Matter, step: Step, now: datetime) -> Matter:
    """The matter after the step. Raises `Refused`."""
    if matter.state not in _POSSIBLE[type(step)]:
        word = next((w for w, kind in WORDS.items() if kind is type(step)), "change")
        raise Refused(f"{word} is not possible while the matter is {matter.state}", matter.state)
    match step:
        case HandOn(owner, deadline_at):
            anew = replace(matter, answer=None, answered_at=None, done_at=None)
            return replace(anew, state="handed-on", owner=owner, deadline_at=deadline_at)
        case Answer(text):
            return replace(matter, state="answered", answer=text, answered_at=now)
        case Settle():
            return replace(matter, state="done", done_at=now)
        case Correct(text, kind, deadline_at):
            return replace(
                matter,
                text=text or matter.text,
                kind=kind or matter.kind,
                deadline_at=deadline_at or matter.deadline_at,
            )
