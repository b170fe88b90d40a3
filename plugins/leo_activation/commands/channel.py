"""``leo channel``: how a tenant reaches its providers."""

from __future__ import annotations

import asyncio
import json
import random
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from leo_activation.channels.base import ChannelTools, Credential
from leo_activation.channels.registry import open_channel, spec_of
from leo_activation.database import Connection, connect, tenant_transaction
from leo_activation.delivery import controls
from leo_activation.delivery.credentials import read_credential, store_credential
from leo_activation.delivery.token_renewal import make_renewer
from leo_activation.errors import ConfigurationError
from leo_activation.journey import safe_text
from leo_activation.settings import role_url, setting

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Channels of a tenant.")

Name = Annotated[str, typer.Argument(help="email, telegram, zalo, push …")]
Tenant = Annotated[str, typer.Option(help="The shop, e.g. cua-hang-mau.")]


@contextmanager
def open_database() -> Iterator[Connection]:
    """Connect as the application."""
    with closing(connect(role_url("runtime"), application_name="leo channel")) as connection:
        yield connection


@app.command("list")
def list_channels(tenant: Tenant) -> None:
    """Show provider, state and expiry of every channel; never a secret."""
    with open_database() as connection:
        rows = controls.list_channels(connection, tenant_id=tenant)
    table = Table(box=None, pad_edge=False)
    for name in ("channel", "provider", "state", "reason", "expires", "settings"):
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(
            row["channel"],
            safe_text(row["provider"]),
            row["status"],
            safe_text(row["status_reason"] or ""),
            f"{row['expires_at']:%Y-%m-%d %H:%M %Z}" if row["expires_at"] else "",
            safe_text(json.dumps(row["settings"], ensure_ascii=False)),
        )
    Console(highlight=False).print(table)


@app.command("set")
def set_channel(
    channel: Name,
    tenant: Tenant,
    provider: Annotated[str, typer.Option(help="One of the channel's providers.")],
    secret: Annotated[
        Path, typer.Option(help="File with a JSON object of secrets; '-' reads standard input.")
    ],
    settings: Annotated[
        str, typer.Option(help="JSON object of what may be seen, or a file that holds it.")
    ] = "{}",
) -> None:
    """Store or replace a credential. A secret is never an argument: those are seen by everyone."""
    spec_of(channel, provider)
    given = settings if settings.lstrip().startswith("{") else None
    seen = _json_object("--settings", given, settings)
    hidden = {str(k): _text(v) for k, v in _read_secret(secret).items()}
    with open_database() as connection:
        store_credential(
            connection,
            tenant_id=tenant,
            channel=channel,
            provider=provider,
            settings=seen,
            secret=hidden,
            secret_key=setting("LEO_SECRET_KEY"),
        )
    typer.echo(f"channel {channel} of {tenant}: {provider}, secrets {', '.join(sorted(hidden))}")


@app.command()
def pause(
    channel: Name,
    tenant: Tenant,
    reason: Annotated[str, typer.Option(help="What the next person should know.")],
) -> None:
    """Let the channel send nothing until it is resumed; takes effect within a batch."""
    with open_database() as connection:
        controls.pause_channel(connection, tenant_id=tenant, channel=channel, reason=reason)
    typer.echo(f"channel {channel} of {tenant}: paused")


@app.command()
def resume(channel: Name, tenant: Tenant) -> None:
    """Let a paused channel send again, after its reason was looked into."""
    with open_database() as connection:
        controls.resume_channel(connection, tenant_id=tenant, channel=channel)
    typer.echo(f"channel {channel} of {tenant}: active")


@app.command("pause-template")
def pause_template(
    template: Annotated[str, typer.Argument(help="The template's id.")],
    tenant: Tenant,
    reason: Annotated[str, typer.Option(help="What the next person should know.")],
) -> None:
    """Let nothing written with a template leave until it is resumed."""
    with open_database() as connection:
        controls.pause_template(connection, tenant_id=tenant, template_id=template, reason=reason)
    typer.echo(f"template {template} of {tenant}: paused")


@app.command("resume-template")
def resume_template(
    template: Annotated[str, typer.Argument(help="The template's id.")], tenant: Tenant
) -> None:
    """Let a paused template be used again, after its reason was looked into."""
    with open_database() as connection:
        controls.resume_template(connection, tenant_id=tenant, template_id=template)
    typer.echo(f"template {template} of {tenant}: in use")


@app.command()
def check(channel: Name, tenant: Tenant) -> None:
    """Open the channel as a dispatcher would, and print what the provider says of the account."""
    url, key = role_url("runtime"), setting("LEO_SECRET_KEY")
    with open_database() as connection, tenant_transaction(connection, tenant) as cursor:
        credential = read_credential(cursor, tenant_id=tenant, channel=channel, secret_key=key)
    said = asyncio.run(_describe(credential, url, key))
    typer.echo(f"channel {channel} of {tenant} ({credential.provider}) opens")
    for name, value in (said or {}).items():
        Console(highlight=False).print(safe_text(f"  {name}: {value}"))


async def _describe(credential: Credential, url: str, key: str) -> Mapping[str, Any] | None:
    """Return what a channel that can tell says of the account; None for the others."""
    tools = ChannelTools(
        concurrency=1,
        clock=lambda: datetime.now(UTC),
        uniform=random.random,
        renew=make_renewer(database_url=url, secret_key=key),
    )
    channel = open_channel(credential, tools)
    try:
        describe = getattr(channel, "describe_account", None)
        return await describe() if describe is not None else None
    finally:
        await channel.close()


def _read_secret(path: Path) -> dict[str, Any]:
    if str(path) == "-":
        return _json_object("standard input", sys.stdin.read(), "")
    return _json_object("--secret", None, str(path))


def _json_object(name: str, text: str | None, path: str) -> dict[str, Any]:
    """Read a JSON object from a text, else from a file; an error never quotes what it read.

    :raises ConfigurationError: there is none.
    """
    try:
        value = json.loads(Path(path).read_text(encoding="utf-8") if text is None else text)
    except OSError as error:
        raise ConfigurationError(f"{name}: {path}: {error.strerror}") from None
    except ValueError:
        raise ConfigurationError(f"{name} holds no JSON: give a JSON object") from None
    if not isinstance(value, dict):
        raise ConfigurationError(f"{name} holds {type(value).__name__}: give a JSON object")
    return value


def _text(value: Any) -> str:
    """Return a secret as text; one that is an object, like a service account, stays JSON."""
    return value if isinstance(value, str) else json.dumps(value)
