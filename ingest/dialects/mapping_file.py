"""Compiling a mapping file's tables; each mistake is told with its line and what would be right."""

from collections.abc import Callable
from datetime import datetime

from ingest.dialects.mapping_meanings import fault, first, session, status
from ingest.dialects.mapping_places import Places, known_values, limited, looked_up, read_number
from ingest.dialects.rules import Numbers, Payload, Port, Rule
from ingest.dialects.toml_lines import Table
from ingest.dialects.topics import BadPattern, Pattern
from ingest.dialects.values import BadValue, Get, Here, Reading, moment, zone_named

_FORMATS = ("json", "text", "sparkplug-b")
MEASURES = {
    "energy_wh": "energy",
    "power_w": "power",
    "voltage_v": "voltage",
    "current_a": "current",
    "temperature_c": "temperature",
    "soc": "share",
    "residual_current_ma": "leakage",
}
_ONLINE = {"online": True, "connected": True, "true": True, "1": True, "on": True,
           "offline": False, "disconnected": False, "false": False, "0": False,
           "off": False}  # fmt: skip


def promises(top: Table) -> dict[str, str | int | None]:
    """What the file promises of each charger, as an `online` message would."""
    return {
        "heartbeatS": _seconds(top, "heartbeat_s"),
        "meterS": _seconds(top, "meter_s"),
        "vendor": _short(top, "vendor"),
        "model": _short(top, "model"),
    }


def _seconds(table: Table, key: str) -> int | None:
    value = table.take(key, int)
    if value is not None and not 1 <= value <= 86400:
        raise table.wrong("right would be 1 to 86400 seconds", key)
    return value


def _short(table: Table, key: str) -> str | None:
    value = table.take(key, str)
    if value is not None and not (0 < len(value) <= 200 and "\0" not in value):
        raise table.wrong("right would be 1 to 200 characters", key)
    return value


