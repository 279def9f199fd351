"""How an address is reached: what people enter by the API leads outside, not into our net."""

import ipaddress
import socket
from dataclasses import dataclass, field

import httpx


class Unreachable(Exception):
    """Nobody is there whom we may talk to; `str()` says why."""


@dataclass(frozen=True)
class Reached:
    """Where to connect to, and what the request carries so that it is still for the named host."""

    url: httpx.URL
    headers: dict[str, str] = field(default_factory=dict)
    extensions: dict[str, str] = field(default_factory=dict)


def reach(url: str, *, private: bool) -> Reached:
    """The address of this URL, looked up once: what was checked is what is connected to.

    Raises `Unreachable` for what is no HTTP URL, has no address, or one that is not public.
    """
    try:
        target = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise Unreachable("the address is no URL") from error
    if target.scheme not in ("http", "https") or not target.host:
        raise Unreachable("the address is no HTTP URL")
    if private:
        return Reached(target)
    port = target.port or (443 if target.scheme == "https" else 80)
    try:
        found = socket.getaddrinfo(target.host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise Unreachable("the host has no address") from error
    addresses = [ipaddress.ip_address(str(entry[4][0]).partition("%")[0]) for entry in found]
    if not addresses or not all(address.is_global for address in addresses):
        raise Unreachable("the address is not a public one")
    return Reached(
        target.copy_with(host=str(addresses[0])),
        {"Host": target.netloc.decode("ascii")},
        {"sni_hostname": target.host},
    )
