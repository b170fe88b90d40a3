"""The dispatcher: claim, commit ``sending``, send, write the outcome.

One coroutine talks to the ledger; many talk to the provider. The ledger's coroutine writes the
outcomes that have gathered and claims as much as the senders can hold, so each is one transaction
for many messages. What is claimed but cannot be sent in time (lease nearly over, ledger lost, asked
to stop) does not leave; it goes back as ``retry``, which is true: nothing left.
"""

from __future__ import annotations

import asyncio
import logging
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import psycopg

from leo_activation.channels.base import (
    Channel,
    ChannelSpec,
    ChannelTools,
    Credential,
    Message,
    Outcome,
    Reaction,
)
from leo_activation.channels.registry import open_channel
from leo_activation.database import connect_async
from leo_activation.delivery.ledger import (
    APPLICATION_NAME,
    Answer,
    Claim,
    Equipment,
    Gate,
    Ledger,
)
from leo_activation.delivery.retry import RetryPolicy, settle
from leo_activation.delivery.scope import Scope
from leo_activation.delivery.templates import message_context, render
from leo_activation.delivery.token_renewal import make_renewer
from leo_activation.delivery.unsubscribe import UnsubscribeLinks
from leo_activation.errors import ConfigurationError, LedgerError, TemplateError

log = logging.getLogger(__name__)

_RECONNECT_SECONDS = 0.5
_POLL_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class DispatchOptions:
    """How one dispatcher works; the defaults suit a campaign on one machine.

    :param concurrency: sends at the same time; None for what suits the provider.
    :param lease_seconds: how long a claim holds.
    :param send_timeout_seconds: after this a send is ``unknown``; well below the lease.
    :param flush_seconds: how long an outcome may wait for company before it is written.
    :param patience_seconds: wait this long in the process for a retry or a foreign lease; what is
        due later is left for the next run.
    :param follow: go on waiting for new messages until asked to stop.
    :param follow_seconds: look for them so often.
    :param idle_seconds: stop following when there was nothing to do for so long; None for never.
    :param retry: how patiently a refused message is tried again.
    """

    concurrency: int | None = None
    lease_seconds: float = 60.0
    send_timeout_seconds: float = 25.0
    flush_seconds: float = 0.05
    patience_seconds: float = 75.0
    follow: bool = False
    follow_seconds: float = 0.1
    idle_seconds: float | None = None
    retry: RetryPolicy = field(default_factory=RetryPolicy)


@dataclass(frozen=True, slots=True)
class DispatchReport:
    """What this run did, and where the snapshot's messages stand on this channel.

    :param outcomes: attempts of this run by new status, policy skips included.
    :param reasons: attempts of this run that were not sent, by reason.
    :param totals: all messages: status -> reason -> rows.
    :param stopped: why it ended before everything was settled; None when it was.
    :param next_due: when to run again; None when everything is settled.
    :param seconds: how long it took.
    """

    outcomes: Mapping[str, int]
    reasons: Mapping[str, int]
    totals: Mapping[str, Mapping[str, int]]
    stopped: str | None
    next_due: datetime | None
    seconds: float

    @property
    def is_settled(self) -> bool:
        """Whether nothing is left to send, now or later."""
        return not self.totals.keys() & {"queued", "sending", "retry"}


@contextmanager
def stop_on_signal(stop: Callable[[str], None]) -> Iterator[None]:
    """Drain on SIGTERM: claim no more, finish what is on its way, write it down.

    :param stop: called once with the reason.
    """
    loop = asyncio.get_running_loop()
    before = signal.getsignal(signal.SIGTERM)
    installed = False
    # Only the main thread may handle signals; elsewhere the owner of the process decides.
    with suppress(ValueError, RuntimeError):
        loop.add_signal_handler(signal.SIGTERM, stop, "asked to stop (SIGTERM)")
        installed = before is not None
    try:
        yield
    finally:
        if installed:
            loop.remove_signal_handler(signal.SIGTERM)
            signal.signal(signal.SIGTERM, before)


