"""As many requests at once as the pool has connections; the others wait without a thread.

Otherwise a crowd would hold every worker thread while it waits for a connection, and those that
have a connection would find no thread to go on with.
"""

import asyncio
from collections.abc import AsyncIterator

from fastapi import Request

from api.problems import Problem

_PATIENCE_S = 10.0


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
