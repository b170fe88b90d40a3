"""``leo api``: serve the HTTP API on its own, with several processes where load needs them."""

from __future__ import annotations

import os
import shutil
import tempfile
from typing import Annotated

import typer
import uvicorn
from fastapi import FastAPI

from leo_activation.api.airflow_runs import configured_runs
from leo_activation.api.app import create_app
from leo_activation.api.compiling import gateways
from leo_activation.api.metrics import MULTIPROCESS
from leo_activation.api.services import ApiServices, make_services
from leo_activation.settings import role_url, setting

app = typer.Typer(add_completion=False)
# Set for the worker processes, which share each key's rate.
WORKERS = "LEO_API_WORKERS"
# Longer than any request takes; a supervisor that kills should wait longer than this.
DRAIN_SECONDS = 30
# Connections that one process holds at a time; more are answered 503 at once.
MAX_CONNECTIONS = 2_000


def services_from_settings() -> ApiServices:
    """Return what the environment and the state folder describe.

    :raises ConfigurationError: when a setting is missing.
    """
    return make_services(
        role_url("runtime"),
        setting("LEO_SECRET_KEY"),
        **gateways(os.environ.get("LEO_GATEWAY_URL")),
        runs=configured_runs(),
        workers=int(os.environ.get(WORKERS, "1")),
    )


def application() -> FastAPI:
    """Return the application of one worker process."""
    return create_app(services_from_settings)


@app.command()
def api(
    port: Annotated[int, typer.Option(help="TCP port.")] = 8700,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    workers: Annotated[int, typer.Option(min=1, help="Processes that share the port.")] = 1,
    proxies: Annotated[
        str, typer.Option(help="Addresses of proxies whose X-Forwarded-* are believed.")
    ] = "127.0.0.1",
) -> None:
    """Serve the API; SIGTERM closes the port, answers what is inside, and ends the processes."""
    # A missing setting ends the command here, with its name, and not a worker in a loop.
    services_from_settings()
    os.environ[WORKERS] = str(workers)
    counters = tempfile.mkdtemp(prefix="leo-api-") if workers > 1 else None
    if counters:
        os.environ[MULTIPROCESS] = counters
    typer.echo(f"LEO API: serving on http://{host}:{port} with {workers} process(es)")
    try:
        uvicorn.run(
            "leo_activation.api.server_command:application",
            factory=True,
            host=host,
            port=port,
            workers=workers,
            loop="uvloop",
            http="httptools",
            ws="none",
            access_log=False,
            log_level="warning",
            server_header=False,
            forwarded_allow_ips=proxies,
            limit_concurrency=MAX_CONNECTIONS,
            timeout_graceful_shutdown=DRAIN_SECONDS,
        )
    finally:
        if counters:
            shutil.rmtree(counters, ignore_errors=True)
