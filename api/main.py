"""The API as a process: `pilewatch api`."""

import uvicorn

from api.app import create_app
from pilewatch.observability import setup_logging
from pilewatch.settings import Settings


def run(settings: Settings) -> int:
    """Serve until SIGTERM or SIGINT. Gives the exit code."""
    setup_logging(settings.log_format, process="api")
    config = uvicorn.Config(
        create_app(settings),
        host=settings.api.host,
        port=settings.api.port,
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=5,
    )
    uvicorn.Server(config).run()
    return 0
