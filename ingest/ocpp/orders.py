"""Commands of our contract as OCPP calls, and what the answers mean. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import msgspec

from ingest.ocpp.frames import Answer, Call, Protocol, Refusal
from ingest.ocpp.station import Said, stamp
from ingest.ocpp.station201 import parts_of
from pilewatch.wire import CommandName

UNSUPPORTED = "unsupported"
PATIENCE = timedelta(minutes=15)
"""How long an accepted command may take to its end; the sender waits as long."""
_NOT_KNOWN = frozenset({"NotImplemented", "NotSupported"})


class Told(msgspec.Struct, rename="camel"):
    """A command as it comes from the broker; unknown fields are left alone."""

    command_id: str
    name: CommandName
    expires_at: datetime | None = None
    connector: int | None = None
    args: dict[str, Any] = {}


READ = msgspec.json.Decoder(Told)


class Ask(NamedTuple):
    """What to ask the charger for."""

    action: str
    payload: dict[str, Any]


class Outcome(NamedTuple):
    """How a command stands: accepted, rejected, done or failed."""

    word: str
    detail: str | None = None


@dataclass(frozen=True)
class Waiting:
    """A command that was accepted and whose end is still to be seen."""

    command_id: str
    name: str
    until: datetime
    connector: int | None = None
    available: bool = True

    def ended_by(self, said: Said) -> bool:
        """Whether this message shows that it is done."""
        body = said.body
        if self.name == "getLog":
            return False  # see `log_ended`
        if self.name == "reset":
            return said.kind == "online" and "bootId" in body
        if self.connector is not None and body.get("connector") != self.connector:
            return False
        if self.name == "startTest":
            return said.kind == "session" and body["phase"] == "started"
        return said.kind == "status" and (body["status"] != "unavailable") == self.available


def id_tag_of(command_id: str) -> str:
    """The card of a test charge: of one command only, at most 20 characters."""
    return "PW" + "".join(c for c in command_id if c.isalnum())[:18]


def ask(told: Told, protocol: Protocol, start_id: int) -> Ask | None:
    """The call for a command; None where it lacks what it needs."""
    return _ask16(told) if protocol == "ocpp1.6" else _ask201(told, start_id)


def _ask16(told: Told) -> Ask | None:
    number, found = told.connector, None
    match told.name:
        case "reset":
            found = Ask("Reset", {"type": "Soft"})
        case "triggerStatus":
            where = {} if number is None else {"connectorId": number}
            found = Ask("TriggerMessage", {"requestedMessage": "StatusNotification", **where})
        case "setAvailability":
            found = Ask(
                "ChangeAvailability", {"connectorId": number or 0, "type": _operative(told)}
            )
        case "getLog":
            found = Ask("GetDiagnostics", {"location": url}) if (url := _url(told)) else None
        case "unlock" if number is not None:
            found = Ask("UnlockConnector", {"connectorId": number})
        case "startTest" if number is not None:
            card = id_tag_of(told.command_id)
            found = Ask("RemoteStartTransaction", {"connectorId": number, "idTag": card})
    return found


def _ask201(told: Told, start_id: int) -> Ask | None:
    evse, connector = (None, None) if told.connector is None else parts_of(told.connector)
    where = {} if evse is None else {"evse": {"id": evse, "connectorId": connector}}
    found = None
    match told.name:
        case "reset":
            found = Ask("Reset", {"type": "Immediate"})
        case "triggerStatus":
            found = Ask("TriggerMessage", {"requestedMessage": "StatusNotification", **where})
        case "setAvailability":
            found = Ask("ChangeAvailability", {"operationalStatus": _operative(told), **where})
        case "getLog":
            asked = {"logType": "DiagnosticsLog", "requestId": start_id}
            to = {"log": {"remoteLocation": url}} if (url := _url(told)) else None
            found = Ask("GetLog", {**asked, **to}) if to else None
        case "unlock" if evse is not None:
            found = Ask("UnlockConnector", {"evseId": evse, "connectorId": connector})
        case "startTest" if evse is not None:
            token = {"idToken": id_tag_of(told.command_id), "type": "Central"}
            asked = {"evseId": evse, "remoteStartId": start_id, "idToken": token}
            found = Ask("RequestStartTransaction", asked)
    return found


def _operative(told: Told) -> str:
    return "Operative" if told.args.get("available") else "Inoperative"


def _url(told: Told) -> str | None:
    url = told.args.get("url")
    return url if isinstance(url, str) else None


def log_ended(call: Call) -> Outcome | None:
    """What a charger says of an upload that is over."""
    if call.action not in ("DiagnosticsStatusNotification", "LogStatusNotification"):
        return None
    status = str(call.payload.get("status"))[:50]
    if status in ("Idle", "Uploading"):
        return None
    return Outcome("done") if status == "Uploaded" else Outcome("failed", status)


def statuses(protocol: Protocol, ports: Iterable[int]) -> list[Ask]:
    """Ask for every status: 1.6 has a word for all connectors, 2.0.1 wants each by its number."""
    if protocol == "ocpp1.6":
        return [Ask("TriggerMessage", {"requestedMessage": "StatusNotification"})]
    asked = []
    for number in ports:
        evse, connector = parts_of(number)
        where = {"id": evse, "connectorId": connector}
        asked.append(
            Ask("TriggerMessage", {"requestedMessage": "StatusNotification", "evse": where})
        )
    return asked


def outcome(told: Told, reply: Answer | Refusal | None) -> Outcome:
    """What the charger's answer means; None: it gave none in time."""
    if reply is None:
        return Outcome("failed", "the charger did not answer")
    if isinstance(reply, Refusal):
        if reply.code in _NOT_KNOWN:
            return Outcome("rejected", UNSUPPORTED)
        return Outcome("failed", f"the charger answered {reply.code}"[:200])
    if told.name == "getLog" and "status" not in reply.payload:  # GetDiagnostics of 1.6
        name = reply.payload.get("fileName")
        return Outcome("accepted" if name else "rejected", name or "it has nothing to upload")
    status = str(reply.payload.get("status"))[:50]
    if status in ("NotSupported", "NotImplemented"):
        return Outcome("rejected", UNSUPPORTED)
    ends_at_once = told.name in ("triggerStatus", "setAvailability")
    word = {
        "Accepted": "done" if ends_at_once else "accepted",
        "AcceptedCanceled": "accepted",
        "Scheduled": "accepted",
        "Unlocked": "done",
        "UnlockFailed": "failed",
    }.get(status, "rejected")
    return Outcome(word, None if status in ("Accepted", "Unlocked") else status)


def waiting(told: Told, now: datetime) -> Waiting:
    """What will show the end of a command that was accepted."""
    available = bool(told.args.get("available"))
    return Waiting(told.command_id, told.name, now + PATIENCE, told.connector, available)


def result(command_id: str, found: Outcome, now: datetime) -> Said:
    """The message that tells it."""
    body = {
        "at": stamp(now),
        "commandId": command_id,
        "outcome": found.word,
        "detail": found.detail,
    }
    return Said("result", body)