class Remote:
    """Reaches a dispatcher that runs in the same event loop.

    A process that runs several handles signals itself: one with a remote leaves them alone.
    """

    def __init__(self) -> None:
        """Start without a dispatcher."""
        self._dispatcher: Dispatcher | None = None
        self._stopped: str | None = None

    def hand(self, dispatcher: Dispatcher) -> None:
        """Take charge of a dispatcher that is about to run."""
        self._dispatcher = dispatcher
        if self._stopped is not None:
            dispatcher.stop(self._stopped)

    def nudge(self) -> None:
        """Tell it that there are new messages: it need not wait until it looks again."""
        if self._dispatcher is not None:
            self._dispatcher.nudge()

    @property
    def busy_at(self) -> float:
        """Return when it last had something to do, in monotonic seconds; 0 before it runs."""
        return self._dispatcher.busy_at if self._dispatcher is not None else 0.0

    def stop(self, reason: str) -> None:
        """Let it claim no more, finish what is on its way, and end.

        :param reason: goes into the report.
        """
        self._stopped = reason
        if self._dispatcher is not None:
            self._dispatcher.stop(reason)


def utc_now() -> datetime:
    """Return the current time."""
    return datetime.now(UTC)


def dispatch_channel(
    database_url: str,
    tenant_id: str,
    scope: Scope,
    channel: str,
    worker_id: str,
    secret_key: str,
    *,
    options: DispatchOptions | None = None,
    clock: Callable[[], datetime] = utc_now,
    uniform: Callable[[], float] = random.random,
) -> DispatchReport:
    """Send what a snapshot has queued on one channel. Running it again is always safe.

    :param database_url: libpq URL of the runtime role.
    :param scope: the snapshot, or the campaign whose events set the messages off.
    :param worker_id: name of this worker; made unique with the start time.
    :param secret_key: decrypts the channel's credential and signs unsubscribe links.
    :param clock: tells the time of the ledger.
    :param uniform: random numbers from 0 to 1, for jitter.
    :raises LedgerError: the ledger cannot be written; nothing more was sent.
    :raises ConfigurationError: the channel has no usable credential, or the options contradict
        each other.
    """
    return asyncio.run(
        dispatch_channel_async(
            database_url,
            tenant_id,
            scope,
            channel,
            worker_id,
            secret_key,
            options=options,
            clock=clock,
            uniform=uniform,
        )
    )


async def dispatch_channel_async(
    database_url: str,
    tenant_id: str,
    scope: Scope,
    channel: str,
    worker_id: str,
    secret_key: str,
    *,
    options: DispatchOptions | None = None,
    clock: Callable[[], datetime] = utc_now,
    uniform: Callable[[], float] = random.random,
    remote: Remote | None = None,
) -> DispatchReport:
    """Do the work of :func:`dispatch_channel` in a running event loop.

    :param remote: by which the caller reaches the dispatcher while it runs.
    """
    options = options or DispatchOptions()
    unique_id = f"{worker_id}@{clock().isoformat(timespec='microseconds')}"
    try:
        connection = await connect_async(database_url, application_name=APPLICATION_NAME)
    except psycopg.OperationalError as error:
        raise LedgerError(
            f"the ledger cannot be reached ({type(error).__name__}); nothing was sent"
        ) from error
    ledger = Ledger(
        connection,
        database_url,
        tenant_id=tenant_id,
        scope=scope,
        channel=channel,
        worker_id=unique_id,
    )
    try:
        return await _dispatch(ledger, database_url, secret_key, options, clock, uniform, remote)
    except psycopg.Error as error:
        raise LedgerError(
            f"the ledger of tenant {tenant_id!r} cannot be written ({type(error).__name__}: "
            f"{error}); nothing more was sent. What had left and could not be written down "
            "becomes 'unknown' when its lease ends. Run the dispatch again"
        ) from error
    finally:
        await ledger.connection.close()


