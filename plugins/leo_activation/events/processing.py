"""From a task that an event set off to its messages in the ledger, safe to repeat at any point.

The pending tasks are the queue. In plan mode up to 500 are claimed, decided and enqueued in one
transaction, so a killed worker leaves nothing half done. In choose mode the gateway is asked in
between, under a lease. A task that cannot be decided is tried three times on its own and then gets
the campaign's fallback or fails: it never holds up the others.
"""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import psycopg

from leo_activation.database import Connection, Cursor, tenant_transaction
from leo_activation.decision.choose import CHUNK, ChoiceGateway, FactReader
from leo_activation.decision.choosing import Chooser
from leo_activation.decision.evaluator import Decision, Evaluator
from leo_activation.decision.tasks import (
    LEASE,
    MAX_ATTEMPTS,
    DecideReport,
    TaskStore,
    present,
    told,
)
from leo_activation.errors import DecisionError, LeoError
from leo_activation.queries import load_queries

log = logging.getLogger(__name__)

SQL = load_queries("events")
# So many tasks are decided in one transaction: some hundred milliseconds.
BATCH = 500
Mode = Literal["plan", "choose"]
# Where a task stands when nobody has to decide about it any more.
_OPEN = ("pending", "deciding")
# What a task of strange content can break; a lost connection breaks everything, and is no defect.
_DEFECTS = (psycopg.Error, LeoError, ArithmeticError, LookupError, TypeError, ValueError)


class DeadlineError(LeoError):
    """There is no time left for another attempt; the task waits for the worker."""


@dataclass(frozen=True)
class _ArrivedStore(TaskStore):
    """The claimed tasks of one plan, as :class:`Chooser` works on them.

    :param claimed: rows of ``claim_arrived``, given out at the first claim.
    """

    claimed: dict[UUID, dict[str, Any]] = field(default_factory=dict)
    looked_at: list[bool] = field(default_factory=list)

    def create(self, cursor: Cursor, first: int, last: int) -> dict[UUID, dict[str, Any]]:
        """Return the customers; their tasks exist."""
        return dict(self.claimed)

    def claim(self, cursor: Cursor, task_ids: Sequence[UUID]) -> list[dict[str, Any]]:
        """Hand out the tasks that this worker holds already, and claim those given back."""
        held = [self.claimed.pop(each) for each in task_ids if each in self.claimed]
        return held or super().claim(cursor, task_ids)

    def undecided(self, task_ids: Sequence[UUID]) -> set[UUID]:
        """Return all tasks once: what is left then waits for another round, or another worker."""
        found = set() if self.looked_at else set(task_ids)
        self.looked_at.append(True)
        return found


