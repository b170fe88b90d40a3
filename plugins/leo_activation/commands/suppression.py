"""``leo suppression``: addresses that get nothing, and the national Do-Not-Call list."""

from __future__ import annotations

import getpass
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from leo_activation.database import Connection, connect
from leo_activation.delivery import suppressions
from leo_activation.delivery.suppressions import ListReport
from leo_activation.journey import safe_text
from leo_activation.settings import role_url

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Addresses that get nothing.")

Tenant = Annotated[str, typer.Option(help="The shop, e.g. cua-hang-mau.")]
Channel = Annotated[str, typer.Argument(help="zalo, sms, email, push or telegram.")]
Address = Annotated[str, typer.Argument(help="Number, e-mail address or the provider's id.")]
By = Annotated[str, typer.Option(help="Who decides; your login unless given.")]


@contextmanager
def open_database() -> Iterator[Connection]:
    """Connect as the application."""
    with closing(connect(role_url("runtime"), application_name="leo suppression")) as connection:
        yield connection


@app.command("list")
def list_entries(
    tenant: Tenant,
    channel: Annotated[str | None, typer.Option(help="Only this channel.")] = None,
    address: Annotated[str | None, typer.Option(help="Only this address, with --channel.")] = None,
    reason: Annotated[str | None, typer.Option(help="Only this reason.")] = None,
    most: Annotated[int, typer.Option(help="At most so many entries.")] = 50,
) -> None:
    """Count what is stopped, and show the newest entries."""
    with open_database() as connection:
        totals, entries = suppressions.list_entries(
            connection,
            tenant_id=tenant,
            channel=channel,
            address=address,
            reason=reason,
            most=most,
            now=datetime.now(UTC),
        )
    console = Console(highlight=False)
    counts = Table(box=None, pad_edge=False)
    for name in ("channel", "reason"):
        counts.add_column(name)
    counts.add_column("addresses", justify="right")
    for row in totals:
        counts.add_row(row["channel"], safe_text(row["reason"]), f"{row['row_count']:,}")
    console.print(counts)
    newest = Table(box=None, pad_edge=False)
    for name in ("channel", "address", "scope", "reason", "since", "until"):
        newest.add_column(name, overflow="fold")
    for row in entries:
        newest.add_row(
            row["channel"],
            safe_text(row["address"]),
            row["scope"],
            safe_text(row["reason"]),
            f"{row['suppressed_at']:%Y-%m-%d %H:%M}",
            f"{row['until']:%Y-%m-%d %H:%M}" if row["until"] else "for good",
        )
    console.print(newest)


@app.command()
def add(
    channel: Channel,
    address: Address,
    tenant: Tenant,
    reason: Annotated[str, typer.Option(help="Short class, for counting.")] = "person",
    until: Annotated[datetime | None, typer.Option(help="UTC; for good unless given.")] = None,
    by: By = "",
) -> None:
    """Let an address get nothing more on a channel, at once."""
    with open_database() as connection:
        spelt = suppressions.stop_address(
            connection,
            tenant_id=tenant,
            channel=channel,
            address=address,
            reason=reason,
            by=by or getpass.getuser(),
            now=datetime.now(UTC),
            until=until.replace(tzinfo=UTC) if until else None,
        )
    typer.echo(f"{spelt} gets nothing more on {channel}")


@app.command()
def lift(channel: Channel, address: Address, tenant: Tenant, by: By = "") -> None:
    """Let an address be written to again; a refusal in the consent ledger still holds."""
    with open_database() as connection:
        lifted = suppressions.lift_address(
            connection,
            tenant_id=tenant,
            channel=channel,
            address=address,
            by=by or getpass.getuser(),
            now=datetime.now(UTC),
        )
    typer.echo("lifted: " + ", ".join(f"{row['reason']} ({row['scope']})" for row in lifted))


@app.command("import-dnc")
def import_dnc(
    file: Annotated[Path, typer.Argument(help="UTF-8: one number a line, or CSV with --column.")],
    tenant: Tenant,
    column: Annotated[str | None, typer.Option(help="CSV column with the numbers.")] = None,
    rejects: Annotated[
        Path | None, typer.Option(help="Where refused lines go; FILE.rejected.csv unless given.")
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", help="Accept a list that lets go more than half.")
    ] = False,
) -> None:
    """Replace the tenant's Do-Not-Call list (Decree 91/2020) by the one in a file."""
    rejects = rejects or file.with_name(f"{file.name}.rejected.csv")
    with open_database() as connection:
        report = suppressions.import_do_not_call(
            connection,
            tenant_id=tenant,
            path=file,
            column=column,
            rejects_path=rejects,
            is_confirmed=yes,
            now=datetime.now(UTC),
        )
    _print_report(report, rejects)


def _print_report(report: ListReport, rejects: Path) -> None:
    typer.echo(
        f"{report.listed:,} numbers on the list: {report.entered:,} entered, "
        f"{report.lifted:,} lifted, {report.rejected:,} lines refused"
    )
    if not report.rejected:
        return
    table = Table(box=None, pad_edge=False)
    table.add_column("line", justify="right")
    table.add_column("value", overflow="fold")
    table.add_column("why", overflow="fold")
    for reject in report.first_rejects:
        table.add_row(str(reject.line), safe_text(reject.value), safe_text(reject.why))
    Console(highlight=False).print(table)
    typer.echo(f"all refused lines: {rejects}")
