"""``leo fallback``: what runs where the model gives nothing that may run."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from leo_activation.database import connect
from leo_activation.decision.fallback import (
    decision_sources,
    runs_without_model,
    set_fallback,
)
from leo_activation.errors import DecisionError
from leo_activation.settings import role_url

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="A campaign's own plan, for when the model gives none.",
)
Tenant = Annotated[str, typer.Option(help="The shop, e.g. cua-hang-mau.")]
Campaign = Annotated[str, typer.Option(help="Code of the campaign.")]


@app.command("set")
def set_command(
    plan: Annotated[Path, typer.Argument(help="JSON file: a list of calls.")],
    tenant: Tenant,
    campaign: Campaign,
) -> None:
    """Store a plan for the campaign's next runs, and say it in words."""
    try:
        document = json.loads(plan.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DecisionError(f"{plan} cannot be read as JSON: {error}") from error
    with closing(connect(role_url("runtime"), application_name="leo_fallback")) as connection:
        lines = set_fallback(connection, tenant_id=tenant, code=campaign, document=document)
    typer.echo("\n".join(f"{number}. {line}" for number, line in enumerate(lines, 1)))


@app.command()
def clear(tenant: Tenant, campaign: Campaign) -> None:
    """Take the campaign's plan away; without one, a customer whom nobody decides for is skipped."""
    with closing(connect(role_url("runtime"), application_name="leo_fallback")) as connection:
        set_fallback(connection, tenant_id=tenant, code=campaign, document=None)


@app.command()
def sources(
    tenant: Tenant,
    campaign: Annotated[str | None, typer.Option(help="Only runs of this campaign.")] = None,
) -> None:
    """Show who decided in each run: the model, a fallback, or nobody."""
    with closing(connect(role_url("runtime"), application_name="leo_fallback")) as connection:
        rows = decision_sources(connection, tenant_id=tenant, code=campaign)
    table = Table(
        "run", "campaign", "mode", "decisions", "prompts", "model", "fallback", "nobody", "share"
    )
    for row in rows:
        counts = (row[key] for key in ("decisions", "prompts", "by_model", "by_fallback"))
        table.add_row(
            row["run_id"], row["campaign_code"], row["mode"], *(f"{n:,}" for n in counts),
            f"{row['by_nobody']:,}", f"{row['fallback_share']:.1%}",
        )  # fmt: skip
    Console().print(table)


@app.command()
def check(
    tenant: Tenant,
    max_share: Annotated[
        float, typer.Option(min=0, max=1, help="Share of a run that may do without the model.")
    ] = 0.05,
) -> None:
    """Name the runs that had to do without the model, and end with status 1 if there are any."""
    with closing(connect(role_url("runtime"), application_name="leo_fallback")) as connection:
        rows = runs_without_model(connection, tenant_id=tenant, max_share=max_share)
    for row in rows:
        typer.echo(
            f"run {row['run_id']}: of {row['decisions']:,} decisions {row['by_fallback']:,} are "
            f"the fallback's and {row['by_nobody']:,} nobody's; see its plan's verdict_reason"
        )
    if rows:
        raise typer.Exit(1)
