"""What the endpoints work with: connections, the gateway, Airflow, the time."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

import anyio
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool, ConnectionPool

from leo_activation.database import (
    LIVENESS,
    AsyncConnection,
    AsyncCursor,
    Connection,
    tenant_transaction_async,
)
from leo_activation.decision.choose import ChoiceGateway
from leo_activation.decision.client import DecisionGateway

if TYPE_CHECKING:
    from leo_activation.api.airflow_runs import RunStarter

P = ParamSpec("P")
T = TypeVar("T")

# Per process. What intake may hold of them is bounded by itself (event_intake.py).
ASYNC_CONNECTIONS = 6
# For events and keys alone: however slow the other requests are, events go on being written.
INTAKE_CONNECTIONS = 6
SYNC_CONNECTIONS = 6
# For what must never wait behind long work: a provider gives up after two seconds.
BRIEF_CONNECTIONS = 2
# How long a request waits for a connection before it is told to come again.
CONNECTION_SECONDS = 5.0


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass
class ApiServices:
    """The connections and settings of one process; ``request.app.state.services``.

    :param pool: asynchronous connections of the runtime role, autocommit, rows as dictionaries.
    :param intake_pool: the same, for events and keys.
    :param threads_pool: the same for functions that are not asynchronous.
    :param brief_pool: the same for those that are done in milliseconds.
    :param secret_key: the installation's key: provider credentials, unsubscribe links.
    :param gateway: compiles sentences; it is synchronous, so call it in a thread.
    :param choices: opens a gateway that chooses for a customer within so many seconds.
    :param runs: starts DAG runs; ``None`` where no Airflow is configured.
    :param workers: processes that share the keys' rate limits.
    :param clock: the time now, with a zone.
    """

    pool: AsyncConnectionPool[AsyncConnection]
    intake_pool: AsyncConnectionPool[AsyncConnection]
    threads_pool: ConnectionPool[Connection]
    brief_pool: ConnectionPool[Connection]
    secret_key: str
    gateway: DecisionGateway | None = None
    choices: Callable[[float], AbstractContextManager[ChoiceGateway]] | None = None
    runs: RunStarter | None = None
    workers: int = 1
    clock: Callable[[], datetime] = _now
    _threads: anyio.CapacityLimiter = field(init=False)
    _brief_threads: anyio.CapacityLimiter = field(init=False)

    def __post_init__(self) -> None:
        """Allow as many threads as there are connections for them."""
        self._threads = anyio.CapacityLimiter(SYNC_CONNECTIONS)
        self._brief_threads = anyio.CapacityLimiter(BRIEF_CONNECTIONS)

    @contextlib.asynccontextmanager
    async def transaction(self, tenant_id: str) -> AsyncIterator[AsyncCursor]:
        """Run one transaction as one tenant.

        :raises psycopg.OperationalError: there is no connection, or it was lost.
        """
        async with (
            self.pool.connection() as connection,
            tenant_transaction_async(connection, tenant_id) as cursor,
        ):
            yield cursor

    async def run(
        self, function: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run a function of the package in a thread, with a connection as its first argument.

        :param function: must keep its work in tenant transactions.
        """
        return await anyio.to_thread.run_sync(
            _with_connection(self.threads_pool, function, args, kwargs), limiter=self._threads
        )

    async def run_briefly(
        self, function: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Do what :meth:`run` does, for work of milliseconds that must not wait behind longer."""
        return await anyio.to_thread.run_sync(
            _with_connection(self.brief_pool, function, args, kwargs), limiter=self._brief_threads
        )

    async def open(self) -> None:
        """Start connecting; a server that is down now is connected to when it is back."""
        await self.pool.open(wait=False)
        await self.intake_pool.open(wait=False)
        self.threads_pool.open(wait=False)
        self.brief_pool.open(wait=False)

    async def close(self) -> None:
        """Close all connections."""
        await self.pool.close()
        await self.intake_pool.close()
        await anyio.to_thread.run_sync(self.threads_pool.close)
        await anyio.to_thread.run_sync(self.brief_pool.close)


def _with_connection(
    pool: ConnectionPool[Connection],
    function: Callable[..., T],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Callable[[], T]:
    """Return a call that takes its connection in the thread that it runs in."""

    def call() -> T:
        with pool.connection() as connection:
            return function(connection, *args, **kwargs)

    return call


def make_services(database_url: str, secret_key: str, **others: Any) -> ApiServices:
    """Return services around a database; nothing is connected before :meth:`ApiServices.open`.

    :param database_url: of the application's role, which is subject to row level security.
    :param others: further fields of :class:`ApiServices`.
    """
    settings = {
        "autocommit": True,
        "row_factory": dict_row,
        "application_name": "leo api",
        **LIVENESS,
    }
    return ApiServices(
        _async_pool(database_url, settings, ASYNC_CONNECTIONS),
        _async_pool(database_url, settings, INTAKE_CONNECTIONS),
        _sync_pool(database_url, settings, SYNC_CONNECTIONS),
        _sync_pool(database_url, settings, BRIEF_CONNECTIONS),
        secret_key,
        **others,
    )


def _async_pool(
    url: str, settings: dict[str, Any], most: int
) -> AsyncConnectionPool[AsyncConnection]:
    return AsyncConnectionPool(
        url,
        kwargs=settings,
        min_size=1,
        max_size=most,
        timeout=CONNECTION_SECONDS,
        # A connection that died while it was idle is replaced before anybody works with it.
        check=AsyncConnectionPool.check_connection,
        open=False,
    )


def _sync_pool(url: str, settings: dict[str, Any], most: int) -> ConnectionPool[Connection]:
    return ConnectionPool(
        url,
        kwargs=settings,
        min_size=1,
        max_size=most,
        timeout=CONNECTION_SECONDS,
        check=ConnectionPool.check_connection,
        open=False,
    )