async def _dispatch(
    ledger: Ledger,
    database_url: str,
    secret_key: str,
    options: DispatchOptions,
    clock: Callable[[], datetime],
    uniform: Callable[[], float],
    remote: Remote | None,
) -> DispatchReport:
    if options.lease_seconds <= options.send_timeout_seconds:
        raise ConfigurationError(
            f"a lease_seconds of {options.lease_seconds} ends before a send of "
            f"send_timeout_seconds {options.send_timeout_seconds} can; nothing would ever leave. "
            "Set a longer lease"
        )
    due = await ledger.next_due(clock())
    if due.at is None and due.paused is None and not options.follow:
        # A channel that the plan does not use needs no credential.
        await ledger.complete_tasks()
        return DispatchReport({}, {}, await ledger.totals(), None, None, 0.0)
    equipment = await ledger.prepare(secret_key)
    credential = equipment.credential
    concurrency = _concurrency(options, credential, ledger.spec)
    renew = make_renewer(database_url=database_url, secret_key=secret_key, spec=ledger.spec)
    tools = ChannelTools(concurrency, clock, uniform, renew)
    composer = Composer(ledger.tenant_id, equipment, secret_key)
    provider = open_channel(credential, tools)
    options = replace(options, concurrency=concurrency)
    try:
        dispatcher = Dispatcher(ledger, provider, composer, options, clock, uniform)
        if remote is None:
            with stop_on_signal(dispatcher.stop):
                return await dispatcher.run()
        remote.hand(dispatcher)
        return await dispatcher.run()
    finally:
        await provider.close()


def _concurrency(options: DispatchOptions, credential: Credential, spec: ChannelSpec) -> int:
    chosen = options.concurrency or credential.settings.get("concurrency", spec.concurrency)
    if not isinstance(chosen, int) or not 1 <= chosen <= 1000:
        raise ConfigurationError(
            f"concurrency of the {credential.channel} credential is {chosen!r}; set 1 to 1000"
        )
    return chosen


class Composer:
    """Writes the message of a claim.

    :param equipment: templates of the channel, and where its unsubscribe links lead.
    :param secret_key: signs unsubscribe links.
    """

    def __init__(self, tenant_id: str, equipment: Equipment, secret_key: str) -> None:
        """Keep the templates and the key of the links."""
        self._tenant_id = tenant_id
        self._templates = equipment.templates
        base_url = equipment.credential.settings.get("unsubscribe_base_url")
        self._links = UnsubscribeLinks(secret_key, base_url) if base_url else None

    def compose(self, claim: Claim, gate: Gate) -> Message:
        """Render the message.

        :param gate: the campaign it belongs to.
        :raises TemplateError: the template is missing or does not fit this customer.
        """
        template = self._templates.get(claim.template_id)
        if template is None:
            raise TemplateError(
                f"template {claim.template_id!r} does not exist, is not active or is for another "
                f"channel; active here: {', '.join(sorted(self._templates)) or 'none'}"
            )
        link = self._links.link(self._tenant_id, claim.delivery_id) if self._links else None
        extra = {
            "shop_name": gate.shop_name,
            "campaign_name": gate.campaign_name,
            "unsubscribe_url": link,
        }
        context = message_context(claim.facts, claim.params, extra)
        rendered = render(template, context, is_advertising=gate.is_advertising)
        return Message(
            delivery_id=claim.delivery_id,
            tenant_id=self._tenant_id,
            address=claim.address,
            targets=claim.targets or (),
            subject=rendered.subject,
            text=rendered.text,
            html=rendered.html,
            markdown=rendered.markdown,
            template_id=claim.template_id,
            provider_template={k: v for k, v in template.provider_template.items() if k != "data"},
            data=rendered.data,
            campaign_code=gate.campaign_code,
            unsubscribe_url=link,
        )


