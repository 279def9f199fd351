"""OCPP-J frames: bytes in, `Call`, `Answer` or `Refusal` out, checked by the standard's schemas.

Nothing that a charger sends may end its connection: what is wrong raises `BadFrame`, which knows
the CALLERROR to send back. Pure; no I/O but the reading of the schemas that the library brings.
"""

import re
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Literal

import msgspec
from jsonschema.exceptions import best_match
from ocpp.messages import Call as LibraryCall
from ocpp.messages import CallError, CallResult, get_validator
from ocpp.v16 import call as calls16
from ocpp.v201 import call as calls201

Protocol = Literal["ocpp1.6", "ocpp2.0.1"]
PROTOCOLS: tuple[Protocol, ...] = ("ocpp1.6", "ocpp2.0.1")
MAX_FRAME = 256 * 1024
"""Bytes; a longer frame is refused. A NotifyReport of a whole station stays well below."""
NO_ID = "-1"
"""The id of a CALLERROR to a frame whose own id could not be read (OCPP 2.0.1 part 4, 4.2.3)."""
_TEXT = 255
_ID = 36


def _actions(module: ModuleType) -> frozenset[str]:
    return frozenset(
        name
        for name, value in vars(module).items()
        if isinstance(value, type) and name[0].isupper()
    )


_ACTIONS = {"ocpp1.6": _actions(calls16), "ocpp2.0.1": _actions(calls201)}
# The library opens the schema by the name that the charger sent, so only known names get there.


class BadFrame(ValueError):
    """A frame outside the standard. `str()` is for the operator and never shows a value."""

    def __init__(self, code: str, why: str, id: str | None = NO_ID):
        super().__init__(why)
        self.code = code
        """What a CALLERROR calls it, by the names of OCPP 2.0.1; see `error`."""
        self.id = id
        """None: it answers something, so nothing is sent back."""


@dataclass(frozen=True)
class Call:
    """Somebody wants something; wants an answer with this id."""

    id: str
    action: str
    payload: dict[str, Any]


@dataclass(frozen=True)
class Answer:
    """CALLRESULT."""

    id: str
    payload: dict[str, Any]


@dataclass(frozen=True)
class Refusal:
    """CALLERROR."""

    id: str
    code: str
    description: str


Frame = Call | Answer | Refusal


def read(data: bytes) -> Frame:
    """One frame. Raises `BadFrame`."""
    if len(data) > MAX_FRAME:
        raise BadFrame("RpcFrameworkError", f"{len(data)} bytes; at most {MAX_FRAME} are allowed")
    try:
        found = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise BadFrame("RpcFrameworkError", f"not JSON: {str(error)[:_TEXT]}") from error
    if not isinstance(found, list) or not found or type(found[0]) is not int:
        raise BadFrame("RpcFrameworkError", 'no frame; right would be [2, "ID", "ACTION", {}]')
    kind = found[0]
    id = found[1] if len(found) > 1 and _is_text(found[1], _ID) else None
    if kind == 2:
        return _call(found, id or NO_ID)
    if kind not in (3, 4):
        raise BadFrame("MessageTypeNotSupported", f"message type {kind}; known are 2, 3, 4", id)
    if id is None:
        raise BadFrame("RpcFrameworkError", "an answer without an id", None)
    return _reply(found, kind, id)


def _reply(found: list[Any], kind: int, id: str) -> Frame:
    if kind == 3 and len(found) == 3 and isinstance(found[2], dict):
        return Answer(id, found[2])
    if kind == 4 and len(found) >= 4 and _is_text(found[2], _TEXT) and isinstance(found[3], str):
        return Refusal(id, found[2], found[3][:_TEXT])
    raise BadFrame("RpcFrameworkError", "an answer with wrong elements", None)


def _call(found: list[Any], id: str) -> Call:
    if id == NO_ID:
        raise BadFrame("RpcFrameworkError", f"no id; right would be a text of 1 to {_ID}")
    if len(found) != 4 or not _is_text(found[2], 100) or not isinstance(found[3], dict):
        raise BadFrame("RpcFrameworkError", 'right would be [2, "ID", "ACTION", {}]', id)
    return Call(id, found[2], found[3])


def _is_text(value: Any, most: int) -> bool:
    return isinstance(value, str) and 1 <= len(value) <= most


def check(call: Call, protocol: Protocol) -> None:
    """Whether the standard allows it. Raises `BadFrame` with the place and what would be right."""
    if call.action not in _ACTIONS[protocol]:
        raise BadFrame("NotImplemented", f"{call.action!r} is no action of {protocol}", call.id)
    validator = get_validator(LibraryCall.message_type_id, call.action, protocol[4:])
    try:
        found = best_match(validator.iter_errors(call.payload))
    except RecursionError as error:
        raise BadFrame("FormatViolation", f"{call.action}: nested too deeply", call.id) from error
    if found is None:
        return
    code, said = _CODES.get(str(found.validator), ("FormatViolation", str(found.validator)))
    place = ".".join(map(str, [call.action, *found.absolute_path]))
    right = found.validator_value if found.validator in _SHOWN else ""
    raise BadFrame(code, f"{place}: {said} {right}".strip()[:_TEXT], call.id)


_CODES = {
    "type": ("TypeConstraintViolation", "the type is wrong; right would be"),
    "required": ("OccurrenceConstraintViolation", "something is missing; needed are"),
    "enum": ("PropertyConstraintViolation", "the value is unknown; right would be one of"),
    "maxLength": ("PropertyConstraintViolation", "too long; characters at most"),
    "minItems": ("OccurrenceConstraintViolation", "too few; at least"),
    "maxItems": ("OccurrenceConstraintViolation", "too many; at most"),
    "additionalProperties": ("FormatViolation", "a field that the standard does not know"),
}
_SHOWN = frozenset({"type", "required", "enum", "maxLength", "minItems", "maxItems"})
_OLD_CODES = {
    "FormatViolation": "FormationViolation",
    "RpcFrameworkError": "FormationViolation",
    "MessageTypeNotSupported": "FormationViolation",
    # Spelled so by the standard.
    "OccurrenceConstraintViolation": "OccurenceConstraintViolation",
}
"""OCPP 1.6 calls some errors otherwise."""


def call(id: str, action: str, payload: dict[str, Any]) -> str:
    """A frame that asks the charger for something."""
    return str(LibraryCall(id, action, payload).to_json())


def answer(id: str, payload: dict[str, Any]) -> str:
    """A CALLRESULT."""
    return str(CallResult(id, payload).to_json())


def error(id: str, code: str, why: str, protocol: Protocol) -> str:
    """A CALLERROR; `code` by the names of OCPP 2.0.1."""
    named = _OLD_CODES.get(code, code) if protocol == "ocpp1.6" else code
    return str(CallError(id, named, why[:_TEXT], {}).to_json())


_SECRET = re.compile(rb'("(?:idTag|parentIdTag|idToken)"\s*:\s*)("(?:[^"\\]|\\.)*"?)')


def without_id_tags(data: bytes) -> bytes:
    """The frame as it may be kept: whose card it was is not ours to know."""
    return _SECRET.sub(rb'\1"-"', data)
