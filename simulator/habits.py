"""How quick, and how honest, the people of a scenario are."""

from typing import Annotated

from msgspec import Meta, Struct

Wait = Annotated[float, Meta(ge=0, le=1e6)]


class Habits(Struct, frozen=True, forbid_unknown_fields=True):
    """Seconds between steps (before speed), and how often a repairer lies."""

    operator_s: tuple[Wait, Wait] = (3, 8)
    repairer_s: tuple[Wait, Wait] = (4, 12)
    inspector_s: tuple[Wait, Wait] = (8, 20)
    resident_s: tuple[Wait, Wait] = (2, 10)
    false_claims: Annotated[float, Meta(ge=0, le=1)] = 0.1
    poll_s: Annotated[float, Meta(gt=0, le=3600)] = 1.0
