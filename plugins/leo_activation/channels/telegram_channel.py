"""Telegram through the Bot API: ``sendMessage`` in HTML or MarkdownV2, and what chats tell the bot.

Settings: ``base_url``, ``timeout_seconds``, ``disable_notification``, ``chat_interval_seconds``,
``group_interval_seconds``. Secret: ``bot_token``; ``webhook_secret`` to read updates.
"""

from __future__ import annotations

import asyncio
import logging
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
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
from leo_activation.channels.http_clients import NOTHING_LEFT, HttpClients
from leo_activation.channels.telegram_updates import read_updates
from leo_activation.errors import ConfigurationError

TEXT_LIMIT = 4096
# The longest silence that is believed; Telegram asks for seconds, after abuse for hours.
_LONGEST_SILENCE = 86_400.0
_SILENCE_WITHOUT_WORD = 5.0
# How many chats are remembered before the forgettable ones are dropped.
_REMEMBERED_CHATS = 10_000
_CHAT_ID = re.compile(r"-?[1-9][0-9]{0,18}|@[A-Za-z][A-Za-z0-9_]{3,31}")
_TOKEN_IN_URL = re.compile(r"/bot[^/\s]+/")
_TAG = re.compile(r"<[^<>]*>")
_ENTITY = re.compile(r"&(?:#\d+|#[xX][0-9a-fA-F]+|lt|gt|amp|quot);")
# What Telegram takes out of MarkdownV2: escapes, addresses of links, marks, names of languages.
_MARKDOWN = re.compile(
    r"\\([\x01-\x7e])|\]\((?:[^)\\]|\\.)*\)|```(?:[^\s`]+(?=\s))?\n?|\|\||[_*~`\[]|^>",
    re.MULTILINE | re.DOTALL,
)
# Words of a refusal -> its reason. The words are those of the Bot API server.
_NO_SUCH_CHAT = {"chat not found": "chat_not_found", "peer_id_invalid": "chat_not_found"}
_FORBIDDEN = {
    "blocked by the user": "blocked",
    "user is deactivated": "deactivated",
    "was kicked": "kicked",
    "can't initiate conversation": "never_started",
    "not a member": "not_a_member",
}


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
    """How to reach the Bot API.

    :param chat_interval_seconds: least time between two messages to one person.
    :param group_interval_seconds: least time between two messages to one group or channel.
    """

    base_url: str = "https://api.telegram.org"
    timeout_seconds: float = 20.0
    disable_notification: bool = False
    # core.telegram.org/bots/faq, "My bot is hitting limits": 1 a second to a chat, 20 a minute to
    # a group; both are soft.
    chat_interval_seconds: float = 1.0
    group_interval_seconds: float = 3.0


def visible_length(message: Message) -> int:
    """Count what Telegram counts: UTF-16 units after the entities are read.

    :param message: rendered message.
    """
    text = message.text
    if message.markdown is not None:
        text = _MARKDOWN.sub(lambda found: found[1] or "", message.markdown)
    elif message.html is not None:
        text = _ENTITY.sub("x", _TAG.sub("", message.html))
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def _reason(words: Mapping[str, str], description: str) -> str | None:
    said = description.lower()
    return next((reason for known, reason in words.items() if known in said), None)


def _seconds(value: object) -> float | None:
    """Return a waiting time that can be believed, None for anything else."""
    try:
        seconds = float(str(value))
    except ValueError:
        return None
    return min(max(seconds, 0.0), _LONGEST_SILENCE) if math.isfinite(seconds) else None


def classify(status: int, body: Mapping[str, Any], retry_after: str | None = None) -> Outcome:
    """Turn an error of the Bot API into a reaction.

    :param status: HTTP status.
    :param body: parsed answer; empty when it was not JSON.
    :param retry_after: the header ``Retry-After``.
    """
    said = body.get("error_code")
    code = said if isinstance(said, int) else status
    description = shorten(str(body.get("description", "")))
    found = body.get("parameters")
    known = found if isinstance(found, dict) else {}
    parameters = {k: known[k] for k in ("retry_after", "migrate_to_chat_id") if k in known}
    response = {"error_code": code, "description": description, "parameters": parameters}
    reaction, reason = _judge(code, description)
    wait = None
    if code == 429 or code >= 500:
        wait = _seconds(parameters.get("retry_after", retry_after))
    if code == 429 and wait is None:
        wait = _SILENCE_WITHOUT_WORD
    detail = shorten(f"Telegram {code}: {description}")
    return Outcome(reaction, reason, detail, response=response, retry_after=wait)


