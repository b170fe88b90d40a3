"""The ledger, ``delivery_log``: the only truth about what was sent.

``enqueue`` (called by the decision, synchronous) turns planned sends into rows. :class:`Ledger`
(called by the dispatcher, asynchronous) claims them, and writes down what came of each. Every
method is one transaction; a message may leave only after the one that claimed it has committed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from math import floor
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from leo_activation.channels.base import (
    EVERYTHING,
    AddressError,
    ChannelSpec,
    Credential,
    Outcome,
    Reaction,
    Recipient,
    shorten,
    storable,
)
from leo_activation.channels.registry import spec_of
from leo_activation.database import (
    AsyncConnection,
    AsyncCursor,
    Cursor,
    connect_async,
    tenant_transaction_async,
)
from leo_activation.delivery.credentials import load_credential
from leo_activation.delivery.feedback import PROOFS
from leo_activation.delivery.retry import Settlement
from leo_activation.delivery.scope import Scope, Triggered, scope_keys, scope_queries
from leo_activation.delivery.templates import MessageTemplate
from leo_activation.errors import ConfigurationError
from leo_activation.queries import load_queries

APPLICATION_NAME = "leo_dispatch"
# Ends of an attempt that a receipt may know better.
_OPEN_ENDS = ("retry", "unknown")
# How much of a provider's rate may be used at once; what one dispatcher leaves, another may take.
BURST_SECONDS = 1.0
SQL = load_queries("delivery")
_FEEDBACK = load_queries("feedback")


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
    snapshot_id: UUID | None,
    sends: Sequence[PlannedSend],
    skips: Sequence[PlannedSkip],
    now: datetime | None = None,
) -> EnqueueReport:
    """Give every planned send exactly one row: queued, or skipped with the reason.

    Policy is applied here: address present and valid, consent, suppression, frequency cap,
    permitted hours, and that no earlier run of the campaign has the same message. The same call
    again changes nothing.

    :param cursor: inside the tenant's transaction that also stores the decisions.
    :param snapshot_id: none for what events set off: then a message is one per event.
    :param now: the time by which messages are judged; the current time when None.
    :raises ConfigurationError: a send names a channel that does not exist.
    """
    cursor.execute(SQL.channel_providers, {"tenant_id": tenant_id})
    providers = {row["channel"]: row["provider"] for row in cursor.fetchall()}
    rows = [_send_row(send, providers.get(send.channel)) for send in sends]
    rows += [_skip_row(skip) for skip in skips]
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
    cursor.execute(SQL.complete_tasks, {"tenant_id": tenant_id, "task_ids": task_ids})
    return EnqueueReport(queued, skipped, existing)


def find_recipient(spec: ChannelSpec, profile_id: UUID, facts: Mapping[str, Any]) -> Recipient:
    """Read where a message to a customer goes.

    :param facts: the member's frozen facts.
    :raises AddressError: nowhere.
    """
    return spec.find_recipient({**facts, "profile_id": str(profile_id)})


def _send_row(send: PlannedSend, provider: str | None) -> dict[str, Any]:
    address, reason = None, None
    try:
        spec = spec_of(send.channel, provider)
        address = find_recipient(spec, send.profile_id, send.facts).address
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

    :param targets: the customer's devices that may still answer; None where the address is all
        there is.
    :param attempt: number of this attempt, from 1.
    :param refusals: earlier attempts that used up one of the allowed ones.
    :param lease_until: after this nobody may send it any more.
    :param expires_at: after this it is stale; None for never.
    """

    delivery_id: UUID
    profile_id: UUID
    task_id: UUID
    template_id: str
    params: Mapping[str, str]
    address: str
    facts: Mapping[str, Any] = field(repr=False)
    targets: tuple[str, ...] | None
    attempt: int
    refusals: int
    lease_until: datetime
    expires_at: datetime | None


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
        row = {
            "delivery_id": str(self.claim.delivery_id),
            "attempt": self.claim.attempt,
            "status": self.settlement.status,
            "ended_at": self.ended_at.isoformat(),
            "not_before": later.isoformat() if later else None,
            "provider_message_id": self.outcome.provider_message_id,
            "provider_response": self.outcome.response or None,
            "error_class": self.settlement.error_class,
            "error": self.settlement.error,
            "counts": self.settlement.counts or None,
        }
        return {name: storable(value) for name, value in row.items()}

    def suppressions(self) -> list[dict[str, Any]]:
        """Return the parameters of the query ``suppress_addresses``: whom to leave alone."""
        shared = {
            "profile_id": str(self.claim.profile_id),
            "delivery_id": str(self.claim.delivery_id),
        }
        rows = [
            {
                **shared,
                "address": target,
                "scope": EVERYTHING,
                "reason": shorten(reason),
                "until": None,
            }
            for target, reason in self.outcome.dead_targets.items()
        ]
        if self.outcome.reaction is Reaction.SUPPRESS:
            lasts = self.outcome.suppress_for
            rows.append(
                {
                    **shared,
                    "address": self.claim.address,
                    "scope": self.outcome.suppress_scope,
                    "reason": shorten(self.outcome.reason),
                    "until": (self.ended_at + lasts).isoformat() if lasts else None,
                }
            )
        return rows


