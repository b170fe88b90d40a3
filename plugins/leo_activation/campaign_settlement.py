"""Give an outcome to what would otherwise wait for ever: campaigns that nobody released."""

from __future__ import annotations

from uuid import UUID

from leo_activation.database import Connection, tenant_transaction
from leo_activation.delivery.scope import complete_finished
from leo_activation.errors import LeoError
from leo_activation.queries import load_queries

REASONS = ("dry_run", "not_approved")


def withdraw_campaign(
    connection: Connection, *, tenant_id: str, snapshot_id: UUID, reason: str
) -> int:
    """Turn every message of a snapshot that still waits to be sent into a skipped one.

    :param reason: one of :data:`REASONS`.
    :returns: how many messages were withdrawn; a second call finds none.
    :raises LeoError: for any other reason.
    """
    if reason not in REASONS:
        raise LeoError(f"{reason!r} is no reason to withdraw a campaign; use {', '.join(REASONS)}")
    wanted = {"tenant_id": tenant_id, "snapshot_id": snapshot_id}
    with tenant_transaction(connection, tenant_id) as cursor:
        cursor.execute(load_queries("campaign").withdraw_queued, {**wanted, "reason": reason})
        withdrawn = cursor.rowcount
        complete_finished(cursor, tenant_id, snapshot_id)
    return withdrawn
