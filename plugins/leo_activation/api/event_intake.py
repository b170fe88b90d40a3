"""Writing events: many requests share one transaction, and none is answered before its commit.

Single posts that arrive while a transaction is under way are written together by the next one, so
an idle system answers at once and a busy one commits once for hundreds. Batches have a lane of
their own, so that a single post never waits behind one. What cannot be written soon is refused at
the door; nothing that was let in is dropped.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import psycopg
from psycopg.rows import TupleRow, tuple_row

from leo_activation.api.limits import RETRY_SECONDS, Room
from leo_activation.api.metrics import ApiMetrics
from leo_activation.api.problems import Problem, database_unavailable
from leo_activation.api.services import ApiServices
from leo_activation.database import AsyncConnection, checked_tenant
from leo_activation.queries import load_queries

log = logging.getLogger(__name__)

SQL = load_queries("events_intake")
# Events that may wait in one process, and bytes that their requests may hold; more gets 429.
MAX_WAITING_EVENTS = 20_000
MAX_WAITING_BYTES = 128 * 1024 * 1024
# What one transaction writes at most, unless a single batch is larger.
FLUSH_EVENTS = 5_000
# While events keep coming, a transaction begins so long after the one before it began: fewer and
# fuller ones. The first after a pause never waits.
GATHER_SECONDS = 0.005
# How often workers are told of new events, at most.
NOTICE_SECONDS = 0.02
# Transactions of events at a time in one process; the other connections of intake are for keys.
TRANSACTIONS = 4
# Of one tenant. A second one for single posts would only halve what each of them writes; batches
# are large enough to keep two processors of PostgreSQL busy.
SINGLE_WRITERS, BATCH_WRITERS = 1, 2
# Instead of a place among the posted events: `store_events` made this one, this one set off a task.
_NEW, _TRIGGERED = -1, -2
WRITE_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Stored:
    """What became of one event.

    :param status: ``accepted``, ``duplicate``, ``conflict`` or ``unknown_profile``.
    :param event_id: ``None`` for an unknown profile, which has no events.
    """

    status: str
    event_id: str | None


@dataclass(eq=False, slots=True)
class _Submission:
    """The events of one request, and where its answer goes."""

    documents: Sequence[bytes]
    answer: asyncio.Future[list[Stored]]

    def settle(self, result: list[Stored]) -> None:
        if not self.answer.done():
            self.answer.set_result(result)

    def fail(self, error: BaseException) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)


@dataclass(eq=False, slots=True)
class _Lane:
    """What waits to be written for one tenant, and the tasks that write it."""

    most_writers: int
    waiting: deque[_Submission] = field(default_factory=deque)
    writers: set[asyncio.Task[None]] = field(default_factory=set)
    began: float = float("-inf")


class EventIntake:
    """The queue between requests and PostgreSQL.

    :param services: the connections.
    :param metrics: counts what is written.
    :param max_events: how many events may wait.
    :param max_bytes: how many bytes of requests may be held.
    """

    def __init__(
        self,
        services: ApiServices,
        metrics: ApiMetrics,
        *,
        max_events: int = MAX_WAITING_EVENTS,
        max_bytes: int = MAX_WAITING_BYTES,
    ) -> None:
        """Start empty."""
        self.services, self.metrics = services, metrics
        self.max_events = max_events
        self.events_inside = 0
        self.bodies = Room(max_bytes)
        self._lanes: dict[tuple[str, bool], _Lane] = {}
        self._to_wake: set[str] = set()
        self._waking: asyncio.Task[None] | None = None
        self._slots = asyncio.Semaphore(TRANSACTIONS)

    async def store(self, tenant_id: str, documents: Sequence[bytes]) -> list[Stored]:
        """Write events and return what became of each, after the commit.

        :param documents: JSON objects as :mod:`event_parsing` makes them.
        :raises Problem: 429 when too many wait; 503 when the database does not answer, and then
            nothing is known to be written: sending the same again is safe.
        """
        count = len(documents)
        if not count:
            return []
        if self.events_inside and self.events_inside + count > self.max_events:
            raise _full(f"{self.events_inside:,} events wait")
        submission = _Submission(documents, asyncio.get_running_loop().create_future())
        self._count(count)
        try:
            self._enqueue(checked_tenant(tenant_id), submission)
            return await submission.answer
        finally:
            self._count(-count)

    async def close(self) -> None:
        """Wait until what was let in is written."""
        while writers := [task for lane in self._lanes.values() for task in lane.writers]:
            await asyncio.wait(writers)
        if self._waking is not None:
            await asyncio.wait([self._waking])

    def _enqueue(self, tenant_id: str, submission: _Submission) -> None:
        """Put events into their lane, and make sure that somebody writes it."""
        is_batch = len(submission.documents) > 1
        key = (tenant_id, is_batch)
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = _Lane(BATCH_WRITERS if is_batch else SINGLE_WRITERS)
        lane.waiting.append(submission)
        if len(lane.writers) < lane.most_writers:
            lane.writers.add(asyncio.create_task(self._write_lane(key, lane)))

    def _count(self, more: int) -> None:
        self.events_inside += more
        self.metrics.waiting.set(self.events_inside)

    async def _write_lane(self, key: tuple[str, bool], lane: _Lane) -> None:
        """Write until nothing waits any more."""
        try:
            while lane.waiting:
                pause = lane.began + GATHER_SECONDS - time.monotonic()
                if pause > 0:
                    await asyncio.sleep(pause)
                async with self._slots:
                    if lane.waiting:
                        lane.began = time.monotonic()
                        await self._flush(key[0], _take(lane.waiting))
        finally:
            # At once and not by a callback: who comes next must not count on a writer that is gone.
            lane.writers.discard(cast("asyncio.Task[None]", asyncio.current_task()))
            if not lane.writers and not lane.waiting:
                self._lanes.pop(key, None)

    async def _flush(self, tenant_id: str, together: list[_Submission]) -> None:
        """Write submissions in one transaction and answer each of them."""
        documents = [document for it in together for document in it.documents]
        try:
            results = await self._write(tenant_id, documents)
        except (psycopg.OperationalError, psycopg.InterfaceError, TimeoutError):
            # Also when the commit's answer was lost: it may be written, and nobody was told so.
            for it in together:
                it.fail(database_unavailable())
        except Exception as error:
            await self._flush_apart(tenant_id, together, error)
        else:
            position = 0
            for it in together:
                it.settle(results[position : position + len(it.documents)])
                position += len(it.documents)

    async def _flush_apart(
        self, tenant_id: str, together: list[_Submission], error: Exception
    ) -> None:
        """Keep a request that the database refuses from taking its neighbours with it."""
        if len(together) == 1:
            together[0].fail(error)
            return
        for it in together:
            await self._flush(tenant_id, [it])

    async def _write(self, tenant_id: str, documents: Sequence[bytes]) -> list[Stored]:
        """Write events in one transaction.

        :returns: what became of each, in the same order.
        """
        started = time.perf_counter()
        async with (
            asyncio.timeout(WRITE_SECONDS),
            self.services.intake_pool.connection() as connection,
        ):
            results = await self._write_with(connection, tenant_id, documents)
        self.metrics.flushes.observe(len(documents))
        self.metrics.flush_seconds.observe(time.perf_counter() - started)
        return results

    async def _write_with(
        self, connection: AsyncConnection, tenant_id: str, documents: Sequence[bytes]
    ) -> list[Stored]:
        values = {"tenant_id": tenant_id, "events": _numbered(documents)}
        # The pipeline sends begin, tenant and statement in one message.
        async with connection.pipeline(), connection.transaction():
            cursor = connection.cursor(row_factory=tuple_row)
            await cursor.execute(
                "select set_config('leo.tenant_id', %s, true)", (tenant_id,), prepare=True
            )
            await cursor.execute(
                SQL.store_events, {**values, "now": self.services.clock()}, prepare=True
            )
            rows = await cursor.fetchall()
            results, repeated = _sorted_out(rows, len(documents))
            if repeated:
                again = [
                    _with(documents[place], place, results[place].event_id) for place in repeated
                ]
                await cursor.execute(SQL.compare_events, {**values, "events": _list(again)})
                for place, is_same in await cursor.fetchall():
                    status = "duplicate" if is_same else "conflict"
                    results[place] = Stored(status, results[place].event_id)
            is_triggering = any(place == _TRIGGERED for place, _ in rows)
        if is_triggering:
            self._wake(tenant_id)
        return results

    def _wake(self, tenant_id: str) -> None:
        """Tell the workers that something waits: soon, and once for many transactions.

        A notice inside the transaction would make all commits of the server wait for each other,
        disk included. One that is lost costs seconds: a worker looks for itself.
        """
        self._to_wake.add(tenant_id)
        if self._waking is None:
            self._waking = asyncio.create_task(self._give_notice())

    async def _give_notice(self) -> None:
        try:
            while self._to_wake:
                tenants, self._to_wake = sorted(self._to_wake), set()
                async with (
                    asyncio.timeout(WRITE_SECONDS),
                    self.services.intake_pool.connection() as connection,
                    connection.transaction(),
                ):
                    await connection.execute(SQL.commit_without_waiting)
                    await connection.execute(SQL.wake_workers, {"tenants": tenants})
                await asyncio.sleep(NOTICE_SECONDS)
        except (psycopg.Error, TimeoutError) as error:
            log.warning("no worker was told of new events (%s): they look for themselves", error)
        finally:
            self._waking = None


def _take(waiting: deque[_Submission]) -> list[_Submission]:
    """Take what the next transaction writes."""
    taken, events = [waiting.popleft()], 0
    events = len(taken[0].documents)
    while waiting and events + len(waiting[0].documents) <= FLUSH_EVENTS:
        taken.append(waiting.popleft())
        events += len(taken[-1].documents)
    return taken


def _sorted_out(rows: Sequence[TupleRow], count: int) -> tuple[list[Stored], list[int]]:
    """Return what became of each event as far as it is known, and which were there before.

    :param rows: of ``store_events``: place and id of each event whose customer is known, and the
        ids that are new.
    """
    results = [Stored("unknown_profile", None)] * count
    new = {event_id for place, event_id in rows if place == _NEW}
    repeated = []
    for place, event_id in sorted(row for row in rows if row[0] >= 0):
        if event_id in new:
            # What comes later in the same transaction repeats it.
            new.remove(event_id)
            results[place] = Stored("accepted", event_id)
        else:
            results[place] = Stored("duplicate", event_id)
            repeated.append(place)
    return results, repeated


def _numbered(documents: Sequence[bytes]) -> str:
    return _list([b'{"place":%d,' % n + document[1:] for n, document in enumerate(documents)])


def _with(document: bytes, place: int, event_id: str | None) -> bytes:
    return b'{"place":%d,"event_id":"%s",' % (place, (event_id or "").encode()) + document[1:]


def _list(documents: Sequence[bytes]) -> str:
    return (b"[" + b",".join(documents) + b"]").decode()


def _full(value: Any) -> Problem:
    return Problem(
        429, "busy", "more events are waiting than can be written soon", value,
        "send the same events again after Retry-After seconds", retry_after=RETRY_SECONDS,
    )  # fmt: skip