@dataclass(frozen=True)
class Processor:
    """Decides for one tenant's arrived tasks.

    :param connection: synchronous, autocommit, of the runtime role.
    :param choices: the gateway that chooses; None leaves tasks in choose mode alone.
    :param clock: the time of decisions and leases.
    :param sleep: how to wait between attempts to reach the gateway.
    """

    connection: Connection
    tenant_id: str
    choices: ChoiceGateway | None = None
    clock: Callable[[], datetime] = present
    sleep: Callable[[float], None] = time.sleep

    def process(
        self, mode: Mode = "plan", *, most: int = BATCH, task_ids: Sequence[UUID] | None = None
    ) -> DecideReport:
        """Decide for the tasks that waited longest.

        :param most: of at most so many.
        :param task_ids: only of these.
        :returns: what came of them; ``members`` is how many were claimed.
        """
        if mode == "choose":
            # Without the gateway nobody can choose.
            if self.choices is None:
                return DecideReport()
            return self._choose(self.choices, min(most, CHUNK), task_ids)
        try:
            with tenant_transaction(self.connection, self.tenant_id) as cursor:
                tasks = self._claim(cursor, mode, most, task_ids)
                return DecideReport(len(tasks)) + self._by_plan(cursor, tasks)
        except psycopg.OperationalError:
            raise
        except _DEFECTS:
            # One of them broke the transaction of all: each by itself, and its attempt is counted.
            log.exception("a batch of tasks of tenant %s cannot be decided at once", self.tenant_id)
            return self._one_by_one(mode, most, task_ids)

    def _claim(
        self, cursor: Cursor, mode: Mode | None, most: int, task_ids: Sequence[UUID] | None
    ) -> list[dict[str, Any]]:
        now = self.clock()
        wanted = {
            "tenant_id": self.tenant_id, "mode": mode, "most": most, "now": now,
            "lease_until": now + LEASE, "task_ids": None if task_ids is None else list(task_ids),
        }  # fmt: skip
        return cursor.execute(SQL.claim_arrived, wanted).fetchall()

    def _by_plan(self, cursor: Cursor, tasks: Sequence[dict[str, Any]]) -> DecideReport:
        total = DecideReport()
        for plan_id, group in _by_plan(tasks).items():
            evaluator, store = self._plan(cursor, plan_id)
            total += store.store(cursor, [_decide(evaluator, task) for task in group])
        return total

    def _plan(self, cursor: Cursor, plan_id: UUID) -> tuple[Evaluator, TaskStore]:
        wanted = {"tenant_id": self.tenant_id, "plan_id": plan_id, "snapshot_id": None}
        row = cursor.execute(load_queries("decision").read_plan, wanted).fetchone()
        now = self.clock()
        evaluator = Evaluator.of(row, wanted, now)
        store = TaskStore(
            self.connection, self.tenant_id, evaluator.campaign_id, None, plan_id, now, self.clock
        )
        return evaluator, store

    def _one_by_one(self, mode: Mode, most: int, task_ids: Sequence[UUID] | None) -> DecideReport:
        """Claim and commit, so that the attempt counts; then decide for each in a transaction."""
        with tenant_transaction(self.connection, self.tenant_id) as cursor:
            tasks = self._claim(cursor, mode, most, task_ids)
        total = DecideReport(len(tasks))
        for task in tasks:
            try:
                with tenant_transaction(self.connection, self.tenant_id) as cursor:
                    total += self._by_plan(cursor, [task])
            except psycopg.OperationalError:
                raise
            except _DEFECTS as error:
                log.exception("task %s cannot be decided", task["task_id"])
                total += self._failed(task, f"{type(error).__name__}: {error}"[:300])
        return total

    def _failed(self, task: Mapping[str, Any], why: str) -> DecideReport:
        """Give a task back, or settle it after its last attempt."""
        with tenant_transaction(self.connection, self.tenant_id) as cursor:
            evaluator, store = self._plan(cursor, task["plan_id"])
            if task["attempts"] < MAX_ATTEMPTS:
                store.release(cursor, [(task, why)])
                return DecideReport()
            decision = evaluator.without_answer(task, task["facts"], told(task, why))
            return store.store(cursor, [decision])

    def _choose(
        self, choices: ChoiceGateway, most: int, task_ids: Sequence[UUID] | None
    ) -> DecideReport:
        """Ask the gateway for the looks of a few customers; the claim is committed before."""
        with tenant_transaction(self.connection, self.tenant_id) as cursor:
            tasks = self._claim(cursor, "choose", most, task_ids)
            rows = cursor.execute(
                load_queries("delivery").channel_providers, {"tenant_id": self.tenant_id}
            ).fetchall()
            gone = [task for task in tasks if task["lifecycle"] != "active"]
            total = DecideReport(len(gone)) + self._by_plan(cursor, gone)
            plans = {
                plan_id: (self._plan(cursor, plan_id)[0], group)
                for plan_id, group in _by_plan(tasks).items()
            }
        providers = {row["channel"]: row["provider"] for row in rows}
        for plan_id, (evaluator, group) in plans.items():
            wanted = [task for task in group if task["lifecycle"] == "active"]
            total += self._choose_by(plan_id, evaluator, wanted, providers, choices)
        return total

    def _choose_by(
        self,
        plan_id: UUID,
        evaluator: Evaluator,
        tasks: Sequence[dict[str, Any]],
        providers: Mapping[str, str],
        choices: ChoiceGateway,
    ) -> DecideReport:
        store = _ArrivedStore(
            self.connection, self.tenant_id, evaluator.campaign_id, None, plan_id, evaluator.now,
            self.clock, {task["task_id"]: task for task in tasks},
        )  # fmt: skip
        reader = FactReader(
            evaluator.catalogue, evaluator.instruction,
            providers=providers, is_advertising=evaluator.is_advertising,
        )  # fmt: skip
        return Chooser(store, evaluator, reader, choices, self.sleep).decide(1, len(tasks))


