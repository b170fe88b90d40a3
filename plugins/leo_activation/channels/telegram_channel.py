"""Telegram through the Bot API: ``sendMessage`` in HTML mode.

Settings: ``base_url``, ``timeout_seconds``, ``disable_notification``. Secret: ``bot_token``.
"""

from __future__ import annotations

import asyncio
import logging
import re
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from leo_activation.channels.base import (
    ChannelSpec,
    ChannelTools,
    Credential,
    InvalidAddressError,
    Message,
    Outcome,
    Reaction,
    shorten,
    single_address,
)
from leo_activation.errors import ConfigurationError

TEXT_LIMIT = 4096
_CHAT_ID = re.compile(r"-?[1-9][0-9]{0,18}|@[A-Za-z][A-Za-z0-9_]{3,31}")
_TOKEN_IN_URL = re.compile(r"/bot[^/\s]+/")
_TAG = re.compile(r"<[^<>]*>")
_ENTITY = re.compile(r"&(?:#\d+|#[xX][0-9a-fA-F]+|lt|gt|amp|quot);")
# Words of a 400 that speak of the recipient, not of the text.
_NO_SUCH_CHAT = ("chat not found", "peer_id_invalid")


class _HideToken(logging.Filter):
    """Blots the bot token out of the HTTP client's own log lines: it is part of the URL."""

    def filter(self, record: logging.LogRecord) -> bool:
        text = record.getMessage()
        hidden = _TOKEN_IN_URL.sub("/bot***/", text)
        if hidden != text:
            record.msg, record.args = hidden, ()
        return True


logging.getLogger("httpx").addFilter(_HideToken())


def normalise_chat_id(address: str) -> str:
    """Return a chat id as Telegram spells it.

    :param address: number, or ``@name`` of a channel.
    :raises InvalidAddressError: it is neither.
    """
    found = address.strip()
    if not _CHAT_ID.fullmatch(found):
        raise InvalidAddressError("not a Telegram chat id")
    return found


@dataclass(frozen=True, slots=True)
class TelegramSettings:
    """How to reach the Bot API."""

    base_url: str = "https://api.telegram.org"
    timeout_seconds: float = 20.0
    disable_notification: bool = False


def visible_length(message: Message) -> int:
    """Count what Telegram counts: UTF-16 units after the entities are read.

    :param message: rendered message.
    """
    text = message.text
    if message.html is not None:
        text = _ENTITY.sub("x", _TAG.sub("", message.html))
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def classify(status: int, body: Mapping[str, Any]) -> Outcome:
    """Turn an error of the Bot API into a reaction.

    :param status: HTTP status.
    :param body: parsed answer; empty when it was not JSON.
    """
    code = int(body.get("error_code", status))
    description = str(body.get("description", ""))
    parameters = body.get("parameters") or {}
    response = {"error_code": code, "description": shorten(description), "parameters": parameters}
    detail = shorten(f"Telegram {code}: {description}")

    def outcome(reaction: Reaction, reason: str, retry_after: float | None = None) -> Outcome:
        return Outcome(reaction, reason, detail, response=response, retry_after=retry_after)

    if code == 429:
        return outcome(Reaction.RETRY, "throttled", float(parameters.get("retry_after", 5)))
    if code >= 500:
        return outcome(Reaction.RETRY, "provider_error")
    if code in (401, 404):
        return outcome(Reaction.STOP, "token_refused")
    if code == 403:
        return outcome(Reaction.SUPPRESS, "blocked")
    if code == 400 and any(words in description.lower() for words in _NO_SUCH_CHAT):
        return outcome(Reaction.SUPPRESS, "chat_not_found")
    return outcome(Reaction.PERM, "refused")


