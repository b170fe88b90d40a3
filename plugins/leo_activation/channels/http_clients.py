"""HTTP/1.1 clients for channels that send one request a message.

A client with a pool looks at all its connections for every request, which costs more than the
request. So each parallel send has a client of its own with one connection, the last used first:
few sends at a time keep few connections warm.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache

import httpx

# What surely left nothing at the provider: no connection came about.
NOTHING_LEFT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


@cache
def _trusted() -> ssl.SSLContext:
    """Return what trusts the usual authorities; reading them takes 20 ms, so it is done once."""
    return ssl.create_default_context()


class HttpClients:
    """As many clients of one provider as may send at once.

    :param base_url: where the provider is.
    :param timeout_seconds: for each step of a request: connect, write, read.
    :param concurrency: most requests at once.
    """

    def __init__(self, base_url: str, timeout_seconds: float, concurrency: int) -> None:
        """Prepare the clients; each connects at its first request."""
        tls = _trusted()
        limits = httpx.Limits(max_connections=1, max_keepalive_connections=1)
        self._slots = asyncio.Semaphore(concurrency)
        self._clients = [
            httpx.AsyncClient(base_url=base_url, timeout=timeout_seconds, limits=limits, verify=tls)
            for _ in range(concurrency)
        ]

    @asynccontextmanager
    async def borrow(self) -> AsyncIterator[httpx.AsyncClient]:
        """Lend a client that nobody else uses meanwhile."""
        async with self._slots:
            client = self._clients.pop()
            try:
                yield client
            finally:
                self._clients.append(client)

    async def close(self) -> None:
        """Give up all connections."""
        for client in self._clients:
            await client.aclose()
