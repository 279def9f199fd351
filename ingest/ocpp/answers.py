"""What a monitor answers to the calls of a charger. Pure; None: by policy or with the database."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

_NOTHING = frozenset(
    {"StatusNotification", "MeterValues", "FirmwareStatusNotification",
     "DiagnosticsStatusNotification", "LogStatusNotification", "SecurityEventNotification",
     "SignedFirmwareStatusNotification", "NotifyReport", "NotifyEvent", "NotifyMonitoringReport",
     "NotifyChargingLimit", "ClearedChargingLimit", "NotifyCustomerInformation",
     "NotifyDisplayMessages", "PublishFirmwareStatusNotification", "ReservationStatusUpdate",
     "ReportChargingProfiles"}
)  # fmt: skip
"""Calls that want to be taken note of."""
ALWAYS = frozenset({"BootNotification", "Heartbeat", "Authorize", "DataTransfer"})
"""Answered although the broker is away: nobody is to be kept from charging by that."""

_FREE = "NoAuthorization"
"""The kind of token of 2.0.1 for charging without a card."""

Allowed = Callable[[str], str]
"""AuthorizationStatus for a card."""


def zulu(now: datetime) -> str:
    """As charge points like it: UTC, milliseconds, Z."""
    return now.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def plain(action: str, now: datetime, heartbeat_s: int) -> dict[str, Any] | None:
    """The answer where nothing is to be decided; None where it is, or where we have none."""
    if action in _NOTHING:
        return {}
    if action == "Heartbeat":
        return {"currentTime": zulu(now)}
    if action == "BootNotification":
        return {"status": "Accepted", "currentTime": zulu(now), "interval": heartbeat_s}
    if action == "DataTransfer":
        return {"status": "UnknownVendorId"}
    return None


def card_of(payload: dict[str, Any]) -> str | None:
    """The card that a call shows, if any."""
    if isinstance(card := payload.get("idTag"), str):
        return card
    token = payload.get("idToken")
    if isinstance(token, dict) and token.get("type") == _FREE:
        return _FREE
    return str(token.get("idToken")) if isinstance(token, dict) else None


def authorised(payload: dict[str, Any], allowed: Allowed, *, named: str) -> dict[str, Any]:
    """`idTagInfo` or `idTokenInfo` for the card shown; nothing without one."""
    card = card_of(payload)
    if card is None:
        return {}
    return {named: {"status": "Accepted" if card == _FREE else allowed(card)}}
