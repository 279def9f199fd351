"""`GET /api/v1/live`: changes, pushed as server-sent events.

One connection of each process listens to PostgreSQL; what changed is read once, encoded once, and
handed to the bounded queue of every stream that may see it. Whoever cannot keep up, and everyone
after a gap, gets `reload`: ask again for what you show.
"""

import asyncio
import json
import random
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Annotated, Any

import psycopg
import structlog
from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import StreamingResponse
from fastapi.sse import KEEPALIVE_COMMENT, format_sse_event
from psycopg import AsyncConnection
from psycopg.rows import DictRow
from starlette.types import Message, Receive, Scope, Send

from api import problems
from api.context import SQL, Ask, Word
from api.people import Caller
from api.problems import Problem
from api.rights import may, scope, within
from api.state import ConnectorAnswer
from pilewatch.clock import Clock
from pilewatch.store.pool import connect_async

_LOG = structlog.get_logger()
_CHANNELS = (
    *("pilewatch_person", "pilewatch_state", "pilewatch_ticket", "pilewatch_incident"),
    "pilewatch_command",
)
_GATHER_S = 0.05
"""How long further changes are waited for, so that a burst is one query."""
_OWNERS = ("companies", "site_company_id", "people", "grid_id")
_MANY = 400
"""Beyond so many changes at once everyone asks anew."""
_PENDING = 1000
"""How many messages wait for a slow reader before they become one `reload`."""
_KEEP_ALIVE_S = 15.0
_PATIENCE_S = 60.0
"""How long a write may block before the reader counts as gone."""
_LONGEST_S = 3600.0
"""A stream ends after this long: its reader comes back by itself, and rights are checked anew."""


def _message(event: str, data: str) -> bytes:
    return format_sse_event(event=event, data_str=data)


RELOAD = _message("reload", "{}")


@dataclass(frozen=True)
class Viewer:
    """Who looks at a stream, and at which site; None: all of them."""

    caller: Caller
    site: str | None

    def may_see(self, change: "Change") -> bool:
        """Connectors are public; the rest is for staff, each within the own scope."""
        if self.site is not None and change.site != self.site:
            return False
        if change.event == "connector":
            return True
        return may(self.caller, "read") and within(scope(self.caller), change.owners)


@dataclass(frozen=True)
class Change:
    """One message, where it belongs and whose it is."""

    event: str
    site: str
    message: bytes
    owners: dict[str, Any] = field(default_factory=dict)


@dataclass
class Notices:
    """What the database said has changed, since it was last asked."""

    persons: set[int] = field(default_factory=set)
    connectors: set[int] = field(default_factory=set)
    tickets: set[int] = field(default_factory=set)
    incidents: set[int] = field(default_factory=set)
    commands: set[int] = field(default_factory=set)
    everything: bool = False

    def note(self, channel: str, payload: str) -> None:
        """Take in one notification; one that is not understood counts as a change of everything."""
        kinds = (self.persons, self.connectors, self.tickets, self.incidents, self.commands)
        ids = kinds[_CHANNELS.index(channel)]
        words = payload.split(",")
        if all(word.isascii() and word.isdigit() for word in words):
            ids.update(map(int, words))
        else:
            self.everything = True
        self.everything = self.everything or max(map(len, kinds)) > _MANY


class Stream:
    """One reader's queue."""

    def __init__(self, viewer: Viewer):
        self.viewer = viewer
        self._waiting: deque[bytes] = deque()
        self._wake = asyncio.Event()
        self._ended = False

    def put(self, message: bytes) -> None:
        """Queue a message; when the reader is too slow, all that waits becomes one `reload`."""
        if self._waiting and self._waiting[0] is RELOAD:
            return
        if message is RELOAD or len(self._waiting) >= _PENDING:
            self._waiting.clear()
            message = RELOAD
        self._waiting.append(message)
        self._wake.set()

    def end(self) -> None:
        """Nothing more follows."""
        self._ended = True
        self._wake.set()

    async def messages(self) -> AsyncIterator[bytes]:
        """What to send, with comments that keep the connection alive."""
        until = asyncio.get_running_loop().time() + _LONGEST_S
        while not self._ended and asyncio.get_running_loop().time() < until:
            self._wake.clear()
            if self._waiting:
                together = b"".join(self._waiting)
                self._waiting.clear()
                yield together
                continue
            try:
                async with asyncio.timeout(_KEEP_ALIVE_S):
                    await self._wake.wait()
            except TimeoutError:
                yield KEEPALIVE_COMMENT


