"""Settle what the dispatchers could not: from receipts, from providers, and never by sending.

What neither knows stays ``unknown``. It is counted here, and only a person may do more
(:mod:`leo_activation.delivery.controls`).
"""

from __future__ import annotations

import asyncio
import io
import logging
import random
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from rich.console import Console
from rich.table import Table

from leo_activation.channels.base import (
    ChannelTools,
    Credential,
    Receipt,
    SentMessage,
    StatusLookup,
)
from leo_activation.channels.registry import open_channel, spec_of
from leo_activation.database import Connection, Cursor, connect, tenant_transaction
from leo_activation.delivery.controls import UnknownGroup, count_unknown, list_channels
from leo_activation.delivery.credentials import read_credential
from leo_activation.delivery.feedback import (
    PROOFS,
    SQL,
    apply_receipts,
    settle_by_receipts,
)
from leo_activation.delivery.scope import complete_finished, scope_of
from leo_activation.delivery.token_renewal import make_renewer
from leo_activation.errors import LeoError
from leo_activation.queries import load_queries

log = logging.getLogger(__name__)

APPLICATION_NAME = "leo_reconcile"


@dataclass(frozen=True, slots=True)
class ReconcileOptions:
    """How much is asked of providers in one run.

    :param most: messages a channel, the newest first.
    :param seconds: after this a channel is asked no more.
    :param days: how long the delivery of a sent message is asked for.
    """

    most: int = 500
    seconds: float = 60.0
    days: int = 3


@dataclass(slots=True)
class ReconcileReport:
    """What a run settled, and what nobody can settle but a person.

    :param expired: messages whose sender went silent; they are ``unknown`` now.
    :param settled: unknown outcomes that receipts or providers settled.
    :param asked: messages that providers were asked about.
    :param answered: those they knew something of.
    :param not_asked: channel -> why its provider was not asked, or stopped answering.
    :param unknown: what is left, the oldest group first.
    """

    tenant_id: str
    expired: int = 0
    settled: int = 0
    asked: int = 0
    answered: int = 0
    not_asked: dict[str, str] = field(default_factory=dict)
    unknown: Sequence[UnknownGroup] = ()

    def counts(self) -> dict[str, int]:
        """Return the numbers alone."""
        return {
            "expired": self.expired,
            "settled": self.settled,
            "asked": self.asked,
            "answered": self.answered,
            "unknown": sum(group.messages for group in self.unknown),
        }

    def table(self) -> str:
        """Return what is still unknown as a table for a log; empty when nothing is."""
        return render_unknown(self.unknown) if self.unknown else ""

    def advice(self) -> list[str]:
        """Return a line for each group that no receipt is likely to settle any more."""
        return [advise(self.tenant_id, group) for group in self.unknown if group.is_old]


def reconcile(
    database_url: str,
    tenant_id: str,
    secret_key: str,
    *,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    uniform: Callable[[], float] = random.random,
    options: ReconcileOptions | None = None,
) -> ReconcileReport:
    """Settle a tenant's open outcomes. Running it again, or at the same time, is always safe.

    :param database_url: libpq URL of the runtime role.
    :param secret_key: decrypts the credentials with which providers are asked.
    :param clock: tells the time.
    :param uniform: random numbers from 0 to 1.
    """
    options = options or ReconcileOptions()
    report = ReconcileReport(tenant_id)
    with closing(connect(database_url, application_name=APPLICATION_NAME)) as connection:
        report.expired = _expire_leases(connection, tenant_id, clock())
        report.settled = _settle_from_receipts(connection, tenant_id)
        tools = ChannelTools(
            concurrency=1,
            clock=clock,
            uniform=uniform,
            renew=make_renewer(database_url=database_url, secret_key=secret_key),
        )
        for row in list_channels(connection, tenant_id=tenant_id):
            _ask_channel(connection, report, row, secret_key, tools, options)
        with tenant_transaction(connection, tenant_id) as cursor:
            report.unknown = count_unknown(cursor, tenant_id, now=clock())
    return report


def _expire_leases(connection: Connection, tenant_id: str, now: datetime) -> int:
    """Mark every delivery whose sender went silent as unknown."""
    with tenant_transaction(connection, tenant_id) as cursor:
        rows = cursor.execute(
            load_queries("delivery").expire_leases,
            {
                "tenant_id": tenant_id,
                "now": now,
                "is_everywhere": True,
                "channel": None,
                "snapshot_id": None,
            },
        ).fetchall()
        _complete_tasks(cursor, tenant_id, [row["delivery_id"] for row in rows])
    return len(rows)


def _complete_tasks(cursor: Cursor, tenant_id: str, delivery_ids: Sequence[UUID]) -> None:
    keys = {"tenant_id": tenant_id, "delivery_ids": list(delivery_ids)}
    for row in cursor.execute(SQL.scopes_of, keys).fetchall():
        scope = scope_of(row["snapshot_id"], row["campaign_id"])
        complete_finished(cursor, tenant_id, scope)


