"""What other doors than the broker's let in, as decoders for `bench.fuzz`: OCPP frames as gateway
and tap read them, the bytes of an e-bike modem, and mapping files themselves.

Whatever they publish must be good enough for our own ingester: it goes through `wire.decode`.
"""

import json
import random
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from ingest.dialects.mapping import read_mapping
from ingest.dialects.registry import Dialects
from ingest.dialects.toml_lines import BadMapping
from ingest.ebike import native
from ingest.ebike.answers import answer
from ingest.ebike.cabinet import Cabinet, ports
from ingest.ebike.hearing import hear
from ingest.ocpp import frames
from ingest.ocpp.eavesdrop import Reading
from ingest.ocpp.frames import PROTOCOLS, BadFrame, Call
from ingest.ocpp.passing import Part, Passed
from ingest.ocpp.station import Said, Station
from ingest.ocpp.stations import STATIONS
from pilewatch import wire
from pilewatch.dny import frames as dny
from pilewatch.dny.fields import read_fields
from pilewatch.model import Observation
from pilewatch.wire import BadMessage, Decoded

Corpus = list[tuple[str, bytes]]
_TESTS = Path(__file__).parent.parent / "tests"
_FRAMES = _TESTS / "ocpp" / "frames.jsonl"
_LIFE = 500
"""Messages after which a charger is another one."""
_ANSWERS: tuple[dict[str, Any], ...] = (
    {"status": "Accepted", "currentTime": "2026-05-03T12:00:00Z", "interval": 60},
    {"transactionId": 7, "idTagInfo": {"status": "Accepted"}},
    {"transactionId": 8, "idTagInfo": {"status": "Blocked"}},
    {"idTokenInfo": {"status": "Invalid"}},
    {},
)


def _heard_again(topic: str, payload: bytes, at: datetime) -> list[Observation]:
    """What our own ingester makes of it. Raises `RuntimeError` where it refuses it."""
    try:
        return wire.decode(topic, payload, at).observations
    except BadMessage as error:
        raise RuntimeError(f"we published what we refuse: {topic} {payload!r}: {error}") from error


class _Lives:
    """Remembers what it heard, for one life after another."""

    def __init__(self) -> None:
        self._heard = 0

    def _begins(self) -> bool:
        """Whether this message is the first of a life."""
        self._heard += 1
        return self._heard % _LIFE == 1


class OcppGateway(_Lives):
    """A charger's frames, checked by the schemas, and the answers that they get."""

    def __init__(self) -> None:
        super().__init__()
        self._rng = random.Random(1)
        self._stations: dict[str, Station] = {}

    def decode(self, topic: str, payload: bytes, at: datetime, *, replayed: bool) -> Decoded:
        """As `Dialects` do; `topic` is the subprotocol."""
        protocol = next((p for p in PROTOCOLS if p == topic), PROTOCOLS[0])
        if self._begins():
            self._stations = {name: make((1, 2), 60) for name, make in STATIONS.items()}
        station = self._stations[protocol]
        try:
            frame = frames.read(payload)
            if not isinstance(frame, Call):
                return Decoded([], False)
            frames.check(frame, protocol)
        except BadFrame as error:
            frames.error(error.id or "", error.code, str(error), protocol)
            frames.without_id_tags(payload)
            raise BadMessage(str(error)) from error
        said = station.heard(frame, at)
        said += station.answered(frame, self._rng.choice(_ANSWERS), at)
        return _published(said + ([station.online(at)] if replayed else []), at)


class OcppTap(_Lives):
    """The same without any check, in both directions, as the tap overhears it."""

    def __init__(self) -> None:
        super().__init__()
        self._readings: dict[str, Reading] = {}

    def decode(self, topic: str, payload: bytes, at: datetime, *, replayed: bool) -> Decoded:
        """As `Dialects` do; `replayed` stands for what upstream says."""
        protocol = topic if topic in STATIONS else "ocpp1.6"
        if self._begins():
            self._readings = {name: Reading(name, (True, True)) for name in STATIONS}
        passed = Passed((Part(payload, b""),), False)
        try:
            said = self._readings[protocol].read(passed, not replayed, at)
        except BadFrame as error:
            raise BadMessage(str(error)) from error
        return _published(said, at)


def _published(said: list[Said], at: datetime) -> Decoded:
    found = [o for one in said for o in _heard_again(one.topic("C1"), one.payload(), at)]
    return Decoded(found, False)


class Modems(_Lives):
    """A stream of bytes, cut anywhere, of devices that remember."""

    def __init__(self) -> None:
        super().__init__()
        self._rest = b""
        self._cabinets: dict[int, Cabinet] = {}

    def decode(self, topic: str, payload: bytes, at: datetime, *, replayed: bool) -> Decoded:
        """As `Dialects` do; a payload is what came with one read."""
        if self._begins() or replayed:
            self._rest, self._cabinets = b"", {}
        items, self._rest = dny.parse(self._rest + payload)
        if len(self._rest) > dny.MAX_BYTES:
            raise RuntimeError(f"{len(self._rest)} bytes are waited for")
        found = [o for item in items if isinstance(item, dny.Frame) for o in self._take(item, at)]
        if items and not found:
            raise BadMessage("nothing in it")
        return Decoded(found, False)

    def _take(self, frame: dny.Frame, at: datetime) -> Iterator[Observation]:
        told = answer(frame, at)
        if told is not None:
            dny.build(told)
        try:
            fields = read_fields(frame.command, frame.data)
        except dny.BadFrame:
            return
        heard = hear(self._cabinets.get(frame.physical_id, Cabinet(frame.physical_id)),
                     frame, fields, at)  # fmt: skip
        self._cabinets[frame.physical_id] = heard.cabinet
        name = heard.cabinet.name
        shown = [port.observed(name, n, at) for n, port in ports(heard.cabinet).items()]
        for said in (*heard.observations, *shown):
            message = native.message(said)
            yield from _heard_again(message.topic(said.charger), message.payload, at)


class MappingFiles:
    """Files that may be no mapping; one that is reads messages."""

    def __init__(self, messages: Corpus):
        self._messages = messages

    def decode(self, topic: str, payload: bytes, at: datetime, *, replayed: bool) -> Decoded:
        """As `Dialects` do; the payload is the file."""
        try:
            dialects = Dialects((read_mapping("m.toml", payload),))
        except BadMapping as error:
            if not str(error).startswith("m.toml:"):
                raise RuntimeError(f"tells no line: {error}") from error
            raise BadMessage(str(error)) from error
        found = []
        for where, sent in self._messages:
            try:
                found += dialects.decode(where, sent, at, replayed=replayed).observations
            except BadMessage:
                continue
        return Decoded(found, False)


def doors(mapping: bytes, messages: Corpus, modems: Corpus) -> dict[str, tuple[Any, Corpus]]:
    """Each of them with something that it understands."""
    rows = [json.loads(line) for line in _FRAMES.read_text().splitlines()]
    spoken = [(row["protocol"], json.dumps(row["frame"]).encode()) for row in rows]
    heard: Corpus = [*spoken, ("ocpp1.6", json.dumps([3, "4", _ANSWERS[1]]).encode())]
    return {
        "ocpp-gateway": (OcppGateway(), spoken),
        "ocpp-tap": (OcppTap(), heard),
        "modem-stream": (Modems(), modems),
        "mapping-file": (MappingFiles(messages), [("m.toml", mapping)]),
    }
