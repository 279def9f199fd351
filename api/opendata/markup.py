"""XML that is written: names by prefix, text without what XML 1.0 cannot hold. None is read."""

import re
from datetime import UTC, datetime
from xml.etree.ElementTree import Element, SubElement, register_namespace, tostring

from fastapi import Response

_UNFIT = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class Vocabulary:
    """Namespaces by their prefix."""

    def __init__(self, namespaces: dict[str, str]):
        self._namespaces = namespaces
        for prefix, uri in namespaces.items():
            register_namespace(prefix, uri)

    def name(self, word: str) -> str:
        """`prefix:word` as ElementTree wants it; a word without prefix is in no namespace."""
        prefix, colon, rest = word.rpartition(":")
        return f"{{{self._namespaces[prefix]}}}{rest}" if colon else rest

    def root(self, word: str, **attributes: str) -> Element:
        """A new document's first element."""
        return Element(self.name(word), {k: fit(v) for k, v in attributes.items()})

    def add(self, parent: Element, word: str, text: object = None, **attributes: str) -> Element:
        """One more element in `parent`, with this text where there is one."""
        made = SubElement(parent, self.name(word), {k: fit(v) for k, v in attributes.items()})
        if text is not None:
            made.text = fit(text)
        return made


def fit(value: object) -> str:
    """A value as text of XML; a moment is in UTC to the second."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    return _UNFIT.sub("\ufffd", str(value))


def answer(root: Element, media_type: str, status: int = 200) -> Response:
    """The document, with its declaration."""
    body = tostring(root, encoding="UTF-8", xml_declaration=True)
    return Response(body, status, media_type=media_type)
