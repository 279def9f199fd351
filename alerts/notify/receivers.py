"""Who is told of what, how, and when: the file that `[alerts] notify_file` names.

Channel addresses are secrets: the file names an environment variable or another file that holds
each. A receiver's conditions all have to hold; an absent one always does.
"""

import os
import re
import tomllib
from collections.abc import Mapping
from datetime import time
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
from msgspec import Meta, Struct

from pilewatch.model import Severity

Language = Literal["zh-CN", "en"]
Name = Annotated[str, Meta(pattern=r"^[\w.-]{1,64}$")]
_TOPIC = re.compile(r"(ticket|incident|report|round|\*)(\.[a-z-]+|\.\*)?")


class BadReceivers(ValueError):
    """The file cannot be used; `str()` says where and why, and never a secret."""


class Quiet(Struct, frozen=True, forbid_unknown_fields=True):
    """Hours in which only danger to people is told; over midnight where `until` < `begins`."""

    begins: time
    until: time
    timezone: str = "Asia/Shanghai"


class Channel(Struct, frozen=True, forbid_unknown_fields=True):
    """A way out. `apprise` is for people; `webhook` and `alertmanager` are for programs."""

    kind: Literal["apprise", "webhook", "alertmanager"] = "apprise"
    url_env: str | None = None
    url_file: str | None = None
    secret_env: str | None = None
    secret_file: str | None = None


class Receiver(Struct, frozen=True, forbid_unknown_fields=True):
    """One address with its own rules. With the role `resident` it is a way to those who have left
    a contact (of the kind `way`); the channel's address has `{to}` where that belongs. `on_duty` is
    the login of somebody who is told while on duty."""

    name: Name
    channel: str
    language: Language = "zh-CN"
    person: str | None = None
    on_duty: str | None = None
    role: Literal["repairer", "operator", "grid_worker", "community", "resident"] | None = None
    way: Literal["phone", "email"] | None = None
    companies: list[str] = []
    areas: list[str] = []
    grids: list[str] = []
    sites: list[str] = []
    topics: list[str] = msgspec.field(
        default_factory=lambda: ["ticket.*", "round.missed", "round.partly"]
    )
    least_severity: Severity = Severity.NOTICE
    quiet: Quiet | None = None
    digest_minutes: Annotated[int, Meta(ge=1, le=7 * 1440)] | None = None

    def wants(self, topic: str) -> bool:
        """Whether one of its patterns fits the topic."""
        return any(fnmatchcase(topic, pattern) for pattern in self.topics)


class _File(Struct, frozen=True, forbid_unknown_fields=True):
    channels: dict[Name, Channel] = {}
    receivers: list[Receiver] = []


class Address(Struct, frozen=True):
    """A channel with its secrets. Its repr tells none."""

    kind: Literal["apprise", "webhook", "alertmanager", "log"]
    url: str = ""
    secret: str | None = None

    def __repr__(self) -> str:
        return f"Address({self.kind})"


class Directory(Struct, frozen=True):
    """Every receiver, and the address of each channel."""

    receivers: list[Receiver]
    addresses: dict[str, Address]

    def find(self, name: str) -> Receiver | None:
        """The receiver of this name; None where the file no longer names it."""
        return next((r for r in self.receivers if r.name == name), None)

    def address(self, receiver: Receiver) -> Address:
        """Where it is reached."""
        return self.addresses[receiver.channel]


def load_directory(
    path: Path | None,
    *,
    webhook: Address | None = None,
    environment: Mapping[str, str] = os.environ,
) -> Directory:
    """Read and check the file. `webhook` hears everything; with no receiver at all, the log does.

    Raises `BadReceivers`.
    """
    said = _read(path)
    addresses = {
        name: _address(name, channel, path, environment) for name, channel in said.channels.items()
    }
    receivers = list(said.receivers)
    if webhook is not None:
        addresses["webhook"] = webhook
        receivers.append(Receiver("webhook", "webhook", topics=["*"]))
    if not receivers:
        addresses["log"] = Address("log")
        receivers.append(Receiver("log", "log", topics=["*"]))
    _check(path, receivers, addresses)
    return Directory(receivers, addresses)


def _read(path: Path | None) -> _File:
    if path is None:
        return _File()
    try:
        return msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8")), _File)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise BadReceivers(f"{path}: {error}") from error


def _address(
    name: str, channel: Channel, path: Path | None, environment: Mapping[str, str]
) -> Address:
    assert path is not None
    where = f"{path}: channels.{name}"
    url = _secret(where, "url", channel.url_env, channel.url_file, path, environment)
    if url is None:
        raise BadReceivers(f"{where}: url_env or url_file is needed")
    secret = _secret(where, "secret", channel.secret_env, channel.secret_file, path, environment)
    return Address(channel.kind, url, secret)


def _secret(
    where: str,
    what: str,
    variable: str | None,
    file: str | None,
    path: Path,
    environment: Mapping[str, str],
) -> str | None:
    if variable is not None and file is not None:
        raise BadReceivers(f"{where}: {what}_env or {what}_file, not both")
    if variable is not None:
        if not (found := environment.get(variable, "").strip()):
            raise BadReceivers(f"{where}: the environment has no {variable}")
        return found
    if file is None:
        return None
    try:
        found = (path.parent / file).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise BadReceivers(f"{where}: {what}_file: {type(error).__name__}: {file}") from error
    if not found:
        raise BadReceivers(f"{where}: {what}_file: {file} is empty")
    return found


def _check(path: Path | None, receivers: list[Receiver], addresses: Mapping[str, Address]) -> None:
    seen: set[str] = set()
    for receiver in receivers:
        where = f"{path}: receivers: {receiver.name}"
        if receiver.name in seen:
            raise BadReceivers(f"{where}: this name is taken; each needs its own")
        seen.add(receiver.name)
        if receiver.channel not in addresses:
            known = ", ".join(sorted(addresses)) or "none"
            raise BadReceivers(f"{where}: there is no channel {receiver.channel!r} (of: {known})")
        if receiver.role == "resident" and addresses[receiver.channel].kind == "alertmanager":
            raise BadReceivers(f"{where}: an alertmanager writes to no residents")
        for topic in receiver.topics:
            if not _TOPIC.fullmatch(topic):
                raise BadReceivers(
                    f"{where}: {topic!r} is no topic; right would be '*', 'ticket.*', "
                    "'ticket.opened', 'incident.*', …"
                )
        if receiver.quiet is not None:
            try:
                ZoneInfo(receiver.quiet.timezone)
            except (ZoneInfoNotFoundError, ValueError) as error:
                said = f"quiet.timezone: {receiver.quiet.timezone!r} is no timezone"
                raise BadReceivers(f"{where}: {said}") from error
