"""An HTTP/2 server whose handlers may also reset a stream, cut the connection or send GOAWAY.

One port speaks HTTP/2 (with prior knowledge, or chosen by ALPN over TLS) and HTTP/1.1: the first
bytes of a connection tell which.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import cast
from urllib.parse import parse_qsl, urlsplit

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import DataReceived, Event, RequestReceived, StreamEnded, StreamReset, WindowUpdated
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes, Settings

from sandbox.http_server import HttpProtocol, Request, Response

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


@dataclass(slots=True)
class StreamRequest(Request):
    """A request that came over HTTP/1.1 or over one stream of HTTP/2.

    :param take: asks whether the request may still be processed, and says that it is now.
    """

    take: Callable[[], bool] = field(default=lambda: True)


@dataclass(frozen=True, slots=True)
class Hangup:
    """An end without an answer.

    :param scope: ``connection`` or ``stream``; over HTTP/1.1 always the connection.
    :param error_code: of RST_STREAM.
    """

    scope: str = "connection"
    error_code: int = ErrorCodes.INTERNAL_ERROR


@dataclass(frozen=True, slots=True)
class Farewell:
    """A GOAWAY.

    :param response: the answer to this request; None when it is not processed.
    """

    response: Response | None = None


Answer = Response | Hangup | Farewell
StreamHandler = Callable[[StreamRequest], Awaitable[Answer]]


@dataclass(slots=True)
class _Stream:
    """What has come of one request."""

    headers: list[tuple[bytes, bytes]]
    body: bytearray = field(default_factory=bytearray)


class Http2Protocol(asyncio.Protocol):
    """Serves the streams of one connection side by side.

    :param handler: answers a request.
    :param max_streams: how many streams a client may have open.
    """

    def __init__(self, handler: StreamHandler, max_streams: int) -> None:
        """Wait for the connection."""
        self._handler = handler
        self._transport: asyncio.Transport | None = None
        self._streams: dict[int, _Stream] = {}
        self._working: dict[int, asyncio.Task[None]] = {}
        self._unsent: dict[int, bytes] = {}
        self._highest_taken = 0
        self._last_stream: int | None = None
        self._flushing = False
        self._h2 = H2Connection(
            H2Configuration(
                client_side=False,
                header_encoding=None,
                validate_inbound_headers=False,
                validate_outbound_headers=False,
                normalize_outbound_headers=False,
            )
        )
        self._h2.local_settings = Settings(
            client=False, initial_values={SettingCodes.MAX_CONCURRENT_STREAMS: max_streams}
        )

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the settings."""
        self._transport = cast(asyncio.Transport, transport)
        self._h2.initiate_connection()
        self._flush()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the transport; a handler that is still working finishes its record."""
        self._transport = None

    def data_received(self, data: bytes) -> None:
        """Feed the state machine; rubbish ends the connection."""
        try:
            events = self._h2.receive_data(data)
        except ProtocolError:
            self._abort()
            return
        for event in events:
            self._obey(event)
        self._flush_soon()

    def _obey(self, event: Event) -> None:
        if isinstance(event, RequestReceived):
            headers = cast(list[tuple[bytes, bytes]], event.headers)
            self._streams[cast(int, event.stream_id)] = _Stream(headers)
        elif isinstance(event, DataReceived):
            number = cast(int, event.stream_id)
            self._h2.acknowledge_received_data(cast(int, event.flow_controlled_length), number)
            if number in self._streams:
                self._streams[number].body += cast(bytes, event.data)
        elif isinstance(event, StreamEnded):
            self._begin(cast(int, event.stream_id))
        elif isinstance(event, StreamReset):
            self._streams.pop(cast(int, event.stream_id), None)
            self._unsent.pop(cast(int, event.stream_id), None)
        elif isinstance(event, WindowUpdated):
            for number in list(self._unsent):
                self._send_body(number)

    def _begin(self, number: int) -> None:
        stream = self._streams.pop(number, None)
        if stream is None or not self._is_wanted(number):
            return
        values = {name.decode("latin-1"): value.decode("latin-1") for name, value in stream.headers}
        target = urlsplit(values[":path"])
        request = StreamRequest(
            method=values[":method"],
            path=target.path,
            query=dict(parse_qsl(target.query)),
            headers=values,
            body=bytes(stream.body),
            take=lambda: self._take(number),
        )
        self._working[number] = asyncio.ensure_future(self._answer(number, request))

    def _is_wanted(self, number: int) -> bool:
        return self._last_stream is None or number <= self._last_stream

    def _take(self, number: int) -> bool:
        """Say that a stream is processed now, unless it was refused before."""
        if not self._is_wanted(number):
            return False
        self._highest_taken = max(self._highest_taken, number)
        return True

    async def _answer(self, number: int, request: StreamRequest) -> None:
        answer: Answer
        try:
            answer = await self._handler(request)
        except (ValueError, LookupError, TypeError) as error:
            answer = Response({"error": str(error)}, status=400)
        del self._working[number]
        if self._transport is None or not self._is_wanted(number):
            return
        if isinstance(answer, Farewell):
            self._go_away(number, processed=answer.response is not None)
            answer = answer.response or Hangup("stream", ErrorCodes.REFUSED_STREAM)
        if isinstance(answer, Response):
            self._send(number, answer)
        elif answer.scope == "stream":
            self._reset(number, answer.error_code)
        else:
            self._abort()
        self._flush_soon()

    def _go_away(self, number: int, *, processed: bool) -> None:
        """Promise to finish what was taken, and nothing above."""
        highest = max([number, *self._working, self._highest_taken])
        self._last_stream = highest if processed else max(number - 2, self._highest_taken, 0)
        # h2 ends the connection with a GOAWAY, but the streams below are still to be answered.
        frame = (
            b"\x00\x00\x08\x07\x00\x00\x00\x00\x00"
            + self._last_stream.to_bytes(4, "big")
            + ErrorCodes.NO_ERROR.to_bytes(4, "big")
        )
        self._flush()
        if self._transport is not None:
            self._transport.write(frame)

    def _reset(self, number: int, error_code: int) -> None:
        try:
            self._h2.reset_stream(number, error_code)
        except ProtocolError:
            # The client was faster.
            return

    def _send(self, number: int, response: Response) -> None:
        is_page = isinstance(response.body, str)
        body = (
            response.body.encode()
            if is_page
            else json.dumps(response.body, ensure_ascii=False).encode()
        )
        headers = [
            (b":status", str(response.status).encode()),
            (b"content-type", b"text/html; charset=UTF-8" if is_page else b"application/json"),
            (b"content-length", str(len(body)).encode()),
            *((k.lower().encode(), v.encode("latin-1")) for k, v in response.headers.items()),
        ]
        try:
            self._h2.send_headers(number, headers)
        except ProtocolError:
            # The client gave the stream up.
            return
        self._unsent[number] = body
        self._send_body(number)

    def _send_body(self, number: int) -> None:
        """Send as much as the client's window allows; the rest waits."""
        body = self._unsent[number]
        room = min(self._h2.local_flow_control_window(number), self._h2.max_outbound_frame_size)
        while body and room > 0:
            self._h2.send_data(number, body[:room], end_stream=len(body) <= room)
            body = body[room:]
            if body:
                room = min(
                    self._h2.local_flow_control_window(number), self._h2.max_outbound_frame_size
                )
        self._unsent[number] = body
        if not body:
            del self._unsent[number]

    def _flush_soon(self) -> None:
        """Write once for everything that happens in this turn of the loop."""
        if not self._flushing:
            self._flushing = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        self._flushing = False
        if self._transport is None:
            return
        if data := self._h2.data_to_send():
            self._transport.write(data)
        if self._last_stream is not None and not self._working and not self._unsent:
            self._transport.close()

    def _abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()


