"""What a person decides about sending: stop and go on, and what becomes of unknown outcomes.

A dispatcher reads the state of campaign, channel and template in the transaction of every claim, so
each of these takes effect within a batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from leo_activation.database import Connection, Cursor, tenant_transaction
from leo_activation.delivery.scope import Triggered, complete_finished
from leo_activation.errors import LeoError
from leo_activation.queries import load_queries

SQL = load_queries("controls")


class ControlError(LeoError):
    """What is to be changed does not exist, or cannot be changed so."""


@dataclass(frozen=True, slots=True)
class UnknownGroup:
    """Messages of one campaign, channel, cause and age whose outcome nobody knows.

    :param reason: class of the cause.
    :param age: ``under 1 hour``, ``under 1 day``, ``under 7 days`` or ``older``.
    :param oldest: when the first of them was attempted.
    """

    campaign_code: str
    channel: str
    reason: str
    age: str
    messages: int
    customers: int
    oldest: datetime

    @property
    def is_old(self) -> bool:
        """Whether no receipt is likely to settle them any more: a person has to."""
        return self.age in ("under 7 days", "older")


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of unknown messages.

    :param messages: how many changed.
    :param customers: how many people they went to.
    :param snapshot_ids: runs whose dispatch has to be run again.
    """

    messages: int
    customers: int
    snapshot_ids: tuple[UUID, ...] = ()


@dataclass(frozen=True, slots=True)
class Selection:
    """Which unknown messages of a campaign a person means.

    :param code: the campaign's code.
    :param channel: of this channel only; None for all.
    :param reason: of this cause only; None for all.
    """

    code: str
    channel: str | None = None
    reason: str | None = None

    def keys(self, tenant_id: str) -> dict[str, Any]:
        """Return the parameters of a query."""
        return {
            "tenant_id": tenant_id,
            "code": self.code,
            "channel": self.channel,
            "reason": self.reason,
        }


def pause_campaign(connection: Connection, *, tenant_id: str, code: str) -> None:
    """Let nothing more of a campaign leave until it is resumed.

    :raises ControlError: there is no such campaign, or it is cancelled.
    """
    _set_status(connection, tenant_id, code, "paused")


def resume_campaign(connection: Connection, *, tenant_id: str, code: str) -> None:
    """Let a paused campaign go on.

    :raises ControlError: there is no such campaign, or it is cancelled.
    """
    _set_status(connection, tenant_id, code, "active")


def _set_status(connection: Connection, tenant_id: str, code: str, status: str) -> None:
    with tenant_transaction(connection, tenant_id) as cursor:
        campaign_id = _open_campaign(cursor, tenant_id, code)
        cursor.execute(
            SQL.set_campaign_status,
            {"tenant_id": tenant_id, "campaign_id": campaign_id, "status": status},
        )


def cancel_campaign(connection: Connection, *, tenant_id: str, code: str) -> int:
    """End a campaign for good: what still waits is skipped, in the same transaction.

    Messages that are on their way get their outcome. A second call changes nothing.

    :returns: how many messages were skipped.
    :raises ControlError: there is no such campaign.
    """
    with tenant_transaction(connection, tenant_id) as cursor:
        campaign_id = _campaign(cursor, tenant_id, code)[0]
        keys = {"tenant_id": tenant_id, "campaign_id": campaign_id}
        cursor.execute(SQL.set_campaign_status, {**keys, "status": "cancelled"})
        cursor.execute(SQL.skip_waiting, keys)
        skipped = cursor.rowcount
        runs = cursor.execute(SQL.snapshots_of_campaign, keys).fetchall()
        for scope in (*[run["snapshot_id"] for run in runs], Triggered(campaign_id)):
            complete_finished(cursor, tenant_id, scope)
    return skipped


def _campaign(cursor: Cursor, tenant_id: str, code: str) -> tuple[UUID, str]:
    row = cursor.execute(SQL.lock_campaign, {"tenant_id": tenant_id, "code": code}).fetchone()
    if row is None:
        raise ControlError(f"tenant {tenant_id!r} has no campaign {code!r}: check the code")
    return row["campaign_id"], row["status"]


def _open_campaign(cursor: Cursor, tenant_id: str, code: str) -> UUID:
    campaign_id, status = _campaign(cursor, tenant_id, code)
    if status == "cancelled":
        raise ControlError(
            f"campaign {code!r} is cancelled, and that is final: its messages were skipped. "
            "Run a new campaign with another code"
        )
    return campaign_id


def pause_channel(connection: Connection, *, tenant_id: str, channel: str, reason: str) -> None:
    """Let a tenant's channel send nothing until it is resumed; the first reason is kept.

    :param reason: what the next person should know.
    :raises ControlError: the tenant has no credential for the channel.
    """
    keys = {"tenant_id": tenant_id, "channel": channel}
    with tenant_transaction(connection, tenant_id) as cursor:
        _check_channel(cursor, tenant_id, channel)
        cursor.execute(load_queries("delivery").pause_channel, {**keys, "reason": reason})


