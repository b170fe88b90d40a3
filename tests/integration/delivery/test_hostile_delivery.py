"""Whatever channels, providers, clocks and settings do: one bad thing stops nothing else."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from psycopg.types.json import Jsonb

from leo_activation.channels.base import Message, Outcome, Reaction, Receipt, ReceiptKind
from leo_activation.database import Connection, connect, connect_async, tenant_transaction
from leo_activation.delivery import dispatcher
from leo_activation.delivery.controls import Selection, cancel_campaign, resend_unknown
from leo_activation.delivery.dispatcher import DispatchOptions, DispatchReport, dispatch_channel
from leo_activation.delivery.feedback import apply_receipts
from leo_activation.delivery.ledger import Answer, Claim, Ledger
from leo_activation.delivery.retry import RetryPolicy, settle
from leo_activation.errors import ConfigurationError
from tests.conftest import DatabaseUrls
from tests.support.campaigns import SECRET_KEY, Campaign, customer, decided_campaign, open_channels
from tests.support.sandboxes import Sandbox

HANOI = ZoneInfo("Asia/Ho_Chi_Minh")
NOON = datetime(2030, 1, 2, 12, 0, tzinfo=HANOI)
LATE = datetime(2030, 1, 2, 23, 30, tzinfo=HANOI)
ACCEPTED = Outcome(Reaction.ACCEPTED)
Send = Callable[[Message], Awaitable[Outcome]]
Dispatch = Callable[..., DispatchReport]

pytestmark = pytest.mark.timeout(120)


class Scripted:
    """A channel that does what the test says."""

    def __init__(self, send: Send) -> None:
        """Take the script."""
        self.send = send

    async def close(self) -> None:
        """Close nothing."""


@pytest.fixture
def dispatch(
    runtime_conn: Connection, database_urls: DatabaseUrls, monkeypatch: pytest.MonkeyPatch
) -> Dispatch:
    """Return a dispatch of a campaign's mails through a scripted channel."""
    open_channels(runtime_conn, mail=Sandbox([], 0, 25))

    def run(campaign: Campaign, send: Send, **how: Any) -> DispatchReport:
        monkeypatch.setattr(dispatcher, "open_channel", lambda *_: Scripted(send))
        clock = how.pop("clock", None)
        options = DispatchOptions(**{"concurrency": 4, "patience_seconds": 0.2, **how})
        with_clock = {"clock": clock} if clock else {}
        return dispatch_channel(
            database_urls.runtime, "tenant_a", campaign.snapshot_id, "email", "w", SECRET_KEY,
            options=options, **with_clock,
        )  # fmt: skip

    return run


def queued(admin: Connection, runtime: Connection, members: int, **how: Any) -> Campaign:
    """Return a campaign whose mails wait in the queue."""
    now = how.pop("now", None)
    campaign = decided_campaign(admin, [customer(n) for n in range(members)], **how)
    campaign.enqueue(runtime, "email", now=now)
    return campaign


async def _with_ledger(
    urls: DatabaseUrls, campaign: Campaign, work: Callable[[Ledger], Awaitable[Any]]
) -> Any:
    connection = await connect_async(urls.runtime)
    ledger = Ledger(
        connection, urls.runtime, tenant_id="tenant_a", scope=campaign.snapshot_id,
        channel="email", worker_id="w",
    )  # fmt: skip
    try:
        return await work(ledger)
    finally:
        await connection.close()


def with_ledger(
    urls: DatabaseUrls, campaign: Campaign, work: Callable[[Ledger], Awaitable[Any]]
) -> Any:
    """Do some work of a dispatcher's ledger."""
    return asyncio.run(_with_ledger(urls, campaign, work))


def claim(urls: DatabaseUrls, campaign: Campaign, now: datetime) -> list[Claim]:
    """Claim what is due, as worker ``w``, with a lease of a minute."""

    async def work(ledger: Ledger) -> list[Claim]:
        return list((await ledger.claim(50, now, now + timedelta(minutes=1))).claims)

    return list(with_ledger(urls, campaign, work))


