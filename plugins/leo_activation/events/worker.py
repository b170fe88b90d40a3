"""The worker that empties the queue of events: listens, decides, sends, wakes for what waits.

One process serves any number of tenants, and any number of processes may serve the same ones. A
notice only wakes it: what is to be done is always read from the tables, so a notice that is lost,
or a connection, costs seconds and nothing else. While it listens it holds a shared lock for each
tenant, by which others know that nobody has to be started.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg

from leo_activation.database import (
    AsyncConnection,
    Connection,
    connect,
    connect_async,
    tenant_transaction,
    tenant_transaction_async,
)
from leo_activation.decision.choose import CHUNK, ChoiceGateway
from leo_activation.decision.tasks import DecideReport, present
from leo_activation.delivery.dispatcher import (
    DispatchOptions,
    Remote,
    dispatch_channel_async,
    stop_on_signal,
)
from leo_activation.delivery.scope import Triggered, complete_finished
from leo_activation.errors import LeoError
from leo_activation.events.processing import BATCH, Mode, process_arrived
from leo_activation.queries import load_queries

log = logging.getLogger(__name__)

APPLICATION_NAME = "leo_events"
SQL = load_queries("events")
MODES: tuple[Mode, ...] = ("plan", "choose")
# Those that nobody should wait for; they have dispatchers of their own.
REALTIME_CHANNELS = frozenset({"push", "telegram"})


@dataclass(frozen=True, slots=True)
class WorkerOptions:
    """How patiently a worker works.

    :param linger_seconds: end when there was nothing to do for so long; None for never.
    :param most_seconds: end after so long in any case; None for never.
    :param poll_seconds: look at everything so often, whether there was a notice or not.
    :param idle_seconds: keep a channel's connections for so long without a message.
    :param pause_seconds: leave what failed alone for so long.
    :param sweep_seconds: complete tasks whose last messages ended at the same time so often.
    :param gather_seconds: between two batches of a tenant, so that a stream of single events is
        decided a few at a time; one event after a while is decided at once.
    :param dispatchers: campaigns and channels that are sent on at the same time: so many real-time
        ones, and so many others.
    """

    linger_seconds: float | None = None
    most_seconds: float | None = None
    poll_seconds: float = 5.0
    idle_seconds: float = 15.0
    pause_seconds: float = 5.0
    sweep_seconds: float = 60.0
    gather_seconds: float = 0.05
    dispatchers: int = 12


@dataclass(slots=True)
class WorkerReport:
    """What a worker did.

    :param decided: what came of the tasks.
    :param outcomes: attempts to send by their new status, policy skips included.
    :param stopped: why it ended; None when there was nothing left to do.
    """

    decided: DecideReport = field(default_factory=DecideReport)
    outcomes: Counter[str] = field(default_factory=Counter)
    stopped: str | None = None
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Lane:
    """One channel of what events set off for one campaign."""

    tenant_id: str
    campaign_id: UUID
    channel: str

    @property
    def is_realtime(self) -> bool:
        """Whether nobody should wait for it."""
        return self.channel in REALTIME_CHANNELS


class _StoppingError(LeoError):
    """The worker is asked to stop: no time for another attempt."""


class EventsWorker:
    """Decides and sends what events set off, for some tenants.

    :param database_url: libpq URL of the runtime role.
    :param secret_key: decrypts the channels' credentials and signs unsubscribe links.
    :param tenants: whose events; each gets its turn.
    :param choices: the gateway for plans in choose mode; None leaves those tasks alone.
    :param clock: the time of decisions and of the ledger.
    """

    def __init__(
        self,
        database_url: str,
        secret_key: str,
        tenants: Sequence[str],
        *,
        choices: ChoiceGateway | None = None,
        options: WorkerOptions | None = None,
        clock: Callable[[], datetime] = present,
    ) -> None:
        """Keep the settings; nothing is connected yet."""
        self._url, self._secret_key, self._tenants = database_url, secret_key, tuple(tenants)
        self._choices, self._clock = choices, clock
        self._options = options or WorkerOptions()
        self._name = f"events {socket.gethostname()}:{os.getpid()}"
        self._report = WorkerReport()
        self._turns = {mode: _Turns() for mode in MODES if choices is not None or mode == "plan"}
        self._lanes: dict[Lane, tuple[Remote, asyncio.Task[None]]] = {}
        self._not_before: dict[Lane, float] = {}
        # Tenants who may have new messages, and when the next one of each is due.
        self._fresh: set[str] = set()
        self._due: dict[str, datetime] = {}
        self._looked_at = 0.0
        self._wake = asyncio.Event()
        self._stopping = threading.Event()
        self._busy_at = time.monotonic()
        self._swept_at = time.monotonic()

    def stop(self, reason: str) -> None:
        """Claim no more, finish what is on its way, and end.

        :param reason: goes into the report.
        """
        self._report.stopped = self._report.stopped or reason
        self._stopping.set()
        self._wake.set()
        for turns in self._turns.values():
            turns.close()
        for remote, _ in self._lanes.values():
            remote.stop(reason)

    async def run(self) -> WorkerReport:
        """Work until stopped, or until there was nothing to do for the time to linger.

        :raises psycopg.OperationalError: the database cannot be reached at the start.
        """
        started = time.monotonic()
        self._busy_at = self._swept_at = started
        with stop_on_signal(self.stop):
            async with AsyncExitStack() as stack:
                watch = _Reconnecting(self._url)
                stack.push_async_callback(watch.close)
                await watch.open()
                if self._options.most_seconds is not None:
                    asyncio.get_running_loop().call_later(
                        self._options.most_seconds, self.stop, "its time is over"
                    )
                deciders = [asyncio.create_task(self._decide_forever(mode)) for mode in self._turns]
                try:
                    await self._watch_until_idle(watch)
                finally:
                    self._finish()
                    await asyncio.gather(*deciders, return_exceptions=True)
                    await asyncio.gather(*(task for _, task in self._lanes.values()))
        await asyncio.to_thread(self._sweep)
        self._report.seconds = time.monotonic() - started
        return self._report

    def _finish(self) -> None:
        """Let deciders and dispatchers end; who was not asked to stop ends without a reason."""
        reason = self._report.stopped
        self.stop("nothing to do")
        self._report.stopped = reason

    async def _watch_until_idle(self, watch: _Reconnecting) -> None:
        while not self._stopping.is_set():
            async with self._listening():
                while not self._stopping.is_set() and not self._is_idle():
                    await self._look(watch)
                    await self._doze()
            # Nobody is at work now, so whatever comes from here on finds a worker started for it.
            # What came before is seen here.
            self._looked_at = 0.0
            if self._stopping.is_set() or not await self._look(watch):
                return
            self._busy_at = time.monotonic()

    def _is_idle(self) -> bool:
        if self._options.linger_seconds is None:
            return False
        busy = max([self._busy_at, *(remote.busy_at for remote, _ in self._lanes.values())])
        return time.monotonic() - busy > self._options.linger_seconds

    async def _doze(self) -> None:
        """Wait for the next due message, or until it is time to look at everything."""
        soon = min(self._due.values(), default=None)
        seconds = self._options.poll_seconds
        if self._options.linger_seconds is not None:
            seconds = min(seconds, max(self._options.linger_seconds / 4, 0.05))
        if soon is not None:
            seconds = min(seconds, max((soon - self._clock()).total_seconds(), 0.0))
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        self._wake.clear()

    # Listening

    @asynccontextmanager
    async def _listening(self) -> AsyncIterator[None]:
        """Listen, and be known to be at work, for the length of a block."""
        ready = asyncio.Event()
        task = asyncio.create_task(self._listen_forever(ready))
        try:
            await ready.wait()
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _listen_forever(self, ready: asyncio.Event) -> None:
        while True:
            try:
                await self._listen(ready)
            except psycopg.OperationalError as error:
                log.warning("the notices of events are lost for a moment: %s", error)
                # Who waits for the listener works without: it looks at everything by itself.
                ready.set()
                await asyncio.sleep(1.0)

    async def _listen(self, ready: asyncio.Event) -> None:
        connection = await connect_async(self._url, application_name=APPLICATION_NAME)
        try:
            for tenant_id in self._tenants:
                await connection.execute(SQL.hold_tenant, {"tenant_id": tenant_id})
            await connection.execute(SQL.listen)
            ready.set()
            # What was announced while nobody listened.
            self._mark(self._tenants)
            async for notice in connection.notifies():
                if notice.payload in self._tenants:
                    self._mark([notice.payload])
        finally:
            await connection.close()

    def _mark(self, tenants: Iterable[str]) -> None:
        for tenant_id in tenants:
            for turns in self._turns.values():
                turns.add(tenant_id)

    # Deciding

    async def _decide_forever(self, mode: Mode) -> None:
        """Give each tenant that has tasks its turn, a batch at a time."""
        turns = self._turns[mode]
        connection: Connection | None = None
        decided_at: dict[str, float] = {}
        while (tenant_id := await turns.next()) is not None:
            rest = decided_at.get(tenant_id, 0.0) + self._options.gather_seconds - time.monotonic()
            if rest > 0:
                await asyncio.sleep(rest)
            try:
                if connection is None:
                    connection = await asyncio.to_thread(self._connect)
                report = await asyncio.to_thread(self._decide, connection, tenant_id, mode)
            except _StoppingError:
                break
            except (psycopg.Error, LeoError):
                log.exception("events of tenant %s cannot be decided now", tenant_id)
                _close(connection)
                connection = None
                await asyncio.sleep(self._options.pause_seconds / 5)
                continue
            if report.members:
                decided_at[tenant_id] = time.monotonic()
            self._decided(tenant_id, mode, report)
        _close(connection)

    def _decided(self, tenant_id: str, mode: Mode, report: DecideReport) -> None:
        """See to what follows from a batch."""
        self._report.decided += report
        if report.members:
            self._busy_at = time.monotonic()
        if report.members >= (BATCH if mode == "plan" else CHUNK):
            self._turns[mode].add(tenant_id)
        # A notice without a task is of one that somebody else has decided.
        if report.queued or (mode == "plan" and not report.members):
            self._fresh.add(tenant_id)
            self._wake.set()

    def _connect(self) -> Connection:
        return connect(self._url, application_name=APPLICATION_NAME)

    def _decide(self, connection: Connection, tenant_id: str, mode: Mode) -> DecideReport:
        return process_arrived(
            connection, tenant_id=tenant_id, mode=mode, choices=self._choices, clock=self._clock,
            sleep=self._sleep,
        )  # fmt: skip

    def _sleep(self, seconds: float) -> None:
        if self._stopping.wait(seconds):
            raise _StoppingError("asked to stop")

    # Sending

    async def _look(self, watch: _Reconnecting) -> bool:
        """Start what is due: for all tenants from time to time, in between for those with news.

        :returns: whether there was anything to do.
        """
        now, found = self._clock(), False
        is_full = time.monotonic() - self._looked_at >= self._options.poll_seconds
        if is_full:
            self._looked_at = time.monotonic()
        due = {tenant_id for tenant_id, at in self._due.items() if at <= now}
        wanted = self._tenants if is_full else [*self._fresh, *(due - self._fresh)]
        self._fresh.clear()
        try:
            for tenant_id in wanted:
                arrived = await self._arrived(watch, tenant_id) if is_full else False
                found = await self._look_at(watch, tenant_id) or arrived or found
        except psycopg.OperationalError as error:
            log.warning("the ledger cannot be read for a moment: %s", error)
            self._fresh.update(wanted)
            await asyncio.sleep(1.0)
        if time.monotonic() - self._swept_at > self._options.sweep_seconds:
            self._swept_at = time.monotonic()
            await asyncio.to_thread(self._sweep)
        return found

    async def _arrived(self, watch: _Reconnecting, tenant_id: str) -> bool:
        """Give a tenant whose tasks wait a turn: their notice was lost, or they were given back."""
        async with watch.transaction(tenant_id) as cursor:
            await cursor.execute(
                SQL.next_arrived, {"tenant_id": tenant_id, "modes": list(self._turns)}
            )
            row = await cursor.fetchone()
        if row is None or row["due_at"] is None or row["due_at"] > self._clock():
            return False
        for turns in self._turns.values():
            turns.add(tenant_id)
        return True

    async def _look_at(self, watch: _Reconnecting, tenant_id: str) -> bool:
        """Wake or start a tenant's dispatchers that have something due, real-time ones first."""
        now = self._clock()
        async with watch.transaction(tenant_id) as cursor:
            await cursor.execute(SQL.due_channels, {"tenant_id": tenant_id, "now": now})
            rows = await cursor.fetchall()
        later = [row["due_at"] for row in rows if row["due_at"] > now]
        self._due.pop(tenant_id, None)
        if later:
            self._due[tenant_id] = min(later)
        lanes = [
            Lane(tenant_id, row["campaign_id"], row["channel"])
            for row in rows
            if row["due_at"] <= now
        ]
        return any([self._send(lane) for lane in sorted(lanes, key=lambda it: not it.is_realtime)])

    def _send(self, lane: Lane) -> bool:
        """Wake the lane's dispatcher, or start it.

        :returns: whether it works; not when it has failed a moment ago, or is one too many.
        """
        if lane in self._lanes:
            self._lanes[lane][0].nudge()
            return True
        same = sum(other.is_realtime == lane.is_realtime for other in self._lanes)
        is_paused = time.monotonic() < self._not_before.get(lane, 0.0)
        if is_paused or self._stopping.is_set() or same >= self._options.dispatchers:
            return False
        remote = Remote()
        self._lanes[lane] = remote, asyncio.create_task(self._dispatch(lane, remote))
        return True

    async def _dispatch(self, lane: Lane, remote: Remote) -> None:
        """Send on one lane until it has been idle for a while."""
        options = DispatchOptions(
            follow=True, follow_seconds=1.0, idle_seconds=self._options.idle_seconds
        )
        try:
            report = await dispatch_channel_async(
                self._url, lane.tenant_id, Triggered(lane.campaign_id), lane.channel, self._name,
                self._secret_key, options=options, clock=self._clock, remote=remote,
            )  # fmt: skip
        except LeoError as error:
            log.error("%s: %s", lane, error)
            self._not_before[lane] = time.monotonic() + self._options.pause_seconds
        except Exception:
            # A defect of one lane must not take the others along.
            log.exception("%s", lane)
            self._not_before[lane] = time.monotonic() + self._options.pause_seconds
        else:
            self._report.outcomes.update(report.outcomes)
            if report.stopped is not None and not self._stopping.is_set():
                log.warning("%s: %s", lane, report.stopped)
                self._not_before[lane] = time.monotonic() + self._options.pause_seconds
        finally:
            self._lanes.pop(lane)
            # It may have ended while new messages came, or because of new templates.
            self._fresh.add(lane.tenant_id)
            self._wake.set()

    def _sweep(self) -> None:
        """Complete tasks of which no worker saw that it had settled the last message."""
        try:
            with self._connect() as connection:
                for tenant_id in self._tenants:
                    with tenant_transaction(connection, tenant_id) as cursor:
                        wanted = {"tenant_id": tenant_id}
                        rows = cursor.execute(SQL.campaigns_with_open_tasks, wanted).fetchall()
                        for row in rows:
                            complete_finished(cursor, tenant_id, Triggered(row["campaign_id"]))
        except psycopg.OperationalError as error:
            log.warning("tasks are not completed for a moment: %s", error)


