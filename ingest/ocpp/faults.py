"""What OCPP calls a fault, and what we call it (`pilewatch.faultcodes`)."""

from typing import NamedTuple

from pilewatch.faultcodes import UNMAPPED


class Error(NamedTuple):
    """One fault that a charger says is active now."""

    code: str
    vendor_code: str | None = None
    info: str | None = None


CONTACTOR = "PowerSwitchFailure"
_ERROR_CODES = {
    "ConnectorLockFailure": "connector-lock",
    "EVCommunicationError": "ev-comms",
    "GroundFailure": "ground-fault",
    "HighTemperature": "over-temperature",
    "InternalError": UNMAPPED,
    "LocalListConflict": UNMAPPED,
    "OtherError": UNMAPPED,
    "OverCurrentFailure": "over-current",
    "OverVoltage": "over-voltage",
    "PowerMeterFailure": "meter-failure",
    "ReaderFailure": "reader-failure",
    "ResetFailure": "reboot-loop",
    "UnderVoltage": "under-voltage",
    "WeakSignal": "weak-signal",
}
"""ChargePointErrorCode of OCPP 1.6; `NoError` and the contactor are told apart below."""
_MINIMUM = {
    1: "connector-lock", 2: "ground-fault", 3: "over-temperature", 4: "over-current",
    5: "over-voltage", 6: "under-voltage", 7: "weak-signal", 8: "emergency-stop",
    9: "auth-refused", 10: "ev-comms", 11: "insulation", 14: "diode-pilot", 15: "power-loss",
    18: "over-temperature", 19: "over-temperature", 20: "proximity-invalid", 22: "insulation",
    23: "proximity-invalid", 24: "over-voltage", 25: "connector-lock", 26: "cable-theft",
}  # fmt: skip
"""The minimum required error codes of ChargeX, which stations send as `CX002` beside their own."""
_COMPONENTS = {
    "CableBreakawaySensor": "cable-theft",
    "CaseAccessSensor": "tilt-impact",
    "ConnectedEV": "ev-comms",
    "ConnectorPlugRetentionLock": "connector-lock",
    "ConnectorProtectionRelease": "plug-broken",
    "ControlMetering": "meter-failure",
    "CPPWMController": "diode-pilot",
    "DataLink": "weak-signal",
    "Display": "display-failure",
    "ElectricalFeed": "power-loss",
    "EmergencyStopSensor": "emergency-stop",
    "EVRetentionLock": "connector-lock",
    "FiscalMetering": "meter-failure",
    "FloodSensor": "water-ingress",
    "GroundIsolationProtection": "insulation",
    "OverCurrentProtection": "over-current",
    "OverCurrentProtectionRecloser": "over-current",
    "PaymentCtrlr": "payment-terminal",
    "RealTimeClock": "clock-wrong",
    "ShockSensor": "tilt-impact",
    "TemperatureSensor": "over-temperature",
    "TiltSensor": "tilt-impact",
    "TokenReader": "reader-failure",
    "UpstreamProtectionTrigger": "short-circuit",
}
"""Components of OCPP 2.0.1 (part 2, appendix 3.1) whose trouble has a word of ours."""
_TROUBLE = frozenset({"Problem", "Tripped", "Overload"})
_SENSED = frozenset(
    {"CableBreakawaySensor", "CaseAccessSensor", "EmergencyStopSensor", "FloodSensor",
     "ShockSensor", "TiltSensor"}
)  # fmt: skip
"""Where being `Active` is itself the bad news."""


def _minimum(vendor_code: str | None, starting: bool) -> str | None:
    text = (vendor_code or "").upper()
    if not (text.startswith("CX") and text[2:].isascii() and text[2:].isdigit()):
        return None
    number = int(text[2:6])
    return _contactor(starting) if number == 17 else _MINIMUM.get(number)


def _contactor(starting: bool) -> str:
    """OCPP has one word for both. A contact that was just told to close did not; else the one that
    is dangerous to people is believed."""
    return "relay-open" if starting else "relay-welded"


def of_status(
    error_code: str, vendor_code: str | None, info: str | None, *, faulted: bool, starting: bool
) -> Error | None:
    """The error of a StatusNotification of 1.6; None for none.

    `NoError` with a maker's code is none while the port works: some send `0x0000` always.
    """
    minimum = _minimum(vendor_code, starting)
    if error_code == "NoError":
        if faulted and (vendor_code or info):
            return Error(minimum or UNMAPPED, vendor_code, info)
        return None
    if error_code == CONTACTOR:
        code = minimum or _contactor(starting)
    else:
        code = _ERROR_CODES.get(error_code, UNMAPPED)
        if code == UNMAPPED:
            if error_code == "LocalListConflict" and not faulted:
                return None  # about lists of cards; nothing is broken
            code = minimum or UNMAPPED
    return Error(code, vendor_code or error_code, info)


def of_event(
    component: str, variable: str, value: str, *, tech_code: str | None, starting: bool
) -> str | None:
    """The fault that an event of 2.0.1 speaks of, whether it has come or gone; None: of none."""
    about_trouble = variable in _TROUBLE or (variable == "Active" and component in _SENSED)
    # A fault code of its own on any variable that says yes is trouble as well.
    if not about_trouble and (tech_code is None or not is_true(value)):
        return None
    if (minimum := _minimum(tech_code, starting)) is not None:
        return minimum
    if component == "RCD":
        return "ground-fault" if variable == "Tripped" else "leakage-test-failed"
    if component == "PowerContactor":
        return _contactor(starting)
    return _COMPONENTS.get(component, UNMAPPED)


def is_true(value: str) -> bool:
    """Whether a variable says yes."""
    return value.strip().lower() in ("true", "1")