def answer(claimed: Claim, outcome: Outcome, now: datetime) -> Answer:
    """Return the end of an attempt."""
    settled = settle(outcome, claimed.refusals, now, claimed.expires_at, RetryPolicy(), lambda: 0.0)
    return Answer(claimed, outcome, settled, now)


def record(urls: DatabaseUrls, campaign: Campaign, *answers: Answer) -> int:
    """Write the ends of attempts, as worker ``w``."""
    return int(with_ledger(urls, campaign, lambda ledger: ledger.record(answers)))


def expire(urls: DatabaseUrls, campaign: Campaign, now: datetime) -> None:
    """Take silent workers for dead."""
    with_ledger(urls, campaign, lambda ledger: ledger.expire_leases(now))


def report_delivery(runtime: Connection, delivery_id: UUID, now: datetime) -> None:
    """Let the provider say that it delivered a message."""
    receipt = Receipt(f"r-{delivery_id}", ReceiptKind.DELIVERED, now, delivery_id)
    with tenant_transaction(runtime, "tenant_a") as cursor:
        apply_receipts(cursor, "tenant_a", "email", "smtp", [receipt], now=now)


# --- one bad message, one bad answer -------------------------------------------------------------


@pytest.mark.invariant(4)
@pytest.mark.invariant(8)
def test_a_channel_whose_task_is_cancelled_loses_no_message_and_no_sender(
    admin_conn: Connection, runtime_conn: Connection, dispatch: Dispatch
) -> None:
    campaign = queued(admin_conn, runtime_conn, 12)

    async def send(message: Message) -> Outcome:
        if message.address == "k11@example.com":
            return ACCEPTED
        # What a channel waits for was given up by somebody else.
        waiting: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        waiting.cancel()
        return await waiting

    report = dispatch(campaign, send)
    assert report.outcomes == {"unknown": 11, "sent": 1}
    assert report.reasons == {"channel_defect": 11}


@pytest.mark.invariant(4)
@pytest.mark.invariant(8)
def test_params_that_nobody_can_read_fail_their_message_and_no_other(
    admin_conn: Connection, runtime_conn: Connection, dispatch: Dispatch
) -> None:
    campaign = decided_campaign(admin_conn, [customer(n) for n in range(12)])
    campaign.enqueue(runtime_conn, "email", params={"x": ["a", "list"]})
    admin_conn.execute("update delivery_log set params = '{}' where address = 'k3@example.com'")

    async def send(_: Message) -> Outcome:
        return ACCEPTED

    report = dispatch(campaign, send)
    assert report.outcomes == {"failed": 11, "sent": 1}
    assert report.reasons == {"template_error": 11}


def nested(depth: int) -> dict[str, Any]:
    """Return JSON that is nested so deep."""
    document: dict[str, Any] = {}
    for _ in range(depth):
        document = {"x": [document]}
    return document


@pytest.mark.invariant(8)
@pytest.mark.parametrize(
    "bad",
    [
        {"provider_message_id": "a\x00b"},
        {"provider_message_id": "\ud800"},
        {"provider_message_id": "x" * 2_000_000},
        {"reaction": Reaction.PERM, "reason": "x\x00y\udfff"},
        {"reaction": Reaction.SUPPRESS, "reason": "x\x00", "detail": "\ud800"},
        {"reaction": Reaction.STOP_TEMPLATE, "detail": "no\x00template"},
        {"dead_targets": {"d" * 4096: "gone\x00"}},
        {"response": {"a": "\x00", "b\x00": ["\udcff"]}},
        {"response": nested(480)},
    ],
    ids=lambda bad: "-".join(bad),
)
def test_no_answer_of_a_provider_keeps_the_others_from_being_written(
    admin_conn: Connection, runtime_conn: Connection, dispatch: Dispatch, bad: dict[str, Any]
) -> None:
    campaign = queued(admin_conn, runtime_conn, 5)
    outcome = Outcome(**{"reaction": Reaction.ACCEPTED, **bad})

    async def send(message: Message) -> Outcome:
        return outcome if message.address == "k1@example.com" else ACCEPTED

    dispatch(campaign, send, lease_seconds=27.0, retry=RetryPolicy(base_seconds=600))
    statuses = {row["address"]: row["delivery_status"] for row in campaign.rows(runtime_conn)}
    expected = {"accepted": "sent", "stop_template": "retry"}
    assert statuses.pop("k1@example.com") == expected.get(outcome.reaction, "failed")
    assert set(statuses.values()) == {"sent"}