@dataclass(frozen=True, slots=True)
class Gate:
    """What the campaign is, and whether a person, a provider or the hour has stopped it.

    :param closed: why nothing may leave until a person acts, None when it may.
    :param is_cancelled: it never will: what is queued is skipped.
    :param held_until: when advertising may leave again, None when it may now.
    :param open_until: when it may not leave any more, None when it may at any hour.
    :param paused_templates: template -> why nothing may be written with it.
    """

    closed: str | None
    is_cancelled: bool
    is_advertising: bool
    campaign_name: str
    campaign_code: str
    shop_name: str
    held_until: datetime | None
    open_until: datetime | None
    paused_templates: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ClaimedBatch:
    """What one claim brought.

    :param gate: closed or held means that nothing was claimed.
    :param claims: messages to send.
    :param skipped: rows that policy stopped at the last moment, by reason.
    :param wait_seconds: how long the provider's documented rate lets nothing more leave.
    :param is_stale: the account or a template was changed: nothing was claimed, because what the
        dispatcher has at hand would be sent by what holds no more.
    """

    gate: Gate
    claims: Sequence[Claim] = ()
    skipped: Mapping[str, int] = field(default_factory=dict)
    wait_seconds: float = 0.0
    is_stale: bool = False


@dataclass(frozen=True, slots=True)
class NextDue:
    """What is left.

    :param at: when there is something to do again, None when nothing is left but what is paused.
    :param paused: which template a person has to look at, and why.
    """

    at: datetime | None
    paused: str | None


@dataclass(frozen=True, slots=True)
class Equipment:
    """What a channel needs before its first message."""

    credential: Credential
    templates: Mapping[str, MessageTemplate]


