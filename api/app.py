"""The application: `/api/v1`, pages, health and metrics."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import psycopg
import structlog
from fastapi import Depends, FastAPI, Response
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, generate_latest

from api import (
    account,
    adoption,
    alertmanager,
    auditing,
    availability,
    bulk,
    commands,
    costs,
    deliveries,
    document,
    exclusions,
    explain,
    history,
    incidents,
    inspections,
    live,
    matters,
    meetings,
    operation,
    persons,
    planning,
    policies,
    problems,
    reporting,
    residents,
    shifts,
    splitting,
    state,
    tickets,
    uptime,
    webhooks,
)
from api.admission import Bounded, admitted
from api.context import SQL, Context
from api.fieldwork import intervals, patrols, photos, posters, workday
from api.ledger import routes as ledger
from api.metrics import Measured, Metrics
from api.oidc import Organisation
from api.opendata import install as opendata
from api.pace import Paced
from api.pages import install as pages
from api.remembered import Memory, Remembered
from api.request_id import Numbered
from pilewatch import __version__
from pilewatch.clock import Clock, utc_now
from pilewatch.policy import load_policy
from pilewatch.settings import Settings
from pilewatch.store.migrate import all_migrations
from pilewatch.store.pool import connect, open_pool

_LOG = structlog.get_logger()


def create_app(settings: Settings, clock: Clock = utc_now) -> FastAPI:
    """The whole application with a connection pool of its own."""
    url = settings.database.url.get_secret_value()
    pool = open_pool(url, size=settings.database.pool_size, application="pilewatch api")
    newest = max(step.version for step in all_migrations())
    memory = Memory()
    streams = live.Live(url, clock, settings.api.max_streams, memory.forget_state)
    metrics = Metrics(pool, lambda: len(streams))

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        listening = asyncio.create_task(streams.run())
        yield
        streams.end()
        listening.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await listening
        pool.close()

    app = FastAPI(
        title="Pilewatch",
        version=__version__,
        description="Charging piles, their faults, and the promises to repair them.",
        lifespan=lifespan,
        generate_unique_id_function=document.operation_id,
    )
    policy = load_policy(settings.alerts.policy_file)
    for warning in policy.warnings(clock()):
        _LOG.warning(warning)
    app.state.context = Context(settings, policy, clock, pool)
    app.state.live = streams
    app.state.organisation = Organisation(settings.people, settings.api.public_url)
    app.state.places = asyncio.Semaphore(settings.database.pool_size)
    problems.install(app)
    opendata.install(app)
    document.install(app)
    app.add_middleware(Remembered, memory=memory)
    app.add_middleware(Bounded)
    app.add_middleware(Paced, settings=settings.api)
    app.add_middleware(Measured, metrics=metrics)
    routers = (
        *(state.router, incidents.router, tickets.router, tickets.orders),
        *(residents.router, residents.orders, inspections.orders, operation.router),
        *(history.router, live.router),
        *(explain.router, deliveries.router, alertmanager.orders),
        *(planning.router, planning.orders, shifts.router, shifts.orders),
        *(uptime.router, exclusions.router, exclusions.orders),
        *(commands.router, commands.orders),
        *(reporting.router, reporting.orders),
        *(meetings.router, meetings.orders, matters.router, matters.orders),
        *(patrols.router, patrols.orders, intervals.router, intervals.orders),
        *(workday.router, workday.orders, photos.router, posters.router, posters.orders),
        *(bulk.orders, splitting.router, splitting.orders, costs.router, costs.orders),
        *(ledger.router, adoption.orders, policies.router, policies.orders),
        *(persons.router, persons.orders, account.router, account.orders, auditing.router),
        *(availability.router, availability.orders, webhooks.router, webhooks.orders),
        *opendata.ROUTERS,
    )
    for router in routers:
        app.include_router(router, dependencies=[Depends(admitted, scope="function")])
    pages.install(app)
    app.add_middleware(Numbered)

    @app.get(
        "/healthz",
        tags=["operation"],
        summary="The process lives",
        response_model=operation.HealthAnswer,
    )
    async def healthz() -> dict[str, str]:
        """Asks nobody."""
        return {"status": "ok"}

    @app.get(
        "/readyz",
        tags=["operation"],
        summary="The database is reached and of this version",
        response_model=operation.HealthAnswer,
        responses=problems.documented([503]),
    )
    def readyz() -> Any:
        """On a connection of its own: a full pool does not make us unready."""
        try:
            with connect(url, application="pilewatch api ready", wait_s=2) as db:
                row = db.execute(SQL["ready"]).fetchone()
        except psycopg.errors.UndefinedTable:
            row = None
        if row is None or row["version"] is None or row["version"] < newest:
            return problems.answer(503, f"the schema is not at version {newest}: migrate")
        return {"status": "ready"}

    @app.get("/metrics", include_in_schema=False)
    def prometheus() -> Response:
        text = generate_latest(REGISTRY) + generate_latest(metrics.registry)
        return Response(text, media_type=CONTENT_TYPE_LATEST)

    return app
