"""Every dialect by name, which of them an ingester speaks, and which topic is whose."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import NamedTuple

from ingest.dialects import ebike_dny
from ingest.dialects.evcc import BASES as EVCC_BASES
from ingest.dialects.evcc import evcc
from ingest.dialects.everest import BASES as EVEREST_BASES
from ingest.dialects.everest import Everest
from ingest.dialects.go_e import BASES as GO_E_BASES
from ingest.dialects.go_e import go_e
from ingest.dialects.heard import Heard, Make
from ingest.dialects.mapping import load_mapping
from ingest.dialects.openevse import BASES as OPENEVSE_BASES
from ingest.dialects.openevse import openevse
from ingest.dialects.plugs import SHELLY_1_BASES, SHELLY_BASES, TASMOTA_BASES, Plugs
from ingest.dialects.smartevse import BASES as SMARTEVSE_BASES
from ingest.dialects.smartevse import smartevse
from ingest.dialects.sparkplug import BASES as SPARKPLUG_BASES
from ingest.dialects.sparkplug import Sparkplug
from ingest.dialects.thin import Thinning
from ingest.dialects.toml_lines import BadMapping
from ingest.dialects.topics import BadPattern
from pilewatch import wire
from pilewatch.settings import BadSettings, Ingest
from pilewatch.store.observations import microseconds

NATIVE = "native"
_ROUTES = 50_000
Build = Callable[[tuple[str, ...]], Make]


class _Known(NamedTuple):
    bases: tuple[str, ...]
    build: Build


def _known(settings: Ingest) -> dict[str, _Known]:
    """The built-in makes with their usual bases."""
    plugs = Plugs(settings.charging_w)
    everest = Everest(settings.connector_numbers)
    return {
        "openevse": _Known(OPENEVSE_BASES, openevse),
        "go-e": _Known(GO_E_BASES, go_e),
        "smartevse": _Known(SMARTEVSE_BASES, smartevse),
        "evcc": _Known(EVCC_BASES, evcc),
        "everest": _Known(EVEREST_BASES, everest.make),
        "shelly": _Known(SHELLY_BASES, plugs.shelly),
        "shelly-1": _Known(SHELLY_1_BASES, plugs.shelly_1),
        "tasmota": _Known(TASMOTA_BASES, plugs.tasmota),
        "ebike-dny": _Known(ebike_dny.BASES, ebike_dny.ebike_dny),
        "sparkplug-b": _Known(SPARKPLUG_BASES, Sparkplug().make),
    }


class _Route(NamedTuple):
    make: Make
    charger: str
    path: str
    names: Mapping[str, str]


class Dialects:
    """The dialects that one ingester speaks: the native contract and these makes."""

    def __init__(self, makes: tuple[Make, ...] = ()):
        """Raises `BadSettings` where two of them would read the same topic."""
        self.makes = makes
        self._routes: dict[str, _Route | None] = {}
        self._thinning = Thinning()
        _refuse_clashes(makes)

    @property
    def subscriptions(self) -> tuple[str, ...]:
        """The topic filters of them all, the native one first."""
        filters = [p.subscription for make in self.makes for p, _, _ in make.listens]
        return tuple(dict.fromkeys([wire.SUBSCRIPTION, *filters]))

    def decode(
        self,
        topic: str,
        payload: bytes,
        received_at: datetime,
        *,
        replayed: bool = False,
        redelivered: bool = False,
    ) -> wire.Decoded:
        """Let the dialect of this topic read it. Raises `wire.BadMessage`."""
        if topic.startswith("pilewatch/"):
            read = ebike_dny.decode if ebike_dny.speaks(topic) else wire.decode
            return read(topic, payload, received_at, replayed=replayed, redelivered=redelivered)
        try:
            route = self._routes[topic]
        except KeyError:
            route = self._find(topic)
        if route is None:
            return wire.Decoded([], True)  # a filter with + also brings what belongs to others
        if not payload:
            return wire.Decoded([], False)  # a retained value was erased
        if len(payload) > wire.MAX_PAYLOAD:
            raise wire.BadMessage(
                f"payload has {len(payload)} bytes; at most {wire.MAX_PAYLOAD} are allowed"
            )
        if b"\\u0000" in payload:
            raise wire.BadMessage("payload holds the character \\u0000, which no text may contain")
        make, charger, path, names = route
        said = make.read(Heard(charger, path, names, payload, received_at, replayed, redelivered))
        for whose in {one.charger for one in said}:
            if not wire.CHARGER_ID.fullmatch(whose):
                raise wire.BadMessage(
                    f"charger id {whose[:80]!r}; right would be 1 to 64 of A-Z a-z 0-9 . _ -"
                )
        return wire.Decoded(self._thinning(topic, said, microseconds(received_at)), False)

    def _find(self, topic: str) -> _Route | None:
        found = self._route(topic)
        if len(self._routes) >= _ROUTES:
            self._routes.clear()
        self._routes[topic] = found
        return found

    def _route(self, topic: str) -> _Route | None:
        for make in self.makes:
            for pattern, charger, depth in make.listens:
                names = pattern.match(topic)
                if names is not None:
                    whose = names.get("charger", "") if charger is None else charger
                    path = pattern.text if depth is None else "/".join(topic.split("/")[depth:])
                    return _Route(make, whose, path, names)
        return None


def built_in(settings: Ingest) -> list[Make]:
    """Every built-in make, whether it is spoken or not. Raises `BadSettings`."""
    try:
        return [
            known.build(settings.bases.get(name, known.bases))
            for name, known in _known(settings).items()
        ]
    except BadPattern as error:
        raise BadSettings(f"ingest.bases: {error}") from error


def choose(settings: Ingest) -> Dialects:
    """The dialects that the settings ask for: all that are built in unless some are named, and
    those of the mapping files. Raises `BadSettings`."""
    known = _known(settings)
    wanted = known.keys() if settings.dialects is None else settings.dialects
    for name in (*wanted, *settings.bases):
        if name not in known and name != NATIVE:
            raise BadSettings(
                f"ingest: there is no dialect {name!r}; right would be {', '.join(known)}"
            )
    try:
        makes = [
            known[name].build(settings.bases.get(name, known[name].bases))
            for name in wanted
            if name != NATIVE
        ]
        makes += [load_mapping(file) for file in settings.mappings]
    except BadPattern as error:
        raise BadSettings(f"ingest.bases: {error}") from error
    except BadMapping as error:
        raise BadSettings(str(error)) from error
    return Dialects(tuple(makes))


def _refuse_clashes(makes: tuple[Make, ...]) -> None:
    for place, make in enumerate(makes):
        for pattern, _, _ in make.listens:
            if pattern.text.startswith("pilewatch/"):
                raise BadSettings(f"{make.name}: topics below pilewatch/ are the native contract's")
            for other in makes[place + 1 :]:
                for theirs, _, _ in other.listens:
                    if pattern.overlaps(theirs):
                        raise BadSettings(
                            f"{make.name} and {other.name} would both read topics such as "
                            f"{pattern.text}; leave one out of ingest.dialects, or give one "
                            "another base (ingest.bases)"
                        )
