"""The application: `/api/v1`, pages, health and metrics."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Response
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, generate_latest

from api import problems, routes
from api.context import SQL, Context
from api.pages import install as pages
from pilewatch import __version__
from pilewatch.clock import Clock, utc_now
from pilewatch.policy import load_policy
from pilewatch.settings import Settings
from pilewatch.store.migrate import all_migrations
from pilewatch.store.pool import open_pool


def create_app(settings: Settings, clock: Clock = utc_now) -> FastAPI:
    """The whole application with a connection pool of its own."""
    pool = open_pool(
        settings.database.url.get_secret_value(),
        size=settings.database.pool_size,
        application="pilewatch api",
    )
    newest = max(step.version for step in all_migrations())

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        pool.close()

    app = FastAPI(
        title="Pilewatch",
        version=__version__,
        description="Charging piles, their faults, and the promises to repair them.",
        lifespan=lifespan,
    )
    policy = load_policy(settings.alerts.policy_file)
    app.state.context = Context(settings, policy, clock, pool)
    problems.install(app)
    app.include_router(routes.router)
    pages.install(app)

    @app.get("/healthz", tags=["operation"], summary="The process lives")
    def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/readyz", tags=["operation"], summary="The database is reached and of this version")
    def readyz() -> Any:
        with pool.connection(timeout=3) as db:
            row = db.execute(SQL["ready"]).fetchone()
        if row is None or row["version"] != newest:
            return problems.answer(503, f"the schema is not at version {newest}: migrate")
        return {"status": "ready"}

    @app.get("/metrics", include_in_schema=False)
    def metrics() -> Response:
        return Response(generate_latest(REGISTRY), media_type=CONTENT_TYPE_LATEST)

    return app
