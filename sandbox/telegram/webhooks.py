"""What Telegram posts to a bot's webhook, with the secret that ``setWebhook`` was given.

``GET/PUT /webhooks`` of the control API reads and changes how; ``POST /webhooks`` with an update or
a list of them posts these, whatever they say. An update without ``update_id`` gets the next one.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from dataclasses import asdict, dataclass
from typing import Any

import httpx

SECRET_HEADER = "X-Telegram-Bot-Api-Secret-Token"  # noqa: S105 - a header's name


def encode(update: dict[str, Any]) -> bytes:
    """Return the bytes of an update."""
    return json.dumps(update, ensure_ascii=False, separators=(",", ":")).encode()


def signed_headers(secret: str | None) -> dict[str, str]:
    """Return the headers that Telegram posts an update with.

    :param secret: ``secret_token`` of ``setWebhook``; None when there was none.
    """
    headers = {"Content-Type": "application/json"}
    return headers if secret is None else {**headers, SECRET_HEADER: secret}


def _chat(chat_id: int) -> dict[str, Any]:
    return {"id": chat_id, "type": "private" if chat_id > 0 else "group"}


def member_update(chat_id: int, status: str, *, at: int | None = None) -> dict[str, Any]:
    """Write that the bot's place in a chat changed.

    :param status: ``kicked`` when the user blocked it, ``member`` when they took it back.
    :param at: when, in seconds since 1970; None for now.
    """
    bot = {"id": 1, "is_bot": True, "first_name": "leo"}
    before = "kicked" if status == "member" else "member"
    change = {
        "chat": _chat(chat_id),
        "from": {"id": abs(chat_id), "is_bot": False, "first_name": "Khách"},
        "date": int(time.time()) if at is None else at,
        "old_chat_member": {"user": bot, "status": before},
        "new_chat_member": {"user": bot, "status": status},
    }
    return {"my_chat_member": change}


def message_update(chat_id: int, text: str, *, at: int | None = None) -> dict[str, Any]:
    """Write that somebody wrote to the bot.

    :param at: when, in seconds since 1970; None for now.
    """
    message = {
        "message_id": 1,
        "from": {"id": abs(chat_id), "is_bot": False, "first_name": "Khách"},
        "chat": _chat(chat_id),
        "date": int(time.time()) if at is None else at,
        "text": text,
    }
    return {"message": message}


@dataclass(slots=True)
class Telling:
    """How updates are told.

    :param url: where to; None keeps silent.
    :param secret: what proves that Telegram tells; None leaves it out.
    :param duplicate_every: tell each n-th update twice; 0 never.
    :param shuffle: tell in another order than it happened.
    :param tries: how often an update is posted before it is given up.
    :param retry_seconds: pause between them.
    """

    url: str | None = None
    secret: str | None = None
    duplicate_every: int = 0
    shuffle: bool = False
    tries: int = 6
    retry_seconds: float = 0.2


class Webhooks:
    """Posts updates, again until they are taken.

    :param telling: how.
    """

    def __init__(self, telling: Telling) -> None:
        """Have nothing to tell yet."""
        self.telling = telling
        self._waiting: list[dict[str, Any]] = []
        self._happened = 0
        self._posted = 0
        self._lost = 0
        self._poster: asyncio.Task[None] | None = None
        self._random = random.Random(7)  # noqa: S311 - an order, not a secret

    def happen(self, update: dict[str, Any]) -> None:
        """Tell one update.

        :param update: with or without its ``update_id``.
        """
        if self.telling.url is None:
            return
        self._happened += 1
        numbered = {"update_id": self._happened, **update}
        self._waiting.append(numbered)
        if self.telling.duplicate_every and self._happened % self.telling.duplicate_every == 0:
            self._waiting.append(numbered)
        if self._poster is None or self._poster.done():
            self._poster = asyncio.create_task(self._post_all())

    def document(self) -> dict[str, Any]:
        """Return how it tells, and how much was told; never the secret."""
        counts = {"waiting": len(self._waiting), "posted": self._posted, "lost": self._lost}
        return {**asdict(self.telling), "secret": self.telling.secret is not None, **counts}

    async def _post_all(self) -> None:
        async with httpx.AsyncClient(timeout=10) as client:
            while self._waiting:
                # What happens in the same moment may be told in another order.
                await asyncio.sleep(0)
                if self.telling.shuffle:
                    self._random.shuffle(self._waiting)
                if await self._post(client, self._waiting.pop(0)):
                    self._posted += 1
                else:
                    self._lost += 1

    async def _post(self, client: httpx.AsyncClient, update: dict[str, Any]) -> bool:
        telling = self.telling
        for attempt in range(telling.tries):
            if attempt:
                await asyncio.sleep(telling.retry_seconds)
            headers = signed_headers(telling.secret)
            try:
                answer = await client.post(
                    str(telling.url), content=encode(update), headers=headers
                )
            except httpx.HTTPError:
                continue
            if answer.is_success:
                return True
        return False
