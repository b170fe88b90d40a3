"""``leo db``: where the database is, and bringing it to the present schema."""

from __future__ import annotations

from shlex import quote
from typing import Annotated

import typer

from leo_activation.administration import initialise
from leo_activation.modelling import connection_settings
from leo_activation.settings import role_url

app = typer.Typer(no_args_is_help=True, add_completion=False, help="The platform's database.")


@app.command()
def url(
    role: Annotated[str, typer.Option(help="owner, runtime, dbt, analyst or admin.")] = "runtime",
    database: Annotated[str | None, typer.Option(help="Another database of the server.")] = None,
) -> None:
    """Print a connection URL for psql or any other client; it contains the password."""
    typer.echo(role_url(role, database=database))


@app.command()
def env() -> None:
    """Print the variables of dbt's profile, for `eval "$(leo db env)"` before a dbt command."""
    for name, value in connection_settings(role_url("dbt")).items():
        typer.echo(f"export {name}={quote(value)}")


@app.command()
def init() -> None:
    """Apply include/schema.sql and the passwords of the roles; may be repeated at any time."""
    changed = initialise(role_url("admin"))
    typer.echo("schema applied; passwords set: " + (", ".join(changed) or "none, all were right"))
