"""Topic patterns with named parts, such as `acme/{charger}/port{connector}/power`. Pure.

A part is literal text, or text around one `{name}`. `{name:shelly*}` takes only what begins so;
`{name:**}`, as the last part, takes all that follows. No regular expressions: matching is linear.
"""

from collections.abc import Mapping
from typing import NamedTuple

MAX_PARTS = 32


class BadPattern(ValueError):
    """No topic pattern; `str()` says why and what would be right."""


class _Part(NamedTuple):
    before: str
    name: str | None
    begins: str
    after: str


class Pattern:
    """One compiled pattern. `text` is as it was written."""

    def __init__(self, text: str):
        """Raises `BadPattern`."""
        self.text = text
        pieces = text.split("/")
        if not text or len(pieces) > MAX_PARTS or any(c in text for c in "+#\0"):
            raise BadPattern(
                f"topic {text!r}; right would be 1 to {MAX_PARTS} parts between slashes, with "
                "{name} where a topic differs, and without + or #"
            )
        self.many = pieces[-1].startswith("{") and pieces[-1].endswith(":**}")
        self._tail = pieces.pop()[1:-4] if self.many else ""
        self._parts = tuple(_part(piece, text) for piece in pieces)
        self.names = tuple(p.name for p in self._parts if p.name is not None)
        if self.many:
            self.names += (self._tail,)
        if len(set(self.names)) < len(self.names):
            raise BadPattern(f"topic {text!r} has a name twice; each may stand once")

    @property
    def subscription(self) -> str:
        """The MQTT topic filter that brings it."""
        levels = ["+" if p.name is not None else p.before for p in self._parts]
        return "/".join([*levels, "#"] if self.many else levels)

    def match(self, topic: str) -> Mapping[str, str] | None:
        """The named parts of this topic, or None where it is another one."""
        levels = topic.split("/", MAX_PARTS + 1)
        if len(levels) < len(self._parts) + self.many:
            return None
        if not self.many and len(levels) != len(self._parts):
            return None
        found: dict[str, str] = {}
        for part, level in zip(self._parts, levels, strict=False):
            if part.name is None:
                if level != part.before:
                    return None
                continue
            inner = level[len(part.before) : len(level) - len(part.after)]
            if (
                not inner
                or not level.startswith(part.before)
                or not level.endswith(part.after)
                or not inner.startswith(part.begins)
            ):
                return None
            found[part.name] = inner
        if self.many:
            found[self._tail] = "/".join(levels[len(self._parts) :])
        return found

    def overlaps(self, other: "Pattern") -> bool:
        """Whether some topic could be read by both."""
        if not self.many and not other.many and len(self._parts) != len(other._parts):
            return False
        shorter, longer = sorted((self, other), key=lambda p: len(p._parts))
        if len(shorter._parts) < len(longer._parts) and not shorter.many:
            return False
        return all(_may_be_alike(a, b) for a, b in zip(shorter._parts, longer._parts, strict=False))


def _part(piece: str, text: str) -> _Part:
    if "{" not in piece and "}" not in piece:
        return _Part(piece, None, "", "")
    before, _, rest = piece.partition("{")
    inner, closed, after = rest.partition("}")
    name, narrowed, begins = inner.partition(":")
    if (
        not closed
        or "{" in after + inner
        or "}" in after + before
        or not name.isidentifier()
        or (narrowed and not begins.endswith("*"))
        or "*" in begins[:-1]
    ):
        raise BadPattern(
            f"part {piece!r} of topic {text!r}; right would be one {{name}}, as port{{connector}}, "
            "or {name:begin*} for what begins so"
        )
    return _Part(before, name, begins.removesuffix("*"), after)


def _may_be_alike(a: _Part, b: _Part) -> bool:
    if a.name is None and b.name is None:
        return a.before == b.before
    starts = a.before + a.begins, b.before + b.begins
    if a.name is None or b.name is None:
        literal, named = (a, b) if a.name is None else (b, a)
        return literal.before.startswith(named.before + named.begins) and literal.before.endswith(
            named.after
        )
    return starts[0].startswith(starts[1]) or starts[1].startswith(starts[0])
