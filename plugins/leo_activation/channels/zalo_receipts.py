"""What Zalo posts to us: verified on the raw bytes, then read.

Signature and events: Zalo's developer documentation, "Webhook".
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from leo_activation.channels.base import (
    Credential,
    Receipt,
    ReceiptKind,
    SignatureError,
    digest,
    shorten,
)
from leo_activation.channels.zalo_templates import ENABLED
from leo_activation.errors import ConfigurationError
from leo_activation.phone import PhoneError, normalise_mobile

log = logging.getLogger(__name__)

_TRACKING_ID = re.compile(r"[0-9a-f]{32}")
_MOST_KEPT = 2_000
# Uncertain: most senders sign with the app's id, some code puts the official account's id first.
SIGNATURE_PREFIXES = ("app_id", "oa_id")


def read_receipts(
    credential: Credential, headers: Mapping[str, str], raw_body: bytes
) -> Sequence[Receipt]:
    """Verify and read one event.

    :param credential: settings ``app_id`` (or ``oa_id``) and ``signature_prefix``, secret
        ``oa_secret_key``: the key of the webhook page, which is not the app's secret.
    :param headers: with lower-case names.
    :param raw_body: the bytes as they came.
    :raises SignatureError: Zalo did not sign them.
    :raises ConfigurationError: the credential cannot verify anything.
    """
    prefix = credential.settings.get("signature_prefix", "app_id")
    sender = str(credential.settings.get(prefix) or "") if prefix in SIGNATURE_PREFIXES else ""
    key = credential.secret.get("oa_secret_key", "")
    if not sender or not key:
        raise ConfigurationError(
            f"the Zalo webhook of tenant {credential.tenant_id!r} cannot be verified: it needs the "
            f"setting {prefix!r} and the secret 'oa_secret_key'; signature_prefix is one of "
            f"{', '.join(SIGNATURE_PREFIXES)}"
        )
    event = _event(raw_body)
    timestamp = str(event.get("timestamp", ""))
    given = headers.get("x-zevent-signature", "").removeprefix("mac=")
    if not hmac.compare_digest(signature(sender, raw_body, timestamp, key), given.encode()):
        raise SignatureError("the Zalo event carries no valid X-ZEvent-Signature; refused")
    return [_read(event, timestamp)]


def signature(sender: str, raw_body: bytes, timestamp: str, key: str) -> bytes:
    """Return what Zalo signs an event with: plain SHA-256, in lower-case hexadecimal.

    :param sender: the app's id, or the official account's.
    :param timestamp: as it stands in the body.
    :param key: the OA secret key.
    """
    signed = sender.encode() + raw_body + timestamp.encode() + key.encode()
    return hashlib.sha256(signed).hexdigest().encode()


def _event(raw_body: bytes) -> dict[str, Any]:
    """Parse the body: the time that is part of the signature stands nowhere else."""
    try:
        event = _storable(json.loads(raw_body))
    except (ValueError, RecursionError):
        event = None
    if not isinstance(event, dict):
        raise SignatureError("the body is no Zalo event, so its signature cannot be verified")
    return event


def _storable(value: Any) -> Any:
    """Take out what PostgreSQL cannot keep: NUL, and halves of characters."""
    if isinstance(value, str):
        return value.replace("\x00", "").encode("utf-8", "replace").decode()
    if isinstance(value, list):
        return [_storable(item) for item in value]
    if isinstance(value, dict):
        return {_storable(name): _storable(item) for name, item in value.items()}
    return value


def _read(event: Mapping[str, Any], timestamp: str) -> Receipt:
    name = str(event.get("event_name", ""))
    message = _part(event, "message")
    said_at = read_time(timestamp) or datetime.fromtimestamp(0, UTC)
    values: dict[str, Any] = {
        "receipt_id": digest(name, json.dumps(event, sort_keys=True)),
        "kind": ReceiptKind.NOTED,
        "occurred_at": said_at,
        "delivery_id": _delivery_id(message.get("tracking_id")),
        "provider_message_id": _text(message.get("msg_id")),
        "reason": shorten(name),
        "response": _excerpt(event),
    }
    if name == "user_received_message" and (delivered := read_time(message.get("delivery_time"))):
        values |= {
            "kind": ReceiptKind.DELIVERED,
            "occurred_at": delivered,
            "address": _phone(_part(event, "recipient").get("id")),
        }
        if number := values["provider_message_id"]:
            values["receipt_id"] = delivery_receipt_id(number)
    elif name == "change_template_status":
        values |= _template_status(event)
    elif name == "user_withdraw":
        values |= _withdrawal(event)
    return Receipt(**values)


def delivery_receipt_id(message_id: str) -> str:
    """Return the identity of "this message was delivered", whoever says so.

    :param message_id: Zalo's id of the message.
    """
    return digest("delivered", message_id)


def _template_status(event: Mapping[str, Any]) -> dict[str, Any]:
    status = _part(event, "status").get("new_status")
    is_allowed = status == ENABLED
    return {
        "kind": ReceiptKind.TEMPLATE_ALLOWED if is_allowed else ReceiptKind.TEMPLATE_STOPPED,
        "provider_template_id": _text(event.get("template_id")),
        "reason": shorten(f"{status}: {event.get('reason') or 'no reason given'}"),
    }


def _withdrawal(event: Mapping[str, Any]) -> dict[str, Any]:
    """Read a data subject's request (uncertain: which of the two parties is the customer)."""
    ids = [_part(event, side).get("id") for side in ("sender", "recipient")]
    address = next(filter(None, map(_phone, ids)), None)
    if address is None:
        log.error(
            "A customer withdrew at Zalo, and the event names no phone number: find one of the "
            "Zalo ids %s among the customers and stop writing to them",
            [shorten(str(number)) for number in ids],
        )
    return {"kind": ReceiptKind.UNSUBSCRIBED, "suppress": True, "address": address}


def _part(event: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = event.get(name)
    return part if isinstance(part, dict) else {}


def _text(value: object) -> str | None:
    """Read an id: a string by the documentation, a number in some events."""
    return shorten(str(value)) if isinstance(value, str | int) and str(value) else None


def _delivery_id(value: object) -> UUID | None:
    found = isinstance(value, str) and _TRACKING_ID.fullmatch(value.lower())
    return UUID(hex=str(value)) if found else None


def _phone(value: object) -> str | None:
    """Return a phone number; None for the hash of one, and for the id of a Zalo user."""
    if not isinstance(value, str) or not re.fullmatch(r"\+?84[0-9]{9}", value):
        return None
    try:
        return normalise_mobile(value)
    except PhoneError:
        return None


def read_time(value: object) -> datetime | None:
    """Read milliseconds since 1970, which Zalo sends as a string.

    :param value: what stands in the field; anything else gives None.
    """
    text = str(value)
    if not re.fullmatch(r"[0-9]{1,14}", text):
        return None
    return datetime.fromtimestamp(int(text) / 1000, UTC)


def _excerpt(event: Mapping[str, Any]) -> Mapping[str, Any]:
    whole = json.dumps(event, ensure_ascii=False)
    if len(whole) <= _MOST_KEPT:
        return event
    return {"event_name": shorten(str(event.get("event_name", ""))), "cut": shorten(whole)}
