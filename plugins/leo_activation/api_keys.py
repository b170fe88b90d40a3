"""API keys: made, listed, rotated and revoked. A key is shown once; its hash is what is kept."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from psycopg.errors import ForeignKeyViolation

from leo_activation.database import Connection, Cursor, checked_tenant, tenant_transaction
from leo_activation.errors import ConfigurationError, UnknownTenantError
from leo_activation.queries import load_queries

SQL = load_queries("api_key")
SCOPES = ("events", "snapshots", "activate", "campaigns", "read")
DEFAULT_REQUESTS_PER_MINUTE = 6000
MAX_REQUESTS_PER_MINUTE = 10_000_000


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key that was made just now.

    :param key: the secret, which is nowhere else.
    """

    api_key_id: UUID
    key: str


def create_key(
    connection: Connection,
    *,
    tenant_id: str,
    name: str,
    scopes: Sequence[str],
    requests_per_minute: int = DEFAULT_REQUESTS_PER_MINUTE,
    expires_at: datetime | None = None,
    created_by: str = "leo",
) -> NewKey:
    """Make a key.

    :param name: what people recognise it by.
    :param scopes: of :data:`SCOPES`.
    :param requests_per_minute: how often it may call.
    :param expires_at: from when on it is refused; ``None`` for never.
    :raises ConfigurationError: for an unknown scope, or a rate out of range.
    :raises UnknownTenantError: there is no such tenant.
    """
    unknown = sorted(set(scopes) - set(SCOPES))
    if unknown or not scopes:
        raise ConfigurationError(
            f"{', '.join(unknown) or 'no scope'}: give scopes of {', '.join(SCOPES)}"
        )
    if not name.strip():
        raise ConfigurationError("the key's name is empty: give one that people recognise it by")
    if not 1 <= requests_per_minute <= MAX_REQUESTS_PER_MINUTE:
        raise ConfigurationError(
            f"{requests_per_minute} requests a minute: give 1 to {MAX_REQUESTS_PER_MINUTE:,}"
        )
    values = {
        "name": name,
        "scopes": sorted(set(scopes)),
        "requests_per_minute": requests_per_minute,
        "expires_at": expires_at,
    }
    with tenant_transaction(connection, tenant_id) as cursor:
        try:
            return _insert(cursor, tenant_id, created_by, values)
        except ForeignKeyViolation:
            raise UnknownTenantError(
                f"there is no tenant {tenant_id!r}: `leo tenant add` makes one"
            ) from None


def list_keys(connection: Connection, tenant_id: str) -> list[dict[str, Any]]:
    """Return a tenant's keys, the oldest first, without anything secret."""
    with tenant_transaction(connection, tenant_id) as cursor:
        return cursor.execute(SQL.list_keys, {"tenant_id": tenant_id}).fetchall()


def rotate_key(
    connection: Connection,
    *,
    tenant_id: str,
    api_key_id: UUID,
    overlap: timedelta,
    now: datetime,
    created_by: str = "leo",
) -> NewKey:
    """Make a key like another one, which dies after the overlap.

    :param overlap: for how long both are valid.
    :param now: when the overlap begins.
    :raises ConfigurationError: there is no such key, or it is not valid any more.
    """
    with tenant_transaction(connection, tenant_id) as cursor:
        wanted = {"tenant_id": tenant_id, "api_key_id": api_key_id}
        old = cursor.execute(SQL.lock_key, wanted).fetchone()
        if old is None:
            raise _no_such_key(tenant_id, api_key_id)
        if old["revoked_at"] is not None or (old["expires_at"] and old["expires_at"] <= now):
            raise ConfigurationError(
                f"API key {api_key_id} of tenant {tenant_id} is not valid any more: make a new one "
                "with `leo apikey create`"
            )
        # A key that was to die on a day keeps that day: rotating is no way to live longer.
        made = _insert(cursor, tenant_id, created_by, old)
        cursor.execute(SQL.expire_key, {**wanted, "expires_at": now + overlap})
    return made


def revoke_key(connection: Connection, *, tenant_id: str, api_key_id: UUID, now: datetime) -> bool:
    """Make a key worthless; processes that have just used it forget it within two seconds.

    :returns: whether it was valid until now.
    :raises ConfigurationError: there is no such key.
    """
    with tenant_transaction(connection, tenant_id) as cursor:
        wanted = {"tenant_id": tenant_id, "api_key_id": api_key_id}
        if cursor.execute(SQL.lock_key, wanted).fetchone() is None:
            raise _no_such_key(tenant_id, api_key_id)
        return cursor.execute(SQL.revoke_key, {**wanted, "now": now}).rowcount > 0


def _insert(cursor: Cursor, tenant_id: str, created_by: str, values: dict[str, Any]) -> NewKey:
    key = f"leo.{checked_tenant(tenant_id)}.{secrets.token_urlsafe(32)}"
    row = cursor.execute(
        SQL.create_key,
        {
            "tenant_id": tenant_id,
            "name": values["name"],
            "scopes": values["scopes"],
            "requests_per_minute": values["requests_per_minute"],
            "expires_at": values["expires_at"],
            "created_by": created_by,
            "key_hash": hashlib.sha256(key.encode()).digest(),
        },
    ).fetchone()
    assert row is not None  # noqa: S101 - an insert with returning gives its row
    return NewKey(row["api_key_id"], key)


def _no_such_key(tenant_id: str, api_key_id: UUID) -> ConfigurationError:
    return ConfigurationError(
        f"tenant {tenant_id} has no API key {api_key_id}: `leo apikey list` shows those it has"
    )
