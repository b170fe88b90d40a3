"""How a tenant reaches its providers: settings in the clear, secrets encrypted by pgcrypto."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from leo_activation.channels.base import Credential
from leo_activation.database import AsyncCursor, Connection, Cursor, tenant_transaction
from leo_activation.errors import ConfigurationError
from leo_activation.queries import load_queries

SQL = load_queries("credential")


def store_credential(
    connection: Connection,
    *,
    tenant_id: str,
    channel: str,
    provider: str,
    settings: Mapping[str, Any],
    secret: Mapping[str, str],
    secret_key: str,
    expires_at: datetime | None = None,
) -> None:
    """Store or replace the credential of one channel. A paused channel stays paused.

    :param settings: what may be seen.
    :param secret: what may not; encrypted before it is stored.
    :param secret_key: the key; the database never keeps it.
    :param expires_at: when the secret dies; None when it does not, or is not known.
    :raises ConfigurationError: the key is empty.
    """
    require_key(secret_key)
    with tenant_transaction(connection, tenant_id) as cursor:
        cursor.execute(
            SQL.store_credential,
            {
                "tenant_id": tenant_id,
                "channel": channel,
                "provider": provider,
                "settings": Jsonb(dict(settings)),
                "secret": json.dumps(dict(secret)),
                "secret_key": secret_key,
                "expires_at": expires_at,
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
    row = await read_row(
        cursor, SQL.load_credential, tenant_id=tenant_id, channel=channel, secret_key=secret_key
    )
    return credential_of(row, tenant_id, channel)


def read_credential(cursor: Cursor, *, tenant_id: str, channel: str, secret_key: str) -> Credential:
    """Do the work of :func:`load_credential` where nothing is asynchronous."""
    require_key(secret_key)
    wanted = {"tenant_id": tenant_id, "channel": channel, "secret_key": secret_key}
    with _naming_the_key(tenant_id, channel):
        row = cursor.execute(SQL.load_credential, wanted).fetchone()
    return credential_of(_found(row, tenant_id, channel), tenant_id, channel)


async def read_row(
    cursor: AsyncCursor, query: Any, *, tenant_id: str, channel: str, secret_key: str
) -> Mapping[str, Any]:
    """Run a query that decrypts one credential.

    :param cursor: inside a transaction of the tenant.
    :param query: of ``credential.sql``.
    :param secret_key: the key it was stored with.
    :raises ConfigurationError: there is none, or the key does not fit.
    """
    require_key(secret_key)
    wanted = {"tenant_id": tenant_id, "channel": channel, "secret_key": secret_key}
    with _naming_the_key(tenant_id, channel):
        await cursor.execute(query, wanted)
        row = await cursor.fetchone()
    return _found(row, tenant_id, channel)


@contextmanager
def _naming_the_key(tenant_id: str, channel: str) -> Iterator[None]:
    """Say what is wrong when a credential cannot be decrypted, and no more than that."""
    try:
        yield
    except psycopg.errors.ExternalRoutineInvocationException:
        # The cause would carry the parameters, and with them the key.
        raise ConfigurationError(
            f"the {channel} credential of tenant {tenant_id!r} cannot be decrypted: "
            "LEO_SECRET_KEY is not the key it was stored with; store the credential again"
        ) from None


def _found(row: Mapping[str, Any] | None, tenant_id: str, channel: str) -> Mapping[str, Any]:
    if row is None:
        raise ConfigurationError(
            f"tenant {tenant_id!r} has no credential for {channel!r}; store one first"
        )
    return row


def credential_of(row: Mapping[str, Any], tenant_id: str, channel: str) -> Credential:
    """Make the credential of a row that :func:`read_row` returned."""
    secret = json.loads(row["secret"]) if row["secret"] is not None else {}
    return Credential(
        tenant_id, channel, row["provider"], row["settings"], secret, row["expires_at"]
    )


def require_key(secret_key: str) -> None:
    """Refuse to encrypt or decrypt with nothing.

    :raises ConfigurationError: the key is empty.
    """
    if not secret_key:
        raise ConfigurationError("LEO_SECRET_KEY is empty; set it to the installation's key")
