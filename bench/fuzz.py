"""`python -m bench.fuzz`: broken messages for every decoder and other door (`bench.doors`);
only `BadMessage` may come out.

`--count` inputs for each, `--only NAME,…`, `--seed`. Inputs are the samples, cut, spliced, and with
values that hurt put into them; also what decoders accept is checked: it must fit the database.
"""

import argparse
import json
import math
import random
import struct
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from bench.doors import Corpus, doors
from ingest.dialects.ebike_dny import ebike_dny
from ingest.dialects.mapping import read_mapping
from ingest.dialects.registry import Dialects, choose
from pilewatch.dny.frames import Frame, build
from pilewatch.faultcodes import FAULTS
from pilewatch.model import Observation
from pilewatch.settings import Ingest
from pilewatch.wire import CHARGER_ID, BadMessage, Decoded
from tests.ingest.sparkplug import metric, payload

_TESTS = Path(__file__).parent.parent / "tests"
SAMPLES = _TESTS / "ingest" / "samples"
FRAMES = _TESTS / "dny" / "samples" / "frames.tsv"
_SHORTEST, _DATA = 14, 200
_HURTING = [
    *(b"", b"0", b"-1", b"-0", b"1e308", b"1e999", b"-1e-400", b"9" * 30, b"9" * 400, b"NaN"),
    *(b"nan", b"inf", b"-Infinity", b"1_0", b"0x10", b"null", b"true", b"false", b'""', b"[]"),
    *(b"{}", b'"\\ud800"', b'"\\u0000"', b"\x00", b"\xff\xfe", "１２".encode(), b"[" * 3000),
    *(b'{"a":' * 500, b'"' + b"x" * 5000 + b'"', b"18446744073709551616", b"-9223372036854775809"),
    *(b"\x80" * 12, b"\x12\xff\xff\xff\xff\x0f", b"1970-01-01T00:00:00Z"),
    *(b"[1,", b"9999-12-31T23:59:59-23:59"),
]  # fmt: skip
_LEVELS = ["", "0", "999", "1000", "-1", "x" * 70, "a b", "ü", "²", "evse_0", "switch:9999", "+"]
MAPPING = b"""
name = "fuzzed"
heartbeat_s = 60
[[topic]]
topic = "map/{charger}/report"
each = ["/groups", "/ports"]
connector = { from = "/no", offset = 1 }
at = { from = "$/ts", zone = "+08:00" }
[topic.status]
from = "/st"
map = { 0 = "available", 1 = "charging", 9 = "faulted" }
[[topic.faults]]
from = "/flags"
bits = { 0 = "over-temperature" }
[[topic.faults]]
from = "/alarms"
map = { E1 = "no-earth" }
code = "/id"
info = "/text"
[topic.meter]
power_w = { from = "/p", unit = "kW" }
energy_wh = { from = "/e", absent = [65535] }
voltage_v = { mean = ["/u/0", "/u/1"] }
session_id = "/sid"
[topic.session]
phase = "/phase"
id = "/sid"
[[topic]]
topic = "map/{charger}/line"
payload = "text"
split = ["\\n", ";"]
each = ""
connector = "/0"
[topic.status]
from = "/1"
map = { A = "available", B = "charging" }
[topic.meter]
power_w = { from = "/2", unit = "W" }
current_a = { sum = ["/3", "/4"], signed = 16, scale = 0.1 }
[[topic]]
topic = "map/{charger}/pairs"
payload = "text"
split = ";"
pairs = "="
[topic.meter]
voltage_v = { product = ["/U", "/K"] }
temperature_c = { from = "/T", unit = "F" }
[[topic]]
topic = "map/{charger}/inside"
inside = "/data"
each = "/ports"
[topic.status]
from = "/st"
map = { 0 = "available", 1 = "charging" }
[topic.faults]
flags = { "/hot" = "over-temperature", "$/door" = "tilt-impact" }
[[topic]]
topic = "map/{charger}/plug{connector}/{key:**}"
[topic.status]
from = ""
steps = [[5, "charging"], [0, "available"]]
[topic.heartbeat]
uptime_s = "{key}"
"""


class Resummed(Dialects):
    """Puts length and checksum of a frame right again, of three in four, so that more is read."""

    def decode(self, topic: str, payload: bytes, *args: Any, **more: Any) -> Decoded:
        """As the dialects do."""
        if payload.startswith(b"DNY") and len(payload) >= _SHORTEST and payload[-1] % 4:
            device, message = struct.unpack_from("<IH", payload, 5)
            frame = Frame(device, message, payload[11], payload[12:-2][:_DATA])
            payload = build(frame) + payload[_DATA + _SHORTEST :]
        return super().decode(topic, payload, *args, **more)


