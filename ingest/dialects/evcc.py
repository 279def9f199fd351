"""evcc: one instance with several loadpoints, each value by itself, retained.

Source: evcc-io/evcc, server/mqtt.go and core/keys/loadpoint.go. An instance is the charger, its
loadpoints are the connectors. Empty payloads erase what was retained: gone, not wrong.
"""

from ingest.dialects.heard import Heard, Make, make
from pilewatch.model import Observation, Status
from pilewatch.wire import BadMessage

BASES = ("{charger:evcc*}",)
_MEASURES = {
    "chargePower": ("power_w", 1.0),
    "chargeTotalImport": ("energy_wh", 1000.0),
    "vehicleSoc": ("soc", 1.0),
    "chargeCurrents/1": ("current_a", 1.0),
    "chargeVoltages/1": ("voltage_v", 1.0),
}
_IDLE = frozenset({Status.AVAILABLE, Status.UNKNOWN, Status.UNAVAILABLE})
_CHARGING = frozenset({Status.CHARGING})
_MEANINGS = {
    ("charging", True): (Status.CHARGING, None),
    ("charging", False): (Status.SUSPENDED, _CHARGING),
    ("connected", True): (Status.PREPARING, _IDLE),
    ("connected", False): (Status.AVAILABLE, None),
}
_HEARTBEAT_S = 60


def evcc(bases: tuple[str, ...] = BASES) -> Make:
    """The dialect of instances below these bases."""
    loadpoint = "loadpoints/{connector}"
    topics = (
        *("status", "updated", f"{loadpoint}/connected", f"{loadpoint}/charging"),
        *(f"{loadpoint}/{key}" for key in _MEASURES),
    )
    return make("evcc", "evcc with its loadpoints", bases, topics, _read)


def _read(heard: Heard) -> list[Observation]:
    if heard.path == "status":
        return heard.online(heard.flag(), vendor="evcc", heartbeatS=_HEARTBEAT_S)
    if heard.path == "updated":
        return heard.heartbeat(True)
    number = heard.names["connector"]
    if not (number.isascii() and number.isdigit() and 1 <= int(number[:4]) <= 999):
        raise BadMessage(f"loadpoint {number[:20]!r}; right would be 1 to 999")
    return _loadpoint(heard, int(number), heard.path.split("/", 2)[2])


def _loadpoint(heard: Heard, connector: int, key: str) -> list[Observation]:
    if key in _MEASURES:
        value, (measure, scale) = heard.number(), _MEASURES[key]
        if value is None:
            return []
        return heard.meter(connector, **{measure: round(value * scale, 6)})
    yes = heard.flag()
    status, only_from = _MEANINGS[key, yes]
    return [heard.status(status, connector, only_from=only_from)]
