"""Posting a request so that one knows, whatever happens, whether the provider may have it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Protocol

import httpx

from leo_activation.channels.http_clients import NOTHING_LEFT, HttpClients

# A provider that asks for a longer silence is asked again after a day.
_LONGEST_WAIT = 86400.0


@dataclass(frozen=True, slots=True)
class Reply:
    """A complete answer.

    :param headers: names in lower case.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes


class NotProcessedError(Exception):
    """The provider surely did not process the request, or never had it."""


class AnswerLostError(Exception):
    """The request, or a part of it, has left; no complete answer came."""


class ProtocolMismatchError(Exception):
    """The other side does not speak the protocol that the settings say."""


class Transport(Protocol):
    """Where the requests of one channel go."""

    async def post(self, headers: Mapping[str, str], body: bytes, deadline: float) -> Reply:
        """Post to the one address of this transport.

        :param headers: names in lower case.
        :param body: at most 16 KiB.
        :param deadline: the loop's time at which to give up.
        :raises NotProcessedError: nothing is left at the provider.
        :raises AnswerLostError: unknown what is left there.
        :raises ProtocolMismatchError: the settings must be changed.
        """
        ...

    async def close(self) -> None:
        """Give up all connections."""
        ...


class Http1Transport:
    """HTTP/1.1: one request after the other on each connection.

    :param url: address of every request.
    :param timeout_seconds: for each step of a request.
    :param concurrency: most requests at once.
    """

    def __init__(self, url: str, timeout_seconds: float, concurrency: int) -> None:
        """Connect to nothing yet."""
        self._clients = HttpClients(url, timeout_seconds, concurrency)
        self._url = url

    async def post(self, headers: Mapping[str, str], body: bytes, deadline: float) -> Reply:
        """Post to the one address of this transport; see :class:`Transport`."""
        has_begun = False
        try:
            async with asyncio.timeout_at(deadline), self._clients.borrow() as client:
                has_begun = True
                answer = await client.post(self._url, headers=dict(headers), content=body)
        except NOTHING_LEFT as error:
            raise NotProcessedError(type(error).__name__) from None
        except (httpx.HTTPError, TimeoutError) as error:
            if has_begun:
                raise AnswerLostError(type(error).__name__) from None
            raise NotProcessedError("no connection was free") from None
        return Reply(answer.status_code, answer.headers, answer.content)

    async def close(self) -> None:
        """Give up all connections."""
        await self._clients.close()


def retry_after_seconds(headers: Mapping[str, str], now: datetime) -> float | None:
    """Return how long ``Retry-After`` asks to wait: seconds or a date (RFC 9110).

    :param headers: of the answer.
    :param now: with its zone.
    """
    value = headers.get("retry-after", "").strip()
    if value.isascii() and value.isdigit():
        return min(float(value), _LONGEST_WAIT)
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    if moment.tzinfo is None:
        return None
    return min(max((moment - now).total_seconds(), 0.0), _LONGEST_WAIT)