@dataclass
class Fuzzed:
    """What came of one decoder's inputs."""

    name: str
    inputs: int = 0
    accepted: int = 0
    refused: int = 0
    slowest_s: float = 0.0
    wrong: list[str] = field(default_factory=list)


def corpora() -> dict[str, tuple[Dialects, Corpus]]:
    """Each decoder with messages that it understands."""
    spoken = choose(Ingest())
    found = {
        file.stem: (
            spoken,
            [
                (message["topic"], message["payload"].encode())
                for message in map(json.loads, file.read_text().splitlines())
            ],
        )
        for file in sorted(SAMPLES.glob("*.jsonl"))
    }
    births = payload(
        metric("Connector 2/status", "available", alias=5, datatype=12),
        metric("powerW", 12.5, alias=6),
        metric("temperatureC", 2**32 - 3, alias=7, datatype=3),
        metric("bdSeq", 3, datatype=8),
        metric("errors", "no-earth, E9"),
    )
    data = payload(metric(value="charging", alias=5), metric(value=3.5, alias=6), metric("x"))
    found["sparkplug-b"] = (
        spoken,
        [
            *((f"spBv1.0/g/{kind}/n/d", births) for kind in ("DBIRTH", "DDEATH")),
            *((f"spBv1.0/g/{kind}/n", births) for kind in ("NBIRTH", "NDEATH")),
            ("spBv1.0/g/DDATA/n/d", data),
            ("spBv1.0/g/NDATA/n", births),
        ],
    )
    report = {
        "ts": 1777813800,
        "groups": [
            {"ports": [{"no": 0, "st": "1", "flags": "0x09", "p": "3.6 kW", "u": [230, "231 V"]}]},
            {"ports": [{"no": 1, "st": 9, "alarms": [{"id": "E1"}], "phase": "ended"}]},
        ],
    }
    inner = json.dumps({"ports": [{"st": 0, "hot": True}, {"st": "1", "hot": 0}]})
    mapped = Dialects((read_mapping("fuzz.toml", MAPPING),))
    found["mapping"] = (
        mapped,
        [
            ("map/C1/report", json.dumps(report).encode()),
            ("map/C1/line", b"1;A;3.5;10;-20\n2;B;1,234.5 W;65535;1"),
            ("map/C1/pairs", b"U=230.1; K=2;T=98.6"),
            ("map/C1/inside", json.dumps({"door": 1, "data": inner}).encode()),
            ("map/C1/plug3/12", b"3.6"),
            ("map/C1/plug3/a/b", b"on"),
        ],
    )
    rows = [line.split("\t") for line in FRAMES.read_text().splitlines()[1:]]
    found["ebike-dny"] = (
        Resummed((ebike_dny(),)),
        [("dny/m1/up/raw", bytes.fromhex(row[-1])) for row in rows],
    )
    found["native"] = (
        Dialects(),
        [
            ("pilewatch/v1/C1/up/status/1", b'{"connector":1,"status":"available","errors":[]}'),
            ("pilewatch/v1/C1/up/meter", b'{"connector":1,"powerW":3.5,"energyWh":9}'),
            ("pilewatch/v1/C1/up/heartbeat", b'{"uptimeS":5,"connectors":{"1":"charging"}}'),
        ],
    )
    return found


def everything() -> dict[str, tuple[Any, Corpus]]:
    """The dialects, and what other doors let in."""
    found = corpora()
    return {**found, **doors(MAPPING, found["mapping"][1], found["ebike-dny"][1])}


def broken(corpus: Corpus, rng: random.Random) -> Iterator[tuple[str, bytes]]:
    """Messages near those of the corpus, without end."""
    while True:
        topic, sent = rng.choice(corpus)
        for _ in range(rng.randrange(3)):
            sent = rng.choice(_WAYS)(sent, corpus, rng)
        if rng.random() < 0.1:
            levels = topic.split("/")
            levels[rng.randrange(len(levels))] = rng.choice(_LEVELS)
            topic = "/".join(levels)
        yield topic, sent[:20_000]


Way = Callable[[bytes, Corpus, random.Random], bytes]


