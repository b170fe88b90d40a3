"""Sees when a worker has to be started: something is to be done, and nobody is at work."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime

import psycopg

from leo_activation.database import AsyncConnection, connect_async, tenant_transaction_async
from leo_activation.decision.tasks import present
from leo_activation.events.processing import Mode
from leo_activation.queries import load_queries

log = logging.getLogger(__name__)

APPLICATION_NAME = "leo_events_watch"
SQL = load_queries("events")
MODES: tuple[Mode, ...] = ("plan", "choose")
# A notice seldom comes alone.
_GATHER_SECONDS = 0.2
_RECONNECT_SECONDS = 5.0


async def watch(
    database_url: str,
    tenants: Sequence[str],
    *,
    poll_seconds: float = 30.0,
    start_seconds: float = 60.0,
    clock: Callable[[], datetime] = present,
) -> AsyncIterator[list[str]]:
    """Yield the tenants for whom a worker has to be started, whenever there are any.

    A notice is answered at once. One that was lost, a message that waited until now, and what a
    person let go on are seen within ``poll_seconds``.

    :param database_url: libpq URL of the runtime role.
    :param poll_seconds: look at everything so often.
    :param start_seconds: how long a worker may take to begin, before it is asked for again.
    """
    asked: dict[str, float] = {}
    while True:
        try:
            connection = await connect_async(database_url, application_name=APPLICATION_NAME)
        except psycopg.OperationalError as error:
            log.warning("events cannot be watched for a moment: %s", error)
            await asyncio.sleep(_RECONNECT_SECONDS)
            continue
        try:
            await connection.execute(SQL.listen)
            while True:
                waiting, soon = await _look(connection, tenants, clock())
                late = time.monotonic() - start_seconds
                fresh = [tenant for tenant in waiting if asked.get(tenant, late) <= late]
                if fresh:
                    asked.update(dict.fromkeys(fresh, time.monotonic()))
                    yield fresh
                rest = poll_seconds
                if soon is not None:
                    rest = min(rest, max((soon - clock()).total_seconds(), _GATHER_SECONDS))
                async for _ in connection.notifies(timeout=rest, stop_after=1):
                    await asyncio.sleep(_GATHER_SECONDS)
        except psycopg.OperationalError as error:
            log.warning("events cannot be watched for a moment: %s", error)
            await asyncio.sleep(_RECONNECT_SECONDS)
        finally:
            await connection.close()


async def find_work(
    database_url: str, tenants: Sequence[str], *, clock: Callable[[], datetime] = present
) -> bool:
    """Tell whether anything is to be done now, whoever is at work."""
    connection = await connect_async(database_url, application_name=APPLICATION_NAME)
    async with connection:
        for tenant_id in tenants:
            due_at = await _next_due(connection, tenant_id, clock())
            if due_at is not None and due_at <= clock():
                return True
    return False


async def _look(
    connection: AsyncConnection, tenants: Sequence[str], now: datetime
) -> tuple[list[str], datetime | None]:
    """Return whom nobody attends although something is due, and when the next thing is due."""
    waiting, later = [], []
    for tenant_id in tenants:
        if await _is_attended(connection, tenant_id):
            continue
        due_at = await _next_due(connection, tenant_id, now)
        if due_at is None:
            continue
        if due_at > now:
            later.append(due_at)
        else:
            waiting.append(tenant_id)
    return waiting, min(later, default=None)


async def _is_attended(connection: AsyncConnection, tenant_id: str) -> bool:
    async with tenant_transaction_async(connection, tenant_id) as cursor:
        await cursor.execute(SQL.is_attended, {"tenant_id": tenant_id})
        row = await cursor.fetchone()
    return bool(row and row["is_attended"])


async def _next_due(connection: AsyncConnection, tenant_id: str, now: datetime) -> datetime | None:
    async with tenant_transaction_async(connection, tenant_id) as cursor:
        await cursor.execute(SQL.next_arrived, {"tenant_id": tenant_id, "modes": list(MODES)})
        arrived = await cursor.fetchone()
        await cursor.execute(SQL.due_channels, {"tenant_id": tenant_id, "now": now})
        due = [row["due_at"] for row in await cursor.fetchall()]
    if arrived is not None and arrived["due_at"] is not None:
        due.append(arrived["due_at"])
    return min(due, default=None)
