"""How a process of an event loop ends when it is told to, however busy it is."""

import asyncio
import signal
from collections.abc import Iterable

_AGAIN_S = 1.0


def stop_on_signals(stop: asyncio.Event) -> None:
    """Set `stop` at SIGTERM and SIGINT.

    Not by `add_signal_handler`: its signals travel through the loop's pipe, and are lost where that
    is full.
    """
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: loop.call_soon_threadsafe(stop.set))


async def end(tasks: Iterable["asyncio.Task[None]"]) -> None:
    """Cancel these tasks until they are over: Python 3.11's `wait_for`, on which psycopg waits, may
    swallow a cancellation."""
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=_AGAIN_S)
