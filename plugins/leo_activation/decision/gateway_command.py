"""``leo gateway``: run the decision gateway."""

from __future__ import annotations

from typing import Annotated

import typer
import uvicorn

from leo_activation.decision.engine import load_engine
from leo_activation.decision.gateway import create_app
from leo_activation.decision.weights import prepare
from leo_activation.paths import ADAPTER_FOLDER

app = typer.Typer(add_completion=False)


@app.command()
def gateway(
    port: Annotated[int, typer.Option(help="TCP port.")] = 8600,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
) -> None:
    """Serve decisions over HTTP; the model is loaded before the port opens."""
    engine = load_engine(prepare(typer.echo), ADAPTER_FOLDER)
    typer.echo(f"{engine.model}: serving on http://{host}:{port}")
    uvicorn.run(create_app(engine), host=host, port=port, log_level="warning")
