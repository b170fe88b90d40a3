"""``leo dispatch``: one more dispatcher beside those that Airflow runs."""

from __future__ import annotations

import os
import socket
from typing import Annotated
from uuid import UUID

import typer
from rich.console import Console
from rich.table import Table

from leo_activation.delivery.dispatcher import DispatchOptions, DispatchReport, dispatch_channel
from leo_activation.settings import role_url, setting

app = typer.Typer(add_completion=False, help="Send what a campaign run has queued on one channel.")


@app.command()
def dispatch(
    snapshot: Annotated[UUID, typer.Argument(help="Snapshot of the run, as its page names it.")],
    channel: Annotated[str, typer.Argument(help="email, telegram, zalo or push.")],
    tenant: Annotated[str, typer.Option(help="Whose campaign it is.")],
    follow: Annotated[
        bool, typer.Option(help="Go on waiting for new messages until stopped (Ctrl-C, SIGTERM).")
    ] = False,
    concurrency: Annotated[
        int | None, typer.Option(min=1, max=1000, help="Sends at once; default: by provider.")
    ] = None,
) -> None:
    """Send, and print what became of the messages. Any number may run at once, on any machine."""
    report = dispatch_channel(
        role_url("runtime"),
        tenant,
        snapshot,
        channel,
        worker_id=f"leo dispatch {socket.gethostname()}:{os.getpid()}",
        secret_key=setting("LEO_SECRET_KEY"),
        options=DispatchOptions(follow=follow, concurrency=concurrency),
    )
    Console().print(_table(report))
    if report.stopped:
        typer.echo(f"stopped: {report.stopped}", err=True)
    if report.next_due is not None:
        typer.echo(f"next message due: {report.next_due:%Y-%m-%d %H:%M:%S %Z}", err=True)
    if report.stopped and not report.is_settled:
        raise typer.Exit(1)


def _table(report: DispatchReport) -> Table:
    """Return where the messages of the snapshot and channel stand."""
    table = Table("status", "reason", "messages", title=f"{report.seconds:.1f} s")
    for status, reasons in report.totals.items():
        for reason, rows in reasons.items():
            table.add_row(status, reason or "–", f"{rows:,}")
    return table
