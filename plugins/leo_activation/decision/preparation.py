"""The tasks of a frozen audience, made before anybody decides: whoever asked can follow them."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from leo_activation.database import Connection, tenant_transaction
from leo_activation.queries import load_queries

SQL = load_queries("decision")
# Half a second of work; each piece is committed by itself.
PIECE = 5_000


def prepare_tasks(
    connection: Connection,
    *,
    tenant_id: str,
    snapshot_id: UUID,
    campaign_id: UUID,
    plan_id: UUID,
    members: int,
    now: datetime,
) -> None:
    """Make the tasks of the first members of a snapshot, where they are missing.

    The run that decides makes those of all other members, and finds these.

    :param members: how many, in the order of the snapshot.
    :param now: when the members were chosen.
    """
    part = {
        "tenant_id": tenant_id, "snapshot_id": snapshot_id, "campaign_id": campaign_id,
        "plan_id": plan_id, "now": now,
    }  # fmt: skip
    for first in range(1, members + 1, PIECE):
        piece = {**part, "first": first, "last": min(first + PIECE - 1, members)}
        with tenant_transaction(connection, tenant_id) as cursor:
            cursor.execute(SQL.add_events, piece)
            cursor.execute(SQL.add_tasks, piece)