def _settle_from_receipts(connection: Connection, tenant_id: str) -> int:
    """Settle messages whose receipt came before the worker's answer, or without one."""
    with tenant_transaction(connection, tenant_id) as cursor:
        rows = cursor.execute(
            SQL.unsettled_with_proof, {"tenant_id": tenant_id, "proofs": list(PROOFS)}
        ).fetchall()
        return settle_by_receipts(cursor, tenant_id, [row["delivery_id"] for row in rows])


def _ask_channel(
    connection: Connection,
    report: ReconcileReport,
    row: Mapping[str, Any],
    secret_key: str,
    tools: ChannelTools,
    options: ReconcileOptions,
) -> None:
    """Ask a channel's provider, and write down what it answers."""
    channel, tenant_id = row["channel"], report.tenant_id
    if row["status"] != "active":
        report.not_asked[channel] = f"paused: {row['status_reason']}"
        return

    def wanted() -> list[SentMessage]:
        keys = {
            "tenant_id": tenant_id,
            "channel": channel,
            "since": tools.clock() - timedelta(days=options.days),
            "most": options.most,
        }
        with tenant_transaction(connection, tenant_id) as cursor:
            return [SentMessage(**r) for r in cursor.execute(SQL.to_look_up, keys).fetchall()]

    try:
        with tenant_transaction(connection, tenant_id) as cursor:
            credential = read_credential(
                cursor, tenant_id=tenant_id, channel=channel, secret_key=secret_key
            )
        answers = asyncio.run(_ask(credential, tools, wanted, options.seconds))
    except LeoError as error:
        report.not_asked[channel] = str(error)
        return
    report.asked += answers.asked
    report.answered += len(answers.receipts)
    if answers.failure:
        report.not_asked[channel] = answers.failure
    with tenant_transaction(connection, tenant_id) as cursor:
        done = apply_receipts(
            cursor, tenant_id, channel, credential.provider, answers.receipts, now=tools.clock()
        )
    report.settled += done.settled


@dataclass(frozen=True, slots=True)
class _Answers:
    """What a provider said.

    :param failure: why some were not answered; empty when all were.
    """

    asked: int = 0
    receipts: Sequence[Receipt] = ()
    failure: str = ""


async def _ask(
    credential: Credential,
    tools: ChannelTools,
    wanted: Callable[[], list[SentMessage]],
    seconds: float,
) -> _Answers:
    spec = spec_of(credential.channel, credential.provider)
    provider = open_channel(credential, replace(tools, concurrency=spec.concurrency))
    try:
        if not isinstance(provider, StatusLookup):
            return _Answers()
        return await _look_up(provider, wanted(), spec.concurrency, seconds)
    finally:
        await provider.close()


async def _look_up(
    provider: StatusLookup, messages: Sequence[SentMessage], concurrency: int, seconds: float
) -> _Answers:
    gate = asyncio.Semaphore(concurrency)

    async def ask(message: SentMessage) -> Receipt | None:
        async with gate:
            receipt = await provider.look_up(message)
        return receipt and replace(receipt, delivery_id=message.delivery_id)

    if not messages:
        return _Answers()
    tasks = [asyncio.create_task(ask(message)) for message in messages]
    _, late = await asyncio.wait(tasks, timeout=seconds)
    for task in late:
        task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    errors = [r for r in results if isinstance(r, Exception)]
    for error in errors[:1]:
        log.error("a look-up failed", exc_info=error)
    failure = ""
    if late or errors:
        failure = f"{len(errors)} of {len(messages)} look-ups failed, {len(late)} were too slow"
    receipts = [r for r in results if isinstance(r, Receipt)]
    return _Answers(len(messages), receipts, failure)


def render_unknown(groups: Sequence[UnknownGroup]) -> str:
    """Return groups of unknown messages as plain text, for a log."""
    console = Console(file=io.StringIO(), width=120, color_system=None, highlight=False)
    with console.capture() as captured:
        console.print(unknown_table(groups))
    return captured.get()


def unknown_table(groups: Sequence[UnknownGroup]) -> Table:
    """Return groups of unknown messages as a table for a rich console."""
    table = Table(title="Outcome unknown", title_justify="left", box=None, pad_edge=False)
    for name in ("campaign", "channel", "cause", "age"):
        table.add_column(name)
    for name in ("messages", "customers"):
        table.add_column(name, justify="right")
    table.add_column("since")
    for group in groups:
        table.add_row(
            group.campaign_code,
            group.channel,
            group.reason,
            group.age,
            f"{group.messages:,}",
            f"{group.customers:,}",
            f"{group.oldest:%Y-%m-%d %H:%M %Z}",
        )
    return table


def advise(tenant_id: str, group: UnknownGroup) -> str:
    """Return what a person can do about a group that no receipt is likely to settle."""
    which = (
        f"{group.campaign_code} --tenant {tenant_id} "
        f"--channel {group.channel} --reason {group.reason}"
    )
    return (
        f"{group.messages:,} messages of campaign {group.campaign_code} on {group.channel} are "
        f"unknown ({group.reason}) since {group.oldest:%Y-%m-%d %H:%M %Z}. Look into the "
        f"provider's records, then `leo campaign settle-unknown {which} --as sent` (or failed); "
        f"or send again, some may get it twice: `leo campaign resend-unknown {which}`"
    )
