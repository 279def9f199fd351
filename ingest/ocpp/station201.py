"""What a charger says in OCPP 2.0.1."""

from datetime import datetime
from typing import Any

from ingest.ocpp import faults
from ingest.ocpp.frames import Call
from ingest.ocpp.meters import sample
from ingest.ocpp.station import (
    WHOLE,
    Port,
    Said,
    Session,
    Station,
    clean,
    clean_info,
    dicts,
    number_of,
)
from pilewatch.faultcodes import UNMAPPED

STATUSES = {
    "Available": "available",
    "Occupied": "occupied",
    "Reserved": "reserved",
    "Unavailable": "unavailable",
    "Faulted": "faulted",
}
CHARGING_STATES = {
    "Charging": "charging",
    "EVConnected": "preparing",
    "SuspendedEV": "suspended",
    "SuspendedEVSE": "suspended",
    "Idle": "finishing",
}
_SECOND = 100
_NOT_OURS = frozenset({"faulted", "unavailable", "reserved"})


class Station201(Station):
    """Speaks `ocpp2.0.1`. Connector 1 of EVSE 3 is our 3, its connector 2 our 103."""

    protocol = "ocpp2.0.1"

    def __init__(self, *arguments: Any, **more: Any):
        super().__init__(*arguments, **more)
        self._charging: dict[int, str] = {}
        self._over: set[int] = set()
        """Where a car is still plugged in after its transaction ended."""

    def heard(self, call: Call, now: datetime) -> list[Said]:
        """What a call says by itself."""
        said = call.payload
        if call.action == "StatusNotification":
            number = place_of(said.get("evseId"), said.get("connectorId"))
            return self._status(number, str(said.get("connectorStatus")), said, now)
        if call.action == "MeterValues":
            number = place_of(said.get("evseId"))
            if number is not None and number != WHOLE:
                session = self.port(number).session
                return self.meter(number, said.get("meterValue"), session, now)
        if call.action == "TransactionEvent":
            return self._transaction(said, now)
        if call.action == "NotifyEvent":
            return [one for e in dicts(said.get("eventData")) for one in self._event(e, now)]
        return []

    def answered(self, call: Call, answer: dict[str, Any], now: datetime) -> list[Said]:
        """What it says together with its answer."""
        said = call.payload
        if call.action == "BootNotification":
            about = _dict(said.get("chargingStation"))
            vendor, model = about.get("vendorName"), about.get("model")
            asked = said.get("reason") == "Triggered"
            self.boot(vendor, model, about.get("firmwareVersion"), now, asked=asked)
            return self.promise(answer.get("interval"), now)
        reason = _refusal(answer)
        if call.action == "Authorize" and reason:
            place = self.only_port("preparing")
            id = f"refused-{int(now.timestamp() * 1000)}"
            return self.refused(place, id, reason, None, now)
        if call.action == "TransactionEvent" and reason:
            id = str(_dict(said.get("transactionInfo")).get("transactionId"))
            session = self.sessions.get(id)
            if session is not None and not session.refused:
                session.refused = True
                at = said.get("timestamp")
                return self.refused(session.connector, id, reason, at, now)
        return []

    def own_status(self, port: Port) -> str | None:
        """A port that is occupied is told more exactly by its transaction."""
        if port.status in _NOT_OURS:
            return port.status
        if port.session is not None and port.number in self._charging:
            return self._charging[port.number]
        if port.status != "occupied":
            return port.status
        return "finishing" if port.number in self._over else "preparing"

    def _status(
        self, number: int | None, status: str, said: dict[str, Any], now: datetime
    ) -> list[Said]:
        word = STATUSES.get(status)
        if number is None or word is None:
            self.unplaced += 1
            return []
        port = self.port(number)
        if number == WHOLE and word == "occupied":
            word = "available"
        if word != "occupied":
            self._over.discard(number)
        if word != "faulted":
            port.errors.pop("status", None)
        port.status = word
        return self.status(number, said.get("timestamp"), now)

    def _transaction(self, said: dict[str, Any], now: datetime) -> list[Said]:
        info = _dict(said.get("transactionInfo"))
        id = clean(info.get("transactionId"))
        kind, at = said.get("eventType"), said.get("timestamp")
        session = self.sessions.get(id or "")
        evse = _dict(said.get("evse"))
        number = place_of(evse.get("id"), evse.get("connectorId", 1)) if evse else None
        if session is None:
            if id is None or not number:
                number = self.only_port("preparing", "charging", "suspended")
            if id is None or number is None:
                self.unplaced += 1
                return []
            session = Session(id, number)
            self.remember(session)
        found: list[Said] = []
        number = session.connector
        if kind == "Started":
            self._over.discard(number)
            session.register_wh = session.register_wh or _first_register(said.get("meterValue"))
            found += self.started(session, at, now)
        if (state := CHARGING_STATES.get(str(info.get("chargingState")))) is not None:
            self._charging[number] = state
        found += self.meter(number, said.get("meterValue"), session.id, now)
        if kind == "Ended":
            found += self.ended(session, info.get("stoppedReason"), at, now)
            self._charging.pop(number, None)
            if self.port(number).status == "occupied":
                self._over.add(number)
        return found + self.changed_status(number, at, now)

    def _event(self, event: dict[str, Any], now: datetime) -> list[Said]:
        component, variable = _dict(event.get("component")), _dict(event.get("variable"))
        name, of = str(component.get("name")), str(variable.get("name"))
        evse = _dict(component.get("evse"))
        number = place_of(evse.get("id"), evse.get("connectorId", 1)) if evse else WHOLE
        value, at = str(event.get("actualValue", "")), event.get("timestamp")
        if number is None:
            self.unplaced += 1
            return []
        port = self.port(number)
        tech, info = clean(event.get("techCode")), clean_info(event.get("techInfo"))
        if of == "AvailabilityState":
            said = self._status(number, value, event, now) if value in STATUSES else []
            if value == "Faulted" and tech and not event.get("cleared"):
                code = faults.of_event(name, "Problem", "true", tech_code=tech, starting=False)
                port.errors["status"] = faults.Error(code or UNMAPPED, tech, info)
                said = self.status(number, at, now)
            return said
        if of == "Temperature" and number != WHOLE:
            reading = {"value": value, "measurand": "Temperature", **_unit(variable)}
            values = [{"timestamp": at, "sampledValue": [reading]}]
            return self.meter(number, values, port.session, now)
        starting = port.session is not None or self.own_status(port) == "preparing"
        code = faults.of_event(name, of, value, tech_code=tech, starting=starting)
        key = f"{name}/{component.get('instance')}/{of}/{variable.get('instance')}"
        there = code is not None and faults.is_true(value) and not event.get("cleared")
        before = dict(port.errors)
        if there and code is not None and key not in port.errors:
            port.errors[key] = faults.Error(code, tech or f"{name}.{of}"[:200], info)
        elif not there:
            port.errors.pop(key, None)
        return self.status(number, at, now) if port.errors != before else []


def place_of(evse: Any, connector: Any = 1) -> int | None:
    """Our number of a connector; `WHOLE` for EVSE 0; None for what we cannot count."""
    first, second = number_of(evse), number_of(connector)
    if first is None or second is None:
        return None
    return number_of(first if first == WHOLE or second <= 1 else _SECOND * (second - 1) + first)


def parts_of(number: int) -> tuple[int, int]:
    """EVSE and connector of our number: the way back."""
    return number % _SECOND or number, number // _SECOND + 1 if number % _SECOND else 1


def _unit(variable: dict[str, Any]) -> dict[str, Any]:
    unit = clean(variable.get("unit"))
    return {"unit": unit} if unit else {}


def _first_register(values: Any) -> float | None:
    for value in dicts(values):
        register = sample(dicts(value.get("sampledValue"))).get("energyWh")
        if register is not None:
            return register
    return None


def _refusal(answer: dict[str, Any]) -> str | None:
    status = _dict(answer.get("idTokenInfo")).get("status")
    return None if status in (None, "Accepted") else clean(status)


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
