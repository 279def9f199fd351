"""Logs as structured lines and metrics for Prometheus, the same for every process."""

import logging
import sys
from typing import Literal

import structlog
from prometheus_client import REGISTRY, CollectorRegistry, start_http_server

from pilewatch.settings import Metrics


def setup_logging(log_format: Literal["json", "text"], *, process: str) -> None:
    """Send structlog's lines to stderr: JSON for machines, or one readable line each."""
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer(ensure_ascii=False)
        if log_format == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(process=process)


def serve_metrics(settings: Metrics, registry: CollectorRegistry = REGISTRY) -> None:
    """Answer Prometheus on the configured port; nothing where it is 0."""
    if settings.port:
        start_http_server(settings.port, settings.host, registry)
