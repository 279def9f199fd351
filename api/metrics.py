"""What the API tells Prometheus: requests by route template, live streams, the pool."""

import time
from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pilewatch.store.pool import Pool

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_POOL = ("pool_size", "pool_available", "requests_waiting", "requests_errors")


class _PoolFigures(Collector):
    def __init__(self, pool: Pool):
        self._pool = pool

    def collect(self) -> Iterator[Metric]:
        """Read the pool's own figures at the moment of asking."""
        family = GaugeMetricFamily(
            "pilewatch_api_pool", "The database pool's figures", labels=["figure"]
        )
        figures = self._pool.get_stats()
        for name in _POOL:
            family.add_metric([name], figures.get(name, 0))
        yield family


class Metrics:
    """One set for each application."""

    def __init__(self, pool: Pool, streams: Callable[[], int]):
        self.registry = CollectorRegistry()
        labels = ("method", "route", "status")
        self.requests = Counter(
            "pilewatch_api_requests", "Answered requests", labels, registry=self.registry
        )
        self.seconds = Histogram(
            "pilewatch_api_request_seconds",
            "Until the answer began",
            labels[:2],
            registry=self.registry,
        )
        open_streams = Gauge("pilewatch_api_streams", "Live streams", registry=self.registry)
        open_streams.set_function(streams)
        self.registry.register(_PoolFigures(pool))


class Measured:
    """Middleware that counts and times every request."""

    def __init__(self, app: ASGIApp, metrics: Metrics):
        self.app = app
        self.metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on and note its answer."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = time.monotonic()

        async def noting(message: Message) -> None:
            if message["type"] == "http.response.start":
                method = scope["method"] if scope["method"] in _METHODS else "other"
                route = _template(scope)
                self.metrics.requests.labels(method, route, str(message["status"])).inc()
                self.metrics.seconds.labels(method, route).observe(time.monotonic() - started)
            await send(message)

        await self.app(scope, receive, noting)


def _template(scope: Scope) -> str:
    return str(getattr(scope.get("route"), "path", "unmatched"))
