"""SendGrid's signed event webhook: what happened to accepted messages, told in JSON lists.

``GET/PUT /webhooks`` of the control API reads and changes how it tells:

====================  =============================================================================
``url``               where to; None keeps silent
``events``            names that follow every accepted message
``rules``             ``[{"match": "k1@*", "events": [{"event": "bounce", "type": "blocked"}]}]``:
                      other events for some recipients; the first rule that fits counts
``duplicate_every``   tell each n-th event twice; 0 never
``shuffle``           tell in another order than it happened
``batch``             most events a post
====================  =============================================================================

``POST /webhooks {"number": 7, "events": [{"event": "open"}]}`` lets more happen to message 7.
"""

from __future__ import annotations

import asyncio
import base64
import json
import random
import time
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import httpx
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

SIGNATURE = "X-Twilio-Email-Event-Webhook-Signature"
TIMESTAMP = "X-Twilio-Email-Event-Webhook-Timestamp"
_TRIES = 5
_PAUSE_SECONDS = 0.2


def load_key(path: Path) -> ec.EllipticCurvePrivateKey:
    """Return the signing key kept at ``path``, made when it is missing.

    :param path: file in PEM.
    """
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(
            ec.generate_private_key(ec.SECP256R1()).private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
    key = serialization.load_pem_private_key(path.read_bytes(), None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ValueError(f"{path} holds no elliptic curve key")
    return key


def public_key(key: ec.EllipticCurvePrivateKey) -> str:
    """Return the verification key as SendGrid's settings page shows it: DER in base64.

    :param key: the signing key.
    """
    der = key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return base64.b64encode(der).decode()


def sign(key: ec.EllipticCurvePrivateKey, body: bytes, timestamp: str) -> dict[str, str]:
    """Return the headers of a signed post.

    :param key: the signing key.
    :param body: exactly the bytes that are posted.
    :param timestamp: epoch seconds.
    """
    signature = key.sign(timestamp.encode() + body, ec.ECDSA(hashes.SHA256()))
    return {SIGNATURE: base64.b64encode(signature).decode(), TIMESTAMP: timestamp}


def make_event(record: dict[str, Any], number: int, values: dict[str, Any]) -> dict[str, Any]:
    """Write one event about a message, as SendGrid does.

    :param record: the journal's document of the message.
    :param number: makes the event's id.
    :param values: its name under ``event``, and what else it says.
    """
    words = f"{values.get('event')}-{number}-{record['message_id']}-{record['to']}"
    return {
        "email": record["to"],
        "timestamp": int(time.time()),
        "smtp-id": f"<{record['message_id']}@geopod-ismtpd-1>",
        "sg_event_id": base64.urlsafe_b64encode(words.encode()).decode().rstrip("="),
        "sg_message_id": f"{record['message_id']}.recvd-5f54b5d587-pczjm-1-67BADEEA-6.0",
        "category": record["categories"],
        **record["custom_args"],
        **values,
    }


@dataclass
class Telling:
    """How events are told; see the module."""

    url: str | None = None
    events: list[str] = field(default_factory=lambda: ["processed", "delivered"])
    rules: list[dict[str, Any]] = field(default_factory=list)
    duplicate_every: int = 0
    shuffle: bool = False
    batch: int = 100

    def of(self, recipient: str) -> list[dict[str, Any]]:
        """Return what happens to a message to ``recipient``."""
        for rule in self.rules:
            if fnmatchcase(recipient, rule["match"]):
                return list(rule["events"])
        return [{"event": name} for name in self.events]


class Webhooks:
    """Posts events, again until they are taken.

    :param key: signs them.
    :param telling: how to tell them.
    """

    def __init__(self, key: ec.EllipticCurvePrivateKey, telling: Telling) -> None:
        """Have nothing to tell yet."""
        self._key = key
        self._telling = telling
        self._waiting: list[dict[str, Any]] = []
        self._happened = 0
        self._posted = 0
        self._lost = 0
        self._poster: asyncio.Task[None] | None = None
        self._random = random.Random(7)  # noqa: S311 - an order, not a secret

    def accepted(self, record: dict[str, Any]) -> None:
        """Let happen what follows an accepted message.

        :param record: the journal's document of it.
        """
        if self._telling.url is not None:
            self.happen(record, self._telling.of(record["to"]))

    def happen(self, record: dict[str, Any], events: list[dict[str, Any]]) -> None:
        """Let these events happen to a message, and tell them.

        :param record: the journal's document of it.
        :param events: what they say.
        """
        for values in events:
            self._happened += 1
            event = make_event(record, self._happened, values)
            self._waiting.append(event)
            if self._telling.duplicate_every and not (
                self._happened % self._telling.duplicate_every
            ):
                self._waiting.append(event)
        if self._poster is None or self._poster.done():
            self._poster = asyncio.create_task(self._post_all())

    def state(self) -> dict[str, Any]:
        """Return how it tells, the public key, and how much was told."""
        counts = {"waiting": len(self._waiting), "posted": self._posted, "lost": self._lost}
        return {**asdict(self._telling), "public_key": public_key(self._key), **counts}

    def change(self, document: dict[str, Any]) -> None:
        """Tell in another way from now on.

        :param document: fields of :class:`Telling`.
        """
        self._telling = Telling(**document)

    async def _post_all(self) -> None:
        async with httpx.AsyncClient(timeout=10) as client:
            while self._waiting:
                # Whatever happens in the same moment travels together.
                await asyncio.sleep(0)
                if self._telling.shuffle:
                    self._random.shuffle(self._waiting)
                size = self._telling.batch
                batch, self._waiting = self._waiting[:size], self._waiting[size:]
                if await self._post(client, batch):
                    self._posted += len(batch)
                else:
                    self._lost += len(batch)

    async def _post(self, client: httpx.AsyncClient, events: list[dict[str, Any]]) -> bool:
        body = json.dumps(events, ensure_ascii=False).encode()
        for _ in range(_TRIES):
            headers = {
                "Content-Type": "application/json",
                **sign(self._key, body, str(int(time.time()))),
            }
            try:
                answer = await client.post(str(self._telling.url), content=body, headers=headers)
                if answer.is_success:
                    return True
            except httpx.HTTPError:
                pass
            await asyncio.sleep(_PAUSE_SECONDS)
        return False
