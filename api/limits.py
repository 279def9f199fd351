"""How much people without an account may say, counted in the database for all processes."""

import hmac
import math
import secrets
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address

from fastapi import Request

from api.context import SQL, Asked, Context
from api.problems import Problem

Networks = Iterable[IPv4Network | IPv6Network]
_DAY = timedelta(days=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def client_address(peer: str, forwarded: str | None, trusted: Networks) -> str:
    """Who asks: the peer, or whom the trusted proxies say they ask for.

    `X-Forwarded-For` is read from its end, and only as far as trusted proxies wrote it. Of an
    IPv6 address only its network of 64 bits counts: one household has all the addresses in it.
    """
    known = list(trusted)
    said = [part.strip() for part in (forwarded or "").split(",")]
    address = peer
    while said and _is_in(address, known):
        before = said.pop()
        if not _is_address(before):
            break
        address = before
    if _is_address(address) and isinstance(ip_address(address), IPv6Address):
        return str(IPv6Network((address, 64), strict=False))
    return address


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _is_in(address: str, networks: list[IPv4Network | IPv6Network]) -> bool:
    return _is_address(address) and any(ip_address(address) in network for network in networks)


def address_of(request: Request, context: Context) -> str:
    """Whose request this is, past the proxies that the settings trust."""
    peer = request.client.host if request.client else "unknown"
    forwarded = ",".join(request.headers.getlist("x-forwarded-for")) or None
    return client_address(peer, forwarded, context.settings.api.trusted_proxies)


def count_word(request: Request, ask: Asked) -> None:
    """Count one word of an anonymous address. Raises `Problem` 429 beyond the policy's limits."""
    if ask.caller.id is not None:
        return
    address = address_of(request, ask.context)
    rule = ask.policy.reports
    window = timedelta(seconds=rule.window_s)
    limits = [(window, rule.address_window), (_DAY, rule.address_day)]
    _count(ask, f"address/{address}", limits)


def _count(ask: Asked, source: str, limits: list[tuple[timedelta, int]]) -> None:
    opened = [ask.now - (ask.now - _EPOCH) % length for length, _ in limits]
    full = ask.rows(
        "count_word",
        source=hmac.digest(_salt(ask), source.encode(), "sha256"),
        opens_at=opened,
        closes_at=[at + length for at, (length, _) in zip(opened, limits, strict=True)],
        most=[most for _, most in limits],
    )
    if full:
        wait = math.ceil((full[0]["free_at"] - ask.now).total_seconds())
        raise Problem(
            429,
            f"too many words from this address; try again in {wait} s",
            headers={"Retry-After": str(max(1, wait))},
        )


def _salt(ask: Asked) -> bytes:
    day = ask.now.date()
    if found := ask.rows("salt", day=day):
        return bytes(found[0]["salt"])
    ask.db.execute(SQL["add_salt"], {"day": day, "salt": secrets.token_bytes(32)})
    return bytes(ask.rows("salt", day=day)[0]["salt"])
