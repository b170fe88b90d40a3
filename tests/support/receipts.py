"""Messages in any state, and what providers report of them, for feedback tests."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from leo_activation.channels.base import Receipt, ReceiptKind, digest
from leo_activation.database import Connection, tenant_transaction
from leo_activation.delivery.feedback import FeedbackReport, apply_receipts

NOON = datetime(2026, 11, 20, 5, 0, tzinfo=UTC)
LATER = NOON + timedelta(days=1)

_SENDING = (
    "update delivery_log set delivery_status = 'sending', claimed_by = 'w',"
    " lease_until = %(lease)s, attempt_count = 1, attempted_at = %(at)s,"
    " attempts = '[{\"attempt\": 1}]' where delivery_id = %(id)s"
)
_ANSWERED = (
    "update delivery_log set delivery_status = %(status)s::delivery_status, claimed_by = null,"
    " lease_until = null, not_before = %(at)s, error_class = %(error)s, error = %(error)s,"
    " sent_at = case when %(status)s::text = 'sent' then %(at)s::timestamptz end"
    " where delivery_id = %(id)s"
)


def attempt(admin: Connection, delivery_id: UUID, status: str, *, at: datetime = NOON) -> None:
    """Take a queued message through one attempt that ends in ``status``."""
    keys = {"id": delivery_id, "at": at, "lease": at + timedelta(minutes=1), "status": status}
    admin.execute(_SENDING, keys)
    if status != "sending":
        admin.execute(_ANSWERED, {**keys, "error": None if status == "sent" else "no_answer"})


def receipt(
    kind: ReceiptKind, minutes: int = 0, *, delivery_id: UUID | None = None, **changes: Any
) -> Receipt:
    """Return a report so many minutes after noon; equal ones have equal ids."""
    told = {
        "receipt_id": digest(kind, str(minutes), str(delivery_id), repr(sorted(changes.items()))),
        "kind": kind,
        "occurred_at": NOON + timedelta(minutes=minutes),
        "delivery_id": delivery_id,
        **changes,
    }
    return Receipt(**told)


def report(
    connection: Connection,
    receipts: Sequence[Receipt],
    *,
    tenant_id: str = "tenant_a",
    channel: str = "email",
    provider: str = "smtp",
) -> FeedbackReport:
    """Apply one batch in a transaction of its own."""
    with tenant_transaction(connection, tenant_id) as cursor:
        return apply_receipts(cursor, tenant_id, channel, provider, receipts, now=LATER)
