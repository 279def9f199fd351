"""The fault model: one class for each code, grouped by what breaks. `KINDS` lists them all."""

from simulator.faults import contact, controller, danger, electrical, metering, radio
from simulator.faults.fault import KINDS, Fault

__all__ = ["KINDS", "Fault", "contact", "controller", "danger", "electrical", "metering", "radio"]
