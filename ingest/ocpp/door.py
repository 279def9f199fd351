"""Who wants in at the gateway: identity from the path, name and password from the header. Pure."""

import base64
import binascii
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from pilewatch.wire import CHARGER_ID


class Credentials(NamedTuple):
    """HTTP basic authentication; the password may be any bytes, as keys of 1.6 are."""

    name: str
    password: bytes


def identity_of(path: str) -> str | None:
    """The charger's id: the last part of the path; None where it is none."""
    last = unquote(urlsplit(path).path.rstrip("/").rpartition("/")[2], errors="replace")
    return last if CHARGER_ID.fullmatch(last) else None


def credentials_of(header: str | None) -> Credentials | None:
    """What an Authorization header says; None for none or another scheme."""
    scheme, _, coded = (header or "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        name, colon, password = base64.b64decode(coded.strip(), validate=True).partition(b":")
        return Credentials(name.decode(), password) if colon else None
    except (binascii.Error, UnicodeError, ValueError):
        return None
