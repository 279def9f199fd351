"""What is let in: bodies of a bounded size, and as many requests at once as the pool has
connections; the others wait without a thread.

Otherwise a crowd would hold every worker thread while it waits for a connection, and those that
have a connection would find no thread to go on with.
"""

import asyncio
import re
from collections.abc import AsyncIterator

from fastapi import HTTPException, Request
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.problems import Problem
from pilewatch.workflow.photos import MOST_BYTES, MOST_PHOTOS

_PATIENCE_S = 10.0
_LARGEST = 256 * 1024
"""Bytes of a body: far more than any order needs."""
_MORE = (
    (re.compile(r"/api/v1/(receipts/[^/]+/photos|inspections/[^/]+/photos/[^/]+)"), MOST_BYTES),
    (re.compile(r"/report/[^/]+|/r/[^/]+/photos"), MOST_PHOTOS * MOST_BYTES + _LARGEST),
    (re.compile(r"/setup/registry"), 1_000_000),
)
"""Where photos are sent: a body as large as they may be."""


def _largest(path: str) -> int:
    return next((most for place, most in _MORE if place.fullmatch(path)), _LARGEST)


class Bounded:
    """Middleware that refuses a too large body as soon as that is known (413)."""

    def __init__(self, app: ASGIApp):
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and count what is read of it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        largest = _largest(scope["path"])
        said = Headers(scope=scope).get("content-length", "")
        size = int(said) if said.isascii() and said.isdigit() else 0

        async def counting() -> Message:
            nonlocal size
            if size <= largest:
                message = await receive()
                if message["type"] == "http.disconnect" or said:
                    return message
                size += len(message.get("body", b""))
            if size > largest:
                raise HTTPException(413, f"a body has {largest} bytes at most")
            return message

        await self.app(scope, counting, send)


async def admitted(request: Request) -> AsyncIterator[None]:
    """Hold one of the places. Raises `Problem` 503 where none becomes free in time."""
    places: asyncio.Semaphore = request.app.state.places
    try:
        async with asyncio.timeout(_PATIENCE_S):
            await places.acquire()
    except TimeoutError as error:
        raise Problem(503, "busy; try again", headers={"Retry-After": "5"}) from error
    try:
        yield
    finally:
        places.release()
