"""How a tenant reaches its providers: settings in the clear, secrets encrypted by pgcrypto."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from leo_activation.channels.base import Credential
from leo_activation.database import AsyncCursor, Connection, tenant_transaction
from leo_activation.errors import ConfigurationError
from leo_activation.queries import load_queries


def store_credential(
    connection: Connection,
    *,
    tenant_id: str,
    channel: str,
    provider: str,
    settings: Mapping[str, Any],
    secret: Mapping[str, str],
    secret_key: str,
) -> None:
    """Store or replace the credential of one channel. A paused channel stays paused.

    :param settings: what may be seen.
    :param secret: what may not; encrypted before it is stored.
    :param secret_key: the key; the database never keeps it.
    :raises ConfigurationError: the key is empty.
    """
    _require(secret_key)
    with tenant_transaction(connection, tenant_id) as cursor:
        cursor.execute(
            load_queries("delivery").store_credential,
            {
                "tenant_id": tenant_id,
                "channel": channel,
                "provider": provider,
                "settings": Jsonb(dict(settings)),
                "secret": json.dumps(dict(secret)),
                "secret_key": secret_key,
            },
        )


async def load_credential(
    cursor: AsyncCursor, *, tenant_id: str, channel: str, secret_key: str
) -> Credential:
    """Read the credential of one channel.

    :param cursor: inside a transaction of the tenant.
    :param secret_key: the key it was stored with.
    :raises ConfigurationError: there is none, or the key does not fit.
    """
    _require(secret_key)
    try:
        await cursor.execute(
            load_queries("delivery").load_credential,
            {"tenant_id": tenant_id, "channel": channel, "secret_key": secret_key},
        )
        row = await cursor.fetchone()
    except psycopg.errors.ExternalRoutineInvocationException:
        # The cause would carry the parameters, and with them the key.
        raise ConfigurationError(
            f"the {channel} credential of tenant {tenant_id!r} cannot be decrypted: "
            "LEO_SECRET_KEY is not the key it was stored with; store the credential again"
        ) from None
    if row is None:
        raise ConfigurationError(
            f"tenant {tenant_id!r} has no credential for {channel!r}; store one first"
        )
    secret = json.loads(row["secret"]) if row["secret"] is not None else {}
    return Credential(tenant_id, channel, row["provider"], row["settings"], secret)


def resume_channel(connection: Connection, *, tenant_id: str, channel: str) -> None:
    """Let a paused channel send again, after a person has looked at the reason.

    :param connection: as the application.
    """
    with tenant_transaction(connection, tenant_id) as cursor:
        cursor.execute(
            load_queries("delivery").resume_channel, {"tenant_id": tenant_id, "channel": channel}
        )


def _require(secret_key: str) -> None:
    if not secret_key:
        raise ConfigurationError("LEO_SECRET_KEY is empty; set it to the installation's key")