class TelegramChannel:
    """One bot.

    :param settings: where the Bot API is.
    :param token: the bot's token; never leaves this object but in a request.
    :param concurrency: most requests at once.
    :param monotonic: seconds of a clock that never goes back.
    """

    def __init__(
        self,
        settings: TelegramSettings,
        token: str,
        concurrency: int,
        monotonic: Callable[[], float] | None = None,
    ) -> None:
        """Prepare the HTTP client; it connects at the first message."""
        self._settings = settings
        self._url = f"/bot{token}/sendMessage"
        self._now = monotonic or asyncio.get_running_loop().time
        self._throttled_in_a_row = 0
        self._silent_until = 0.0
        # One client for each parallel send, the last used first: a pooled client looks at all its
        # connections for every request, which costs more than the request.
        tls = ssl.create_default_context()
        limits = httpx.Limits(max_connections=1, max_keepalive_connections=1)
        self._slots = asyncio.Semaphore(concurrency)
        self._clients = [
            httpx.AsyncClient(
                base_url=settings.base_url,
                timeout=settings.timeout_seconds,
                limits=limits,
                verify=tls,
            )
            for _ in range(concurrency)
        ]

    async def send(self, message: Message) -> Outcome:
        """Send one message.

        :param message: rendered message; ``html`` is Telegram's dialect.
        """
        silence = self._silent_until - self._now()
        if silence > 0:
            detail = "Telegram throttles the whole bot; not sent yet"
            return Outcome(Reaction.DEFER, "throttled", detail, retry_after=silence)
        if not 0 < visible_length(message) <= TEXT_LIMIT:
            detail = f"the text has {visible_length(message)} characters, allowed are 1 to 4096"
            return Outcome(Reaction.PERM, "invalid_message", detail)
        outcome = await self._post(message, message.address)
        moved_to = outcome.response.get("parameters", {}).get("migrate_to_chat_id")
        if outcome.reaction is Reaction.PERM and moved_to is not None:
            outcome = await self._post(message, str(moved_to))
        self._note_throttling(outcome)
        return outcome

    def _payload(self, message: Message, chat_id: str) -> dict[str, Any]:
        payload: dict[str, Any] = {
            "chat_id": chat_id,
            "text": message.text if message.html is None else message.html,
        }
        if message.html is not None:
            payload["parse_mode"] = "HTML"
        if self._settings.disable_notification:
            payload["disable_notification"] = True
        return payload

    async def _post(self, message: Message, chat_id: str) -> Outcome:
        async with self._slots:
            client = self._clients.pop()
            try:
                return self._read(
                    await client.post(self._url, json=self._payload(message, chat_id))
                )
            except httpx.HTTPError as error:
                return self._lost(error)
            finally:
                self._clients.append(client)

    @staticmethod
    def _lost(error: httpx.HTTPError) -> Outcome:
        detail = f"Telegram: {type(error).__name__}"
        if isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)):
            return Outcome(Reaction.RETRY, "connection_lost", detail)
        # The request, or a part of it, has left.
        return Outcome(Reaction.UNKNOWN, "no_answer", detail, response={"error": detail})

    @staticmethod
    def _read(answer: httpx.Response) -> Outcome:
        try:
            body = answer.json()
        except ValueError:
            body = None
        if not isinstance(body, dict):
            body = {}
        if answer.is_success:
            if body.get("ok") is not True or "message_id" not in body.get("result", {}):
                detail = "Telegram answered 200 with a body that is not its own"
                return Outcome(Reaction.UNKNOWN, "bad_answer", detail)
            number = str(body["result"]["message_id"])
            response = {"message_id": number, "date": body["result"].get("date")}
            return Outcome(Reaction.ACCEPTED, provider_message_id=number, response=response)
        return classify(answer.status_code, body)

    def _note_throttling(self, outcome: Outcome) -> None:
        """Hold the whole bot back when one 429 follows another."""
        if outcome.reason != "throttled":
            self._throttled_in_a_row = 0
            return
        self._throttled_in_a_row += 1
        if self._throttled_in_a_row > 1:
            self._silent_until = self._now() + (outcome.retry_after or 0.0)

    async def close(self) -> None:
        """Give up all connections."""
        for client in self._clients:
            await client.aclose()


def open_telegram(credential: Credential, tools: ChannelTools) -> TelegramChannel:
    """Make the channel of one tenant.

    :param credential: settings and secret.
    :param tools: most requests at once.
    :raises ConfigurationError: a setting is unknown, or the bot token is missing.
    """
    try:
        settings = TelegramSettings(**credential.settings)
        token = credential.secret["bot_token"]
    except (TypeError, KeyError) as error:
        raise ConfigurationError(
            f"the Telegram credential of tenant {credential.tenant_id!r} is unusable: {error}; "
            "it needs the secret 'bot_token'"
        ) from None
    return TelegramChannel(settings, token, tools.concurrency)


SPEC = ChannelSpec(
    find_recipient=single_address("telegram_chat_id", normalise_chat_id),
    open=open_telegram,
    # core.telegram.org/bots/faq: about 30 messages a second over all chats.
    rate_per_second=30,
)
