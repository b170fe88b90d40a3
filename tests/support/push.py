"""What the tests of push channels share: a service account, channels, messages."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from typing import Any
from uuid import UUID

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from leo_activation.channels.base import (
    Channel,
    ChannelTools,
    Credential,
    GrantLostError,
    Message,
    Outcome,
    Reaction,
)
from leo_activation.channels.registry import open_channel

LINK = "https://shop.example/u"


@cache
def new_key(name: str) -> tuple[str, str]:
    """Return private and public key as PEM; the same for the same name."""
    key = rsa.generate_private_key(65537, 2048)
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return private.decode(), public.decode()


def service_account(token_port: int, key: str = "good", **changes: Any) -> str:
    """Return the text of a key file."""
    values = {
        "type": "service_account",
        "project_id": "shop-vn",
        "private_key_id": key,
        "private_key": new_key(key)[0],
        "client_email": "leo@shop-vn.iam.gserviceaccount.com",
        "token_uri": f"http://127.0.0.1:{token_port}/token",
    }
    return json.dumps({**values, **changes})


async def _no_renewal(credential: Credential) -> Credential:
    raise GrantLostError("nothing to renew")


def utc_now() -> datetime:
    return datetime.now(UTC)


def tools(concurrency: int = 64, clock: Callable[[], datetime] = utc_now) -> ChannelTools:
    """Return what a channel works with."""
    return ChannelTools(concurrency, clock, lambda: 0.5, _no_renewal)


def fcm(
    port: int,
    *,
    key: str | None = None,
    clock: Callable[[], datetime] = utc_now,
    concurrency: int = 64,
    **settings: Any,
) -> Channel:
    """Open FCM at a stand-in."""
    secret = {"service_account": key or service_account(port)}
    where = {"base_url": f"http://127.0.0.1:{port}", **settings}
    credential = Credential("tenant_a", "push", "fcm", where, secret)
    return open_channel(credential, tools(concurrency, clock))


def pushalert(port: int, *, api_key: str = "k3y", **settings: Any) -> Channel:
    """Open PushAlert at a stand-in."""
    where = {"base_url": f"http://127.0.0.1:{port}", **settings}
    credential = Credential("tenant_a", "push", "pushalert", where, {"api_key": api_key})
    return open_channel(credential, tools(8))


def message(number: int = 1, *targets: str, **changes: Any) -> Message:
    """Return a message; ``rid`` of number 1 ends in 1."""
    values = {
        "delivery_id": UUID(int=number),
        "tenant_id": "tenant_a",
        "address": "profile:1",
        "subject": "Ưu đãi",
        "text": "Chào bạn",
        "targets": targets or (f"device-{number}",),
        "campaign_code": "tet-2027",
        "data": {"link": LINK},
    }
    return Message(**{**values, **changes})


def is_true(outcome: Outcome, records: int) -> bool:
    """Tell whether an outcome may be claimed when the provider has so many records of it."""
    if records > 1:
        return False
    if outcome.reaction is Reaction.ACCEPTED:
        return records == 1
    return records == 0 or outcome.reaction is Reaction.UNKNOWN
