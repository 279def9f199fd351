"""Headers that tell the browser what a page may do, on every answer."""

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send


def policy(*images: str) -> str:
    """What a page may load: our own things, and pictures also from these sources."""
    pictures = " ".join(["'self'", *images])
    return (
        f"default-src 'self'; script-src 'self'; style-src 'self'; img-src {pictures}; "
        "connect-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; "
        "frame-ancestors 'none'"
    )


HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "Content-Security-Policy": policy(),
}
_DOCUMENTATION = frozenset({"/docs", "/redoc", "/docs/oauth2-redirect"})
"""FastAPI's own pages, which bring inline scripts; no page of ours links to them."""


class Shield:
    """ASGI middleware; streams pass through it untouched."""

    def __init__(self, app: ASGIApp):
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Add the headers to the answer's start."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def shielded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                # A photo has a stricter policy, the worker's app a camera, the map its tiles.
                own = {name: headers[name] for name in HEADERS if name in headers}
                headers.update({**HEADERS, **own})
                if scope["path"] in _DOCUMENTATION:
                    del headers["Content-Security-Policy"]
            await send(message)

        await self.app(scope, receive, shielded)