class Compiler:
    """Turns one `[[topic]]` table into a rule; every mistake is raised with its line."""

    def __init__(self, table: Table):
        self.table = table
        try:
            self.pattern = Pattern(table.need("topic", str))
        except BadPattern as error:
            raise table.wrong(str(error), "topic") from error
        names = self.pattern.names
        self.places = Places((*names, "key") if table.has("each") else names)
        self.told: tuple[tuple[str, Get], ...] = ()

    def rule(self) -> Rule:
        table, places = self.table, self.places
        charger = places.get(table, "charger")
        if charger is None and "charger" not in self.pattern.names:
            raise table.wrong(
                "neither {charger} in the topic nor charger = a place in the payload", "topic"
            )
        found = Rule(
            pattern=self.pattern,
            when=places.when(table),
            charger=charger,
            each=self.each(),
            at=self.at(),
            seq=places.number(table, "seq", "count"),
            port=self.port(),
            heartbeat=self.heartbeat(),
            online=self.online(),
            told=self.told,
            # Last: how a payload is read, and what is kept of it, follows from the places above.
            payload=self.payload(),
            keyed="{key}" in places.asked,
            line=table.file.line(table.path),
        )
        table.finish()
        return found

    def payload(self) -> Payload:
        table, places = self.table, self.places
        form = table.take("payload", str)
        if form not in (None, *_FORMATS):
            raise table.wrong(f"right would be one of {', '.join(_FORMATS)}", "payload")
        inside = places.get(table, "inside")
        split = self.separators()
        pairs = table.take("pairs", str)
        if pairs is not None and not 1 <= len(pairs) <= 8:
            raise table.wrong('right would be what parts name and value, as "="', "pairs")
        if split or pairs:
            if form not in (None, "text"):
                raise table.wrong('split and pairs are for payload = "text"', "payload")
            return Payload("text", split, pairs, inside)
        if form == "text" and places.pointed is not None:
            where, key = places.pointed
            raise where.wrong(
                'payload = "text" has no parts to point at; right would be "" for the whole text, '
                'or split = "," in [[topic]], which makes a list of it', key
            )  # fmt: skip
        return Payload(form or ("json" if places.pointed else "text"), inside=inside)

    def separators(self) -> tuple[str, ...]:
        value = self.table.raw("split")
        if value is None:
            return ()
        listed = value if isinstance(value, list) else [value]
        if not (
            1 <= len(listed) <= 3 and all(isinstance(s, str) and 1 <= len(s) <= 8 for s in listed)
        ):
            raise self.table.wrong(
                'right would be a separator as ",", or up to 3, outermost first: ["\\n", ","]',
                "split",
            )
        return tuple(listed)

    def each(self) -> tuple[Get, ...]:
        value = self.table.raw("each")
        if value is None:
            return ()
        listed = value if isinstance(value, list) else [value]
        if not 1 <= len(listed) <= 4:
            raise self.table.wrong("right would be 1 to 4 pointers, outermost first", "each")
        return tuple(self.places.place(self.table, "each", one) for one in listed)

    def at(self) -> Callable[[Here], datetime | None] | None:
        table = self.table
        value = table.raw("at")
        if value is None:
            return None
        inner = Table(value if isinstance(value, dict) else {"from": value}, table.file,
                      (*table.path, "at"))  # fmt: skip
        get = self.places.need(inner)
        form = inner.take("format", str, "auto") or "auto"
        if form not in ("auto", "iso", "s", "ms", "us"):
            raise inner.wrong("right would be auto, iso, s, ms or us", "format")
        written = inner.take("zone", str)
        try:
            zone = None if written is None else zone_named(written)
        except BadValue as error:
            raise inner.wrong(str(error), "zone") from error
        inner.finish()
        return lambda here: moment(get(here), form, zone, "at")

    def port(self) -> Port:
        table = self.table
        connector, fixed = self.connector()
        faults = tuple(fault(self.places, inner) for inner in table.tables("faults"))
        said = first(status(self.places, inner) for inner in table.tables("status"))
        measures: tuple[tuple[str, Numbers], ...] = ()
        session_id = None
        for inner in table.tables("meter"):
            session_id = self.places.get(inner, "session_id")
            found = (
                (name, self.places.number(inner, name, kind)) for name, kind in MEASURES.items()
            )
            measures = tuple((n, limited(n, get)) for n, get in found if get is not None)
            inner.finish()
        sessions = None
        for inner in table.tables("session"):
            sessions = session(self.places, inner)
        source = table.take("source", str) or table.need("topic", str)
        return Port(connector, fixed, said, faults, source, measures, sessions, session_id)

    def connector(self) -> tuple[Numbers | None, int | None]:
        table = self.table
        value = table.raw("connector")
        if value is None:
            if "connector" in self.places.names:
                get = self.places.place(table, "connector", "{connector}")
                return read_number(get, Reading("count"), "connector"), None
            if table.has("each"):
                return (lambda here: here.position + 1.0), None
            return None, 1
        if type(value) is int:
            if not 0 <= value <= 999:
                raise table.wrong("right would be 1 to 999, or 0 for each connector", "connector")
            return None, value
        if isinstance(value, dict) and "map" in value:
            inner = Table(value, table.file, (*table.path, "connector"))
            got = self.places.need(inner)
            numbers = looked_up(got, known_values(inner, "map", int), "connector")
            inner.finish()
            return numbers, None
        return self.places.number(table, "connector", "count"), None

    def heartbeat(self) -> tuple[tuple[tuple[str, Numbers], ...], bool] | None:
        for table in self.table.tables("heartbeat"):
            kinds = {"uptime_s": ("uptimeS", "time"), "rssi_dbm": ("rssiDbm", "signal")}
            found = [
                (told, limited(name, get))
                for name, (told, kind) in kinds.items()
                if (get := self.places.number(table, name, kind)) is not None
            ]
            confirms = table.take("confirms_ports", bool, False) or False
            table.finish()
            return tuple(found), confirms
        return None

    def online(self) -> Callable[[Here], bool | None] | None:
        for table in self.table.tables("online"):
            get = self.places.get(table, "from")
            names = {"firmware": "firmware", "vendor": "vendor", "model": "model",
                     "boot_id": "bootId"}  # fmt: skip
            self.told = tuple(
                (told, place)
                for name, told in names.items()
                if (place := self.places.get(table, name))
            )
            known = known_values(table, "map", bool) if table.has("map") else _ONLINE
            table.finish()
            return None if get is None else looked_up(get, known, "online")
        return None