# --- what is known is not forgotten --------------------------------------------------------------


@pytest.mark.invariant(2)
@pytest.mark.parametrize("reaction", [Reaction.RETRY, Reaction.DEFER, Reaction.UNKNOWN])
def test_a_message_that_arrived_while_its_answer_was_awaited_is_not_sent_again(
    admin_conn: Connection, runtime_conn: Connection, database_urls: DatabaseUrls,
    dispatch: Dispatch, reaction: Reaction,
) -> None:  # fmt: skip
    campaign = queued(admin_conn, runtime_conn, 1, now=NOON)
    [held] = claim(database_urls, campaign, NOON)
    report_delivery(runtime_conn, held.delivery_id, NOON)
    # A gateway between us and the provider says that it failed.
    record(database_urls, campaign, answer(held, Outcome(reaction, "x", "y"), NOON))
    [row] = campaign.rows(runtime_conn)
    assert (row["delivery_status"], row["error_class"]) == ("sent", None)
    assert row["resolved_by"].startswith("receipt:smtp:")
    assert claim(database_urls, campaign, NOON + timedelta(hours=1)) == []
    task = admin_conn.execute("select status::text from agent_task").fetchone()
    assert task == {"status": "dispatching"}


@pytest.mark.invariant(2)
def test_a_message_that_arrived_is_known_when_its_worker_dies(
    admin_conn: Connection, runtime_conn: Connection, database_urls: DatabaseUrls,
    dispatch: Dispatch,
) -> None:  # fmt: skip
    campaign = queued(admin_conn, runtime_conn, 1, now=NOON)
    [held] = claim(database_urls, campaign, NOON)
    report_delivery(runtime_conn, held.delivery_id, NOON)
    later = NOON + timedelta(minutes=2)
    expire(database_urls, campaign, later)
    settled = resend_unknown(
        runtime_conn, tenant_id="tenant_a", selection=Selection("tri-an"), by="me", now=later
    )
    assert settled.messages == 0
    assert claim(database_urls, campaign, later) == []
    assert campaign.statuses(runtime_conn) == {"sent": 1}


@pytest.mark.invariant(2)
def test_after_a_resend_the_ledger_knows_again_that_nobody_knows(
    admin_conn: Connection, runtime_conn: Connection, database_urls: DatabaseUrls,
    dispatch: Dispatch,
) -> None:  # fmt: skip
    campaign = queued(admin_conn, runtime_conn, 1, now=NOON)
    now = NOON
    for _ in range(2):
        [held] = claim(database_urls, campaign, now)
        now += timedelta(minutes=2)
        expire(database_urls, campaign, now)
        [row] = campaign.rows(runtime_conn)
        assert (row["delivery_status"], row["resolved_by"]) == ("unknown", None)
        resend_unknown(
            runtime_conn, tenant_id="tenant_a", selection=Selection("tri-an"), by="me", now=now
        )
    [held] = claim(database_urls, campaign, now)
    now += timedelta(minutes=2)
    expire(database_urls, campaign, now)
    # The worker was not dead: it knows the end.
    assert record(database_urls, campaign, answer(held, ACCEPTED, now)) == 1
    [row] = campaign.rows(runtime_conn)
    assert row["delivery_status"] == "sent"
    assert row["resolved_by"] == "late answer to w"
    # Who had wished for the second and third attempt is still known.
    assert [a.get("resolved_by") for a in row["attempts"]] == [None, "person:me", "person:me"]


