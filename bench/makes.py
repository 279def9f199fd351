"""`python -m bench.makes`: CPU a message of the whole ingester for each JSON dialect, beside a bare
paho subscriber that receives the very same messages.

The samples of a dialect are told by thousands of chargers, so that no message repeats another and
nothing is left out as a repetition. Both are held while the broker's queue fills (see
`bench.drain`); the median of the rounds' ratios counts.
"""

import argparse
import json
import re
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from bench.fuzz import SAMPLES, corpora
from bench.load import Publisher
from bench.stage import Child, Result, Stage, stage, wait_until
from ingest.dialects.registry import choose
from pilewatch.settings import Ingest
from pilewatch.store.pool import connect
from pilewatch.wire import BadMessage

_TARGET = 2.5
_CONNECTORS = 3
_BASES: dict[str, tuple[str, ...]] = {"everest": ("everest_api/{charger}",)}
_NATIVE = "pilewatch/v1/C0/up/meter"
_MAPPING = """\
name = "acme"
[[topic]]
topic = "acme/{charger}/report"
each = "/ports"
at = "$/ts"
[topic.status]
from = "/st"
map = { 0 = "available", 1 = "charging", 2 = "finishing", 9 = "faulted" }
[topic.faults]
from = "/flags"
bits = { 0 = "over-temperature", 3 = "ground-fault" }
[topic.meter]
power_w = { from = "/p", unit = "kW" }
energy_wh = { from = "/e", unit = "kWh" }
voltage_v = "/u"
"""
_REGISTER = """
WITH told AS (
    INSERT INTO charger (code, site_id, kind, label)
    SELECT c, (SELECT min(id) FROM site), 'ebike', 'x' FROM unnest(%s::text[]) c
    ON CONFLICT DO NOTHING RETURNING id
)
INSERT INTO connector (charger_id, number, max_power_w)
SELECT id, n, 7000 FROM told, generate_series(1, %s) n
"""


