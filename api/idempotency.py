"""`Idempotency-Key`: a POST that is sent again gives the first answer again, and acts only once.

The key's row is written in the transaction of the work itself: a concurrent twin waits for it, and
a crash leaves neither work nor key.
"""

import hashlib
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Header, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.routing import APIRoute
from psycopg.types.json import Jsonb

from api import problems
from api.context import SQL, Ask, Asked
from api.problems import Problem

_PASSING = frozenset({401, 403, 429})
"""Refusals that say nothing about the request itself: with rights or patience it may be done."""
_KEPT_HEADERS = ("content-type", "etag")

IdempotencyKey = Annotated[
    str | None,
    Header(
        min_length=8,
        max_length=128,
        pattern=r"^[!-~]+$",
        description="A random word of the client's own for this one order, best a UUID. Sent "
        "again with the same order, it gives the first answer again (`Idempotent-Replayed: true`).",
        examples=["8d4f3c1e-6f0e-4b0e-9f3b-3f8f2f4c7f11"],
    ),
]


@dataclass(frozen=True)
class _Kept:
    """The key's row, ours until the transaction ends."""

    ask: Asked
    name: dict[str, str]

    def keep(self, response: Response, secret: str | None) -> None:
        """Store the answer (without the `secret` that it shows once), or withdraw the key where
        the answer is a passing one."""
        if response.status_code in _PASSING:
            self.ask.db.execute(SQL["withdraw_key"], self.name)
            return
        headers = {k: response.headers[k] for k in _KEPT_HEADERS if k in response.headers}
        body = bytes(response.body).decode()
        kept = Jsonb(
            {"headers": headers, "body": body if secret is None else body.replace(secret, "")}
        )
        values = {**self.name, "status": response.status_code, "response": kept}
        self.ask.db.execute(SQL["keep_answer"], values)


class _Replay(Exception):
    """The order was carried out before; `response` is its answer."""

    def __init__(self, row: dict[str, Any]):
        super().__init__()
        headers = {**row["response"]["headers"], "Idempotent-Replayed": "true"}
        self.response = Response(row["response"]["body"], row["status"], headers)


async def fingerprint(request: Request) -> bytes:
    """What tells one order from another: method, address and body."""
    told = f"{request.method} {request.url.path}?{request.url.query}\n".encode()
    return hashlib.sha256(told + await request.body()).digest()


def caller_name(ask: Asked) -> str:
    """Whose keys these are: those of different people do not meet."""
    return "resident" if ask.caller.id is None else f"person/{ask.caller.id}"


def once(
    request: Request,
    ask: Ask,
    request_digest: Annotated[bytes, Depends(fingerprint)],
    idempotency_key: IdempotencyKey = None,
) -> Iterator[None]:
    """Carry out the order within one transaction with its key, unless it was done before.

    Raises `Problem` 422 where the key came with another order.
    """
    if idempotency_key is None:
        yield
        return
    name = {"caller": caller_name(ask), "key": idempotency_key}
    with ask.db.transaction():
        if not ask.rows("claim_key", **name, request=request_digest):
            row = ask.rows("kept_answer", **name)[0]
            if row["request"] != request_digest:
                raise Problem(422, "Idempotency-Key: it came before with another request")
            raise _Replay(row)
        request.state.kept = _Kept(ask, name)
        yield


class OnceRoute(APIRoute):
    """A route whose answer is kept beside its key, before both are committed."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The route's own handler, wrapped."""
        handle = super().get_route_handler()

        async def handle_once(request: Request) -> Response:
            await request.body()  # a form would be read away before its fingerprint is taken
            try:
                response = await handle(request)
            except _Replay as replay:
                return replay.response
            except problems.REFUSALS as error:
                response = problems.refusal(error)
            kept: _Kept | None = getattr(request.state, "kept", None)
            if kept is not None:
                secret: str | None = getattr(request.state, "secret", None)
                await run_in_threadpool(kept.keep, response, secret)
            return response

        return handle_once
