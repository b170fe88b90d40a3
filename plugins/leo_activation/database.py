"""Connections, and the tenant of a transaction.

Row level security reads the setting ``leo.tenant_id``. It is set for one transaction only, so a
pooled or reused connection can never carry one tenant's rights into another's work, and a
connection without it sees no rows.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import psycopg
from psycopg.rows import DictRow, dict_row

from leo_activation.errors import UnknownTenantError

Connection = psycopg.Connection[DictRow]
Cursor = psycopg.Cursor[DictRow]
AsyncConnection = psycopg.AsyncConnection[DictRow]
AsyncCursor = psycopg.AsyncCursor[DictRow]

# The same rule as the check on tenant.tenant_id in schema.sql.
_TENANT_ID = re.compile(r"^[a-z][a-z0-9_-]{1,39}$")
# A server that is gone without a word (a cut cable, a lost machine) is given up after half a minute
# instead of a quarter of an hour; until then nothing leaves and SIGTERM is not obeyed.
LIVENESS = {
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 4,
    "tcp_user_timeout": 30_000,
}


def connect(url: str, *, application_name: str = "leo", **options: Any) -> Connection:
    """Open an autocommit connection whose rows are dictionaries.

    Autocommit keeps transactions explicit: work happens inside :func:`tenant_transaction`.

    :param url: a libpq URL of a role that is subject to row level security.
    :param application_name: shown in ``pg_stat_activity``.
    :raises psycopg.OperationalError: when the server cannot be reached.
    """
    return psycopg.connect(
        url,
        autocommit=True,
        row_factory=dict_row,
        application_name=application_name,
        **{**LIVENESS, **options},
    )


async def connect_async(
    url: str, *, application_name: str = "leo", **options: Any
) -> AsyncConnection:
    """Open an asynchronous connection with the settings of :func:`connect`."""
    return await psycopg.AsyncConnection.connect(
        url,
        autocommit=True,
        row_factory=dict_row,
        application_name=application_name,
        **{**LIVENESS, **options},
    )


def checked_tenant(tenant_id: str) -> str:
    """Return the tenant id, refusing anything that cannot be one.

    :raises UnknownTenantError: for an empty or malformed id, before it reaches the database.
    """
    if not _TENANT_ID.match(tenant_id or ""):
        raise UnknownTenantError(
            f"{tenant_id!r} is no tenant id: use 2 to 40 of a-z, 0-9, '_' and '-', letter first"
        )
    return tenant_id


@contextmanager
def tenant_transaction(connection: Connection, tenant_id: str) -> Iterator[Cursor]:
    """Run one transaction as one tenant.

    :param connection: an autocommit connection of the runtime role.
    :param tenant_id: whose rows are visible and writable inside.
    :raises UnknownTenantError: when the id is malformed.
    """
    with connection.transaction(), connection.cursor() as cursor:
        cursor.execute("select set_config('leo.tenant_id', %s, true)", (checked_tenant(tenant_id),))
        yield cursor


@asynccontextmanager
async def tenant_transaction_async(
    connection: AsyncConnection, tenant_id: str
) -> AsyncIterator[AsyncCursor]:
    """Run one asynchronous transaction as one tenant; see :func:`tenant_transaction`."""
    async with connection.transaction(), connection.cursor() as cursor:
        await cursor.execute(
            "select set_config('leo.tenant_id', %s, true)", (checked_tenant(tenant_id),)
        )
        yield cursor
