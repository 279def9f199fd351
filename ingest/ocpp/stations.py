"""Which station reads a subprotocol."""

from ingest.ocpp.station import Station
from ingest.ocpp.station16 import Station16
from ingest.ocpp.station201 import Station201

STATIONS: dict[str, type[Station]] = {"ocpp1.6": Station16, "ocpp2.0.1": Station201}