class Dispatcher:
    """One run over one channel of a snapshot, or of the events of a campaign.

    :param ledger: where messages come from and outcomes go to.
    :param provider: where messages go.
    :param composer: writes them.
    :param clock: the ledger's time.
    :param uniform: random numbers from 0 to 1.
    """

    def __init__(
        self,
        ledger: Ledger,
        provider: Channel,
        composer: Composer,
        options: DispatchOptions,
        clock: Callable[[], datetime],
        uniform: Callable[[], float],
    ) -> None:
        """Start with nothing claimed."""
        self._ledger = ledger
        self._provider = provider
        self._composer = composer
        self._options = options
        self._clock = clock
        self._uniform = uniform
        self._todo: asyncio.Queue[tuple[Claim, Gate]] = asyncio.Queue()
        self._answers: list[Answer] = []
        self._in_flight = 0
        self._wake = asyncio.Event()
        self._concurrency = options.concurrency or 1
        self.busy_at = time.monotonic()
        # When the provider's documented rate, or the law's hours, let the next message leave.
        self._held_until: datetime | None = None
        # Set when nothing more may leave, with the reason.
        self._stopped: str | None = None
        self._drained = False
        # Set when account or templates changed: what follows is for another dispatcher.
        self._is_stale = False
        self._outcomes: Counter[str] = Counter()
        self._reasons: Counter[str] = Counter()

    async def run(self) -> DispatchReport:
        """Work until everything is settled, due too late, or stopped.

        :raises psycopg.Error: the ledger cannot be written.
        """
        started = time.monotonic()
        senders = [asyncio.create_task(self._send_forever()) for _ in range(self._concurrency)]
        try:
            await self._drive_or_rescue()
        finally:
            for sender in senders:
                sender.cancel()
            await asyncio.gather(*senders, return_exceptions=True)
        await self._ledger.skip_cancelled()
        await self._ledger.expire_leases(self._clock())
        await self._ledger.complete_tasks()
        left = await self._ledger.next_due(self._clock())
        return DispatchReport(
            outcomes=dict(self._outcomes),
            reasons=dict(self._reasons),
            totals=await self._ledger.totals(),
            stopped=self._stopped or left.paused,
            next_due=left.at,
            seconds=time.monotonic() - started,
        )

    async def _drive_or_rescue(self) -> None:
        try:
            await self._drive()
        except psycopg.Error:
            self.stop("the ledger cannot be written")
            await self._rescue()
            raise

    async def _rescue(self) -> None:
        """Write down what is known after the ledger was lost, as long as the leases hold.

        Nothing more leaves; what is on its way is waited for, because its outcome is worth knowing.
        """
        deadline = time.monotonic() + self._options.lease_seconds
        while self._in_flight or not self._todo.empty():
            await self._doze(self._options.flush_seconds)
        while time.monotonic() < deadline:
            try:
                await self._ledger.reconnect()
                known = [answer.claim.delivery_id for answer in self._answers]
                await self._ledger.release_unknown_claims(known, self._clock())
                await self._flush()
            except psycopg.Error:
                await asyncio.sleep(_RECONNECT_SECONDS)
            else:
                return

    def stop(self, reason: str) -> None:
        """Let nothing more leave; messages on their way still get their outcome.

        :param reason: goes into the report.
        """
        self._stopped = self._stopped or reason
        self._wake.set()

    def nudge(self) -> None:
        """Look for new messages now."""
        self._wake.set()

    async def _drive(self) -> None:
        await self._ledger.expire_leases(self._clock())
        while not self._drained:
            await self._flush()
            if self._stopped is None and not self._is_stale:
                await self._refill()
            busy = self._in_flight or self._answers or not self._todo.empty()
            if busy:
                await self._doze(self._options.flush_seconds)
            elif self._stopped is not None or self._is_stale or not await self._wait_for_more():
                self._drained = True
            if busy:
                self.busy_at = time.monotonic()

    async def _doze(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        self._wake.clear()

    async def _wait_for_more(self) -> bool:
        """Wait for what comes due or the end of a foreign lease; False when there is none soon."""
        now = self._clock()
        due = (await self._ledger.next_due(now)).at
        if self._options.follow:
            idle = time.monotonic() - self.busy_at
            if self._options.idle_seconds is not None and idle > self._options.idle_seconds:
                return False
            soon = (due - now).total_seconds() if due else self._options.follow_seconds
            await self._doze(min(max(soon, 0.0), self._options.follow_seconds))
        elif due is None or (due - now).total_seconds() > self._options.patience_seconds:
            return False
        else:
            wait = max((max(due, self._held_until or due) - now).total_seconds(), 0.0)
            # Another dispatcher may settle its messages long before its lease ends.
            await self._doze(min(max(wait, self._options.flush_seconds), _POLL_SECONDS))
        await self._ledger.expire_leases(self._clock())
        return True

    async def _refill(self) -> None:
        """Keep as many messages at hand as can be sent at once.

        No more: what a killed process had claimed becomes ``unknown``, sent or not.
        """
        room = self._concurrency - self._todo.qsize()
        now = self._clock()
        if 2 * room < self._concurrency or (self._held_until and now < self._held_until):
            return
        lease_until = now + timedelta(seconds=self._options.lease_seconds)
        batch = await self._ledger.claim(room, now, lease_until)
        if batch.gate.closed is not None:
            self.stop(batch.gate.closed)
        self._is_stale = batch.is_stale
        self._held_until = batch.gate.held_until or now + timedelta(seconds=batch.wait_seconds)
        for reason, rows in batch.skipped.items():
            self._outcomes["skipped"] += rows
            self._reasons[reason] += rows
        for claim in batch.claims:
            self._todo.put_nowait((claim, batch.gate))

    async def _send_forever(self) -> None:
        while True:
            claim, gate = await self._todo.get()
            self._in_flight += 1
            try:
                outcome = await self._attempt(claim, gate)
            finally:
                self._in_flight -= 1
            self._answer(claim, outcome)

    async def _attempt(self, claim: Claim, gate: Gate) -> Outcome:
        if self._stopped is not None:
            return Outcome(Reaction.DEFER, "released", f"not sent: {self._stopped}")
        left = (claim.lease_until - self._clock()).total_seconds()
        if left <= self._options.send_timeout_seconds:
            return Outcome(Reaction.DEFER, "released", "not sent: the lease was nearly over")
        if gate.open_until is not None and self._clock() >= gate.open_until:
            return Outcome(Reaction.DEFER, "released", "not sent: the permitted hours were over")
        if claim.targets == ():
            return Outcome(Reaction.PERM, "no_live_device", "none of the devices answers any more")
        try:
            message = self._composer.compose(claim, gate)
        except TemplateError as error:
            return Outcome(Reaction.PERM, "template_error", str(error))
        except Exception as error:  # nothing left: it is this message's fault, and no other's
            log.exception("delivery %s cannot be written", claim.delivery_id)
            return Outcome(Reaction.PERM, "template_error", type(error).__name__)
        return await self._send(message)

    async def _send(self, message: Message) -> Outcome:
        try:
            async with asyncio.timeout(self._options.send_timeout_seconds):
                return await self._provider.send(message)
        except TimeoutError:
            if message.progress.nothing_left:
                detail = "not sent: what has to come first took too long"
                return Outcome(Reaction.DEFER, "released", detail)
            return Outcome(Reaction.UNKNOWN, "no_answer", "no answer in time")
        except (Exception, asyncio.CancelledError) as error:
            # A defect of a channel must not take the batch along; nor what it cancelled of its own.
            task = asyncio.current_task()
            if isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling():
                raise
            log.exception(
                "channel %s failed on delivery %s", self._ledger.channel, message.delivery_id
            )
            return Outcome(Reaction.UNKNOWN, "channel_defect", type(error).__name__)

    def _answer(self, claim: Claim, outcome: Outcome) -> None:
        now = self._clock()
        settlement = settle(
            outcome,
            claim.refusals,
            now,
            claim.expires_at,
            self._options.retry,
            self._uniform,
            claim.attempt,
        )
        self._answers.append(Answer(claim, outcome, settlement, now))
        if outcome.reaction is Reaction.STOP:
            self.stop(f"channel {self._ledger.channel} is paused: {outcome.detail}")
        # Wake the ledger's coroutine when there is a batch to write or the senders run dry.
        if (
            2 * len(self._answers) >= self._concurrency
            or 2 * self._todo.qsize() < self._concurrency
        ):
            self._wake.set()

    async def _flush(self) -> None:
        if not self._answers:
            return
        answers, self._answers = self._answers, []
        try:
            await self._write(answers)
        except psycopg.Error:
            # Not written down as far as we know; writing them again is harmless.
            self._answers = [*answers, *self._answers]
            raise
        for answer in answers:
            self._outcomes[answer.settlement.status] += 1
            if answer.settlement.error_class is not None:
                self._reasons[answer.settlement.error_class] += 1

    async def _write(self, answers: Sequence[Answer]) -> None:
        # Pausing first: an outcome may say "retry", and nobody is to retry what cannot work.
        # Once, however many were refused: the first reason is kept.
        stops = [a.outcome.detail for a in answers if a.outcome.reaction is Reaction.STOP]
        if stops:
            await self._ledger.pause_channel(stops[0])
        refused = [a for a in answers if a.outcome.reaction is Reaction.STOP_TEMPLATE]
        details = {a.claim.template_id: a.outcome.detail for a in reversed(refused)}
        for template_id, detail in details.items():
            await self._ledger.pause_template(template_id, detail)
        await self._ledger.record(answers)
