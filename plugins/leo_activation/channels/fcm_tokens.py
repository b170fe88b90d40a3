"""Access tokens of a Google service account: one request however many wait."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any

import google.auth.transport.requests
import requests
from google.auth.exceptions import GoogleAuthError, RefreshError, TransportError
from google.oauth2 import service_account

SCOPE = "https://www.googleapis.com/auth/firebase.messaging"
# A token is renewed when this part of its life is over.
_USABLE_PART = 0.9


class TokenRefusedError(Exception):
    """Google does not accept the service account: a person has to look."""


class TokenUnavailableError(Exception):
    """No token could be had now."""


class AccessTokens:
    """The current access token of one service account.

    :param key: the service account's key file, as text; its ``token_uri`` is obeyed.
    :param clock: tells the time, with its zone.
    :param timeout_seconds: for each of the token requests.
    :raises ValueError: it is no such key.
    """

    def __init__(self, key: str, clock: Callable[[], datetime], timeout_seconds: float) -> None:
        """Read the key; the first token is fetched when it is needed."""
        document = json.loads(key)
        if not isinstance(document, dict):
            raise ValueError("not a JSON object")
        self._credentials: Any = service_account.Credentials.from_service_account_info(  # type: ignore[no-untyped-call]
            document, scopes=[SCOPE]
        )
        self.project_id: str | None = self._credentials.project_id
        self._clock = clock
        self._timeout_seconds = timeout_seconds
        self._token = ""
        self._renew_at: datetime | None = None
        self._fetching: asyncio.Task[None] | None = None

    async def get(self, refused: str | None = None) -> str:
        """Return a token that should work.

        :param refused: the token that a request was refused with; it is not returned again.
        :raises TokenRefusedError: Google refuses the service account.
        :raises TokenUnavailableError: the token endpoint gave no answer, or no usable one.
        """
        if self._is_fresh() and self._token != refused:
            return self._token
        if self._fetching is None or self._fetching.done():
            self._fetching = asyncio.ensure_future(self._fetch())
            # When everybody has given up waiting, nobody else asks how it ended.
            self._fetching.add_done_callback(lambda task: task.cancelled() or task.exception())
        await asyncio.shield(self._fetching)
        return self._token

    def _is_fresh(self) -> bool:
        return self._renew_at is not None and self._clock() < self._renew_at

    async def _fetch(self) -> None:
        begun_at = self._clock()
        try:
            expiry = await asyncio.to_thread(self._refresh)
        except RefreshError as error:
            if error.retryable:
                raise TokenUnavailableError("the token endpoint is out of order") from None
            raise TokenRefusedError("the token endpoint refuses the service account") from None
        except TransportError:
            raise TokenUnavailableError("the token endpoint cannot be reached") from None
        except (GoogleAuthError, ValueError, TypeError, KeyError):
            # google-auth lets an answer that is not JSON through as it is.
            raise TokenUnavailableError("the token endpoint gave no usable answer") from None
        self._token = str(self._credentials.token)
        self._renew_at = begun_at + (expiry - begun_at) * _USABLE_PART

    def _refresh(self) -> datetime:
        """Ask for a token, in a thread; return when it dies."""
        with requests.Session() as session:
            request = google.auth.transport.requests.Request(session)
            self._credentials.refresh(partial(request, timeout=self._timeout_seconds))
        expiry: datetime | None = self._credentials.expiry
        if expiry is None:
            raise ValueError("the answer has no expires_in")
        return expiry.replace(tzinfo=UTC)

    async def close(self) -> None:
        """Wait no longer for a token."""
        if self._fetching is not None:
            self._fetching.cancel()