class Live:
    """The process's streams and the one connection that feeds them. `on_change` is called before
    anybody is told of a change."""

    def __init__(self, url: str, clock: Clock, max_streams: int, on_change: Callable[[], None]):
        self._on_change = on_change
        self._url = url
        self._clock = clock
        self._max = max_streams
        self._streams: set[Stream] = set()
        self._ended = False

    def __len__(self) -> int:
        return len(self._streams)

    def open(self, viewer: Viewer) -> Stream:
        """A new stream, greeted. Raises `Problem` 503 when there are too many or we are ending."""
        if self._ended or len(self._streams) >= self._max:
            raise Problem(
                503, "too many live streams here; ask again later", headers={"Retry-After": "30"}
            )
        stream = Stream(viewer)
        stream.put(_message("hello", json.dumps({"now": self._clock().isoformat()})))
        self._streams.add(stream)
        return stream

    def forget(self, stream: Stream) -> None:
        """Its reader is gone."""
        self._streams.discard(stream)

    def end(self) -> None:
        """End every stream: the process stops."""
        self._ended = True
        for stream in self._streams:
            stream.end()

    async def run(self) -> None:
        """Listen until cancelled; while the database is away, try again with growing pauses."""
        pause = 0.2
        while True:
            try:
                async with await connect_async(self._url, application="pilewatch api live") as db:
                    for channel in _CHANNELS:
                        await db.execute(f"LISTEN {channel}")
                    pause = 0.2
                    self._on_change()
                    self._send_all(RELOAD)  # nobody knows what changed before we listened
                    await self._listen(db)
            except (psycopg.Error, ValueError) as error:
                _LOG.warning("live stream interrupted", error=str(error).strip().splitlines()[:1])
            await asyncio.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311
            pause = min(pause * 2, 5.0)

    async def _listen(self, db: AsyncConnection[DictRow]) -> None:
        while True:
            notices = Notices()
            async for notice in db.notifies(stop_after=1):
                notices.note(notice.channel, notice.payload)
            self._on_change()
            async for notice in db.notifies(timeout=_GATHER_S):
                notices.note(notice.channel, notice.payload)
            self._on_change()
            if self._streams:
                await self._tell(db, notices)

    async def _tell(self, db: AsyncConnection[DictRow], notices: Notices) -> None:
        for stream in self._streams:
            # Their rights have changed: they come back by themselves, and are looked at anew.
            if stream.viewer.caller.id in notices.persons:
                stream.end()
        if notices.everything:
            self._send_all(RELOAD)
            return
        changes = await self._read(db, notices)
        for stream in self._streams:
            for change in changes:
                if stream.viewer.may_see(change):
                    stream.put(change.message)

    async def _read(self, db: AsyncConnection[DictRow], notices: Notices) -> list[Change]:
        """One query for each kind of thing that changed."""
        changes = []
        if notices.connectors:
            values = {
                **dict.fromkeys(("site", "charger", "connector")),
                "now": self._clock(),
                "ids": sorted(notices.connectors),
                "after": 0,
                "limit": _MANY,
            }
            for row in await (await db.execute(SQL["connectors"], values)).fetchall():
                told = ConnectorAnswer(**row).model_dump_json()
                changes.append(Change("connector", row["site"], _message("connector", told)))
        staff = any(may(stream.viewer.caller, "read") for stream in self._streams)
        for event, ids in (
            ("ticket", notices.tickets),
            ("incident", notices.incidents),
            ("command", notices.commands),
        ):
            if ids and staff:
                rows = await db.execute(SQL[f"live_{event}s"], {"ids": sorted(ids)})
                changes += [_owned(event, row) for row in await rows.fetchall()]
        return changes

    def _send_all(self, message: bytes) -> None:
        for stream in self._streams:
            stream.put(message)


def _owned(event: str, row: dict[str, Any]) -> Change:
    owners = {name: row.pop(name) for name in _OWNERS}
    told = json.dumps(row, ensure_ascii=False)
    return Change(event, row["site"], _message(event, told), owners)


class Pushed(StreamingResponse):
    """The response of one stream; however it ends, the stream is forgotten."""

    # Not FastAPI's EventSourceResponse: its route wants a generator and encodes for each reader.
    media_type = "text/event-stream"

    def __init__(self, live: Live, stream: Stream):
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        super().__init__(stream.messages(), headers=headers)
        self._live = live
        self._stream = stream

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_in_time(message: Message) -> None:
            async with asyncio.timeout(_PATIENCE_S):
                await send(message)

        try:
            await super().__call__(scope, receive, send_in_time)
        except TimeoutError:
            _LOG.info("a live reader stopped reading")
        finally:
            self._live.forget(self._stream)


def _viewer(
    ask: Ask,
    site: Annotated[
        Word, Query(description="Only this site's changes", examples=["wanhe-1a"])
    ] = None,
) -> Viewer:
    if site is not None and not ask.rows("site_exists", code=site):
        raise Problem(404, f"there is no site {site}")
    return Viewer(ask.caller, site)


router = APIRouter(prefix="/api/v1", tags=["live"])
_SHOWN = ConnectorAnswer.example().model_dump_json()
_EXAMPLE = _message("hello", '{"now": "2026-05-01T08:00:00+00:00"}') + _message("connector", _SHOWN)
_DOCUMENTED = problems.open_to_all(404)
_DOCUMENTED["responses"][200] = {
    "description": "A stream that goes on until its reader leaves, an hour at most",
    "content": {"text/event-stream": {"example": _EXAMPLE.decode()}},
}


@router.get(
    "/live",
    response_class=Pushed,
    status_code=200,
    summary="What changes, as it changes",
    **_DOCUMENTED,
)
async def live(
    request: Request, viewer: Annotated[Viewer, Depends(_viewer, scope="function")]
) -> Pushed:
    """Server-sent events: `hello` (first; ask for the state after it), `connector` (as in
    `/connectors`), for staff also `ticket` (id, state, code, severity, site, charger, connector,
    version), `incident` (id, phase, code, severity, site, charger, connector) and `command` (id,
    state, name, site, charger, connector), and `reload`: changes were missed or are too many, ask
    for the state again."""
    streams: Live = request.app.state.live
    return Pushed(streams, streams.open(viewer))
