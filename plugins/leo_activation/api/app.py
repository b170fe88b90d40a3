"""The HTTP application: mounted below ``/leo`` in Airflow's API server, or run by ``leo api``."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline
from starlette.middleware.gzip import GZipMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from leo_activation.api import events_routes, health_routes, unsubscribe_pages, webhook_routes
from leo_activation.api.authentication import KeyRing
from leo_activation.api.event_intake import EventIntake
from leo_activation.api.limits import BoundedBody, Room
from leo_activation.api.metrics import ApiMetrics
from leo_activation.api.problems import install_problems
from leo_activation.api.request_context import RequestContext
from leo_activation.api.resource_routers import RESOURCE_ROUTERS
from leo_activation.api.services import ApiServices

ServicesFactory = Callable[[], ApiServices]

ROUTERS = (
    events_routes.router,
    *RESOURCE_ROUTERS,
    webhook_routes.router,
    unsubscribe_pages.router,
    health_routes.router,
)
_GZIP_FROM_BYTES = 1024
_DESCRIPTION = """\
What a shop's own programs ask of the LEO Activation Platform. Every request carries an API key of
one tenant and sees that tenant only. A refusal is a problem document (RFC 9457) that says what is
wrong, which value, and what to do; every answer carries `X-Request-Id`."""


def create_app(services_factory: ServicesFactory) -> FastAPI:
    """Return the application.

    :param services_factory: makes the connections; called with the first request, inside the
        event loop that serves it, because whoever mounts the application may never start it.
    """
    metrics = ApiMetrics()
    app: FastAPI = FastAPIOffline(
        title="LEO Activation Platform",
        version="1",
        description=_DESCRIPTION,
        lifespan=_lifespan,
    )
    app.state.metrics = metrics
    app.state.opener = ServicesOpener(app, services_factory)
    # The last one added is the outermost.
    app.add_middleware(WithServices, opener=app.state.opener)
    app.add_middleware(BoundedBody)
    app.add_middleware(GZipMiddleware, minimum_size=_GZIP_FROM_BYTES, compresslevel=3)
    app.add_middleware(RequestContext, metrics=metrics)
    install_problems(app)
    # Before the route that documents it.
    app.router.routes.insert(0, events_routes.fast_route())
    for router in ROUTERS:
        app.include_router(router)
    return app


@contextlib.asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Serve; at the end finish what was begun and close the connections."""
    yield
    await app.state.opener.close()


class ServicesOpener:
    """Opens the services with the first request, once.

    :param app: whose state gets ``services`` and what is built on them.
    :param factory: makes the services.
    """

    def __init__(self, app: FastAPI, factory: ServicesFactory) -> None:
        """Open nothing yet."""
        self.app, self.factory = app, factory
        self.is_open = False
        self._lock = asyncio.Lock()

    async def open(self) -> None:
        """Make sure that the services are there.

        :raises ConfigurationError: when a setting is missing; the next request tries again.
        """
        async with self._lock:
            if self.is_open:
                return
            services = await asyncio.to_thread(self.factory)
            await services.open()
            state = self.app.state
            state.services = services
            state.keys = KeyRing(services)
            state.intake = EventIntake(services, state.metrics)
            state.reports = Room(webhook_routes.MAX_REPORT_BYTES)
            self.is_open = True

    async def close(self) -> None:
        """Close what was opened."""
        if self.is_open:
            self.is_open = False
            await self.app.state.intake.close()
            await self.app.state.services.close()


class WithServices:
    """Middleware: no endpoint runs before the services are there.

    :param app: what is inside.
    :param opener: of the application.
    """

    def __init__(self, app: ASGIApp, opener: ServicesOpener) -> None:
        """Wrap an application."""
        self.app, self.opener = app, opener

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Open the services with the first request."""
        if scope["type"] == "http" and not self.opener.is_open:
            await self.opener.open()
        await self.app(scope, receive, send)
