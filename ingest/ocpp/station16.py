"""What a charger says in OCPP 1.6."""

from datetime import datetime
from typing import Any

from ingest.ocpp import faults
from ingest.ocpp.frames import Call
from ingest.ocpp.station import (
    WHOLE,
    Said,
    Session,
    Station,
    clean,
    clean_info,
    number_of,
    watt_hours,
    when,
)

STATUSES = {
    "Available": "available",
    "Preparing": "preparing",
    "Charging": "charging",
    "SuspendedEV": "suspended",
    "SuspendedEVSE": "suspended",
    "Finishing": "finishing",
    "Reserved": "reserved",
    "Unavailable": "unavailable",
    "Faulted": "faulted",
}
_ACCEPTED = "Accepted"


class Station16(Station):
    """Speaks `ocpp1.6`."""

    protocol = "ocpp1.6"

    def heard(self, call: Call, now: datetime) -> list[Said]:
        """What a call says by itself."""
        said = call.payload
        if call.action == "StatusNotification":
            return self._status(said, now)
        if call.action == "MeterValues":
            number = number_of(said.get("connectorId"))
            if number is not None and number != WHOLE:
                session = self._session_of(said.get("transactionId"))
                session = session or self.port(number).session
                return self.meter(number, said.get("meterValue"), session, now)
        if call.action == "StopTransaction":
            return self._stop(said, now)
        return []

    def answered(self, call: Call, answer: dict[str, Any], now: datetime) -> list[Said]:
        """What it says together with its answer."""
        said = call.payload
        if call.action == "BootNotification":
            vendor, model = said.get("chargePointVendor"), said.get("chargePointModel")
            self.boot(vendor, model, said.get("firmwareVersion"), now, asked=False)
            return self.promise(answer.get("interval"), now)
        if call.action == "StartTransaction":
            return self._start(said, answer, now)
        if call.action == "Authorize" and (reason := _refusal(answer)):
            place = self.only_port("preparing")
            id = f"refused-{int(now.timestamp() * 1000)}"
            return self.refused(place, id, reason, None, now)
        return []

    def _status(self, said: dict[str, Any], now: datetime) -> list[Said]:
        number, status = number_of(said.get("connectorId")), STATUSES.get(str(said.get("status")))
        if number is None or status is None:
            self.unplaced += 1
            return []
        port = self.port(number)
        error = faults.of_status(
            clean(str(said.get("errorCode", "NoError"))) or "NoError",
            clean(said.get("vendorErrorCode")),
            clean_info(said.get("info")),
            faulted=status == "faulted",
            starting=port.status == "preparing",
        )
        port.status = status
        port.errors = {} if error is None else {"status": error}
        return self.status(number, said.get("timestamp"), now)

    def _start(self, said: dict[str, Any], answer: dict[str, Any], now: datetime) -> list[Said]:
        number, id = number_of(said.get("connectorId")), _transaction(answer.get("transactionId"))
        if not number or id is None:
            self.unplaced += 1
            return []
        session = Session(id, number, watt_hours(said.get("meterStart")))
        at = said.get("timestamp")
        if reason := _refusal(answer):
            session.refused = True
            self.remember(session)
            return self.refused(number, session.id, reason, at, now)
        return self.started(session, at, now)

    def _stop(self, said: dict[str, Any], now: datetime) -> list[Said]:
        id = self._session_of(said.get("transactionId"))
        session = self.sessions.get(id or "")
        if session is None:
            number = self.only_port("charging", "suspended", "finishing")
            if number is None:
                self.unplaced += 1
                return []
            id = id or self.port(number).session or f"unknown-{when(said.get('timestamp'), now)}"
            session = self.sessions.get(id) or Session(id, number)
        values = self.meter(session.connector, said.get("transactionData"), session.id, now)
        session.last_wh = watt_hours(said.get("meterStop"))
        return values + self.ended(session, said.get("reason"), said.get("timestamp"), now)

    def _session_of(self, id: Any) -> str | None:
        """Zero is what some say while they do not know it."""
        return _transaction(id) if id != 0 else None


def _transaction(id: Any) -> str | None:
    """A transaction's number; the standard wants an integer and names no limit."""
    fits = isinstance(id, int) and not isinstance(id, bool) and 0 <= id < 2**63
    return str(id) if fits else None


def _refusal(answer: dict[str, Any]) -> str | None:
    info = answer.get("idTagInfo")
    status = info.get("status") if isinstance(info, dict) else None
    return None if status in (None, _ACCEPTED) else clean(status)