def _judge(code: int, description: str) -> tuple[Reaction, str]:
    if code == 429:
        return Reaction.RETRY, "throttled"
    if code >= 500:
        return Reaction.RETRY, "provider_error"
    if code in (401, 404):
        return Reaction.STOP, "token_refused"
    if code == 409:
        # Somebody else polls or holds the webhook with this token; sending does not answer so.
        return Reaction.STOP, "conflict"
    if code == 403:
        return Reaction.SUPPRESS, _reason(_FORBIDDEN, description) or "blocked"
    if code == 400 and (reason := _reason(_NO_SUCH_CHAT, description)):
        return Reaction.SUPPRESS, reason
    return Reaction.PERM, "refused"


class _Silence:
    """When which chat, and the bot as a whole, may be written with again.

    :param settings: the least time between two messages.
    :param now: seconds of a clock that never goes back.
    """

    def __init__(self, settings: TelegramSettings, now: Callable[[], float]) -> None:
        self._settings = settings
        self._now = now
        self._throttled_in_a_row = 0
        self._bot_until = 0.0
        self._chat_until: dict[str, float] = {}

    def left(self, chat_id: str) -> tuple[float, str]:
        """Return how many seconds to wait, 0 for none, and whose silence it is."""
        now = self._now()
        if self._bot_until > now:
            return self._bot_until - now, "the whole bot"
        return max(self._chat_until.get(chat_id, 0.0) - now, 0.0), "this chat"

    def begin(self, chat_id: str) -> None:
        """Note that a message is on its way."""
        if len(self._chat_until) >= _REMEMBERED_CHATS:
            now = self._now()
            self._chat_until = {k: v for k, v in self._chat_until.items() if v > now}
        is_person = chat_id.isdigit()
        settings = self._settings
        wait = settings.chat_interval_seconds if is_person else settings.group_interval_seconds
        self._chat_until[chat_id] = self._now() + wait

    def end(self, chat_id: str, outcome: Outcome) -> None:
        """Hold the chat back after a 429, the whole bot when one 429 follows another."""
        if outcome.reason != "throttled":
            self._throttled_in_a_row = 0
            return
        self._throttled_in_a_row += 1
        until = self._now() + (outcome.retry_after or 0.0)
        self._chat_until[chat_id] = until
        if self._throttled_in_a_row > 1:
            self._bot_until = max(self._bot_until, until)