class SniffingProtocol(asyncio.Protocol):
    """Waits for the first bytes of a connection, then lets the right protocol serve it.

    :param handler: answers a request.
    :param max_streams: how many streams an HTTP/2 client may have open.
    """

    def __init__(self, handler: StreamHandler, max_streams: int) -> None:
        """Wait for the connection."""
        self._handler = handler
        self._max_streams = max_streams
        self._transport: asyncio.Transport | None = None
        self._seen = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Decide as soon as the bytes tell."""
        self._seen += data
        if len(self._seen) < len(_PREFACE) and _PREFACE.startswith(self._seen):
            return
        protocol: asyncio.Protocol
        if self._seen.startswith(_PREFACE):
            protocol = Http2Protocol(self._handler, self._max_streams)
        else:
            protocol = HttpProtocol(self._over_http1)
        transport = cast(asyncio.Transport, self._transport)
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        protocol.data_received(self._seen)

    async def _over_http1(self, request: Request) -> Response | None:
        answer = await self._handler(
            StreamRequest(
                request.method, request.path, request.query, request.headers, request.body
            )
        )
        if isinstance(answer, Farewell):
            return answer.response
        return answer if isinstance(answer, Response) else None


async def serve(
    handler: StreamHandler,
    host: str,
    port: int,
    *,
    max_streams: int = 100,
    tls: ssl.SSLContext | None = None,
) -> asyncio.Server:
    """Listen for HTTP/2 and HTTP/1.1 and return the running server.

    :param handler: answers every request.
    :param host: address to bind.
    :param port: port to bind; 0 picks a free one.
    :param max_streams: how many streams an HTTP/2 client may have open.
    :param tls: certificate and key; None for plain text.
    """
    if tls is not None:
        tls.set_alpn_protocols(["h2", "http/1.1"])
    loop = asyncio.get_running_loop()
    return await loop.create_server(
        lambda: SniffingProtocol(handler, max_streams), host, port, ssl=tls
    )
