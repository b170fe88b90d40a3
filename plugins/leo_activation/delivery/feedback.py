"""What providers report after a send: facts for the ledger, stops for addresses, customers' words.

Reports come twice, late and out of order. A report is stored once, and what follows from it is
computed so that every order gives the same state (``include/sql/feedback.sql``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from leo_activation.channels.base import EVERYTHING, Receipt, ReceiptKind, storable
from leo_activation.channels.registry import spec_of
from leo_activation.database import Connection, Cursor, tenant_transaction
from leo_activation.delivery.credentials import read_credential
from leo_activation.errors import ConfigurationError, LeoError
from leo_activation.queries import load_queries

SQL = load_queries("feedback")
# Larger than any report the providers document; what is larger is no report.
MAX_BODY_BYTES = 4 * 1024 * 1024

# Only a provider who had the message can say these of it.
PROOFS = (
    ReceiptKind.ACCEPTED,
    ReceiptKind.DELIVERED,
    ReceiptKind.READ,
    ReceiptKind.CLICKED,
    ReceiptKind.DEFERRED,
    ReceiptKind.BLOCKED,
    ReceiptKind.BOUNCED,
    ReceiptKind.DROPPED,
    ReceiptKind.COMPLAINED,
    ReceiptKind.UNSUBSCRIBED,
)
_REFUSALS = (ReceiptKind.UNSUBSCRIBED, ReceiptKind.COMPLAINED)
# Where coming back is a yes that can be proven: who sends /start to a bot asks to be written to.
# Elsewhere it only takes back the no; the yes has to be recorded by a person.
_CONSENT_BY_COMING_BACK = ("telegram",)
_TEMPLATE_NOTICES = (ReceiptKind.TEMPLATE_STOPPED, ReceiptKind.TEMPLATE_ALLOWED)


class WebhookError(LeoError):
    """What was posted cannot be a report."""


@dataclass(frozen=True, slots=True)
class FeedbackReport:
    """What a batch of receipts changed.

    :param received: receipts of the batch.
    :param new: those that were not known yet; only they have an effect.
    :param unmatched: new ones that name a message which is not this tenant's on this channel.
    :param settled: messages that were ``unknown`` or ``retry`` and now are ``sent``.
    :param suppressed: entries of the suppression list made, extended or made firmer.
    :param lifted: entries lifted, because the customer came back.
    :param refused: refusals written to the consent ledger.
    :param granted: agreements written to the consent ledger.
    :param templates_paused: templates that the provider stopped.
    :param templates_resumed: templates that the provider allows again.
    """

    received: int = 0
    new: int = 0
    unmatched: int = 0
    settled: int = 0
    suppressed: int = 0
    lifted: int = 0
    refused: int = 0
    granted: int = 0
    templates_paused: int = 0
    templates_resumed: int = 0

    def __add__(self, other: FeedbackReport) -> FeedbackReport:
        """Return both together."""
        names = [field.name for field in fields(self)]
        return FeedbackReport(**{n: getattr(self, n) + getattr(other, n) for n in names})

    def __str__(self) -> str:
        """Return what is not zero, for a log."""
        return ", ".join(f"{name} {count}" for name, count in asdict(self).items() if count) or "-"


_NOTHING = FeedbackReport()


@dataclass(frozen=True, slots=True)
class _Fresh:
    """A receipt that was stored just now.

    :param address: the receipt's, else its message's.
    :param profile_id: whom its message went to.
    """

    receipt: Receipt
    receipt_id: UUID
    delivery_id: UUID | None
    address: str | None
    profile_id: UUID | None


def accept_webhook(
    connection: Connection,
    tenant_id: str,
    channel: str,
    headers: Mapping[str, str],
    raw_body: bytes,
    secret_key: str,
    *,
    now: datetime,
) -> FeedbackReport:
    """Verify what a provider posted and act on it, in one transaction.

    :param connection: as the application.
    :param headers: in any case of letters.
    :param raw_body: the bytes as they came: the signature is about them.
    :param secret_key: decrypts the channel's credential.
    :raises SignatureError: the provider did not sign it; nothing was written.
    :raises WebhookError: it is too large to be a report.
    :raises ConfigurationError: the tenant has no credential for the channel, or its provider
        reports nothing.
    """
    if len(raw_body) > MAX_BODY_BYTES:
        raise WebhookError(
            f"the webhook of channel {channel!r} got {len(raw_body):,} bytes; a report has at most "
            f"{MAX_BODY_BYTES:,}. Refused"
        )
    with tenant_transaction(connection, tenant_id) as cursor:
        credential = read_credential(
            cursor, tenant_id=tenant_id, channel=channel, secret_key=secret_key
        )
        read = spec_of(channel, credential.provider).read_receipts
        if read is None:
            raise ConfigurationError(
                f"provider {credential.provider!r} of channel {channel!r} reports nothing back; "
                "take its webhook away"
            )
        lower = {name.lower(): value for name, value in headers.items()}
        receipts = read(credential, lower, raw_body)
        return apply_receipts(cursor, tenant_id, channel, credential.provider, receipts, now=now)


def apply_receipts(
    cursor: Cursor,
    tenant_id: str,
    channel: str,
    provider: str,
    receipts: Sequence[Receipt],
    *,
    now: datetime,
) -> FeedbackReport:
    """Store receipts and do what follows from the new ones.

    :param cursor: inside a transaction of the tenant.
    :param provider: who reports; receipt ids are unique to it.
    :param now: when what has to be dated by us happened.
    """
    if not receipts:
        return _NOTHING
    keys = {"tenant_id": tenant_id, "channel": channel, "provider": provider, "now": now}
    if any(_is_word(receipt) for receipt in receipts):
        cursor.execute(SQL.lock_words, keys)
    fresh = _store(cursor, keys, receipts)
    report = FeedbackReport(
        received=len(receipts),
        new=len(fresh),
        unmatched=sum(f.receipt.delivery_id is not None and f.delivery_id is None for f in fresh),
        settled=settle_by_receipts(
            cursor, tenant_id, [f.delivery_id for f in fresh if f.delivery_id is not None]
        ),
    )
    return (
        report
        + _suppress(cursor, keys, fresh)
        + _lift(cursor, keys, fresh)
        + _record_words(cursor, keys, fresh)
        + _pause_templates(cursor, keys, fresh)
    )


def settle_by_receipts(cursor: Cursor, tenant_id: str, delivery_ids: Sequence[UUID]) -> int:
    """Merge what the stored receipts say into their messages.

    :param cursor: inside a transaction of the tenant.
    :param delivery_ids: messages whose receipts are new or have not been read.
    :returns: how many ``unknown`` and ``retry`` became ``sent``.
    """
    if not delivery_ids:
        return 0
    wanted = {
        "tenant_id": tenant_id,
        "delivery_ids": sorted(set(delivery_ids)),
        "proofs": list(PROOFS),
    }
    cursor.execute(SQL.lock_deliveries, wanted)
    cursor.execute(SQL.merge_facts, wanted)
    settled = [
        row
        for row in cursor.fetchall()
        if row["is_settled"] and row["status_before"] in ("unknown", "retry")
    ]
    cursor.execute(
        load_queries("delivery").complete_tasks,
        {"tenant_id": tenant_id, "task_ids": [row["task_id"] for row in settled]},
    )
    return len(settled)


def _is_word(receipt: Receipt) -> bool:
    """Tell whether the order of this one among others decides who may be written to."""
    return (
        receipt.suppress
        or receipt.kind in _REFUSALS
        or receipt.kind in _TEMPLATE_NOTICES
        or receipt.kind is ReceiptKind.RESUBSCRIBED
    )


def _store(cursor: Cursor, keys: Mapping[str, Any], receipts: Sequence[Receipt]) -> list[_Fresh]:
    rows = [_row(place, receipt) for place, receipt in enumerate(receipts)]
    cursor.execute(SQL.store_receipts, {**keys, "receipts": Jsonb(rows)})
    return [_Fresh(receipts[row.pop("place")], **row) for row in cursor.fetchall()]


def _row(place: int, receipt: Receipt) -> dict[str, Any]:
    told = {
        "receipt_id": receipt.receipt_id,
        "kind": receipt.kind,
        "delivery_id": str(receipt.delivery_id) if receipt.delivery_id else None,
        "address": receipt.address,
        "reason": receipt.reason,
        "occurred_at": receipt.occurred_at.isoformat(),
        "response": receipt.response,
    }
    row = {"place": place, **{name: storable(value) for name, value in told.items()}}
    # What later reports are compared by; added when the rest has been cut.
    if receipt.suppress_scope != EVERYTHING:
        row["response"]["suppress_scope"] = receipt.suppress_scope
    if receipt.provider_template_id is not None:
        row["response"]["provider_template_id"] = storable(receipt.provider_template_id)
    return row


def _evidence(keys: Mapping[str, Any], fresh: _Fresh) -> dict[str, Any]:
    return {
        "kind": fresh.receipt.kind,
        "provider": keys["provider"],
        "receipt_id": str(fresh.receipt_id),
        "delivery_id": str(fresh.delivery_id) if fresh.delivery_id else None,
        "occurred_at": fresh.receipt.occurred_at.isoformat(),
    }


def _suppress(cursor: Cursor, keys: Mapping[str, Any], fresh: Iterable[_Fresh]) -> FeedbackReport:
    rows = []
    for it in fresh:
        if not it.receipt.suppress or it.address is None:
            continue
        lasts, at = it.receipt.suppress_for, it.receipt.occurred_at
        rows.append(
            {
                "address": it.address,
                "scope": it.receipt.suppress_scope,
                "kind": it.receipt.kind,
                "profile_id": str(it.profile_id) if it.profile_id else None,
                "reason": storable(it.receipt.reason) or it.receipt.kind,
                "occurred_at": at.isoformat(),
                "until": (at + lasts).isoformat() if lasts is not None else None,
                "evidence": _evidence(keys, it),
            }
        )
    if not rows:
        return _NOTHING
    cursor.execute(SQL.suppress, {**keys, "refusals": Jsonb(rows)})
    return FeedbackReport(suppressed=cursor.rowcount)


def _lift(cursor: Cursor, keys: Mapping[str, Any], fresh: Iterable[_Fresh]) -> FeedbackReport:
    rows = [
        {
            "address": it.address,
            "scope": it.receipt.suppress_scope,
            "occurred_at": it.receipt.occurred_at.isoformat(),
        }
        for it in fresh
        if it.receipt.kind is ReceiptKind.RESUBSCRIBED and it.address is not None
    ]
    if not rows:
        return _NOTHING
    cursor.execute(SQL.lift_own_words, {**keys, "words": Jsonb(rows)})
    return FeedbackReport(lifted=cursor.rowcount)


def _record_words(
    cursor: Cursor, keys: Mapping[str, Any], fresh: Iterable[_Fresh]
) -> FeedbackReport:
    rows = []
    for it in fresh:
        decision = _decision(keys["channel"], it.receipt.kind)
        if decision is None or (it.profile_id is None and it.address is None):
            continue
        rows.append(
            {
                "decision": decision,
                "profile_id": str(it.profile_id) if it.profile_id else None,
                "address": it.address,
                "occurred_at": it.receipt.occurred_at.isoformat(),
                "evidence": _evidence(keys, it),
            }
        )
    if not rows:
        return _NOTHING
    row = cursor.execute(SQL.record_words, {**keys, "words": Jsonb(rows)}).fetchone()
    return FeedbackReport(refused=row["refusals"], granted=row["agreements"]) if row else _NOTHING


def _decision(channel: str, kind: ReceiptKind) -> str | None:
    if kind in _REFUSALS:
        return "refused"
    if kind is ReceiptKind.RESUBSCRIBED and channel in _CONSENT_BY_COMING_BACK:
        return "granted"
    return None


def _pause_templates(
    cursor: Cursor, keys: Mapping[str, Any], fresh: Iterable[_Fresh]
) -> FeedbackReport:
    template_ids = sorted(
        {
            storable(it.receipt.provider_template_id)
            for it in fresh
            if it.receipt.kind in _TEMPLATE_NOTICES and it.receipt.provider_template_id is not None
        }
    )
    if not template_ids:
        return _NOTHING
    rows = cursor.execute(SQL.pause_templates, {**keys, "template_ids": template_ids}).fetchall()
    paused = sum(row["is_stopped"] for row in rows)
    return FeedbackReport(templates_paused=paused, templates_resumed=len(rows) - paused)