def _close(connection: Connection | None) -> None:
    """Close a connection, if there is one."""
    if connection is not None:
        connection.close()


class _Turns:
    """Tenants that wait for their turn, each once, in the order in which they came."""

    def __init__(self) -> None:
        """Start with nobody waiting."""
        self._waiting: dict[str, None] = {}
        self._some = asyncio.Event()
        self._is_closed = False

    def add(self, tenant_id: str) -> None:
        """Put a tenant behind the others, unless it waits already."""
        self._waiting.setdefault(tenant_id)
        self._some.set()

    def close(self) -> None:
        """Give no more turns."""
        self._is_closed = True
        self._some.set()

    async def next(self) -> str | None:
        """Return whose turn it is; None when there are no more."""
        await self._some.wait()
        if self._is_closed:
            return None
        tenant_id = next(iter(self._waiting))
        del self._waiting[tenant_id]
        if not self._waiting:
            self._some.clear()
        return tenant_id


class _Reconnecting:
    """A connection for short questions that is opened again when it was lost."""

    def __init__(self, url: str) -> None:
        """Keep the address."""
        self._url = url
        self._connection: AsyncConnection | None = None

    async def open(self) -> AsyncConnection:
        """Return the connection, made now when there is none."""
        if self._connection is None or self._connection.closed:
            self._connection = await connect_async(self._url, application_name=APPLICATION_NAME)
        return self._connection

    async def close(self) -> None:
        """Close the connection, if there is one."""
        if self._connection is not None:
            await self._connection.close()

    @asynccontextmanager
    async def transaction(self, tenant_id: str) -> AsyncIterator[Any]:
        """Run one transaction of a tenant."""
        async with tenant_transaction_async(await self.open(), tenant_id) as cursor:
            yield cursor