class Ledger:
    """One worker's view of one channel of a snapshot, or of what events set off for a campaign.

    The tasks of a snapshot are completed when its dispatch ends. What events set off has no end:
    its tasks are completed together with their last message.

    :param connection: asynchronous, autocommit, of the runtime role.
    :param database_url: where to connect again when it is lost.
    :param scope: the snapshot's id, or the campaign of the events.
    :param worker_id: unique to this process; it marks what the worker holds.
    """

    def __init__(
        self,
        connection: AsyncConnection,
        database_url: str,
        *,
        tenant_id: str,
        scope: Scope,
        channel: str,
        worker_id: str,
    ) -> None:
        """Keep what every query needs."""
        self.connection = connection
        self._database_url = database_url
        self.tenant_id = tenant_id
        self.scope = scope
        self.channel = channel
        self.worker_id = worker_id
        self.spec = spec_of(channel)
        self.rate_per_second = 0.0
        self._prepared_at: datetime | None = None
        self._sql = scope_queries(scope)
        self._keys: dict[str, Any] = {
            "tenant_id": tenant_id,
            **scope_keys(scope),
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
            gate = await self._gate(cursor, now)
            if gate.is_cancelled:
                return ClaimedBatch(gate, skipped=await self._skip_cancelled(cursor))
            if gate.closed is not None or gate.held_until is not None:
                return ClaimedBatch(gate)
            if await self._is_stale(cursor):
                return ClaimedBatch(gate, is_stale=True)
            if self.rate_per_second:
                return await self._claim_within_rate(cursor, gate, batch_size, now, lease_until)
            return await self._claim(cursor, gate, batch_size, now, lease_until)

    async def _is_stale(self, cursor: AsyncCursor) -> bool:
        """Tell whether account or templates changed since they were read.

        The dispatch of a snapshot ends; that of events goes on, and has to begin anew.
        """
        if not isinstance(self.scope, Triggered):
            return False
        return await self._changed_at(cursor) != self._prepared_at

    async def _changed_at(self, cursor: AsyncCursor) -> datetime | None:
        await cursor.execute(self._sql.equipment_changed_at, self._keys)
        row = await cursor.fetchone()
        return row["changed_at"] if row else None

    async def _claim_within_rate(
        self,
        cursor: AsyncCursor,
        gate: Gate,
        batch_size: int,
        now: datetime,
        lease_until: datetime,
    ) -> ClaimedBatch:
        """Claim no more than the account may send; its other dispatchers wait for the answer."""
        await cursor.execute(self._sql.lock_rate, {**self._keys, "now": now})
        row = await cursor.fetchone()
        free_at = max(row["free_at"], now) if row else now
        behind = (free_at - now).total_seconds()
        interval = 1 / self.rate_per_second
        burst = max(BURST_SECONDS, interval)
        allowed = min(batch_size, floor((burst - behind) / interval + 1e-9))
        if allowed < 1:
            return ClaimedBatch(gate, wait_seconds=behind - burst + interval)
        batch = await self._claim(cursor, gate, allowed, now, lease_until)
        used = timedelta(seconds=len(batch.claims) * interval)
        await cursor.execute(self._sql.use_rate, {**self._keys, "free_at": free_at + used})
        return batch

    async def _claim(
        self,
        cursor: AsyncCursor,
        gate: Gate,
        batch_size: int,
        now: datetime,
        lease_until: datetime,
    ) -> ClaimedBatch:
        keys = {**self._keys, "now": now, "lease_until": lease_until, "batch_size": batch_size}
        await cursor.execute(
            self._sql.lock_batch,
            {
                **keys,
                "is_advertising": gate.is_advertising,
                "paused_templates": list(gate.paused_templates),
            },
        )
        locked = [row["delivery_id"] for row in await cursor.fetchall()]
        if not locked:
            return ClaimedBatch(gate)
        await cursor.execute(self._sql.claim_batch, {**keys, "delivery_ids": locked})
        rows = await cursor.fetchall()
        stopped = [row for row in rows if row["skip_reason"] is not None]
        skipped = Counter(row["skip_reason"] for row in stopped)
        await self._complete_triggered(cursor, [row["task_id"] for row in stopped])
        claimed = [row for row in rows if row["skip_reason"] is None]
        targets = await self._live_targets(cursor, claimed, now)
        claims = [_claim(row, lease_until, targets.get(row["delivery_id"])) for row in claimed]
        return ClaimedBatch(gate, claims, skipped)

    async def _live_targets(
        self, cursor: AsyncCursor, rows: Sequence[Mapping[str, Any]], now: datetime
    ) -> dict[UUID, tuple[str, ...]]:
        """Return the devices of those recipients that have several, without the dead ones."""
        found = {}
        for row in rows:
            with suppress(AddressError):
                recipient = find_recipient(self.spec, row["profile_id"], row["facts"])
                if recipient.targets:
                    found[row["delivery_id"]] = recipient.targets
        if not found:
            return {}
        every = sorted({target for targets in found.values() for target in targets})
        await cursor.execute(
            self._sql.suppressed_targets, {**self._keys, "targets": every, "now": now}
        )
        dead = {row["address"] for row in await cursor.fetchall()}
        return {
            delivery_id: tuple(target for target in targets if target not in dead)
            for delivery_id, targets in found.items()
        }

    async def _gate(self, cursor: AsyncCursor, now: datetime) -> Gate:
        await cursor.execute(self._sql.gate, {**self._keys, "now": now})
        row = await cursor.fetchone()
        if row is None:
            missing = "neither the snapshot nor the campaign exists in this tenant"
            return Gate(missing, False, True, "", "", "", None, None, {})
        closed = None
        if row["campaign_status"] != "active":
            closed = f"campaign {row['campaign_code']} is {row['campaign_status']}"
        elif row["channel_status"] is None:
            closed = f"channel {self.channel} has no credential"
        elif row["channel_status"] != "active":
            closed = f"channel {self.channel} is paused: {row['channel_reason']}"
        return Gate(
            closed=closed,
            is_cancelled=row["campaign_status"] == "cancelled",
            is_advertising=row["is_advertising"],
            campaign_name=row["campaign_name"],
            campaign_code=row["campaign_code"],
            shop_name=row["shop_name"],
            held_until=row["held_until"],
            open_until=row["open_until"],
            paused_templates=row["paused_templates"],
        )

    async def record(self, answers: Sequence[Answer]) -> int:
        """Write outcomes, and suppress the addresses and devices that refused.

        :param answers: the end of each attempt.
        :returns: how many rows took their outcome.
        """
        async with tenant_transaction_async(self.connection, self.tenant_id) as cursor:
            await cursor.execute(
                self._sql.record_outcomes,
                {**self._keys, "outcomes": Jsonb([answer.row() for answer in answers])},
            )
            written = cursor.rowcount
            open_ends = [a.claim.delivery_id for a in answers if a.settlement.status in _OPEN_ENDS]
            await self._settle_by_receipts(cursor, open_ends)
            refusals = [row for answer in answers for row in answer.suppressions()]
            if refusals:
                await cursor.execute(
                    self._sql.suppress_addresses, {**self._keys, "refusals": Jsonb(refusals)}
                )
            dead = {target for answer in answers for target in answer.outcome.dead_targets}
            if dead:
                owners = [a.claim.profile_id for a in answers if a.outcome.dead_targets]
                await cursor.execute(
                    self._sql.forget_devices,
                    {**self._keys, "targets": sorted(dead), "profile_ids": owners},
                )
            await self._complete_triggered(cursor, [answer.claim.task_id for answer in answers])
        return written

    async def _complete_triggered(self, cursor: AsyncCursor, task_ids: Sequence[UUID]) -> None:
        """Complete the tasks of events of which nothing can still be sent."""
        if task_ids and isinstance(self.scope, Triggered):
            tasks = {**self._keys, "task_ids": sorted(set(task_ids))}
            await cursor.execute(self._sql.complete_tasks, tasks)

    async def _settle_by_receipts(self, cursor: AsyncCursor, delivery_ids: Sequence[UUID]) -> None:
        """Believe a receipt that came while its message was being sent, before anybody acts."""
        if delivery_ids:
            told = {"delivery_ids": list(delivery_ids), "proofs": list(PROOFS)}
            await cursor.execute(_FEEDBACK.merge_facts, {**self._keys, **told})

    async def release_unknown_claims(self, known: Sequence[UUID], now: datetime) -> int:
        """Give back what this worker's lost claims took: it never learnt of them, nothing left.

        :param known: deliveries whose outcome this worker has or will have.
        :returns: how many rows.
        """
        async with tenant_transaction_async(self.connection, self.tenant_id) as cursor:
            await cursor.execute(
                self._sql.release_claims, {**self._keys, "known": list(known), "now": now}
            )
            return cursor.rowcount

    async def pause_channel(self, reason: str) -> None:
        """Stop the tenant's channel until a person resumes it.

        :param reason: what the person has to look at.
        """
        async with tenant_transaction_async(self.connection, self.tenant_id) as cursor:
            await cursor.execute(self._sql.pause_channel, {**self._keys, "reason": shorten(reason)})

    async def pause_template(self, template_id: str, reason: str) -> None:
        """Let nothing more be written with a template until a person allows it.

        :param reason: what the person has to look at.
        """
        async with tenant_transaction_async(self.connection, self.tenant_id) as cursor:
            await cursor.execute(
                self._sql.pause_template,
                {**self._keys, "template_id": template_id, "reason": shorten(reason)},
            )

    async def expire_leases(self, now: datetime) -> int:
        """Mark what silent workers left behind as ``unknown``.

        :returns: how many rows.
        """
        async with tenant_transaction_async(self.connection, self.tenant_id) as cursor:
            await cursor.execute(
                self._sql.expire_leases, {**self._keys, "is_everywhere": False, "now": now}
            )
            silent = await cursor.fetchall()
            await self._settle_by_receipts(cursor, [row["delivery_id"] for row in silent])
            await self._complete_triggered(cursor, [row["task_id"] for row in silent])
            return len(silent)

    async def skip_cancelled(self) -> int:
        """Skip what still waits, should the campaign be cancelled."""
        async with tenant_transaction_async(self.connection, self.tenant_id) as cursor:
            return sum((await self._skip_cancelled(cursor)).values())

    async def _skip_cancelled(self, cursor: AsyncCursor) -> dict[str, int]:
        await cursor.execute(self._sql.skip_cancelled, self._keys)
        rows = await cursor.fetchall()
        await self._complete_triggered(cursor, [row["task_id"] for row in rows])
        return {"campaign_cancelled": len(rows)}

    async def next_due(self, now: datetime) -> NextDue:
        """Return when there is something to do again."""
        async with tenant_transaction_async(self.connection, self.tenant_id) as cursor:
            await cursor.execute(self._sql.next_due, {**self._keys, "now": now})
            row = await cursor.fetchone()
        return NextDue(row["due_at"], row["paused"]) if row else NextDue(None, None)

    async def complete_tasks(self) -> int:
        """Complete the tasks of which nothing can still be sent."""
        async with tenant_transaction_async(self.connection, self.tenant_id) as cursor:
            await cursor.execute(self._sql.complete_finished, self._keys)
            return cursor.rowcount

    async def totals(self) -> dict[str, dict[str, int]]:
        """Count the messages of the channel: status -> reason -> rows.

        Of what events set off only those that are still to be sent: the others have no end.
        """
        is_triggered = isinstance(self.scope, Triggered)
        query = self._sql.open_totals if is_triggered else self._sql.channel_totals
        async with tenant_transaction_async(self.connection, self.tenant_id) as cursor:
            await cursor.execute(query, self._keys)
            totals: dict[str, dict[str, int]] = {}
            for row in await cursor.fetchall():
                totals.setdefault(row["status"], {})[row["reason"] or ""] = row["row_count"]
        return totals

    async def prepare(self, secret_key: str) -> Equipment:
        """Read the channel's credential and the templates it may be asked to render.

        :param secret_key: decrypts the credential.
        :raises ConfigurationError: there is no credential, or the key does not fit.
        """
        async with tenant_transaction_async(self.connection, self.tenant_id) as cursor:
            self._prepared_at = await self._changed_at(cursor)
            credential = await load_credential(
                cursor, tenant_id=self.tenant_id, channel=self.channel, secret_key=secret_key
            )
            await cursor.execute(self._sql.active_templates, self._keys)
            templates = {
                row["template_id"]: MessageTemplate(**row) for row in await cursor.fetchall()
            }
        self.spec = spec_of(self.channel, credential.provider)
        self.rate_per_second = rate_of(credential, self.spec)
        return Equipment(credential, templates)


def rate_of(credential: Credential, spec: ChannelSpec) -> float:
    """Return how many messages a second an account may send; 0 for no limit.

    :raises ConfigurationError: the setting is not a number.
    """
    rate = credential.settings.get("rate_per_second", spec.rate_per_second) or 0
    if not isinstance(rate, (int, float)) or not 0 <= rate < 1e6:
        raise ConfigurationError(
            f"rate_per_second of the {credential.channel} credential is {rate!r}; set messages a "
            "second, or 0 for no limit"
        )
    return float(rate)


def _claim(row: Mapping[str, Any], lease_until: datetime, targets: tuple[str, ...] | None) -> Claim:
    return Claim(
        delivery_id=row["delivery_id"],
        profile_id=row["profile_id"],
        task_id=row["task_id"],
        template_id=row["template_id"],
        params=row["params"],
        address=row["address"],
        facts=row["facts"],
        targets=targets,
        attempt=row["attempt_count"],
        refusals=sum(1 for attempt in row["attempts"][:-1] if attempt.get("counts")),
        lease_until=lease_until,
        expires_at=row["expires_at"],
    )
