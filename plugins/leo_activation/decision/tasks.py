"""The tasks of a batch in the database: made, claimed under a lease, decided once, or given back.

A claim counts as one attempt, and its number is the ticket: what was decided is stored only while
the task still holds the attempt that it was decided under. So a worker that comes back after its
lease ended changes nothing, whoever has taken over.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from leo_activation.database import Connection, Cursor, tenant_transaction
from leo_activation.decision.evaluator import Decision, count_sources
from leo_activation.delivery.ledger import enqueue
from leo_activation.queries import load_queries

SQL = load_queries("decision")
MAX_ATTEMPTS = 3
# Longer than a worker holds tasks for one answer of the gateway, or for one piece of a plan.
LEASE = timedelta(seconds=120)


def present() -> datetime:
    """Return the present time."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class DecideReport:
    """What a batch came to.

    :param members: in the range.
    :param decided: tasks decided by this call; the rest were decided before.
    :param queued: messages that will be sent.
    :param skipped: messages and members that get nothing, by reason.
    :param failed: tasks that have no decision because the gateway gave none.
    :param distinct: different questions that the gateway answered for this call.
    :param fallbacks: of the decided tasks, those that the campaign's fallback decided.
    """

    members: int = 0
    decided: int = 0
    queued: int = 0
    skipped: Mapping[str, int] = field(default_factory=dict)
    failed: int = 0
    distinct: int = 0
    fallbacks: int = 0

    def __add__(self, other: DecideReport) -> DecideReport:
        """Return both together."""
        return DecideReport(
            self.members + other.members,
            self.decided + other.decided,
            self.queued + other.queued,
            dict(Counter(self.skipped) + Counter(other.skipped)),
            self.failed + other.failed,
            self.distinct + other.distinct,
            self.fallbacks + other.fallbacks,
        )


@dataclass(frozen=True)
class TaskStore:
    """The tasks of one run, seen by one worker.

    :param snapshot_id: none for tasks that events set off.
    :param plan_id: the run's plan.
    :param now: the time of the decisions.
    :param clock: the present, by which leases are measured.
    """

    connection: Connection
    tenant_id: str
    campaign_id: UUID
    snapshot_id: UUID | None
    plan_id: UUID
    now: datetime
    clock: Callable[[], datetime] = present

    def create(self, cursor: Cursor, first: int, last: int) -> dict[UUID, dict[str, Any]]:
        """Make the tasks of a range of members where they are missing.

        :returns: ``profile_id`` and ``facts`` of every member, by its task.
        """
        part = {
            "tenant_id": self.tenant_id, "snapshot_id": self.snapshot_id, "plan_id": self.plan_id,
            "campaign_id": self.campaign_id, "first": first, "last": last, "now": self.now,
        }  # fmt: skip
        cursor.execute(SQL.add_events, part)
        cursor.execute(SQL.add_tasks, part)
        return {row["task_id"]: row for row in cursor.execute(SQL.read_members, part).fetchall()}

    def claim(self, cursor: Cursor, task_ids: Sequence[UUID]) -> list[dict[str, Any]]:
        """Take the tasks among these that nobody holds; each claim is one attempt."""
        at = self.clock()
        wanted = {
            "tenant_id": self.tenant_id, "task_ids": list(task_ids), "now": at,
            "lease_until": at + LEASE,
        }  # fmt: skip
        return cursor.execute(SQL.claim_tasks, wanted).fetchall()

    def store(self, cursor: Cursor, decisions: Sequence[Decision]) -> DecideReport:
        """Write decisions down, with what they send and whom they skip.

        Those whose claim was lost meanwhile are dropped: somebody else decides.
        """
        if not decisions:
            return DecideReport()
        stored = cursor.execute(
            SQL.store_decisions,
            {
                "tenant_id": self.tenant_id,
                "decisions": Jsonb([decision.row for decision in decisions]),
            },
        ).fetchall()
        ids = {str(row["task_id"]) for row in stored}
        kept = [decision for decision in decisions if decision.row["task_id"] in ids]
        written = enqueue(
            cursor,
            tenant_id=self.tenant_id,
            campaign_id=self.campaign_id,
            snapshot_id=self.snapshot_id,
            sends=[send for decision in kept for send in decision.sends],
            skips=[decision.skip for decision in kept if decision.skip],
            now=self.now,
        )
        failed = sum(decision.row["error"] is not None for decision in kept)
        fallbacks = count_sources(kept)["fallback"]
        return DecideReport(
            0, len(kept) - failed, written.queued, written.skipped, failed, fallbacks=fallbacks
        )

    def release(self, cursor: Cursor, tasks: Sequence[tuple[Mapping[str, Any], str]]) -> None:
        """Give tasks back, each with what went wrong, so that they can be claimed again."""
        rows = [
            {"task_id": str(task["task_id"]), "held": task["attempts"], "error": told(task, why)}
            for task, why in tasks
        ]
        cursor.execute(SQL.release_tasks, {"tenant_id": self.tenant_id, "tasks": Jsonb(rows)})

    def undecided(self, task_ids: Sequence[UUID]) -> set[UUID]:
        """Return those of the tasks that wait for a decision, whoever works on them."""
        with tenant_transaction(self.connection, self.tenant_id) as cursor:
            rows = cursor.execute(
                SQL.undecided_tasks, {"tenant_id": self.tenant_id, "task_ids": list(task_ids)}
            ).fetchall()
        return {row["task_id"] for row in rows}


def told(task: Mapping[str, Any], why: str) -> str:
    """Return what went wrong with a task so far, one remark an attempt."""
    remark = f"attempt {task['attempts']}: {why}"
    return f"{task['error']}; {remark}" if task["error"] else remark