def _decide(evaluator: Evaluator, task: Mapping[str, Any]) -> Decision:
    if task["lifecycle"] != "active":
        return evaluator.of_nobody(task, task["facts"])
    if task["is_exhausted"]:
        why = told(task, "the worker ended before it had decided")
        return evaluator.without_answer(task, task["facts"], why)
    return evaluator.by_plan(task, task["facts"])


def _by_plan(tasks: Sequence[dict[str, Any]]) -> dict[UUID, list[dict[str, Any]]]:
    groups: dict[UUID, list[dict[str, Any]]] = defaultdict(list)
    for task in tasks:
        groups[task["plan_id"]].append(task)
    return groups


def process_arrived(
    connection: Connection,
    *,
    tenant_id: str,
    mode: Mode = "plan",
    choices: ChoiceGateway | None = None,
    most: int = BATCH,
    clock: Callable[[], datetime] = present,
    sleep: Callable[[float], None] = time.sleep,
) -> DecideReport:
    """Decide for tasks that events set off and nobody works on, oldest first.

    Any number of workers may do this at the same time; calling it again is always safe.

    :param mode: those whose plan is evaluated, or those for whom the model chooses.
    :param choices: the gateway, for choose mode.
    :param most: of at most so many tasks.
    :returns: what came of them; ``members`` is how many were claimed, 0 when none waits.
    """
    return Processor(connection, tenant_id, choices, clock, sleep).process(mode, most=most)


def decide_now(
    connection: Connection,
    *,
    tenant_id: str,
    task_id: UUID,
    choices: ChoiceGateway | None = None,
    deadline_seconds: float = 2.0,
    clock: Callable[[], datetime] = present,
    sleep: Callable[[float], None] = time.sleep,
    timer: Callable[[], float] = time.monotonic,
) -> bool:
    """Decide for one task that an event set off, and announce its messages to the worker.

    Nothing is sent here. What is not decided in time waits for the worker: it loses nothing.

    :param choices: the gateway for a plan in choose mode; give it a timeout within the deadline.
    :param deadline_seconds: how long to try.
    :returns: whether the task is decided, by this call or by a worker that was faster.
    :raises DecisionError: the tenant has no such task, or it belongs to a snapshot.
    """
    ends_at = timer() + deadline_seconds

    def wait(seconds: float) -> None:
        if timer() + seconds > ends_at:
            raise DeadlineError(f"task {task_id} is not decided within {deadline_seconds:g} s")
        sleep(seconds)

    task = _read_task(connection, tenant_id, task_id)
    processor = Processor(connection, tenant_id, choices, clock, wait)
    try:
        while task["status"] in _OPEN:
            done = processor.process(task["mode"], most=1, task_ids=[task_id])
            if not done.decided:
                wait(0.02)
            task = _read_task(connection, tenant_id, task_id)
    except DeadlineError:
        task = _read_task(connection, tenant_id, task_id)
    with tenant_transaction(connection, tenant_id) as cursor:
        cursor.execute(SQL.announce, {"tenant_id": tenant_id})
    return task["status"] not in _OPEN


def _read_task(connection: Connection, tenant_id: str, task_id: UUID) -> dict[str, Any]:
    with tenant_transaction(connection, tenant_id) as cursor:
        wanted = {"tenant_id": tenant_id, "task_id": task_id}
        row = cursor.execute(SQL.read_task, wanted).fetchone()
    if row is None or row["snapshot_id"] is not None:
        raise DecisionError(
            f"tenant {tenant_id!r} has no task {task_id} that an event set off: check the id"
        )
    return row
