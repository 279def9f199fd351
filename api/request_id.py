"""Each request has an id: the caller's own `X-Request-Id`, or a new one; the answer carries it."""

import re
import uuid

from fastapi import Request
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_HEADER = "X-Request-Id"
_OWN = re.compile(r"[A-Za-z0-9._-]{1,64}")


class Numbered:
    """Middleware that gives the request its id."""

    def __init__(self, app: ASGIApp):
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and write its id into the answer's head."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        given = Headers(scope=scope).get(_HEADER, "")
        id = given if _OWN.fullmatch(given) else uuid.uuid4().hex
        scope.setdefault("state", {})["request_id"] = id

        async def numbering(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)[_HEADER] = id
            await send(message)

        await self.app(scope, receive, numbering)


def request_id(request: Request) -> str:
    """The id of this request."""
    return str(request.state.request_id)