class Make:
    """One dialect's samples, as many chargers tell them."""

    def __init__(self, name: str, settings: Ingest, samples: list[tuple[str, bytes]]):
        self.name = name
        self.settings = settings
        self.dialects = choose(settings)
        self.samples = [(self._where(topic), sent) for topic, sent in samples]
        self.samples = [one for one in self.samples if self._is_read(*one)]

    def messages(self, count: int) -> Iterator[tuple[str, bytes]]:
        """Each charger tells all samples."""
        for number in range(count):
            topic, sent = self.samples[number % len(self.samples)]
            yield self._of(topic, number // len(self.samples)), sent

    def chargers(self, count: int) -> list[str]:
        """All who speak in so many messages."""
        found = set()
        for topic, sent in self.messages(count):
            decoded = self.dialects.decode(topic, sent, datetime.now(UTC))
            found |= {one.charger for one in decoded.observations}
        return sorted(found)

    def _where(self, topic: str) -> str:
        return topic.replace("everest_api/", "everest_api/E/", 1)

    def _names(self, topic: str) -> tuple[str, int] | None:
        for make in self.dialects.makes:
            for pattern, _, _ in make.listens:
                found = pattern.match(topic)
                if found is not None and "charger" in found:
                    level = next(
                        n for n, part in enumerate(pattern.text.split("/")) if "{charger" in part
                    )
                    return found["charger"], level
        return None

    def _of(self, topic: str, number: int) -> str:
        found = self._names(topic)
        assert found is not None
        whose, level = found
        levels = topic.split("/")
        levels[level] = levels[level].replace(whose, f"{whose}-{number}")
        return "/".join(levels)

    def _is_read(self, topic: str, sent: bytes) -> bool:
        if self._names(topic) is None:
            return False
        try:
            return bool(self.dialects.decode(topic, sent, datetime.now(UTC)).observations)
        except BadMessage:
            return False


def makes(folder: Path) -> Iterator[Make]:
    """Every JSON dialect, and a mapping file with one and with three ports a document."""
    for name in sorted(file.stem for file in SAMPLES.glob("*.jsonl")):
        yield Make(name, Ingest(bases=_BASES), corpora()[name][1])
    file = folder / "acme.toml"
    file.write_text(_MAPPING)
    for ports in (1, 3):
        port: dict[str, Any] = {"st": 1, "flags": 0, "p": 3.61, "e": 12.5, "u": 230.1}
        said = {"ts": int(datetime.now(UTC).timestamp()), "ports": [port] * ports}
        sample = [("acme/X/report", json.dumps(said).encode())]
        yield Make(f"mapping, {ports} ports", Ingest(mappings=(file,)), sample)


def _settings(settings: Ingest) -> dict[str, str]:
    given = {"PILEWATCH_INGEST__BASES": json.dumps(settings.bases)}
    if settings.mappings:
        given["PILEWATCH_INGEST__MAPPINGS"] = json.dumps([str(f) for f in settings.mappings])
    return given


def _sent(parts: Stage, make: Make, count: int) -> None:
    publisher = Publisher(parts.broker.port)
    for topic, sent in make.messages(count):
        publisher.publish(topic, sent)
    publisher.publish(_NATIVE, _last(count))
    publisher.close()


def _last(count: int) -> bytes:
    return json.dumps(
        {"at": datetime.now(UTC).isoformat(), "connector": 1, "energyWh": count}
    ).encode()


def ours(parts: Stage, make: Make, count: int) -> float:
    """Seconds of CPU a message; everything must have been stored, nothing refused."""
    parts.empty()
    child = parts.ingester(**_settings(make.settings))
    took = _cpu(
        parts,
        child,
        make,
        count,
        lambda: parts.one("SELECT count(*) FROM observation WHERE energy_wh = " + str(count)) > 0,
    )
    refused = parts.one("SELECT count(*) FROM quarantine")
    if refused:
        raise RuntimeError(f"{make.name}: {refused} messages were refused")
    return took


def bare(parts: Stage, make: Make, count: int) -> float:
    """The same of the bare subscriber."""
    wanted = json.dumps(make.dialects.subscriptions)
    child = parts.child("bench.bare", str(parts.broker.port), str(count + 1), wanted)
    return _cpu(parts, child, make, count, lambda: "done" in child.said())


def _cpu(parts: Stage, child: Child, make: Make, count: int, drained: Any) -> float:
    with child.held():
        _sent(parts, make, count)
        began = child.cpu()
    wait_until(drained, 180)
    took = (child.cpu() - began) / count
    child.end()
    Publisher(parts.broker.port, "bench").close()
    return took


def measure(parts: Stage, make: Make, *, rounds: int, count: int) -> Result:
    """The median of the rounds' ratios."""
    with connect(parts.server.url, application="bench") as db:
        db.execute(_REGISTER, (make.chargers(count), _CONNECTORS))
        db.execute("ANALYZE")
    found = [(ours(parts, make, count), bare(parts, make, count)) for _ in range(rounds)]
    mine, model = (median(pair[n] for pair in found) * 1e6 for n in (0, 1))
    rows = parts.one("SELECT count(*) FROM observation") / count
    said = f"{mine:.1f} / {model:.1f} us; {rows:.2f} rows a message"
    ratio = median(a / b for a, b in found)
    return Result(f"{make.name}: CPU a message / bare", ratio, _TARGET, "<=", said)


def main() -> int:
    """Print the table; exit 1 if a target is missed."""
    ask = argparse.ArgumentParser(prog="bench.makes", description=__doc__)
    ask.add_argument("--rounds", type=int, default=3)
    ask.add_argument("--count", type=int, default=30_000)
    ask.add_argument("--only", default="", help="a part of a dialect's name")
    told = ask.parse_args()
    passed = True
    with stage() as parts:
        for make in makes(parts.folder):
            if re.search(told.only, make.name):
                result = measure(parts, make, rounds=told.rounds, count=told.count)
                print(
                    f"{result.what:44} {result.value:5.2f} <= {result.target}  {result.said}",
                    flush=True,
                )
                passed &= result.passed
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
