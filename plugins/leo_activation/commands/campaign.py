"""``leo campaign``: stop a campaign and let it go on, and end what nobody knows."""

from __future__ import annotations

import getpass
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated

import typer
from rich.console import Console

from leo_activation.database import Connection, connect, tenant_transaction
from leo_activation.delivery import controls
from leo_activation.delivery.controls import Selection, Settled, UnknownGroup
from leo_activation.delivery.reconciliation import unknown_table
from leo_activation.settings import role_url

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Campaigns of a tenant.")

Code = Annotated[str, typer.Argument(help="The campaign's code.")]
Tenant = Annotated[str, typer.Option(help="The shop, e.g. cua-hang-mau.")]
Channel = Annotated[str | None, typer.Option(help="Only this channel.")]
Reason = Annotated[str | None, typer.Option(help="Only this cause, as `unknown` names it.")]
By = Annotated[str, typer.Option(help="Who decides; the ledger keeps it.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


class Fate(StrEnum):
    """What a person found out about a message."""

    SENT = "sent"
    FAILED = "failed"


def login() -> str:
    """Return the name of the person at the terminal."""
    return getpass.getuser()


@contextmanager
def open_database() -> Iterator[Connection]:
    """Connect as the application."""
    with closing(connect(role_url("runtime"), application_name="leo campaign")) as connection:
        yield connection


@app.command()
def pause(code: Code, tenant: Tenant) -> None:
    """Let nothing more leave until the campaign is resumed; takes effect within a batch."""
    with open_database() as connection:
        controls.pause_campaign(connection, tenant_id=tenant, code=code)
    typer.echo(f"campaign {code}: paused")


@app.command()
def resume(code: Code, tenant: Tenant) -> None:
    """Let a paused campaign go on; run its dispatch again when it has ended meanwhile."""
    with open_database() as connection:
        controls.resume_campaign(connection, tenant_id=tenant, code=code)
    typer.echo(f"campaign {code}: active")


@app.command()
def cancel(code: Code, tenant: Tenant, yes: Yes = False) -> None:
    """End a campaign for good: what still waits is skipped."""
    if not yes:
        typer.confirm(f"Cancel campaign {code} of {tenant} for good?", abort=True)
    with open_database() as connection:
        skipped = controls.cancel_campaign(connection, tenant_id=tenant, code=code)
    typer.echo(f"campaign {code}: cancelled, {skipped:,} messages skipped")


@app.command()
def unknown(code: Code, tenant: Tenant) -> None:
    """Show the messages of which nobody knows whether they arrived."""
    with open_database() as connection:
        groups = _groups(connection, tenant, Selection(code))
    if groups:
        Console(highlight=False).print(unknown_table(groups))
    else:
        typer.echo(f"campaign {code}: every outcome is known")


@app.command("resend-unknown")
def resend_unknown(
    code: Code,
    tenant: Tenant,
    channel: Channel = None,
    reason: Reason = None,
    by: By = "",
    yes: Yes = False,
) -> None:
    """Send messages again that may have arrived: some people may get them twice."""
    selection = Selection(code, channel, reason)
    with open_database() as connection:
        if not _confirmed(connection, tenant, selection, "may get the message twice", yes):
            return
        done = controls.resend_unknown(
            connection,
            tenant_id=tenant,
            selection=selection,
            by=by or login(),
            now=datetime.now(UTC),
        )
    typer.echo(
        f"campaign {code}: {done.messages:,} messages wait to be sent again; "
        f"{done.customers:,} people may get them twice. "
        "Run the dispatch tasks of these snapshots again: "
        + (", ".join(map(str, done.snapshot_ids)) or "none")
        + "; what events had set off leaves by itself"
    )


@app.command("settle-unknown")
def settle_unknown(
    code: Code,
    tenant: Tenant,
    fate: Annotated[Fate, typer.Option("--as", help="What became of them.")],
    channel: Channel = None,
    reason: Reason = None,
    by: By = "",
    yes: Yes = False,
) -> None:
    """Write down what the provider's records say about messages of which nobody knew."""
    selection = Selection(code, channel, reason)
    with open_database() as connection:
        if not _confirmed(connection, tenant, selection, f"count as {fate}", yes):
            return
        done: Settled = controls.settle_unknown(
            connection,
            tenant_id=tenant,
            selection=selection,
            status=fate.value,
            by=by or login(),
        )
    typer.echo(f"campaign {code}: {done.messages:,} messages settled as {fate}")


def _groups(connection: Connection, tenant: str, selection: Selection) -> list[UnknownGroup]:
    with tenant_transaction(connection, tenant) as cursor:
        return controls.count_unknown(cursor, tenant, now=datetime.now(UTC), selection=selection)


def _confirmed(
    connection: Connection, tenant: str, selection: Selection, consequence: str, yes: bool
) -> bool:
    """Show what a decision is about, and ask; nothing to decide is said and no error."""
    groups = _groups(connection, tenant, selection)
    if not groups:
        typer.echo(f"campaign {selection.code}: no such message is unknown")
        return False
    Console(highlight=False).print(unknown_table(groups))
    if not yes:
        customers = sum(group.customers for group in groups)
        typer.confirm(f"Up to {customers:,} people {consequence}. Go on?", abort=True)
    return True
