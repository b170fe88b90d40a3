"""The ledger, ``delivery_log``: the only truth about what was sent.

``enqueue`` (called by the decision, synchronous) turns planned sends into rows. :class:`Ledger`
(called by the dispatcher, asynchronous) claims them, and writes down what came of each. Every
method is one transaction; a message may leave only after the one that claimed it has committed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from leo_activation.channels.base import AddressError, Credential, Outcome
from leo_activation.channels.registry import spec_of
from leo_activation.database import (
    AsyncConnection,
    AsyncCursor,
    Cursor,
    connect_async,
    tenant_transaction_async,
)
from leo_activation.delivery.credentials import load_credential
from leo_activation.delivery.retry import Settlement
from leo_activation.delivery.templates import MessageTemplate
from leo_activation.queries import load_queries

APPLICATION_NAME = "leo_dispatch"
SQL = load_queries("delivery")


@dataclass(frozen=True, slots=True)
class PlannedSend:
    """A ``send_notification`` of a plan, for one customer.

    :param step: index of the call in the plan, from 0.
    :param template_id: template of ``message_template``.
    :param params: template variable -> name of the fact that fills it.
    :param facts: the member's frozen facts.
    :param not_before: earliest time, after a ``wait_duration``; None for now.
    """

    task_id: UUID
    event_id: UUID
    profile_id: UUID
    channel: str
    step: int
    template_id: str
    params: Mapping[str, str]
    facts: Mapping[str, Any]
    not_before: datetime | None = None


@dataclass(frozen=True, slots=True)
class PlannedSkip:
    """A customer to whom nothing is to be sent, and why."""

    task_id: UUID
    event_id: UUID
    profile_id: UUID
    reason: str
    channel: str | None = None
    step: int = 0


@dataclass(frozen=True, slots=True)
class EnqueueReport:
    """What became of the planned sends.

    :param queued: rows that will be sent.
    :param skipped: new skipped rows by reason.
    :param existing: rows that an earlier call had made already.
    """

    queued: int
    skipped: Mapping[str, int]
    existing: int


def enqueue(
    cursor: Cursor,
    *,
    tenant_id: str,
    campaign_id: UUID,
    snapshot_id: UUID,
    sends: Sequence[PlannedSend],
    skips: Sequence[PlannedSkip],
    now: datetime | None = None,
) -> EnqueueReport:
    """Give every planned send exactly one row: queued, or skipped with the reason.

    Policy is applied here: address present and valid, consent, suppression, and that no earlier run
    of the campaign has the same message. The same call again changes nothing.

    :param cursor: inside the tenant's transaction that also stores the decisions.
    :param now: the time by which suppressions are judged; the current time when None.
    :raises ConfigurationError: a send names a channel that does not exist.
    """
    rows = [_send_row(send) for send in sends] + [_skip_row(skip) for skip in skips]
    cursor.execute(
        SQL.enqueue,
        {
            "tenant_id": tenant_id,
            "campaign_id": campaign_id,
            "snapshot_id": snapshot_id,
            "planned": Jsonb(rows),
            "now": now or datetime.now(UTC),
        },
    )
    queued, skipped = 0, {}
    for row in cursor.fetchall():
        if row["status"] == "queued":
            queued = row["row_count"]
        else:
            skipped[row["reason"]] = row["row_count"]
    existing = len(rows) - queued - sum(skipped.values())
    task_ids = [s.task_id for s in sends] + [s.task_id for s in skips]
    cursor.execute(
        SQL.complete_tasks,
        {"tenant_id": tenant_id, "snapshot_id": snapshot_id, "task_ids": task_ids},
    )
    return EnqueueReport(queued, skipped, existing)


def _send_row(send: PlannedSend) -> dict[str, Any]:
    address, reason = None, None
    try:
        facts = {**send.facts, "profile_id": str(send.profile_id)}
        address = spec_of(send.channel).find_recipient(facts).address
    except AddressError as error:
        reason = error.reason
    consent = send.facts.get("consent")
    return {
        "task_id": str(send.task_id),
        "event_id": str(send.event_id),
        "profile_id": str(send.profile_id),
        "channel": send.channel,
        "step": send.step,
        "template_id": send.template_id,
        "params": dict(send.params),
        "address": address,
        "fact_consent": consent.get(send.channel) if isinstance(consent, Mapping) else None,
        "not_before": send.not_before.isoformat() if send.not_before else None,
        "skip_reason": reason,
    }


def _skip_row(skip: PlannedSkip) -> dict[str, Any]:
    return {
        "task_id": str(skip.task_id),
        "event_id": str(skip.event_id),
        "profile_id": str(skip.profile_id),
        "channel": skip.channel,
        "step": skip.step,
        "params": {},
        "skip_reason": skip.reason,
    }


@dataclass(frozen=True, slots=True)
class Claim:
    """A message that this worker holds: its row says ``sending``.

    :param attempt: number of this attempt, from 1.
    :param refusals: earlier attempts that used up one of the allowed ones.
    :param lease_until: after this nobody may send it any more.
    """

    delivery_id: UUID
    profile_id: UUID
    template_id: str
    params: Mapping[str, str]
    address: str
    facts: Mapping[str, Any] = field(repr=False)
    attempt: int
    refusals: int
    lease_until: datetime


@dataclass(frozen=True, slots=True)
class Answer:
    """The end of one attempt, as it will be written."""

    claim: Claim
    outcome: Outcome
    settlement: Settlement
    ended_at: datetime

    def row(self) -> dict[str, Any]:
        """Return the parameters of the query ``record_outcomes``."""
        later = self.settlement.not_before
        return {
            "delivery_id": str(self.claim.delivery_id),
            "attempt": self.claim.attempt,
            "status": self.settlement.status,
            "ended_at": self.ended_at.isoformat(),
            "not_before": later.isoformat() if later else None,
            "provider_message_id": self.outcome.provider_message_id,
            "provider_response": dict(self.outcome.response) or None,
            "error_class": self.settlement.error_class,
            "error": self.settlement.error,
            "counts": self.settlement.counts or None,
        }


@dataclass(frozen=True, slots=True)
class Gate:
    """What the campaign is, and whether a person or a provider has stopped it.

    :param closed: why nothing may leave, None when it may.
    :param is_cancelled: it never will: what is queued is skipped.
    """

    closed: str | None
    is_cancelled: bool
    is_advertising: bool
    campaign_name: str
    shop_name: str


@dataclass(frozen=True, slots=True)
class ClaimedBatch:
    """What one claim brought.

    :param gate: closed means that nothing was claimed.
    :param claims: messages to send.
    :param skipped: rows that policy stopped at the last moment, by reason.
    """

    gate: Gate
    claims: Sequence[Claim] = ()
    skipped: Mapping[str, int] = field(default_factory=dict)


class Ledger:
    """One worker's view of one snapshot and channel.

    :param connection: asynchronous, autocommit, of the runtime role.
    :param database_url: where to connect again when it is lost.
    :param worker_id: unique to this process; it marks what the worker holds.
    """

    def __init__(
        self,
        connection: AsyncConnection,
        database_url: str,
        *,
        tenant_id: str,
        snapshot_id: UUID,
        channel: str,
        worker_id: str,
    ) -> None:
        """Keep what every query needs."""
        self.connection = connection
        self._database_url = database_url
        self.tenant_id = tenant_id
        self.channel = channel
        self.worker_id = worker_id
        self._keys: dict[str, Any] = {
            "tenant_id": tenant_id,
            "snapshot_id": snapshot_id,
            "channel": channel,
            "worker_id": worker_id,
        }

    async def reconnect(self) -> None:
        """Replace a connection that was lost.

        :raises psycopg.OperationalError: the server cannot be reached.
        """
        await self.connection.close()
        self.connection = await connect_async(self._database_url, application_name=APPLICATION_NAME)

    async def claim(self, batch_size: int, now: datetime, lease_until: datetime) -> ClaimedBatch:
        """Take due messages and commit them as ``sending``.

        :param batch_size: most rows to take.
        :param lease_until: when the claim ends by itself.
        """
        async with tenant_transaction_async(self.connection, self.tenant_id) as cursor:
            gate = await self._gate(cursor)
            if gate.is_cancelled:
                await cursor.execute(SQL.skip_cancelled, self._keys)
                return ClaimedBatch(gate, skipped={"campaign_cancelled": cursor.rowcount})
            if gate.closed is not None:
                return ClaimedBatch(gate)
            await cursor.execute(
                SQL.claim_batch,
                {**self._keys, "batch_size": batch_size, "now": now, "lease_until": lease_until},
            )
            rows = await cursor.fetchall()
        claims: list[Claim] = []
        skipped: dict[str, int] = {}
        for row in rows:
            if row["skip_reason"] is not None:
                skipped[row["skip_reason"]] = skipped.get(row["skip_reason"], 0) + 1
            else:
                claims.append(_claim(row, lease_until))
        return ClaimedBatch(gate, claims, skipped)

    async def _gate(self, cursor: AsyncCursor) -> Gate:
        await cursor.execute(SQL.gate, self._keys)
        row = await cursor.fetchone()
        if row is None:
            return Gate("the snapshot does not exist in this tenant", False, True, "", "")
        closed = None
        if row["campaign_status"] != "active":
            closed = f"campaign {row['campaign_code']} is {row['campaign_status']}"
        elif row["channel_status"] is None:
            closed = f"channel {self.channel} has no credential"
        elif row["channel_status"] != "active":
            closed = f"channel {self.channel} is paused: {row['channel_reason']}"
        is_cancelled = row["campaign_status"] == "cancelled"
        return Gate(
            closed, is_cancelled, row["is_advertising"], row["campaign_name"], row["shop_name"]
        )

    async def record(self, answers: Sequence[Answer], refusals: Sequence[Answer]) -> int:
        """Write outcomes, and suppress the addresses that refused for good.

        :param answers: the end of each attempt.
        :param refusals: those of them whose address gets nothing more.
        :returns: how many rows took their outcome.
        """
        async with tenant_transaction_async(self.connection, self.tenant_id) as cursor:
            await cursor.execute(
                SQL.record_outcomes,
                {**self._keys, "outcomes": Jsonb([answer.row() for answer in answers])},
            )
            written = cursor.rowcount
            if refusals:
                rows = [
                    {
                        "address": answer.claim.address,
                        "profile_id": str(answer.claim.profile_id),
                        "reason": answer.outcome.reason,
                        "delivery_id": str(answer.claim.delivery_id),
                    }
                    for answer in refusals
                ]
                await cursor.execute(
                    SQL.suppress_addresses, {**self._keys, "refusals": Jsonb(rows)}
                )
        return written

    async def release_unknown_claims(self, known: Sequence[UUID], now: datetime) -> int:
        """Give back what this worker's lost claims took: it never learnt of them, nothing left.

        :param known: deliveries whose outcome this worker has or will have.
        :returns: how many rows.
        """
        async with tenant_transaction_async(self.connection, self.tenant_id) as cursor:
            await cursor.execute(
                SQL.release_claims, {**self._keys, "known": list(known), "now": now}
            )
            return cursor.rowcount

    async def pause_channel(self, reason: str) -> None:
        """Stop the tenant's channel until a person resumes it.

        :param reason: what the person has to look at.
        """
        async with tenant_transaction_async(self.connection, self.tenant_id) as cursor:
            await cursor.execute(SQL.pause_channel, {**self._keys, "reason": reason})

    async def expire_leases(self, now: datetime) -> int:
        """Mark what silent workers left behind as ``unknown``.

        :returns: how many rows.
        """
        async with tenant_transaction_async(self.connection, self.tenant_id) as cursor:
            await cursor.execute(SQL.expire_leases, {**self._keys, "now": now})
            return cursor.rowcount

    async def next_due(self) -> datetime | None:
        """Return when there is something to do again; None when everything is settled."""
        async with tenant_transaction_async(self.connection, self.tenant_id) as cursor:
            await cursor.execute(SQL.next_due, self._keys)
            row = await cursor.fetchone()
        return row["due_at"] if row else None

    async def complete_tasks(self) -> int:
        """Complete the tasks of which nothing can still be sent."""
        async with tenant_transaction_async(self.connection, self.tenant_id) as cursor:
            await cursor.execute(SQL.complete_tasks, {**self._keys, "task_ids": None})
            return cursor.rowcount

    async def totals(self) -> dict[str, dict[str, int]]:
        """Count the messages of the snapshot and channel: status -> reason -> rows."""
        async with tenant_transaction_async(self.connection, self.tenant_id) as cursor:
            await cursor.execute(SQL.channel_totals, self._keys)
            totals: dict[str, dict[str, int]] = {}
            for row in await cursor.fetchall():
                totals.setdefault(row["status"], {})[row["reason"] or ""] = row["row_count"]
        return totals

    async def prepare(self, secret_key: str) -> tuple[Credential, dict[str, MessageTemplate]]:
        """Read the channel's credential and the templates it may be asked to render.

        :param secret_key: decrypts the credential.
        :raises ConfigurationError: there is no credential, or the key does not fit.
        """
        async with tenant_transaction_async(self.connection, self.tenant_id) as cursor:
            credential = await load_credential(
                cursor, tenant_id=self.tenant_id, channel=self.channel, secret_key=secret_key
            )
            await cursor.execute(SQL.active_templates, self._keys)
            templates = {
                row["template_id"]: MessageTemplate(**row) for row in await cursor.fetchall()
            }
        return credential, templates


def _claim(row: Mapping[str, Any], lease_until: datetime) -> Claim:
    return Claim(
        delivery_id=row["delivery_id"],
        profile_id=row["profile_id"],
        template_id=row["template_id"],
        params=row["params"],
        address=row["address"],
        facts=row["facts"],
        attempt=row["attempt_count"],
        refusals=sum(1 for attempt in row["attempts"][:-1] if attempt.get("counts")),
        lease_until=lease_until,
    )
