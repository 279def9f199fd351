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
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from bench.dialects import is_read
from bench.drain import drain
from bench.fuzz import SAMPLES, corpora
from bench.load import Publisher
from bench.stage import Result, Stage, report, stage
from ingest.dialects.registry import choose
from pilewatch.settings import Ingest
from pilewatch.store.pool import connect

_TARGET = 2.5
_CONNECTORS = 3
_DOCUMENTS = 20
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
        self.samples = [
            (parts, sent)
            for topic, sent in samples
            if (parts := self._around_charger(topic)) and is_read(self.dialects, topic, sent)
        ]

    def messages(self, count: int) -> Iterator[tuple[str, bytes]]:
        """Each charger tells all samples."""
        for number in range(count):
            (before, after), sent = self.samples[number % len(self.samples)]
            yield f"{before}-{number // len(self.samples)}{after}", sent

    def chargers(self, count: int) -> list[str]:
        """All who speak in so many messages."""
        found = set()
        for topic, sent in self.messages(count):
            decoded = self.dialects.decode(topic, sent, datetime.now(UTC))
            found |= {one.charger for one in decoded.observations}
        return sorted(found)

    def _around_charger(self, topic: str) -> tuple[str, str] | None:
        """The topic up to its charger's name, and what follows; None where it names nobody."""
        for make in self.dialects.makes:
            for pattern, _, _ in make.listens:
                if (names := pattern.match(topic)) is not None and "charger" in names:
                    at = next(n for n, p in enumerate(pattern.text.split("/")) if "{charger" in p)
                    parts = topic.split("/")
                    before, whose, after = parts[at].rpartition(names["charger"])
                    return "/".join([*parts[:at], before + whose]), "/".join(
                        [after, *parts[at + 1 :]]
                    )
        return None


def makes(folder: Path) -> Iterator[Make]:
    """Every JSON dialect, and a mapping file with one and with three ports a document."""
    known = corpora()
    for name in sorted(file.stem for file in SAMPLES.glob("*.jsonl")):
        samples = [(_among_many(topic), sent) for topic, sent in known[name][1]]
        yield Make(name, Ingest(bases=_BASES), samples)
    file = folder / "acme.toml"
    file.write_text(_MAPPING)
    for ports in (1, 3):
        sample = [("acme/X/report", _document(ports, number)) for number in range(_DOCUMENTS)]
        yield Make(f"mapping, {ports} ports", Ingest(mappings=(file,)), sample)


def _document(ports: int, number: int) -> bytes:
    """One of a charger's reports: every port's state and values are others than in the last."""
    port: dict[str, Any] = {
        "st": number % 2, "flags": 0, "p": 3.61 + number, "e": 12.5 + number, "u": 230.1,
    }  # fmt: skip
    at = int(datetime.now(UTC).timestamp()) - _DOCUMENTS + number
    return json.dumps({"ts": at, "ports": [port] * ports}).encode()


def _among_many(topic: str) -> str:
    """EVerest's usual base names no charger; `_BASES` has one that does."""
    return topic.replace("everest_api/", "everest_api/E/", 1)


def _settings(settings: Ingest) -> dict[str, str]:
    given = {"PILEWATCH_INGEST__BASES": json.dumps(settings.bases)}
    if settings.mappings:
        given["PILEWATCH_INGEST__MAPPINGS"] = json.dumps([str(f) for f in settings.mappings])
    return given


def _fill(parts: Stage, make: Make, count: int) -> None:
    """All messages, and a native one by which their end is known."""
    publisher = Publisher(parts.broker.port)
    for topic, sent in make.messages(count):
        publisher.publish(topic, sent)
    last = {"at": datetime.now(UTC).isoformat(), "connector": 1, "energyWh": count}
    publisher.publish(_NATIVE, json.dumps(last).encode())
    publisher.close()


def ours(parts: Stage, make: Make, count: int) -> float:
    """Microseconds of CPU a message; the last must have been stored, and nothing refused."""
    parts.empty()
    child = parts.ingester(**_settings(make.settings))
    last = f"SELECT count(*) FROM observation WHERE energy_wh = {count}"
    fill = partial(_fill, parts, make, count)
    took = drain(parts, child, count, fill, lambda: parts.one(last) > 0)
    refused = parts.one("SELECT count(*) FROM quarantine")
    if refused:
        raise RuntimeError(f"{make.name}: {refused} messages were refused")
    return took.cpu_us


def bare(parts: Stage, make: Make, count: int) -> float:
    """The same of the bare subscriber."""
    wanted = json.dumps(make.dialects.subscriptions)
    child = parts.child("bench.bare", str(parts.broker.port), str(count + 1), wanted)
    fill = partial(_fill, parts, make, count)
    return drain(parts, child, count, fill, lambda: "done" in child.said()).cpu_us


def measure(parts: Stage, make: Make, *, rounds: int, count: int) -> Result:
    """The median of the rounds' ratios."""
    with connect(parts.server.url, application="bench") as db:
        db.execute(_REGISTER, (make.chargers(count), _CONNECTORS))
        db.execute("ANALYZE")
    found = [(ours(parts, make, count), bare(parts, make, count)) for _ in range(rounds)]
    mine, model = (median(pair[n] for pair in found) for n in (0, 1))
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
    with stage() as parts:
        return report(
            measure(parts, make, rounds=told.rounds, count=told.count)
            for make in makes(parts.folder)
            if re.search(told.only, make.name)
        )


if __name__ == "__main__":
    sys.exit(main())
