"""A small, fast HTTP/1.1 server whose handlers may also hang up.

A web framework cannot cut a connection in the middle of an exchange, and that is the fault that
matters most here. Only what the stand-ins need: keep-alive, Content-Length bodies, JSON.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, cast
from urllib.parse import parse_qsl, urlsplit

import httptools


@dataclass(slots=True)
class Request:
    """One request as it was received."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """Parse the body as JSON."""
        return json.loads(self.body or b"null")


@dataclass(slots=True)
class Response:
    """One answer; a plain object becomes JSON."""

    body: Any
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)

    def encode(self, keep_alive: bool) -> bytes:
        """Return the bytes for the wire.

        :param keep_alive: whether the connection stays open.
        """
        if isinstance(self.body, str):
            payload, kind = self.body.encode(), "text/html; charset=utf-8"
        else:
            payload = json.dumps(self.body, ensure_ascii=False).encode()
            kind = "application/json"
        head = [
            f"HTTP/1.1 {self.status} {HTTPStatus(self.status).phrase}",
            f"Content-Type: {kind}",
            f"Content-Length: {len(payload)}",
            f"Connection: {'keep-alive' if keep_alive else 'close'}",
            *(f"{name}: {value}" for name, value in self.headers.items()),
        ]
        return "\r\n".join(head).encode("latin-1") + b"\r\n\r\n" + payload


Handler = Callable[[Request], Awaitable[Response | None]]


class HttpProtocol(asyncio.Protocol):
    """Serves one connection, one request after the other.

    :param handler: answers a request; None means hang up without an answer.
    """

    def __init__(self, handler: Handler) -> None:
        """Wait for the connection."""
        self._handler = handler
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpRequestParser(self)
        self._task: asyncio.Task[None] | None = None
        self._url = b""
        self._headers: dict[str, str] = {}
        self._body: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the transport; a handler that is still working finishes its record."""
        self._transport = None

    def data_received(self, data: bytes) -> None:
        """Feed the parser; rubbish ends the connection."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            if self._transport is not None:
                self._transport.abort()

    def on_message_begin(self) -> None:
        """Start a new request."""
        self._url, self._headers, self._body = b"", {}, []

    def on_url(self, url: bytes) -> None:
        """Collect the request target."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Collect one header."""
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_body(self, body: bytes) -> None:
        """Collect a piece of the body."""
        self._body.append(body)

    def on_message_complete(self) -> None:
        """Answer; later requests of the same connection wait for their turn."""
        target = urlsplit(self._url.decode("latin-1"))
        request = Request(
            method=self._parser.get_method().decode(),
            path=target.path,
            query=dict(parse_qsl(target.query)),
            headers=self._headers,
            body=b"".join(self._body),
        )
        keep_alive = self._parser.should_keep_alive()
        self._task = asyncio.ensure_future(self._answer(self._task, request, keep_alive))

    async def _answer(
        self, previous: asyncio.Task[None] | None, request: Request, keep_alive: bool
    ) -> None:
        if previous is not None and not previous.done():
            await previous
        try:
            response = await self._handler(request)
        except (ValueError, LookupError, TypeError) as error:
            response = Response({"error": str(error)}, status=400)
        if self._transport is None:
            return
        if response is None:
            self._transport.abort()
            return
        self._transport.write(response.encode(keep_alive))
        if not keep_alive:
            self._transport.close()


async def serve(handler: Handler, host: str, port: int) -> asyncio.Server:
    """Listen for HTTP and return the running server.

    :param handler: answers every request.
    :param host: address to bind.
    :param port: port to bind; 0 picks a free one.
    """
    loop = asyncio.get_running_loop()
    return await loop.create_server(lambda: HttpProtocol(handler), host, port)
