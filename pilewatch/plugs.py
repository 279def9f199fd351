"""What a connector is, in the words of OCPI 2.2.1 (mod_locations: ConnectorType, PowerType)."""

from dataclasses import dataclass
from typing import Literal

PowerType = Literal["AC_1_PHASE", "AC_3_PHASE", "DC"]
PlugType = Literal[
    "CHADEMO",
    "CHAOJI",
    "DOMESTIC_A",
    "DOMESTIC_B",
    "DOMESTIC_C",
    "DOMESTIC_D",
    "DOMESTIC_E",
    "DOMESTIC_F",
    "DOMESTIC_G",
    "DOMESTIC_H",
    "DOMESTIC_I",
    "DOMESTIC_J",
    "DOMESTIC_K",
    "DOMESTIC_L",
    "DOMESTIC_M",
    "DOMESTIC_N",
    "DOMESTIC_O",
    "GBT_AC",
    "GBT_DC",
    "IEC_60309_2_single_16",
    "IEC_60309_2_three_16",
    "IEC_60309_2_three_32",
    "IEC_60309_2_three_64",
    "IEC_62196_T1",
    "IEC_62196_T1_COMBO",
    "IEC_62196_T2",
    "IEC_62196_T2_COMBO",
    "IEC_62196_T3A",
    "IEC_62196_T3C",
    "NEMA_5_20",
    "NEMA_6_30",
    "NEMA_6_50",
    "NEMA_10_30",
    "NEMA_10_50",
    "NEMA_14_30",
    "NEMA_14_50",
    "PANTOGRAPH_BOTTOM_UP",
    "PANTOGRAPH_TOP_DOWN",
    "TESLA_R",
    "TESLA_S",
]
_FAST_W = 20_000
"""A car's connector of so much power is taken for direct current."""


@dataclass(frozen=True)
class Outlet:
    """A connector's equipment, complete. Of three phases `volts` is between phase and neutral."""

    plug: str
    cable: bool
    power_type: str
    volts: float
    amperes: float
    watts: float | None

    @classmethod
    def of(
        cls,
        kind: str,
        *,
        plug: str | None = None,
        power_type: str | None = None,
        volts: float | None = None,
        amperes: float | None = None,
        watts: float | None = None,
    ) -> "Outlet":
        """What is known, and for the rest what is usual in China for e-bikes (`ebike`, a socket
        of GB 2099) and cars (GB/T 20234)."""
        direct = power_type == "DC" or plug in ("GBT_DC", "CHADEMO", "CHAOJI")
        if kind == "car" and plug is None and power_type is None:
            direct = (watts or 0) >= _FAST_W
        if plug is None:
            plug = "DOMESTIC_I" if kind == "ebike" else "GBT_DC" if direct else "GBT_AC"
        if power_type is None:
            single = kind == "ebike" or (watts or 0) <= 7_700
            power_type = "DC" if direct else "AC_1_PHASE" if single else "AC_3_PHASE"
        if volts is None:
            volts = 750.0 if power_type == "DC" else 220.0
        phases = 3 if power_type == "AC_3_PHASE" else 1
        if amperes is None:
            usual = 10.0 if kind == "ebike" else 250.0 if power_type == "DC" else 32.0
            amperes = usual if watts is None else watts / volts / phases
        return cls(plug, not plug.startswith("DOMESTIC"), power_type, volts, amperes, watts)
