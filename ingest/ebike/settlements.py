"""Settlements on their way: committed, then answered, published until the broker has them."""

import asyncio
from collections.abc import Callable

from ingest.ebike import native
from ingest.ebike.keeper import Keeper, Settled, Waiting
from ingest.ebike.metrics import Metrics
from ingest.ebike.publisher import Publisher

_AT_ONCE = 200


class Settlements:
    """What is kept in PostgreSQL goes to the broker. Called in the event loop's thread alone."""

    def __init__(self, keeper: Keeper, publisher: Publisher, metrics: Metrics):
        self._keeper = keeper
        self._publisher = publisher
        self._metrics = metrics
        self._sending: set[int] = set()

    def commit(self, settled: Settled, kept: Callable[[bool], None]) -> bool:
        """Keep it; `kept` is called after the commit and told whether it is new. False where it was
        not taken: the device will say it again."""
        future = self._keeper.settle(settled)
        if future is None:
            self._metrics.settlements.labels("postponed").inc()
            return False

        def committed(done: asyncio.Future[int | None]) -> None:
            if done.cancelled():
                return
            row = done.result()
            self._metrics.settlements.labels("repeat" if row is None else "kept").inc()
            kept(row is not None)
            if row is not None:
                self._publish(Waiting(row, settled.charger, list(settled.messages)))

        future.add_done_callback(committed)
        return True

    async def publish_kept(self) -> None:
        """Everything that the broker does not have yet."""
        after = 0
        while self._publisher.up:
            future = self._keeper.unpublished(after, _AT_ONCE)
            rows = [] if future is None else await future
            for row in rows:
                self._publish(row)
            if len(rows) < _AT_ONCE:
                return
            after = rows[-1].id

    def _publish(self, row: Waiting) -> None:
        """Mark the row when the broker has acknowledged the last of its messages."""
        if row.id in self._sending:
            return
        self._sending.add(row.id)
        left = len(row.messages)

        def acknowledged() -> None:
            nonlocal left
            left -= 1
            if not left:
                self._sending.discard(row.id)
                self._keeper.mark_published([row.id])

        for kind, payload in row.messages:
            said = native.Message(kind, payload.encode())
            if not self._publisher.publish(row.charger, said, acknowledged):
                self._sending.discard(row.id)  # the next sweep tries again
                return
