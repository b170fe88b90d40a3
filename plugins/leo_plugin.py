"""The platform in Airflow's API server: pages behind Airflow's login, the API behind its keys."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import cache
from typing import Any
from uuid import UUID

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity, DagDetails
from airflow.api_fastapi.core_api.security import GetUserDep
from airflow.configuration import conf
from airflow.plugins_manager import AirflowPlugin
from airflow.sdk import Connection as AirflowConnection
from fastapi import Depends, FastAPI, HTTPException
from fastapi.responses import HTMLResponse

from leo_activation import pages
from leo_activation.campaign_report import read_report, sample_members
from leo_activation.database import Connection, connect
from leo_activation.errors import LeoError
from leo_activation.journey import load_journey
from operators.platform_operator import PAGES, postgres_url

API = "/leo"
# Whoever may see the campaign's runs may see what they did, and nobody else.
GUARDED_DAG = "campaign_run"
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}


def authorise(user: GetUserDep) -> None:
    """Let in whoever may read the runs of the campaign DAG.

    :raises HTTPException: 403 for everybody else who is logged in; 401 comes from Airflow.
    """
    if not get_auth_manager().is_authorized_dag(
        method="GET",
        access_entity=DagAccessEntity.RUN,
        details=DagDetails(id=GUARDED_DAG),
        user=user,
    ):
        raise HTTPException(403, f"You may not see the runs of {GUARDED_DAG}")


app = FastAPI(
    title="LEO pages",
    dependencies=[Depends(authorise)],
    # These pages would stand outside the dependency above, open to everybody.
    docs_url=None,
    redoc_url=None,
    openapi_url=None,
)


@contextmanager
def database() -> Iterator[Connection]:
    """Open the application's connection; what does not exist becomes 404."""
    with closing(connect(postgres_url("postgres_activation"), application_name="pages")) as opened:
        try:
            yield opened
        except LeoError as error:
            raise HTTPException(404, str(error)) from error


@app.get("/snapshots/{tenant}/{snapshot_id}")
def snapshot(tenant: str, snapshot_id: UUID) -> HTMLResponse:
    """Show the manifest of a snapshot, its decision and its outcomes."""
    with database() as connection:
        report = read_report(connection, tenant_id=tenant, snapshot_id=snapshot_id)
        samples = sample_members(connection, tenant_id=tenant, snapshot_id=snapshot_id)
    return HTMLResponse(pages.snapshot_page(report, samples), headers=HEADERS)


@app.get("/journey/{tenant}/{ext_id:path}")
def journey(tenant: str, ext_id: str) -> HTMLResponse:
    """Tell one customer's whole story."""
    with database() as connection:
        story = load_journey(connection, tenant, ext_id)
    return HTMLResponse(pages.journey_page(story), headers=HEADERS)


@cache
def api() -> FastAPI:
    """Return the HTTP API on Airflow's connections.

    Every task's process loads this file too; only the API server asks for this, and pays for the
    imports.
    """
    from leo_activation.api.app import create_app
    from leo_activation.api.compiling import gateways
    from leo_activation.api.services import ApiServices, make_services
    from operators.in_process_runs import InProcessRuns

    def services() -> ApiServices:
        return make_services(
            postgres_url("postgres_activation"),
            AirflowConnection.get("leo_secrets").password or "",
            **gateways(os.environ.get("LEO_GATEWAY_URL")),
            runs=InProcessRuns(),
            # Each of the API server's processes counts a key's requests on its own.
            workers=conf.getint("api", "workers", fallback=1),
        )

    return create_app(services)


class MountedApps:
    """What Airflow mounts, in this order: the first prefix that fits an address gets it."""

    def __get__(self, plugin: object, kind: type) -> list[dict[str, Any]]:
        """Return the applications, made when they are asked for."""
        return [
            {"app": app, "url_prefix": PAGES, "name": "LEO pages"},
            {"app": api(), "url_prefix": API, "name": "LEO API"},
        ]


class LeoPlugin(AirflowPlugin):
    """Mounts the pages and the API."""

    name = "leo"
    fastapi_apps = MountedApps()
