"""Observations as messages of the native contract. Pure."""

from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from pilewatch.model import Kind, Observation
from pilewatch.wire import ROOT

_ENCODE = msgspec.json.Encoder().encode
_PHASE = {
    Kind.SESSION_STARTED: "started",
    Kind.SESSION_ENDED: "ended",
    Kind.SESSION_REFUSED: "refused",
}


class Message(NamedTuple):
    """One message; `kind` is the topic's end."""

    kind: str
    payload: bytes
    qos: int = 1
    retain: bool = False

    def topic(self, charger: str) -> str:
        """Where this charger says it."""
        return f"{ROOT}/{charger}/up/{self.kind}"


def message(said: Observation, **more: Any) -> Message:
    """The message that says this; `more` are fields which an observation does not have."""
    at: dict[str, Any] = {"at": said.observed_at}
    body: dict[str, Any]
    match said.kind:
        case Kind.STATUS:
            errors = [msgspec.to_builtins(error) for error in said.errors or ()]
            body = {"connector": said.connector, "status": said.status, "errors": errors}
            return Message(f"status/{said.connector}", _encode(at | body | more), retain=True)
        case Kind.METER:
            names = ("energy_wh", "power_w", "voltage_v", "current_a", "temperature_c")
            camel = ("energyWh", "powerW", "voltageV", "currentA", "temperatureC")
            body = {"connector": said.connector, "sessionId": said.session_id}
            body |= {c: getattr(said, n) for c, n in zip(camel, names, strict=True)}
            return Message("meter", _encode(at | body | more), qos=0)
        case Kind.SESSION_STARTED | Kind.SESSION_ENDED | Kind.SESSION_REFUSED:
            body = {
                "connector": said.connector,
                "sessionId": said.session_id,
                "phase": _PHASE[said.kind],
                "energyWh": said.energy_wh,
                "reason": said.reason,
            }
            return Message("session", _encode(at | body | more))
        case Kind.HEARTBEAT:
            body = {k: v for k, v in (said.data or {}).items() if k != "connectors"}
            return Message("heartbeat", _encode(at | body | more))
        case Kind.ONLINE:
            return Message("online", _encode({"online": True} | at | (said.data or {}) | more),
                           retain=True)  # fmt: skip
    raise ValueError(f"{said.kind!r} has no message here")


def offline(at: datetime) -> Message:
    """What a last will would say."""
    return Message("online", _encode({"online": False, "at": at}), retain=True)


def result(command_id: str, outcome: str, detail: str | None, at: datetime) -> Message:
    """What became of a command."""
    body = {"at": at, "commandId": command_id, "outcome": outcome, "detail": detail}
    return Message("result", _encode(body))


def _encode(body: dict[str, Any]) -> bytes:
    return _ENCODE({key: value for key, value in body.items() if value is not None})