@pytest.mark.invariant(4)
def test_a_campaign_cancelled_in_mid_run_leaves_nothing_that_waits(
    admin_conn: Connection, runtime_conn: Connection, dispatch: Dispatch,
    database_urls: DatabaseUrls,
) -> None:  # fmt: skip
    campaign = queued(admin_conn, runtime_conn, 40)
    sent = 0

    async def send(_: Message) -> Outcome:
        nonlocal sent
        sent += 1
        if sent == 6:
            with contextlib.closing(connect(database_urls.runtime)) as person:
                cancel_campaign(person, tenant_id="tenant_a", code="tri-an")
        await asyncio.sleep(0.02)
        return ACCEPTED if sent <= 6 else Outcome(Reaction.RETRY, "busy", "later")

    report = dispatch(campaign, send)
    assert report.stopped == "campaign tri-an is cancelled"
    assert report.is_settled
    statuses = campaign.statuses(runtime_conn)
    assert set(statuses) == {"sent", "skipped"}
    done = admin_conn.execute("select distinct status::text from agent_task").fetchall()
    assert done == [{"status": "completed"}]


# --- hours, caps, settings -----------------------------------------------------------------------

ODD_HOURS = [
    None, [], ["07:00"], ["7h", "22h"], [None, None], ["22:00", "07:00"], ["07:00", "07:00"],
    "07:00-22:00", 7, {"a": 1}, [["07:00"], ["22:00"]], ["07:00", "25:00"], [7, 22], ["", ""],
]  # fmt: skip


@pytest.mark.invariant(4)
@pytest.mark.parametrize("hours", ODD_HOURS, ids=repr)
def test_hours_that_cannot_be_read_are_those_of_the_law(
    admin_conn: Connection, hours: object
) -> None:
    for settings in (
        {"send_hours": {"email": hours}},
        {"send_hours": {"default": hours}},
        {"send_hours": hours},
    ):
        row = admin_conn.execute(
            "select quiet_until(%(s)s, 'email', true, %(late)s) as night,"
            " quiet_until(%(s)s, 'email', true, %(noon)s) as day",
            {"s": Jsonb(settings), "late": LATE, "noon": NOON},
        ).fetchone()
        assert row == {"night": datetime(2030, 1, 3, 7, tzinfo=HANOI), "day": None}


@pytest.mark.invariant(4)
@pytest.mark.parametrize(
    "cap", [None, "hai", "2", -1, 2.5, 1e20, True, [], {}, 10**30, ""], ids=repr
)
def test_a_cap_that_cannot_be_read_is_that_of_the_law(
    admin_conn: Connection, runtime_conn: Connection, dispatch: Dispatch,
    database_urls: DatabaseUrls, cap: object,
) -> None:  # fmt: skip
    facts = [customer(n, email="gia-dinh@example.com") for n in range(5)]
    campaign = decided_campaign(admin_conn, facts)
    for settings in ({"frequency_cap": {"email": cap}}, {"frequency_cap": cap}):
        admin_conn.execute(
            "update tenant set settings = %s where tenant_id = 'tenant_a'", (Jsonb(settings),)
        )
        campaign.enqueue(runtime_conn, "email", now=NOON)
    assert len(claim(database_urls, campaign, NOON)) == 3


@pytest.mark.invariant(4)
@pytest.mark.parametrize("quiet_hours", ["hold", "skip"])
def test_what_was_claimed_before_closing_time_does_not_leave_after_it(
    admin_conn: Connection, runtime_conn: Connection, dispatch: Dispatch, quiet_hours: str
) -> None:
    admin_conn.execute("update tenant set settings = '{}'")
    campaign = queued(admin_conn, runtime_conn, 6, now=NOON, quiet_hours=quiet_hours)
    closing = datetime(2030, 1, 2, 22, 0, tzinfo=HANOI)
    before = closing - timedelta(seconds=1)
    clock = [before]
    left = []

    async def send(_: Message) -> Outcome:
        left.append(clock[0])
        # The first answers come after closing time; others wait at hand meanwhile.
        while clock[0] == before and campaign.statuses(runtime_conn)["sending"] < 4:
            await asyncio.sleep(0.01)
        clock[0] = closing
        return ACCEPTED

    report = dispatch(
        campaign, send, concurrency=2, clock=lambda: clock[0], retry=RetryPolicy(base_seconds=0)
    )
    assert left == [before] * 2
    assert report.reasons["released"] == 2
    statuses = campaign.statuses(runtime_conn)
    if quiet_hours == "skip":
        assert statuses == {"sent": 2, "skipped": 4}
    else:
        assert statuses == {"sent": 2, "retry": 2, "queued": 2}
        assert report.next_due == datetime(2030, 1, 3, 7, tzinfo=HANOI)


