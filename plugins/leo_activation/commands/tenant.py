"""``leo tenant``: the shops that share one installation."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any

import typer

from leo_activation.database import connect
from leo_activation.delivery.seeds import seed_templates
from leo_activation.errors import ConfigurationError
from leo_activation.settings import role_url
from leo_activation.tenants import add_tenant

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Tenants of this installation.")


@app.callback()
def tenant() -> None:
    """Tenants of this installation."""


@app.command()
def add(
    tenant_id: Annotated[str, typer.Argument(help="2 to 40 of a-z, 0-9, '_' and '-'.")],
    name: Annotated[str, typer.Option(help="What people read, e.g. 'Cửa hàng C'.")],
    settings: Annotated[
        Path | None, typer.Option(help="JSON file: where its CDP keeps things elsewhere.")
    ] = None,
) -> None:
    """Add a tenant with the message templates that ship with the platform, or change it."""
    with (
        closing(connect(role_url("owner"), application_name="leo tenant")) as owner,
        closing(connect(role_url("runtime"), application_name="leo tenant")) as runtime,
    ):
        changed = add_tenant(owner, tenant_id=tenant_id, name=name, settings=_read(settings))
        templates = seed_templates(runtime, tenant_id)
    typer.echo(
        f"tenant {tenant_id}: {'written' if changed else 'unchanged'}; "
        f"templates new or changed: {templates}"
    )


def _read(path: Path | None) -> dict[str, Any] | None:
    """Read the settings file.

    :raises ConfigurationError: when it holds no JSON object.
    """
    if path is None:
        return None
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{path}: {error}: give a file that holds a JSON object") from None
    if not isinstance(value, dict):
        raise ConfigurationError(f"{path} holds {type(value).__name__}: give a JSON object")
    return value
