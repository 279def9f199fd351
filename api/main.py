"""The API as a process: `pilewatch api`."""

import signal
import socket

import psycopg
import structlog
import uvicorn

from api.app import create_app
from api.live import Live
from pilewatch.observability import setup_logging
from pilewatch.settings import Settings
from pilewatch.store.pool import connect
from pilewatch.workflow.firststeps import admin_can_log_in

_LOG = structlog.get_logger()


class Server(uvicorn.Server):
    """Ends the live streams first when it stops: they would never end by themselves."""

    def __init__(self, config: uvicorn.Config, live: Live):
        super().__init__(config)
        self._live = live

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Streams, then connections, then the application."""
        self._live.end()
        await super().shutdown(sockets)


def server(settings: Settings) -> Server:
    """The server, not yet running."""
    app = create_app(settings)
    config = uvicorn.Config(
        app,
        host=settings.api.host,
        port=settings.api.port,
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=5,
    )
    return Server(config, app.state.live)


def _tell_of_setup(settings: Settings) -> None:
    """While nobody can log in, say how the first admin begins."""
    try:
        url = settings.database.url.get_secret_value()
        with connect(url, application="pilewatch api") as db:
            if not admin_can_log_in(db):
                _LOG.warning("no admin can log in yet: `pilewatch setup` prints the link to begin")
    except psycopg.Error:
        return  # /readyz tells what is away


def run(settings: Settings) -> int:
    """Serve until SIGTERM or SIGINT. Gives the exit code."""
    setup_logging(settings.log_format, process="api")
    for number in (signal.SIGTERM, signal.SIGINT):
        # uvicorn stops in order and then raises the signal again: that one is not to kill us.
        signal.signal(number, lambda *_: None)
    _tell_of_setup(settings)
    server(settings).run()
    return 0
