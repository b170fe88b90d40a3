"""``leo apikey``: the keys with which a tenant's programs call the API."""

from __future__ import annotations

import re
from contextlib import closing
from datetime import UTC, datetime, timedelta
from getpass import getuser
from typing import Annotated
from uuid import UUID

import typer
from rich.console import Console
from rich.table import Column, Table

from leo_activation.api_keys import (
    DEFAULT_REQUESTS_PER_MINUTE,
    SCOPES,
    NewKey,
    create_key,
    list_keys,
    revoke_key,
    rotate_key,
)
from leo_activation.database import Connection, connect
from leo_activation.errors import ConfigurationError
from leo_activation.settings import role_url

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Keys of the HTTP API.")

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
TenantOption = Annotated[str, typer.Option("--tenant", help="Whose key.")]
KeyArgument = Annotated[UUID, typer.Argument(help="The key's id, as `leo apikey list` shows it.")]


@app.command()
def create(
    tenant_id: TenantOption,
    name: Annotated[str, typer.Option(help="What people recognise it by, e.g. 'web shop'.")],
    scope: Annotated[list[str], typer.Option(help=f"Repeatable: {', '.join(SCOPES)}.")],
    per_minute: Annotated[
        int, typer.Option(help="Requests a minute; a batch of events is one request.")
    ] = DEFAULT_REQUESTS_PER_MINUTE,
    expires_in: Annotated[
        str | None, typer.Option(help="e.g. 90d; without it the key lives until it is revoked.")
    ] = None,
) -> None:
    """Make a key and print it; it cannot be shown again."""
    expires_at = None if expires_in is None else _now() + parse_duration(expires_in)
    with _database() as connection:
        made = create_key(
            connection,
            tenant_id=tenant_id,
            name=name,
            scopes=scope,
            requests_per_minute=per_minute,
            expires_at=expires_at,
            created_by=getuser(),
        )
    _show(made)


@app.command("list")
def list_(tenant_id: TenantOption) -> None:
    """List a tenant's keys; the keys themselves are nowhere."""
    table = Table(Column("id", no_wrap=True), "name", "scopes", "a minute", "made by", "made",
                  "expires", "revoked")  # fmt: skip
    with _database() as connection:
        for row in list_keys(connection, tenant_id):
            table.add_row(
                str(row["api_key_id"]),
                row["name"],
                " ".join(row["scopes"]),
                str(row["requests_per_minute"]),
                row["created_by"],
                _when(row["created_at"]),
                _when(row["expires_at"]),
                _when(row["revoked_at"]),
            )
    # Wider than most terminals: an id that is broken into two cannot be copied.
    Console(width=200).print(table)


@app.command()
def rotate(
    api_key_id: KeyArgument,
    tenant_id: TenantOption,
    overlap: Annotated[str, typer.Option(help="How long the old key lives on, e.g. 1h.")] = "24h",
) -> None:
    """Make a key like another one and print it; the old one dies after the overlap."""
    with _database() as connection:
        made = rotate_key(
            connection,
            tenant_id=tenant_id,
            api_key_id=api_key_id,
            overlap=parse_duration(overlap),
            now=_now(),
            created_by=getuser(),
        )
    _show(made)


@app.command()
def revoke(api_key_id: KeyArgument, tenant_id: TenantOption) -> None:
    """Make a key worthless, within two seconds and for good."""
    with _database() as connection:
        was_valid = revoke_key(connection, tenant_id=tenant_id, api_key_id=api_key_id, now=_now())
    typer.echo(f"API key {api_key_id}: {'revoked' if was_valid else 'was revoked before'}")


def parse_duration(text: str) -> timedelta:
    """Return a duration such as ``90d``, ``24h``, ``30m`` or ``0s``.

    :raises ConfigurationError: when it is none.
    """
    found = re.fullmatch(r"(\d{1,5})([smhd])", text.strip())
    if found is None:
        raise ConfigurationError(f"{text!r} is no duration: write e.g. 30m, 24h or 90d")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


def _show(made: NewKey) -> None:
    """Print the key where it can be piped, and the advice where it does not disturb."""
    typer.echo(f"API key {made.api_key_id}; keep it now, it is not shown again:", err=True)
    typer.echo(made.key)


def _database() -> closing[Connection]:
    return closing(connect(role_url("runtime"), application_name="leo apikey"))


def _now() -> datetime:
    return datetime.now(UTC)


def _when(moment: datetime | None) -> str:
    return "–" if moment is None else moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")
