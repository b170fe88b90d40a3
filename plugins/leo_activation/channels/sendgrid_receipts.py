"""What SendGrid's signed event webhook reports about messages."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from sendgrid.helpers.eventwebhook import EventWebhook  # type: ignore[import-untyped]

from leo_activation.channels.base import (
    Credential,
    InvalidAddressError,
    Receipt,
    ReceiptKind,
    SignatureError,
    digest,
    shorten,
)
from leo_activation.channels.mail_rules import normalise_address
from leo_activation.errors import ConfigurationError, LeoError

_FIELDS_KEPT = 30
# Twilio Docs, "Event Webhook Reference": event -> what it is, and whether the address is stopped.
_EVENTS: Mapping[str, tuple[ReceiptKind, str, bool]] = {
    "processed": (ReceiptKind.ACCEPTED, "", False),
    "delivered": (ReceiptKind.DELIVERED, "", False),
    "deferred": (ReceiptKind.DEFERRED, "deferred", False),
    "open": (ReceiptKind.READ, "", False),
    "click": (ReceiptKind.CLICKED, "", False),
    "spamreport": (ReceiptKind.COMPLAINED, "complaint", True),
    "unsubscribe": (ReceiptKind.UNSUBSCRIBED, "unsubscribed", True),
    "group_unsubscribe": (ReceiptKind.UNSUBSCRIBED, "unsubscribed", True),
    "group_resubscribe": (ReceiptKind.RESUBSCRIBED, "resubscribed", False),
}
# Reasons of a drop that speak of the address ("Invalid SMTPAPI header" does not).
_DROPS = (
    (re.compile(r"bounced\b", re.IGNORECASE), "hard_bounce"),
    (re.compile(r"unsubscribed\b", re.IGNORECASE), "unsubscribed"),
    (re.compile(r"spam reporting\b", re.IGNORECASE), "complaint"),
    (re.compile(r"invalid(?! smtpapi)\b", re.IGNORECASE), "invalid_address"),
)


def read_receipts(
    credential: Credential, headers: Mapping[str, str], raw_body: bytes
) -> list[Receipt]:
    """Verify and read what the event webhook posts.

    :param credential: its setting ``webhook_public_key`` verifies the signature.
    :param headers: with lower-case names.
    :param raw_body: exactly the bytes that came.
    :raises SignatureError: SendGrid did not sign these bytes at that time.
    :raises ConfigurationError: there is no usable public key.
    :raises LeoError: signed, and no list of events.
    """
    timestamp = headers.get("x-twilio-email-event-webhook-timestamp", "")
    signature = headers.get("x-twilio-email-event-webhook-signature", "")
    try:
        genuine = _verifier(credential).verify_signature(
            raw_body.decode("utf-8"), signature, timestamp
        )
    except ValueError:
        genuine = False
    if not genuine:
        raise SignatureError("the event webhook's signature does not fit its body and timestamp")
    posted_at = _moment(timestamp, datetime.fromtimestamp(0, UTC))
    try:
        events = json.loads(raw_body)
        if not isinstance(events, list):
            raise ValueError("no list")
        return [_receipt(event, posted_at) for event in events]
    except (ValueError, RecursionError):
        raise LeoError("the event webhook's body is signed and is no JSON list of events") from None


def _verifier(credential: Credential) -> EventWebhook:
    key = credential.settings.get("webhook_public_key")
    try:
        verifier = EventWebhook(str(key or "none"))
        if isinstance(verifier.public_key, EllipticCurvePublicKey):
            return verifier
    except (ValueError, UnsupportedAlgorithm):
        pass
    raise ConfigurationError(
        f"the SendGrid credential of tenant {credential.tenant_id!r} has no usable setting "
        "'webhook_public_key'; copy the verification key of the signed event webhook into it"
    )


def _receipt(event: Any, posted_at: datetime) -> Receipt:
    """Read one event; what cannot be understood is kept as a note."""
    if not isinstance(event, dict):
        response = {"event": shorten(str(event))}
        return Receipt(_digest_of(event), ReceiptKind.NOTED, posted_at, response=response)
    kind, reason, suppress = _meaning(event)
    identity = event.get("sg_event_id")
    usable = isinstance(identity, str) and 0 < len(identity) <= 200 and identity.isprintable()
    number = str(event.get("sg_message_id", ""))
    return Receipt(
        receipt_id=str(identity) if usable else _digest_of(event),
        kind=kind,
        occurred_at=_moment(event.get("timestamp"), posted_at),
        delivery_id=_delivery(event.get("rid")),
        # Uncertain: the answer's X-Message-Id, then a dot and where it was filtered or received.
        provider_message_id=shorten(number.partition(".")[0]) or None,
        address=_address(event.get("email")),
        reason=reason,
        suppress=suppress,
        response=_facts(event),
    )


def _digest_of(event: Any) -> str:
    return digest("event", json.dumps(event, sort_keys=True))


def _meaning(event: Mapping[str, Any]) -> tuple[ReceiptKind, str, bool]:
    name = str(event.get("event", ""))
    if name == "bounce":
        # "blocked" is about this message; only "bounce" says that the address is no good.
        if event.get("type") == "bounce":
            return ReceiptKind.BOUNCED, "hard_bounce", True
        return ReceiptKind.BLOCKED, "blocked", False
    if name == "dropped":
        words = str(event.get("reason", "")).strip()
        found = next((reason for pattern, reason in _DROPS if pattern.match(words)), None)
        return ReceiptKind.DROPPED, found or "dropped", found is not None
    return _EVENTS.get(name, (ReceiptKind.NOTED, "", False))


def _moment(seconds: Any, otherwise: datetime) -> datetime:
    try:
        return datetime.fromtimestamp(float(seconds), UTC)
    except (TypeError, ValueError, OverflowError, OSError):
        return otherwise


def _delivery(rid: Any) -> UUID | None:
    if isinstance(rid, str) and re.fullmatch(r"[0-9a-f]{32}", rid):
        return UUID(hex=rid)
    return None


def _address(email: Any) -> str | None:
    try:
        return normalise_address(email) if isinstance(email, str) else None
    except InvalidAddressError:
        return None


def _facts(event: Mapping[str, Any]) -> dict[str, Any]:
    """Return an event's plain values, cut."""
    return {
        shorten(key): shorten(value) if isinstance(value, str) else value
        for key, value in list(event.items())[:_FIELDS_KEPT]
        if isinstance(value, (str, int, bool))
    }
