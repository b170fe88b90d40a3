"""``leo gateway``: run the decision gateway."""

from __future__ import annotations

import os
from typing import Annotated

import typer
import uvicorn

from leo_activation.decision.backends.selection import open_backend
from leo_activation.decision.gateway import MAX_WAITING, create_app

app = typer.Typer(add_completion=False)
# Longer than a batch takes; a supervisor that kills should wait longer than this.
DRAIN_SECONDS = 30


@app.command()
def gateway(
    port: Annotated[int, typer.Option(help="TCP port.")] = 8600,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    max_waiting: Annotated[
        int, typer.Option(min=1, help="Requests under way or waiting; one more gets 429.")
    ] = MAX_WAITING,
) -> None:
    """Serve decisions over HTTP; the model is loaded before the port opens.

    SIGTERM closes the port, answers what is inside, and ends the process.
    """
    backend = open_backend(os.environ, fetch=True, report=typer.echo)
    typer.echo(f"{backend.model}: serving on http://{host}:{port}")
    uvicorn.run(
        create_app(backend, max_waiting=max_waiting),
        host=host,
        port=port,
        log_level="warning",
        timeout_graceful_shutdown=DRAIN_SECONDS,
    )
