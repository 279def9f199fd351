"""The signed QR code on a pile: who scanned it stood there, or had a picture of it. Pure.

The address is `{public_url}/p/{charger}?s=KEY.NUMBER.MAC`: the key's id, the poster's number, and
the first 16 bytes of HMAC-SHA256 over all that it says, in base64url.
"""

import base64
import hashlib
import hmac
import re
from dataclasses import dataclass
from typing import Literal
from urllib.parse import parse_qs, quote, unquote, urlsplit

Keys = tuple[tuple[str, bytes], ...]
"""Id and secret of each key."""
Why = Literal["signed", "not-scanned", "no-code", "unsigned", "unknown-key", "bad-signature"]
_ID = re.compile(r"[A-Za-z0-9]{1,8}")
_SIGNATURE = re.compile(r"([A-Za-z0-9]{1,8})\.([1-9][0-9]{0,8})\.([A-Za-z0-9_-]{22})")
_PATH = re.compile(r"/p/([^/]{1,200})")
_SHORTEST_SECRET = 16
_LONGEST_CODE = 500


@dataclass(frozen=True)
class Scanned:
    """What a scanned code says. Only "signed" proves anything; "unsigned" names a charger too."""

    why: Why
    charger: str | None = None
    number: int | None = None


def read_keys(text: str) -> Keys:
    """Keys from lines of `ID SECRET`. Raises `ValueError`, which never tells a secret."""
    found: dict[str, bytes] = {}
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if not words:
            continue
        if len(words) != 2 or not _ID.fullmatch(words[0]):
            raise ValueError(
                f"line {number}: right would be ID SECRET, the id of 8 letters at most"
            )
        if words[0] in found:
            raise ValueError(f"line {number}: the id {words[0]} is taken")
        if len(words[1]) < _SHORTEST_SECRET:
            raise ValueError(f"line {number}: the secret needs {_SHORTEST_SECRET} characters")
        found[words[0]] = words[1].encode()
    if not found:
        raise ValueError("a line of ID SECRET is needed")
    return tuple(found.items())


def address(public_url: str, keys: Keys, charger: str, number: int) -> str:
    """What the pile's QR code holds; without a key it is not signed."""
    plain = f"{public_url.rstrip('/')}/p/{quote(charger)}"
    if not keys:
        return plain
    key_id, secret = keys[0]
    return f"{plain}?s={key_id}.{number}.{_mac(key_id, secret, charger, number)}"


def read_code(keys: Keys, code: str | None) -> Scanned:
    """What the scanned text shows. Any text is allowed; only a signature of ours is believed."""
    if code is None:
        return Scanned("not-scanned")
    try:
        parts = urlsplit(code[:_LONGEST_CODE].strip())
        path = _PATH.fullmatch(parts.path)
        signature = parse_qs(parts.query, max_num_fields=20).get("s", [""])[0]
    except ValueError:
        return Scanned("no-code")
    if path is None:
        return Scanned("no-code")
    charger = unquote(path[1])
    return _judge(keys, charger, signature) if signature else Scanned("unsigned", charger)


def _judge(keys: Keys, charger: str, signature: str) -> Scanned:
    found = _SIGNATURE.fullmatch(signature)
    if found is None:
        return Scanned("bad-signature")
    secret, number = dict(keys).get(found[1]), int(found[2])
    if secret is None:
        return Scanned("unknown-key")
    if not hmac.compare_digest(found[3], _mac(found[1], secret, charger, number)):
        return Scanned("bad-signature")
    return Scanned("signed", charger, number)


def _mac(key_id: str, secret: bytes, charger: str, number: int) -> str:
    told = f"pilewatch pile code\n{key_id}\n{charger}\n{number}".encode("utf-8", "replace")
    digest = hmac.new(secret, told, hashlib.sha256).digest()
    return base64.urlsafe_b64encode(digest[:16]).decode().rstrip("=")
