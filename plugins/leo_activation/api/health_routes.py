"""Whether the process lives, whether it can work, and what it has counted."""

from __future__ import annotations

import psycopg
from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from leo_activation.api.metrics import CONTENT_TYPE, ApiMetrics
from leo_activation.api.services import ApiServices

router = APIRouter(tags=["health"])


@router.get("/health")
async def health() -> dict[str, str]:
    """Say that the process lives."""
    return {"status": "ok"}


@router.get("/ready", responses={503: {"description": "The database does not answer."}})
async def ready(request: Request) -> JSONResponse:
    """Say whether the database answers."""
    services: ApiServices = request.app.state.services
    try:
        async with services.intake_pool.connection(timeout=2) as connection:
            await connection.execute("select")
    except (psycopg.OperationalError, psycopg.InterfaceError):
        return JSONResponse({"status": "database-unavailable"}, 503)
    return JSONResponse({"status": "ready"})


@router.get("/metrics", response_class=Response)
async def metrics(request: Request) -> Response:
    """Return the counters as Prometheus reads them."""
    counters: ApiMetrics = request.app.state.metrics
    return Response(counters.page(), media_type=CONTENT_TYPE)
