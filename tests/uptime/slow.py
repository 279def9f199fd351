"""Uptime moment by moment, from the words themselves: an independent, slow reference.

It shares no code with the program: no spans, no step functions, no SQL. Everything in a story
happens at whole ticks, so that looking once in each of them is exact.
"""

from dataclasses import dataclass, field

TICK = 10
"""Seconds."""
STOPPING = {"ground-fault", "relay-open", "over-temperature"}
"""Out-of-order faults that the tests use."""
NEVI_REASONS = {"utility", "internet", "maintenance", "vandalism", "disaster", "vehicle", "closed"}
UK_REASONS = {"utility", "internet", "vandalism", "disaster", "access", "closed"}


@dataclass(frozen=True)
class Word:
    """One observation of a charger. `port` 0: the charger itself; `says` is a status, with its
    fault codes, or heartbeat, online, offline, meter."""

    at: int
    port: int
    says: str
    codes: tuple[str, ...] = ()
    seq: int = -1
    heartbeat_s: int | None = None


@dataclass(frozen=True)
class Trouble:
    """An incident over a charger (port 0) or one of its ports; `to` None: it goes on."""

    port: int
    code: str
    begins: int
    ends: int | None


@dataclass(frozen=True)
class Out:
    """Time to be left out; port 0: of all ports."""

    port: int
    reason: str
    begins: int
    ends: int


@dataclass
class Story:
    """All that happened to one charger."""

    heartbeat_s: int
    words: list[Word] = field(default_factory=list)
    troubles: list[Trouble] = field(default_factory=list)
    outs: list[Out] = field(default_factory=list)

    def said(self, port: int, second: int) -> str | None:
        """What the port said last."""
        told = [
            (w.at, w.seq, w)
            for w in self.words
            if w.port == port and w.at <= second
            and w.says not in ("heartbeat", "online", "offline", "meter")
        ]  # fmt: skip
        if not told:
            return None
        word = max(told, key=lambda each: each[:2])[2]
        if word.says == "faulted" or set(word.codes) & STOPPING:
            return "faulted"
        return word.says if word.says in ("unavailable", "unknown") else "working"

    def promise(self, second: int) -> int:
        """The heartbeat that it had announced last."""
        told = [
            (w.at, w.heartbeat_s)
            for w in self.words
            if w.says == "online" and w.heartbeat_s is not None
        ]
        before = [each for each in told if each[0] <= second]
        # Before the first announcement that is still there: what the current state tells.
        return max(before or told or [(0, self.heartbeat_s)])[1]

    def heard(self, second: int) -> bool:
        """Whether it spoke within three heartbeats, and its last will not since."""
        spoken = [w.at for w in self.words if w.says != "offline" and w.at <= second]
        gone = [w.at for w in self.words if w.says == "offline" and w.at <= second]
        if not spoken or (gone and max(gone) > max(spoken)):
            return False
        return second < max(spoken) + 3 * self.promise(max(spoken))

    def state(self, port: int, second: int) -> str | None:
        """None before its first word."""
        said = self.said(port, second)
        if said is None:
            return None
        codes = {
            t.code
            for t in self.troubles
            if t.port in (0, port) and t.begins <= second and (t.ends is None or second < t.ends)
        }
        heard = self.heard(second) and "silent-port" not in codes
        if codes & STOPPING or (heard and said == "faulted"):
            return "out"
        if not heard or said == "unknown":
            return "unknown"
        if said == "unavailable":
            return "unavailable"
        return "weak" if "derated" in codes else "working"

    def count(self, port: int, begins: int, ends: int) -> dict[str, int]:
        """Seconds of each kind, one tick after the other."""
        found = dict.fromkeys(
            ("service", "working", "unavailable", "out_of_order", "unknown", "nevi_outage",
             "nevi_excluded", "uk_total", "uk_down", "uk_ineligible"), 0,
        )  # fmt: skip
        for second in range(begins, ends, TICK):
            state = self.state(port, second)
            if state is None:
                continue
            reasons = {
                o.reason for o in self.outs if o.port in (0, port) and o.begins <= second < o.ends
            }
            found["service"] += 1
            found["working"] += state in ("working", "weak")
            found["unavailable"] += state == "unavailable"
            found["out_of_order"] += state == "out"
            found["unknown"] += state == "unknown"
            found["nevi_outage"] += state != "working"
            found["nevi_excluded"] += state != "working" and bool(reasons & NEVI_REASONS)
            if not reasons & UK_REASONS:
                found["uk_total"] += 1
                found["uk_down"] += state in ("out", "unavailable")
                found["uk_ineligible"] += state == "unknown"
        return {kind: ticks * TICK for kind, ticks in found.items()}
