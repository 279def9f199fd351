"""How often programs may ask: so many requests a minute for an address, or for a known key.

Counted in each process by itself, as a bucket that fills evenly; N processes allow N times as much.
A key counts by itself once it has been answered well; until then it counts for its address, so
that made-up keys are no way around. Pages are not counted, nor are health and metrics.
"""

import hashlib
import math
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api import problems
from api.limits import client_address
from pilewatch.settings import Api

PATHS = ("/api/", "/ocpi/", "/open/", "/open311/")
_WINDOW_S = 60
_MOST = 50_000
"""So many addresses and keys are remembered; the longest unseen are forgotten, and begin anew."""


@dataclass(frozen=True)
class Left:
    """What one source has left of its quota: `reset_s` until it is whole again."""

    policy: str
    quota: int
    remaining: int
    reset_s: int
    wait_s: int

    @property
    def headers(self) -> dict[str, str]:
        """RateLimit fields for HTTP (draft-ietf-httpapi-ratelimit-headers)."""
        return {
            "RateLimit-Policy": f'"{self.policy}";q={self.quota};w={_WINDOW_S}',
            "RateLimit": f'"{self.policy}";r={self.remaining};t={self.reset_s}',
        }


class Buckets:
    """One bucket for each source of a policy. `quota` 0 means that nothing is counted."""

    def __init__(self, policy: str, quota: int, clock: Callable[[], float] = time.monotonic):
        self._policy = policy
        self._quota = quota
        self._clock = clock
        self._filled: OrderedDict[bytes | str, tuple[float, float]] = OrderedDict()

    def take(self, source: bytes | str) -> Left | None:
        """Take one; `wait_s` is above 0 where there was none."""
        if not self._quota:
            return None
        now = self._clock()
        level, at = self._filled.pop(source, (float(self._quota), now))
        per_s = self._quota / _WINDOW_S
        level = min(self._quota, level + (now - at) * per_s)
        taken = level >= 1
        level -= taken
        self._filled[source] = (level, now)
        if len(self._filled) > _MOST:
            self._filled.popitem(last=False)
        reset = math.ceil((self._quota - level) / per_s)
        wait = 0 if taken else max(1, math.ceil((1 - level) / per_s))
        return Left(self._policy, self._quota, int(level), reset, wait)


class Paced:
    """Middleware that counts, tells what is left, and refuses (429) where nothing is."""

    def __init__(self, app: ASGIApp, settings: Api):
        self.app = app
        self._trusted = settings.trusted_proxies
        self._addresses = Buckets("address", settings.requests_per_address)
        self._keys = Buckets("key", settings.requests_per_key)
        self._known: OrderedDict[bytes, None] = OrderedDict()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on if there is one left for it."""
        if scope["type"] != "http" or not scope["path"].startswith(PATHS):
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        key = _key(headers)
        if key is not None and key in self._known:
            left = self._keys.take(key)
        else:
            left = self._addresses.take(self._address(scope, headers))
        told = {} if left is None else left.headers
        if left is not None and left.wait_s:
            refusal = problems.answer(
                429,
                f"too many requests; try again in {left.wait_s} s",
                headers={**told, "Retry-After": str(left.wait_s)},
            )
            await refusal(scope, receive, send)
            return

        async def telling(message: Message) -> None:
            if message["type"] == "http.response.start":
                if key is not None:
                    self._learn(key, message["status"])
                MutableHeaders(scope=message).update(told)
            await send(message)

        await self.app(scope, receive, telling)

    def _address(self, scope: Scope, headers: Headers) -> str:
        peer = str(scope["client"][0]) if scope.get("client") else "unknown"
        if not self._trusted and ":" not in peer:
            return peer
        forwarded = ",".join(headers.getlist("x-forwarded-for")) or None
        return client_address(peer, forwarded, self._trusted)

    def _learn(self, key: bytes, status: int) -> None:
        if status == 401:
            self._known.pop(key, None)
        elif 200 <= status < 300:
            self._known[key] = None
            if len(self._known) > _MOST:
                self._known.popitem(last=False)


def _key(headers: Headers) -> bytes | None:
    said = headers.get("authorization")
    return None if said is None else hashlib.sha256(said.encode("latin-1")).digest()
