"""Phrases for people by key, from the gettext catalogues that a package ships."""

from collections.abc import Mapping
from importlib.resources import files
from io import BytesIO

from babel.messages.pofile import read_po


def read_catalogue(package: str, locale: str) -> Mapping[str, str]:
    """Every phrase of PACKAGE/locale/LOCALE/messages.po. Raises babel's `PoFileError`."""
    path = files(package) / "locale" / locale / "messages.po"
    return {
        message.id: message.string
        for message in read_po(BytesIO(path.read_bytes()), abort_invalid=True)
        if isinstance(message.id, str) and message.id and isinstance(message.string, str)
    }
