"""How much of a request is read: bounded bytes, bounded time, and gzip that cannot explode."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from leo_activation.api.problems import Problem

MIB = 1024 * 1024
MAX_BODY_BYTES = 1 * MIB
# Paths (below the mount) whose bodies may be larger; the first that the path starts with counts.
LARGER_BODIES = (("/events", 10 * MIB), ("/webhooks/", 4 * MIB))
BODY_SECONDS = 30.0
_GZIP = 16 + zlib.MAX_WBITS
# JSON shrinks to a tenth with gzip; what inflates further still ends at the limit of one body.
_USUAL_INFLATION = 20
RETRY_SECONDS = 1


class Room:
    """Bytes of bodies that may be held at a time; who would need more is told to come again.

    :param most: for all requests together.
    """

    def __init__(self, most: int) -> None:
        """Start empty."""
        self.most, self.held = most, 0

    @contextmanager
    def hold(self, scope: Scope) -> Iterator[None]:
        """Hold room for the body of a request, from before it is read until it is answered.

        :raises Problem: 429 when there is none.
        """
        size = _told_size(scope)
        if self.held + size > self.most:
            raise Problem(
                429, "busy", "more is waiting than can be written soon", f"{self.held:,} bytes",
                "send the same again after Retry-After seconds", retry_after=RETRY_SECONDS,
            )  # fmt: skip
        self.held += size
        try:
            yield
        finally:
            self.held -= size


def _told_size(scope: Scope) -> int:
    """Return how many bytes a request may bring, before any of them is read."""
    headers = dict(scope["headers"])
    told, limit = headers.get(b"content-length", b""), body_limit(scope)
    if not told.isdigit():
        return limit
    factor = _USUAL_INFLATION if b"content-encoding" in headers else 1
    return min(limit, int(told) * factor)


class BoundedBody:
    """Middleware: the application reads at most so many bytes, inflated ones counted.

    Nothing is read before the application asks, so a request without a key costs no body.

    :param app: what is inside.
    """

    def __init__(self, app: ASGIApp) -> None:
        """Wrap an application."""
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on with a bounded body."""
        if scope["type"] == "http":
            _refuse_nul(scope)
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD"):
            await self.app(scope, receive, send)
            return
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        limit = body_limit(scope)
        told = headers.get(b"content-length", "")
        body = _Body(receive, limit, int(told) if told.isdigit() else 0)
        encoding = headers.get(b"content-encoding", "identity").strip().lower()
        if encoding in ("gzip", "x-gzip"):
            body.inflate = zlib.decompressobj(_GZIP)
        elif encoding not in ("", "identity"):
            raise Problem(
                415, "unknown-encoding", "the body's Content-Encoding is not understood", encoding,
                "send it as it is, or with gzip",
            )  # fmt: skip
        await self.app(scope, body.receive, send)


def body_limit(scope: Scope) -> int:
    """Return how many bytes the body of a request may have."""
    path = scope["path"].removeprefix(scope.get("root_path", ""))
    for prefix, limit in LARGER_BODIES:
        if path.startswith(prefix):
            return limit
    return MAX_BODY_BYTES


class _Body:
    """One request's body on its way in."""

    def __init__(self, receive: Receive, limit: int, told: int) -> None:
        self._receive, self.limit, self.told = receive, limit, told
        self.inflate: zlib._Decompress | None = None
        self.seen = 0
        self.deadline: float | None = None
        self.is_complete = False

    async def receive(self) -> Message:
        """Return the next piece.

        :raises Problem: the body is too long, too slow or no gzip.
        """
        if self.is_complete:
            # What comes now is the end of the connection, for which nobody's patience is limited.
            return await self._receive()
        if self.told > self.limit:
            raise self._too_large(self.told)
        loop = asyncio.get_running_loop()
        self.deadline = self.deadline or loop.time() + BODY_SECONDS
        try:
            async with asyncio.timeout_at(self.deadline):
                message = await self._receive()
        except TimeoutError:
            raise Problem(
                408, "slow-body", "the body did not arrive in time", f"{BODY_SECONDS:g} s",
                "send it again",
            ) from None  # fmt: skip
        if message["type"] != "http.request":
            return message
        self.is_complete = not message.get("more_body", False)
        content = message.get("body", b"")
        if self.inflate is not None:
            content = self._inflated(content)
        self.seen += len(content)
        if self.seen > self.limit:
            raise self._too_large(self.seen)
        return {**message, "body": content}

    def _inflated(self, content: bytes) -> bytes:
        """Return what a piece inflates to, stopping at one byte above the limit."""
        assert self.inflate is not None  # noqa: S101 - asked by the only caller
        try:
            inflated = self.inflate.decompress(content, self.limit + 1 - self.seen)
        except zlib.error as error:
            raise _broken_gzip(str(error)) from None
        if self.is_complete and not self.inflate.eof and self.seen + len(inflated) <= self.limit:
            raise _broken_gzip("it ends too early")
        if self.inflate.unused_data:
            raise _broken_gzip("something follows its end")
        return inflated

    def _too_large(self, size: int) -> Problem:
        return Problem(
            413, "too-large", "the body is too large", f"{size:,} bytes or more",
            f"send at most {self.limit:,} bytes; split a batch", headers={"Connection": "close"},
        )  # fmt: skip


def _broken_gzip(reason: str) -> Problem:
    return Problem(
        400, "invalid-gzip", f"the body is no gzip, as its Content-Encoding says: {reason}",
        action="compress it again, or send it without Content-Encoding",
    )  # fmt: skip


def _refuse_nul(scope: Scope) -> None:
    """Refuse what PostgreSQL can never hold, before it is looked up.

    :raises Problem: when the address holds a NUL character.
    """
    if "\0" in scope["path"] or b"%00" in scope["query_string"]:
        raise Problem(
            400, "nul-character", "the address holds a NUL character (%00)", scope["path"],
            "take it out; no id and no text may hold one",
        )  # fmt: skip
