"""Reads objects of OCPI 2.2.1 with the models of extrawest-ocpi: `{"Location": […], …}` comes by
standard input, a line goes out for each that is wrong or holds what its model does not know."""

import json
import sys

from py_ocpi.modules.credentials.v_2_2_1.schemas import Credentials
from py_ocpi.modules.locations.v_2_2_1.schemas import EVSE, Connector, Location
from py_ocpi.modules.versions.schemas import Version
from py_ocpi.modules.versions.v_2_2_1.schemas import VersionDetail

MODELS = {m.__name__: m for m in (Connector, Credentials, EVSE, Location, Version, VersionDetail)}


def unknown(said, read, where):
    """Places in what was said that the model passed over."""
    if isinstance(said, dict):
        for key, value in said.items():
            if key not in read:
                yield f"{where}.{key}"
            else:
                yield from unknown(value, read[key], f"{where}.{key}")
    elif isinstance(said, list):
        for place, (value, other) in enumerate(zip(said, read, strict=True)):
            yield from unknown(value, other, f"{where}[{place}]")


for name, objects in json.load(sys.stdin).items():
    for said in objects:
        try:
            read = json.loads(MODELS[name].parse_obj(said).json(exclude_unset=True))
        except ValueError as error:
            print(f"{name}: {error}")
            continue
        for place in unknown(said, read, name):
            print(f"{place} is unknown")
