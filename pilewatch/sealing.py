"""Secrets at rest: closed by the installation's first key, opened by any of its keys."""

import base64
from collections.abc import Sequence

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

_CLOSED = "fernet:"


class Lost(Exception):
    """A secret is closed by none of the installation's keys."""

    def __init__(self) -> None:
        super().__init__("closed by none of sealing.keys")


class Seal:
    """The keys of an installation; true where there are any. Its repr tells none."""

    def __init__(self, keys: Sequence[str] = ()):
        self._first = Fernet(keys[0]) if keys else None
        self._any = MultiFernet([Fernet(key) for key in keys]) if keys else None

    def __bool__(self) -> bool:
        return self._first is not None

    def close(self, secret: str) -> str:
        """What the database keeps of it: without keys, the secret itself."""
        if self._first is None:
            return secret
        return _CLOSED + self._first.encrypt(secret.encode()).decode()

    def open(self, kept: str) -> str:
        """The secret; what was kept before there were keys is open. Raises `Lost`."""
        if not kept.startswith(_CLOSED):
            return kept
        try:
            if self._any is None:
                raise Lost
            return self._any.decrypt(kept.removeprefix(_CLOSED)).decode()
        except InvalidToken as error:
            raise Lost from error

    def renew(self, kept: str) -> str:
        """The same closed by the first key, unless it is already. Raises `Lost`."""
        if self._first is None:
            self.open(kept)
            return kept
        if kept.startswith(_CLOSED):
            try:
                self._first.decrypt(kept.removeprefix(_CLOSED))
            except InvalidToken:
                pass
            else:
                return kept
        return self.close(self.open(kept))


def check_keys(keys: Sequence[str]) -> None:
    """Raises `ValueError`, which never tells a key."""
    for key in keys:
        try:
            right = len(base64.urlsafe_b64decode(key)) == 32
        except ValueError:
            right = False
        if not right:
            raise ValueError("no Fernet key; right would be 32 bytes in base64url")
    if not keys:
        raise ValueError("no key; leave it out where nothing is to be sealed")
