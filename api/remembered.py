"""What everyone may see is made once for many: answers of public state are kept for a second.

No answer is given that is older than its kind allows. In the second half of that time, and once the
database says that something has changed, it is still given while a new one is made, so that nobody
waits. Requests with a key, a cookie or `Cache-Control: no-cache` never meet it.
"""

import asyncio
import re
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_LOG = structlog.get_logger()
_MOST = 500
_LARGEST = 4 * 1024 * 1024
_ALL = 64 * 1024 * 1024
"""Answers, bytes of one, and bytes of all together that are kept."""


@dataclass(frozen=True)
class Kind:
    """How old answers of these paths may be, and whether a query makes another one of them."""

    path: re.Pattern[str]
    seconds: float
    by_query: bool = True
    lasting: bool = False


KINDS = (
    Kind(re.compile(r"/api/v1/(sites|connectors|chargers)"), 1),
    Kind(re.compile(r"/open/(sites\.geojson|datex2/(sites|status)\.xml)"), 1, by_query=False),
    Kind(re.compile(r"/api/v1/sites/[^/]{1,200}/busy-hours"), 300, by_query=False, lasting=True),
)
"""`lasting` ones do not change with the state of the moment."""
Key = tuple[str, bytes]


@dataclass
class Answer:
    """A whole answer of a moment; `route` is for the figures. `stale`: something has changed."""

    kind: Kind
    start: Message
    body: bytes
    etag: bytes | None
    route: Any
    at: float
    stale: bool = False


@dataclass
class Memory:
    """The kept answers of a process, and those that are being made."""

    clock: Callable[[], float] = time.monotonic
    kept: OrderedDict[Key, Answer] = field(default_factory=OrderedDict)
    making: dict[Key, "asyncio.Task[Answer]"] = field(default_factory=dict)
    changes: int = 0
    bytes: int = 0

    def forget_state(self) -> None:
        """Something has changed: what is kept, or just being made, is to be made anew."""
        self.changes += 1
        for answer in self.kept.values():
            answer.stale = answer.stale or not answer.kind.lasting

    def find(self, key: Key) -> tuple[Answer | None, bool]:
        """The answer if it may still be given, and whether a new one is to be made."""
        answer = self.kept.get(key)
        if answer is None:
            return None, True
        age = self.clock() - answer.at
        if age >= answer.kind.seconds:
            self._drop(key)
            return None, True
        return answer, answer.stale or age >= answer.kind.seconds / 2

    def keep(self, key: Key, answer: Answer) -> None:
        """Until it is too old, or there is too much."""
        self._drop(key)
        if answer.start["status"] != 200 or len(answer.body) > _LARGEST:
            return
        self.kept[key] = answer
        self.bytes += len(answer.body)
        while len(self.kept) > _MOST or self.bytes > _ALL:
            self._drop(next(iter(self.kept)))

    def _drop(self, key: Key) -> None:
        answer = self.kept.pop(key, None)
        if answer is not None:
            self.bytes -= len(answer.body)


class Remembered:
    """Middleware that gives kept answers, and lets only one of many make a new one."""

    def __init__(self, app: ASGIApp, memory: Memory):
        self.app = app
        self._memory = memory

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer from memory, or make an answer for all who ask for it now."""
        kind = _kind(scope)
        if kind is None:
            await self.app(scope, receive, send)
            return
        key = (scope["path"], scope["query_string"] if kind.by_query else b"")
        answer, wanted = self._memory.find(key)
        if wanted:
            making = self._memory.making.get(key)
            if making is None:
                making = asyncio.create_task(self._make(kind, key, scope))
                self._memory.making[key] = making
                making.add_done_callback(partial(self._made, key))
            if answer is None:
                answer = await asyncio.shield(making)
        assert answer is not None
        scope["route"] = answer.route
        await _give(answer, scope, send)

    def _made(self, key: Key, task: "asyncio.Task[Answer]") -> None:
        self._memory.making.pop(key, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            _LOG.warning("an answer for many could not be made", error=repr(error))

    async def _make(self, kind: Kind, key: Key, scope: Scope) -> Answer:
        """The whole answer, as somebody gets it who has nothing yet."""
        memory = self._memory
        changes, at = memory.changes, memory.clock()
        asked = {
            **scope,
            "headers": [pair for pair in scope["headers"] if pair[0] != b"if-none-match"],
        }
        messages: list[Message] = []

        async def nothing() -> Message:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def collect(message: Message) -> None:
            messages.append(message)

        await self.app(asked, nothing, collect)
        start, *rest = messages
        body = b"".join(message.get("body", b"") for message in rest)
        etag = next((value for name, value in start["headers"] if name == b"etag"), None)
        stale = changes != memory.changes and not kind.lasting
        answer = Answer(kind, start, body, etag, asked.get("route"), at, stale)
        memory.keep(key, answer)
        return answer


def _kind(scope: Scope) -> Kind | None:
    if scope["type"] != "http" or scope["method"] != "GET":
        return None
    kind = next((kind for kind in KINDS if kind.path.fullmatch(scope["path"])), None)
    return None if kind is None or any(map(_own, scope["headers"])) else kind


def _own(header: tuple[bytes, bytes]) -> bool:
    """Whether a request with this header wants an answer of its own."""
    name, value = header
    return name in (b"authorization", b"cookie") or (
        name == b"cache-control" and b"no-cache" in value.lower()
    )


async def _give(answer: Answer, scope: Scope, send: Send) -> None:
    headers = list(answer.start["headers"])
    seen = next((value for name, value in scope["headers"] if name == b"if-none-match"), None)
    if answer.etag is not None and seen == answer.etag:
        without = [pair for pair in headers if pair[0] not in (b"content-length", b"content-type")]
        await send({"type": "http.response.start", "status": 304, "headers": without})
        await send({"type": "http.response.body", "body": b""})
        return
    await send({**answer.start, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})