class TelegramChannel:
    """One bot.

    :param settings: where the Bot API is.
    :param token: the bot's token; never leaves this object but in a request.
    :param tools: most requests at once, and chance.
    :param monotonic: seconds of a clock that never goes back.
    """

    def __init__(
        self,
        settings: TelegramSettings,
        token: str,
        tools: ChannelTools,
        monotonic: Callable[[], float] | None = None,
    ) -> None:
        """Prepare the HTTP clients; they connect at the first message."""
        self._settings = settings
        self._url = f"/bot{token}/sendMessage"
        self._uniform = tools.uniform
        self._silence = _Silence(settings, monotonic or asyncio.get_running_loop().time)
        self._clients = HttpClients(settings.base_url, settings.timeout_seconds, tools.concurrency)

    async def send(self, message: Message) -> Outcome:
        """Send one message.

        :param message: rendered message; ``html`` and ``markdown`` are Telegram's dialects.
        """
        seconds, whose = self._silence.left(message.address)
        if seconds > 0:
            detail = f"Telegram wants {whose} to be silent; not sent yet"
            return Outcome(Reaction.DEFER, "throttled", detail, retry_after=seconds)
        if problem := _problem(message):
            return Outcome(Reaction.PERM, "invalid_message", problem)
        self._silence.begin(message.address)
        outcome = await self._post(message, message.address)
        moved_to = outcome.response.get("parameters", {}).get("migrate_to_chat_id")
        if outcome.reaction is Reaction.PERM and _is_chat_number(moved_to):
            outcome = await self._post(message, str(moved_to))
            response = {**outcome.response, "migrated_to_chat_id": str(moved_to)}
            outcome = replace(outcome, response=response)
        if outcome.retry_after is not None:
            # Those who were refused together shall not come back together.
            outcome = replace(outcome, retry_after=outcome.retry_after + self._uniform())
        self._silence.end(message.address, outcome)
        return outcome

    def _payload(self, message: Message, chat_id: str) -> dict[str, Any]:
        payload: dict[str, Any] = {"chat_id": chat_id, "text": message.text}
        if message.markdown is not None:
            payload |= {"text": message.markdown, "parse_mode": "MarkdownV2"}
        elif message.html is not None:
            payload |= {"text": message.html, "parse_mode": "HTML"}
        if self._settings.disable_notification:
            payload["disable_notification"] = True
        return payload

    async def _post(self, message: Message, chat_id: str) -> Outcome:
        async with self._clients.borrow() as client:
            try:
                answer = await client.post(self._url, json=self._payload(message, chat_id))
            except NOTHING_LEFT as error:
                detail = f"Telegram: {type(error).__name__}"
                return Outcome(Reaction.RETRY, "connection_lost", detail)
            except httpx.HTTPError as error:
                # The request, or a part of it, has left.
                detail = f"Telegram: {type(error).__name__}"
                return Outcome(Reaction.UNKNOWN, "no_answer", detail, response={"error": detail})
        return _read(answer)

    async def close(self) -> None:
        """Give up all connections."""
        await self._clients.close()


def _problem(message: Message) -> str | None:
    """Return why Telegram would refuse the text, None when it would not."""
    length = visible_length(message)
    if not 0 < length <= TEXT_LIMIT:
        return f"the text has {length} characters, allowed are 1 to {TEXT_LIMIT}"
    try:
        "".join(filter(None, (message.text, message.html, message.markdown))).encode()
    except UnicodeEncodeError:
        return "the text holds half a character (an unpaired surrogate)"
    return None


def _is_chat_number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _read(answer: httpx.Response) -> Outcome:
    try:
        body = answer.json()
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict):
        body = {}
    if not answer.is_success:
        return classify(answer.status_code, body, answer.headers.get("retry-after"))
    if body.get("ok") is False:
        return classify(answer.status_code, body)
    result = body.get("result")
    if body.get("ok") is not True or not isinstance(result, dict) or "message_id" not in result:
        detail = "Telegram accepted, with a body that is not its own"
        response = {"body": shorten(answer.text)}
        return Outcome(Reaction.UNKNOWN, "bad_answer", detail, response=response)
    number = shorten(str(result["message_id"]))
    kept = {"message_id": number, "date": result.get("date")}
    return Outcome(Reaction.ACCEPTED, provider_message_id=number, response=kept)


def open_telegram(credential: Credential, tools: ChannelTools) -> TelegramChannel:
    """Make the channel of one tenant.

    :param credential: settings and secret.
    :param tools: what it works with.
    :raises ConfigurationError: a setting is unknown or unusable, or the bot token is missing.
    """
    try:
        settings = TelegramSettings(**credential.settings)
        token = credential.secret["bot_token"]
        if httpx.URL(settings.base_url).scheme not in ("http", "https"):
            raise ValueError(f"base_url {settings.base_url!r} is no web address")
    except (TypeError, KeyError, ValueError, httpx.InvalidURL) as error:
        raise ConfigurationError(
            f"the Telegram credential of tenant {credential.tenant_id!r} is unusable: {error}; "
            "it needs the secret 'bot_token'"
        ) from None
    return TelegramChannel(settings, token, tools)


SPEC = ChannelSpec(
    find_recipient=single_address("telegram_chat_id", normalise_chat_id),
    open=open_telegram,
    # core.telegram.org/bots/faq: about 30 messages a second over all chats.
    rate_per_second=30,
    read_receipts=read_updates,
)
