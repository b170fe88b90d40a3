"""HTTP/2: many requests side by side on few connections.

httpx speaks HTTP/2 too, and gives up every open request of a connection when the server says
GOAWAY, even those that the server promises to answer. Servers say it in the ordinary course of
business, and here each such request would be a message of unknown fate (measured: 18 of 40). So
this speaks the protocol through ``h2`` itself, and tells three things apart: answered, surely not
processed (RFC 9113, 6.8 and 8.7: a stream above GOAWAY's last, or reset with REFUSED_STREAM), lost.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import cast
from urllib.parse import urlsplit

from h2.config import H2Configuration
from h2.connection import (
    ConnectionInputs,
    ConnectionState,
    H2Connection,
    H2ConnectionStateMachine,
)
from h2.errors import ErrorCodes
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    RemoteSettingsChanged,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    WindowUpdated,
)
from h2.exceptions import H2Error
from h2.settings import SettingCodes, Settings

from leo_activation.channels.transport import (
    AnswerLostError,
    NotProcessedError,
    ProtocolMismatchError,
    Reply,
)

# A body is one DATA frame: no server may ask for smaller ones (RFC 9113, 4.2).
_LARGEST_BODY = 16384
# Answers are short; what comes beyond is a fault and only its beginning is of use.
_LARGEST_ANSWER = 65536
_WINDOW = 2**24
# The state machine remembers closed streams; a fresh connection now and then keeps memory flat.
_REQUESTS_PER_CONNECTION = 20_000
# Firewalls forget silent connections without telling anybody.
_IDLE_SECONDS = 60.0
_CONNECT_SECONDS = 10.0

Headers = list[tuple[bytes, bytes]]


class _PatientStates(H2ConnectionStateMachine):
    """Reads on after a GOAWAY: the streams below its last one are still answered.

    ``h2`` takes GOAWAY for the end of the connection.
    """

    _transitions = {
        **H2ConnectionStateMachine._transitions,
        (ConnectionState.CLIENT_OPEN, ConnectionInputs.RECV_GOAWAY): (
            None,
            ConnectionState.CLIENT_OPEN,
        ),
    }


@dataclass(slots=True)
class _Exchange:
    """One request that waits for its answer."""

    answer: asyncio.Future[Reply]
    begun_at: float
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytearray = field(default_factory=bytearray)


class Http2Connection(asyncio.Protocol):
    """One connection, shared by as many requests as the server allows.

    :param on_room: called when more requests may fit, with how many; 0 for any number.
    """

    def __init__(self, on_room: Callable[[int], None]) -> None:
        """Wait for the connection."""
        self._loop = asyncio.get_running_loop()
        self._on_room = on_room
        self._transport: asyncio.Transport | None = None
        self._exchanges: dict[int, _Exchange] = {}
        self._requests = 0
        self._heard_at = self._loop.time()
        self._flushing = False
        self.is_leaving = False
        # Done when the server's settings have come.
        self.ready: asyncio.Future[None] = self._loop.create_future()
        self.closed: asyncio.Future[None] = self._loop.create_future()
        self._h2 = H2Connection(
            H2Configuration(
                client_side=True,
                header_encoding=None,
                validate_inbound_headers=False,
                validate_outbound_headers=False,
                # Would also encode the access token anew for each request.
                normalize_outbound_headers=False,
            )
        )
        self._h2.state_machine = _PatientStates()
        self._h2.local_settings = Settings(initial_values={SettingCodes.ENABLE_PUSH: 0})

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Say hello."""
        self._transport = cast(asyncio.Transport, transport)
        self._h2.initiate_connection()
        self._h2.increment_flow_control_window(_WINDOW)
        self._flush()

    def has_room(self, size: int) -> bool:
        """Tell whether a request can leave now.

        :param size: bytes of its body.
        """
        if self._loop.time() - self._heard_at > _IDLE_SECONDS and not self._exchanges:
            self.leave()
        if self._transport is None or self._transport.is_closing():
            self.is_leaving = True
        settings = self._h2.remote_settings
        window = min(self._h2.outbound_flow_control_window, settings.initial_window_size)
        return (
            not self.is_leaving
            and len(self._exchanges) < settings.max_concurrent_streams
            and size <= window
        )

    async def post(self, headers: Headers, body: bytes) -> Reply:
        """Send one request and wait for its answer; there must be room.

        :param headers: pseudo-headers first.
        :param body: one frame at most.
        :raises NotProcessedError: the server said that it did not process it.
        :raises AnswerLostError: anything else.
        """
        number = self._h2.get_next_available_stream_id()
        self._h2.send_headers(number, headers)
        self._h2.send_data(number, body, end_stream=True)
        exchange = _Exchange(self._loop.create_future(), self._loop.time())
        self._exchanges[number] = exchange
        self._requests += 1
        if self._requests >= _REQUESTS_PER_CONNECTION:
            self.is_leaving = True
        self._flush_soon()
        try:
            return await exchange.answer
        finally:
            if number in self._exchanges:
                self._give_up(number)

    def _give_up(self, number: int) -> None:
        """Stop waiting for an answer: it takes too long."""
        # A connection over which nothing has come since then may be dead: no more requests.
        is_mute = self._heard_at < self._exchanges[number].begun_at
        self.is_leaving = self.is_leaving or is_mute
        self._end(number)
        with suppress(H2Error):
            self._h2.reset_stream(number, ErrorCodes.CANCEL)
        self._flush_soon()

    def data_received(self, data: bytes) -> None:
        """Hand the answers out; rubbish ends the connection."""
        self._heard_at = self._loop.time()
        if not self.ready.done() and data.startswith(b"HTTP/"):
            # h2 would wait for the rest of a very long frame.
            self._fail(ProtocolMismatchError("the server answers in HTTP/1.1"))
            return
        # A GOAWAY makes h2 forget what it has not handed out yet.
        self._flush()
        try:
            for event in self._h2.receive_data(data):
                self._obey(event)
        except (H2Error, ValueError) as error:
            self._fail(ProtocolMismatchError(f"the answer is not HTTP/2: {type(error).__name__}"))
            return
        self._flush_soon()

    def _obey(self, event: Event) -> None:
        if isinstance(event, (ResponseReceived, DataReceived, StreamEnded, StreamReset)):
            self._obey_stream(event)
        elif isinstance(event, ConnectionTerminated):
            self._part(cast(int, event.last_stream_id))
        elif isinstance(event, RemoteSettingsChanged):
            if not self.ready.done():
                self.ready.set_result(None)
            self._on_room(0)
        elif isinstance(event, WindowUpdated):
            self._on_room(0)

    def _obey_stream(
        self, event: ResponseReceived | DataReceived | StreamEnded | StreamReset
    ) -> None:
        number = event.stream_id
        if isinstance(event, DataReceived):
            length = event.flow_controlled_length
            self._h2.acknowledge_received_data(length, number)
        exchange = self._exchanges.get(number)
        if exchange is None:
            return
        if isinstance(event, ResponseReceived):
            for name, value in event.headers:
                exchange.headers[name.decode("latin-1")] = value.decode("latin-1")
            exchange.status = int(exchange.headers.pop(":status", "0"))
        elif isinstance(event, DataReceived):
            if len(exchange.body) < _LARGEST_ANSWER:
                exchange.body += event.data
        elif isinstance(event, StreamEnded):
            reply = Reply(exchange.status, exchange.headers, bytes(exchange.body))
            if not exchange.answer.done():
                exchange.answer.set_result(reply)
            self._end(number)
        elif event.error_code == ErrorCodes.REFUSED_STREAM:
            self._fail_one(number, NotProcessedError("the server refused the stream"))
        else:
            self._fail_one(number, AnswerLostError("the server reset the stream"))

    def _part(self, last_stream: int) -> None:
        """Obey a GOAWAY: wait for what is promised, take nothing new."""
        self.is_leaving = True
        for number in [number for number in self._exchanges if number > last_stream]:
            self._fail_one(number, NotProcessedError("the server was closing the connection"))
        self._on_room(0)

    def _fail_one(self, number: int, error: Exception) -> None:
        exchange = self._exchanges[number]
        if not exchange.answer.done():
            exchange.answer.set_exception(error)
        self._end(number)

    def _end(self, number: int) -> None:
        del self._exchanges[number]
        self._on_room(1)

    def _fail(self, error: Exception) -> None:
        """End everything; what waited for an answer does not get one."""
        self.is_leaving = True
        if not self.ready.done():
            self.ready.set_exception(error)
            # Nobody may be waiting any more.
            self.ready.exception()
        for number in list(self._exchanges):
            self._fail_one(number, AnswerLostError("the connection ended"))
        self.abort()
        self._on_room(0)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell everybody who waits."""
        self._transport = None
        self._fail(NotProcessedError("the server hung up before it said hello"))
        self.closed.set_result(None)

    def abort(self) -> None:
        """End the connection at once."""
        if self._transport is not None:
            self._transport.abort()

    def leave(self) -> None:
        """Take no more requests and close when the last is answered."""
        self.is_leaving = True
        self._flush_soon()

    def _flush_soon(self) -> None:
        """Write once for everything that happens in this turn of the loop."""
        if not self._flushing:
            self._flushing = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flushing = False
        if self._transport is None:
            return
        if data := self._h2.data_to_send():
            self._transport.write(data)
        if self.is_leaving and not self._exchanges:
            self._transport.close()


class Http2Transport:
    """Requests to one address over a few connections, the first filled first.

    :param url: address of every request; ``http`` means HTTP/2 with prior knowledge.
    :param connections: most connections that take requests.
    """

    def __init__(self, url: str, connections: int) -> None:
        """Connect to nothing yet."""
        address = urlsplit(url)
        self._host = cast(str, address.hostname)
        self._tls: ssl.SSLContext | None = None
        if address.scheme == "https":
            self._tls = ssl.create_default_context()
            self._tls.set_alpn_protocols(["h2"])
        self._port = address.port or (443 if self._tls else 80)
        self._most = connections
        self._connections: list[Http2Connection] = []
        self._connecting: asyncio.Task[None] | None = None
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._pseudo_headers: Headers = [
            (b":method", b"POST"),
            (b":scheme", address.scheme.encode()),
            (b":authority", address.netloc.encode()),
            (b":path", address.path.encode()),
        ]

    async def post(self, headers: Mapping[str, str], body: bytes, deadline: float) -> Reply:
        """Post to the one address of this transport; see :class:`Transport`."""
        if len(body) > _LARGEST_BODY:
            raise NotProcessedError(f"the request has {len(body)} bytes, more than a frame holds")
        fields = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
        has_begun = False
        try:
            async with asyncio.timeout_at(deadline):
                connection = await self._connection(len(body))
                has_begun = True
                return await connection.post(self._pseudo_headers + fields, body)
        except TimeoutError:
            if has_begun:
                raise AnswerLostError("no answer in time") from None
            raise NotProcessedError("no connection in time") from None
        except H2Error as error:
            raise AnswerLostError(type(error).__name__) from None

    async def _connection(self, size: int) -> Http2Connection:
        """Return a connection with room, opening one or waiting for one."""
        while True:
            self._connections = [each for each in self._connections if not each.closed.done()]
            for connection in self._connections:
                if connection.has_room(size):
                    return connection
            if sum(not each.is_leaving for each in self._connections) < self._most:
                await self._connect()
            else:
                await self._wait_for_room()

    async def _connect(self) -> None:
        """Open a connection; who comes meanwhile waits for the same."""
        if self._connecting is None or self._connecting.done():
            self._connecting = asyncio.ensure_future(self._open())
            # When everybody has given up waiting, nobody else asks how it ended.
            self._connecting.add_done_callback(lambda task: task.cancelled() or task.exception())
        await asyncio.shield(self._connecting)

    async def _open(self) -> None:
        connection = Http2Connection(self._notify)
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                await self._shake_hands(connection)
        except BaseException as error:
            connection.abort()
            if isinstance(error, OSError):
                raise NotProcessedError(f"no connection: {type(error).__name__}") from None
            raise
        self._connections.append(connection)

    async def _shake_hands(self, connection: Http2Connection) -> None:
        transport, _ = await asyncio.get_running_loop().create_connection(
            lambda: connection, self._host, self._port, ssl=self._tls
        )
        tls = transport.get_extra_info("ssl_object")
        if tls is not None and tls.selected_alpn_protocol() != "h2":
            raise ProtocolMismatchError("the server does not offer HTTP/2")
        await connection.ready

    async def _wait_for_room(self) -> None:
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(woken)
        try:
            await woken
        except asyncio.CancelledError:
            if woken.done() and not woken.cancelled():
                # The room is for the next one.
                self._notify(1)
            raise

    def _notify(self, count: int) -> None:
        """Wake those who wait for room: the first ones, or all with 0."""
        count = count or len(self._waiting)
        while self._waiting and count:
            woken = self._waiting.popleft()
            if not woken.done():
                woken.set_result(None)
                count -= 1

    async def close(self) -> None:
        """Give up all connections."""
        if self._connecting is not None:
            self._connecting.cancel()
        for connection in self._connections:
            connection.abort()
            await connection.closed
