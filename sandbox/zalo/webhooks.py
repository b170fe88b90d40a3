"""What Zalo posts about messages and templates, signed as Zalo signs.

``GET/PUT /webhooks`` of the control API reads and changes how; ``POST /webhooks`` with an event (or
a list of them) posts that one, whatever it says.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import time
from dataclasses import asdict, dataclass
from typing import Any

import httpx

SIGNATURE = "X-ZEvent-Signature"
# The OA secret key of the stand-in, unless it is told another.
SECRET = "s3cr3t"  # noqa: S105


def encode(event: dict[str, Any]) -> bytes:
    """Return the bytes of an event: one line, no spaces."""
    return json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode()


def sign(prefix: str, body: bytes, timestamp: str, secret: str) -> str:
    """Return the signature: plain SHA-256 over id, body, time and key.

    :param prefix: the app's id, or the official account's.
    :param body: exactly the bytes that are posted.
    :param timestamp: as it stands in the body.
    :param secret: the OA secret key of the webhook page.
    """
    return hashlib.sha256(prefix.encode() + body + timestamp.encode() + secret.encode()).hexdigest()


def signed_headers(
    event: dict[str, Any], *, prefix: str = "1001", secret: str = SECRET, retry: int = 0
) -> dict[str, str]:
    """Return the headers that Zalo posts an event with.

    :param retry: how often it was posted in vain before.
    """
    mac = sign(prefix, encode(event), str(event["timestamp"]), secret)
    headers = {
        "Content-Type": "application/json",
        SIGNATURE: f"mac={mac}",
        "X-ZEvent-Server": "ZNS",
    }
    return headers | ({"num_retry": str(retry)} if retry else {})


def now_ms() -> str:
    """Return the time as Zalo writes it: milliseconds since 1970, as a string."""
    return str(int(time.time() * 1000))


def delivery_event(
    *,
    message_id: str,
    phone: str,
    tracking_id: str,
    app_id: str = "1001",
    oa_id: str = "2001",
    at: str | None = None,
) -> dict[str, Any]:
    """Write the report that a message was delivered.

    :param at: when, in milliseconds since 1970; None for now.
    """
    moment = at or now_ms()
    return {
        "app_id": app_id,
        "sender": {"id": oa_id},
        "recipient": {"id": phone},
        "event_name": "user_received_message",
        "message": {"delivery_time": moment, "msg_id": message_id, "tracking_id": tracking_id},
        "timestamp": moment,
    }


@dataclass(slots=True)
class Telling:
    """How events are told.

    :param url: where to; None keeps silent.
    :param app_id: of the app whose webhook it is.
    :param secret: the OA secret key.
    :param prefix: id that the signature starts with; None for ``app_id``.
    :param duplicate_every: tell each n-th event twice; 0 never.
    :param shuffle: tell in another order than it happened.
    :param tries: how often an event is posted before it is given up.
    :param retry_seconds: pause between them (Zalo's: 30 s, 5 m, 15 m, 30 m, 1 h).
    """

    url: str | None = None
    app_id: str = "1001"
    secret: str = SECRET
    prefix: str | None = None
    duplicate_every: int = 0
    shuffle: bool = False
    tries: int = 6
    retry_seconds: float = 0.2


class Webhooks:
    """Posts events, again until they are taken.

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

    def happen(self, event: dict[str, Any]) -> None:
        """Tell one event.

        :param event: the whole body.
        """
        if self.telling.url is None:
            return
        self._happened += 1
        self._waiting.append(event)
        if self.telling.duplicate_every and self._happened % self.telling.duplicate_every == 0:
            self._waiting.append(event)
        if self._poster is None or self._poster.done():
            self._poster = asyncio.create_task(self._post_all())

    def document(self) -> dict[str, Any]:
        """Return how it tells, and how much was told."""
        counts = {"waiting": len(self._waiting), "posted": self._posted, "lost": self._lost}
        return {**asdict(self.telling), **counts}

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

    async def _post(self, client: httpx.AsyncClient, event: dict[str, Any]) -> bool:
        telling = self.telling
        for retry in range(telling.tries):
            if retry:
                await asyncio.sleep(telling.retry_seconds)
            headers = signed_headers(
                event, prefix=telling.prefix or telling.app_id, secret=telling.secret, retry=retry
            )
            try:
                answer = await client.post(str(telling.url), content=encode(event), headers=headers)
            except httpx.HTTPError:
                continue
            if answer.status_code == 200:
                return True
        return False
