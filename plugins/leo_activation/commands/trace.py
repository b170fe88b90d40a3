"""``leo trace``: one customer's whole story."""

from __future__ import annotations

from contextlib import closing
from typing import Annotated

import typer
from rich.console import Console

from leo_activation.database import connect
from leo_activation.journey import journey_table, load_journey, render_json
from leo_activation.settings import role_url

app = typer.Typer(add_completion=False)


@app.command()
def trace(
    tenant: Annotated[str, typer.Option(help="The shop, e.g. cua-hang-mau.")],
    profile: Annotated[str, typer.Option(help="The customer's key in the CDP (ext_id).")],
    as_json: Annotated[bool, typer.Option("--json", help="Everything known, as JSON.")] = False,
) -> None:
    """Print what happened to one customer: purchases, campaigns, decisions and messages."""
    with closing(connect(role_url("runtime"), application_name="leo_trace")) as connection:
        journey = load_journey(connection, tenant, profile)
    if as_json:
        typer.echo(render_json(journey))
    else:
        Console(highlight=False).print(journey_table(journey))