# --- nothing spins, nothing grows ----------------------------------------------------------------


def test_a_provider_that_throttles_for_days_is_asked_ever_more_seldom(
    admin_conn: Connection, runtime_conn: Connection, database_urls: DatabaseUrls,
    dispatch: Dispatch,
) -> None:  # fmt: skip
    campaign = queued(admin_conn, runtime_conn, 1, now=NOON, is_advertising=False)
    now, attempts = NOON, 0
    while now < NOON + timedelta(hours=71) and attempts < 500:
        claims = claim(database_urls, campaign, now)
        if not claims:
            break
        attempts += 1
        throttled = Outcome(Reaction.RETRY, "throttled", "slow down")
        settled = settle(
            throttled, claims[0].refusals, now, claims[0].expires_at, RetryPolicy(),
            lambda: 0.5, claims[0].attempt,
        )  # fmt: skip
        record(database_urls, campaign, Answer(claims[0], throttled, settled, now))
        [row] = campaign.rows(runtime_conn)
        now = row["not_before"]
    assert 72 <= attempts <= 200


def test_a_lease_that_ends_before_a_send_can_is_refused(
    admin_conn: Connection, runtime_conn: Connection, dispatch: Dispatch
) -> None:
    campaign = queued(admin_conn, runtime_conn, 1)

    async def send(_: Message) -> Outcome:
        return ACCEPTED

    with pytest.raises(ConfigurationError, match="lease_seconds"):
        dispatch(campaign, send, lease_seconds=10, send_timeout_seconds=10)
    assert campaign.statuses(runtime_conn) == {"queued": 1}


# --- side by side --------------------------------------------------------------------------------


@pytest.mark.invariant(2)
def test_receipts_that_overtake_their_answers_do_not_block_the_ledger(
    admin_conn: Connection, runtime_conn: Connection, database_urls: DatabaseUrls,
    dispatch: Dispatch,
) -> None:  # fmt: skip
    campaign = queued(admin_conn, runtime_conn, 2, now=NOON)
    claims = sorted(claim(database_urls, campaign, NOON), key=lambda each: each.delivery_id)
    first, last = claims
    failures: list[Exception] = []

    def reports() -> None:
        with contextlib.closing(connect(database_urls.runtime)) as connection:
            receipts = [
                Receipt(f"r-{c.delivery_id}", ReceiptKind.DELIVERED, NOON, c.delivery_id)
                for c in claims
            ]
            try:
                with tenant_transaction(connection, "tenant_a") as cursor:
                    apply_receipts(cursor, "tenant_a", "email", "smtp", receipts, now=NOON)
            except Exception as error:
                failures.append(error)

    def answers() -> None:
        try:
            record(
                database_urls, campaign,
                answer(last, ACCEPTED, NOON), answer(first, ACCEPTED, NOON),
            )  # fmt: skip
        except Exception as error:
            failures.append(error)

    # Both want two rows that somebody holds; the reports stand first in line for the first row.
    threads = [threading.Thread(target=reports), threading.Thread(target=answers)]
    with contextlib.closing(connect(database_urls.admin)) as holder, holder.transaction():
        holder.execute(
            "select from delivery_log where delivery_id = %s for update", (first.delivery_id,)
        )
        for number, thread in enumerate(threads, start=1):
            thread.start()
            wait_for_lock_waiters(admin_conn, number)
    for thread in threads:
        thread.join(60)
    assert failures == []
    assert campaign.statuses(runtime_conn) == {"sent": 2}


def wait_for_lock_waiters(admin: Connection, count: int) -> None:
    """Wait until so many sessions of this database wait for a row."""
    deadline = datetime.now(UTC) + timedelta(seconds=30)
    while datetime.now(UTC) < deadline:
        row = admin.execute(
            "select count(*) as n from pg_stat_activity"
            " where wait_event_type = 'Lock' and datname = current_database()"
        ).fetchone()
        if row == {"n": count}:
            return
    raise AssertionError(f"{count} sessions should wait for a lock")