def _flip(sent: bytes, _: Corpus, rng: random.Random) -> bytes:
    if not sent:
        return bytes([rng.randrange(256)])
    changed = bytearray(sent)
    for _n in range(rng.randrange(1, 4)):
        changed[rng.randrange(len(changed))] = rng.randrange(256)
    return bytes(changed)


def _cut(sent: bytes, _: Corpus, rng: random.Random) -> bytes:
    begin, end = sorted(rng.randrange(len(sent) + 1) for _n in range(2))
    return sent[:begin] + sent[end:]


def _splice(sent: bytes, corpus: Corpus, rng: random.Random) -> bytes:
    other = rng.choice(corpus)[1]
    return sent[: rng.randrange(len(sent) + 1)] + other[rng.randrange(len(other) + 1) :]


def _hurt(sent: bytes, _: Corpus, rng: random.Random) -> bytes:
    """A value that hurts in place of one value, or of all."""
    value = rng.choice(_HURTING)
    colons = [n for n, byte in enumerate(sent) if byte in b":[,"]
    if not colons or rng.random() < 0.2:
        return value
    begin = rng.choice(colons) + 1
    ends = [n for n in range(begin, len(sent)) if sent[n] in b",}]"]
    return sent[:begin] + value + (sent[ends[0] :] if ends else b"")


_WAYS: list[Way] = [_flip, _cut, _splice, _hurt, _hurt]


def fuzz(name: str, count: int, seed: int) -> Fuzzed:
    """Throw so many inputs at one decoder."""
    decoder, corpus = everything()[name]
    found = Fuzzed(name)
    inputs = broken(corpus, random.Random(f"{seed}/{name}"))
    now = datetime(2026, 5, 3, 13, 10, tzinfo=UTC)
    for topic, sent in (next(inputs) for _ in range(count)):
        found.inputs += 1
        now += timedelta(seconds=7)
        began = time.thread_time()
        try:
            said = decoder.decode(topic, sent, now, replayed=bool(found.inputs % 5 == 0))
        except BadMessage:
            found.refused += 1
        except BaseException as error:
            found.wrong.append(f"{topic[:80]} {sent[:200]!r}: {repr(error)[:300]}")
            if isinstance(error, KeyboardInterrupt):
                raise
        else:
            found.accepted += bool(said.observations)
            found.wrong += [
                f"{topic} {sent[:200]!r}: {why}"
                for one in said.observations
                if (why := unfit(one)) is not None
            ]
        found.slowest_s = max(found.slowest_s, time.thread_time() - began)
    return found


def unfit(said: Observation) -> str | None:
    """Why the database, or its readers, could not take this observation."""
    if not CHARGER_ID.fullmatch(said.charger) or not 0 <= said.connector <= 999:
        return f"charger {said.charger!r} connector {said.connector}"
    if any(e.code not in FAULTS for e in said.errors or ()) or len(said.errors or ()) > 32:
        return f"errors {said.errors!r}"
    numbers = [said.energy_wh, said.power_w, said.voltage_v, said.current_a, said.temperature_c]
    numbers += [said.soc, said.residual_current_ma, *(said.data or {}).values()]  # type: ignore[list-item]
    if any(isinstance(n, int | float) and not -1e12 <= n <= 1e12 for n in numbers):
        return f"numbers {numbers!r}"
    texts = [said.session_id, said.reason, *(said.data or {}).values()]
    texts += [t for e in said.errors or () for t in (e.vendor_code, e.info, e.source)]
    for text in texts:
        if isinstance(text, str) and ("\0" in text or len(text) > 1000 or not _is_text(text)):
            return f"text {text[:80]!r}"
    return None if math.isfinite(said.observed_at.timestamp()) else "time"


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def main() -> int:
    """Print one line a decoder; exit 1 if anything but `BadMessage` came out."""
    parser = argparse.ArgumentParser(prog="bench.fuzz", description=__doc__)
    parser.add_argument("--count", type=int, default=1_000_000, help="inputs for each decoder")
    parser.add_argument("--only", help="names, with commas between")
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    names = list(everything()) if chosen.only is None else chosen.only.split(",")
    passed = True
    for name in names:
        one = fuzz(name, chosen.count, chosen.seed)
        passed &= not one.wrong
        print(
            f"{name:16} {one.inputs:9} inputs, {one.accepted:8} understood, "
            f"{one.refused:8} refused, slowest {one.slowest_s * 1000:.1f} ms of CPU, "
            f"{len(one.wrong)} wrong",
            flush=True,
        )
        for line in one.wrong[:10]:
            print(f"  {line}", flush=True)
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
