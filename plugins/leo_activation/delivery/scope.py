"""What one dispatcher works on: a snapshot, or what events have set off for a campaign."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from uuid import UUID

from leo_activation.database import Cursor
from leo_activation.queries import Queries, load_queries

# A delivery (d) or a task (t) of the snapshot, as the queries name it.
_OF_SNAPSHOT = re.compile(r"\b(?P<row>[dt])\.snapshot_id = %\(snapshot_id\)s")
_OF_EVENTS = r"\g<row>.snapshot_id is null and \g<row>.campaign_id = %(campaign_id)s"


@dataclass(frozen=True, slots=True)
class Triggered:
    """What events have set off for one campaign: tasks and messages that belong to no snapshot."""

    campaign_id: UUID

    def __str__(self) -> str:
        """Return how a log names it."""
        return f"the events of campaign {self.campaign_id}"


# A snapshot by its id.
Scope = UUID | Triggered


def scope_of(snapshot_id: UUID | None, campaign_id: UUID) -> Scope:
    """Return where a row of the ledger belongs."""
    return Triggered(campaign_id) if snapshot_id is None else snapshot_id


def scope_keys(scope: Scope) -> dict[str, UUID | None]:
    """Return the parameters that name a scope in the queries of the ledger."""
    if isinstance(scope, Triggered):
        return {"snapshot_id": None, "campaign_id": scope.campaign_id}
    return {"snapshot_id": scope, "campaign_id": None}


def scope_queries(scope: Scope) -> Queries:
    """Return the queries of the ledger over a scope."""
    return _triggered_queries() if isinstance(scope, Triggered) else load_queries("delivery")


@cache
def _triggered_queries() -> Queries:
    statements = load_queries("delivery").statements
    return Queries(
        "delivery", {name: _OF_SNAPSHOT.sub(_OF_EVENTS, text) for name, text in statements.items()}
    )


def complete_finished(cursor: Cursor, tenant_id: str, scope: Scope) -> int:
    """Complete every task of a scope of which nothing can still be sent.

    :param cursor: inside a transaction of the tenant.
    :returns: how many tasks.
    """
    keys = {"tenant_id": tenant_id, **scope_keys(scope)}
    cursor.execute(scope_queries(scope).complete_finished, keys)
    return cursor.rowcount