def resume_channel(connection: Connection, *, tenant_id: str, channel: str) -> None:
    """Let a paused channel send again, after a person has looked at the reason.

    :raises ControlError: the tenant has no credential for the channel.
    """
    with tenant_transaction(connection, tenant_id) as cursor:
        _check_channel(cursor, tenant_id, channel)
        cursor.execute(SQL.resume_channel, {"tenant_id": tenant_id, "channel": channel})


def _check_channel(cursor: Cursor, tenant_id: str, channel: str) -> None:
    rows = cursor.execute(SQL.channels, {"tenant_id": tenant_id}).fetchall()
    if channel not in {row["channel"] for row in rows}:
        known = ", ".join(row["channel"] for row in rows) or "none"
        raise ControlError(
            f"tenant {tenant_id!r} has no credential for {channel!r}; it has: {known}"
        )


def list_channels(connection: Connection, *, tenant_id: str) -> list[dict[str, Any]]:
    """Return how each channel of a tenant stands, without secrets."""
    with tenant_transaction(connection, tenant_id) as cursor:
        return cursor.execute(SQL.channels, {"tenant_id": tenant_id}).fetchall()


def pause_template(
    connection: Connection, *, tenant_id: str, template_id: str, reason: str
) -> None:
    """Let nothing written with a template leave until it is resumed; the first reason is kept.

    :param reason: what the next person should know.
    :raises ControlError: the tenant has no such template.
    """
    keys = {"tenant_id": tenant_id, "template_id": template_id}
    with tenant_transaction(connection, tenant_id) as cursor:
        _check_template(cursor, keys)
        cursor.execute(load_queries("delivery").pause_template, {**keys, "reason": reason})


def resume_template(connection: Connection, *, tenant_id: str, template_id: str) -> None:
    """Let a paused template be used again, after a person has looked at the reason.

    :raises ControlError: the tenant has no such template.
    """
    keys = {"tenant_id": tenant_id, "template_id": template_id}
    with tenant_transaction(connection, tenant_id) as cursor:
        _check_template(cursor, keys)
        cursor.execute(SQL.resume_template, keys)


def _check_template(cursor: Cursor, keys: dict[str, Any]) -> None:
    if cursor.execute(SQL.lock_template, keys).fetchone() is None:
        raise ControlError(
            f"tenant {keys['tenant_id']!r} has no template {keys['template_id']!r}: check the id"
        )


def count_unknown(
    cursor: Cursor, tenant_id: str, *, now: datetime, selection: Selection | None = None
) -> list[UnknownGroup]:
    """Count the messages whose outcome nobody knows, the oldest group first.

    :param cursor: inside a transaction of the tenant.
    :param selection: of one campaign; None for all campaigns.
    """
    keys = {"code": None, "channel": None, "reason": None, "tenant_id": tenant_id}
    if selection is not None:
        keys = selection.keys(tenant_id)
    rows = cursor.execute(SQL.count_unknown, {**keys, "now": now}).fetchall()
    return [UnknownGroup(**row) for row in rows]


def resend_unknown(
    connection: Connection, *, tenant_id: str, selection: Selection, by: str, now: datetime
) -> Settled:
    """Send messages again that may have arrived: some people may get them twice.

    Only a person may choose this, for one campaign; what was settled meanwhile stays settled. The
    messages leave with the next dispatch of their runs.

    :param by: the person's login; the ledger keeps it.
    :raises ControlError: there is no such campaign, or it is cancelled.
    """
    with tenant_transaction(connection, tenant_id) as cursor:
        _open_campaign(cursor, tenant_id, selection.code)
        keys = {**selection.keys(tenant_id), "by": _person(by), "now": now}
        return _settled(cursor.execute(SQL.resend_unknown, keys).fetchall())


def settle_unknown(
    connection: Connection,
    *,
    tenant_id: str,
    selection: Selection,
    status: Literal["sent", "failed"],
    by: str,
) -> Settled:
    """Write down what a person found out about messages whose outcome nobody knew.

    :param status: what became of them.
    :param by: the person's login; the ledger keeps it.
    :raises ControlError: there is no such campaign.
    """
    with tenant_transaction(connection, tenant_id) as cursor:
        _campaign(cursor, tenant_id, selection.code)
        keys = {**selection.keys(tenant_id), "by": _person(by), "status": status}
        return _settled(cursor.execute(SQL.settle_unknown, keys).fetchall())


def _person(by: str) -> str:
    if not by.strip():
        raise ControlError("who decides this? Give a name: the ledger keeps it")
    return f"person:{by.strip()}"


def _settled(rows: Sequence[dict[str, Any]]) -> Settled:
    return Settled(
        messages=len(rows),
        customers=len({row["profile_id"] for row in rows}),
        snapshot_ids=tuple(sorted({row["snapshot_id"] for row in rows if row["snapshot_id"]})),
    )
