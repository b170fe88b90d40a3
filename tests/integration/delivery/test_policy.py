"""The rules of a message: hours, caps, scopes, validity, paused templates, the provider's rate."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg.types.json import Jsonb

from leo_activation.channels.base import Outcome, Reaction
from leo_activation.database import Connection, connect_async, tenant_transaction
from leo_activation.delivery.dispatcher import DispatchOptions, DispatchReport, dispatch_channel
from leo_activation.delivery.ledger import Answer, ClaimedBatch, Ledger
from leo_activation.delivery.retry import RetryPolicy, settle
from tests.conftest import DatabaseUrls
from tests.support.campaigns import (
    SECRET_KEY,
    Campaign,
    customer,
    decided_campaign,
    open_channels,
)
from tests.support.sandboxes import Sandbox

HANOI = ZoneInfo("Asia/Ho_Chi_Minh")
NIGHT = datetime(2030, 1, 1, 23, 30, tzinfo=HANOI)
MORNING = datetime(2030, 1, 2, 7, 0, tzinfo=HANOI)
NOON = datetime(2030, 1, 2, 12, 0, tzinfo=HANOI)


def set_tenant(admin: Connection, **tenant_settings: Any) -> None:
    admin.execute(
        "update tenant set settings = %s where tenant_id = 'tenant_a'", (Jsonb(tenant_settings),)
    )


def send(urls: DatabaseUrls, campaign: Campaign, channel: str, now: datetime) -> DispatchReport:
    return dispatch_channel(
        urls.runtime, "tenant_a", campaign.snapshot_id, channel, "w", SECRET_KEY,
        options=DispatchOptions(concurrency=4, patience_seconds=0.2), clock=lambda: now,
    )  # fmt: skip


async def _claim(
    urls: DatabaseUrls,
    campaign: Campaign,
    now: datetime,
    *,
    rate: float = 0.0,
    size: int = 50,
    channel: str = "email",
) -> ClaimedBatch:
    ledger = Ledger(
        await connect_async(urls.runtime), urls.runtime, tenant_id="tenant_a",
        scope=campaign.snapshot_id, channel=channel, worker_id=f"w{threading.get_ident()}",
    )  # fmt: skip
    ledger.rate_per_second = rate
    try:
        return await ledger.claim(size, now, now + timedelta(minutes=1))
    finally:
        await ledger.connection.close()


def claim(urls: DatabaseUrls, campaign: Campaign, now: datetime = NOON, **how: Any) -> ClaimedBatch:
    return asyncio.run(_claim(urls, campaign, now, **how))


@pytest.fixture
def ready(runtime_conn: Connection) -> None:
    """Give tenant_a a mail credential that leads nowhere: these tests claim and do not send."""
    open_channels(runtime_conn, mail=Sandbox([], 0, 25))


def test_advertising_is_held_at_night_and_leaves_in_the_morning(
    admin_conn: Connection, runtime_conn: Connection, database_urls: DatabaseUrls, mail: Sandbox
) -> None:
    set_tenant(admin_conn)
    open_channels(runtime_conn, mail=mail)
    campaign = decided_campaign(admin_conn, [customer(1), customer(2)])
    assert campaign.enqueue(runtime_conn, "email", now=NIGHT).queued == 2
    report = send(database_urls, campaign, "email", NIGHT)
    assert (report.outcomes, report.next_due) == ({}, MORNING)
    assert not report.is_settled
    assert mail.received() == []
    assert send(database_urls, campaign, "email", MORNING).outcomes == {"sent": 2}


def test_a_campaign_that_skips_says_so_for_what_is_due_at_night(
    admin_conn: Connection, runtime_conn: Connection, database_urls: DatabaseUrls, ready: None
) -> None:
    set_tenant(admin_conn)
    campaign = decided_campaign(admin_conn, [customer(1)], quiet_hours="skip")
    assert campaign.enqueue(runtime_conn, "email", now=NIGHT).skipped == {"quiet_hours": 1}
    late = decided_campaign(
        admin_conn, [customer(2)], code="late", run_id="late", quiet_hours="skip"
    )
    assert late.enqueue(runtime_conn, "email", now=NOON - timedelta(days=1)).queued == 1
    assert claim(database_urls, late, NIGHT).skipped == {"quiet_hours": 1}


def test_what_is_no_advertising_leaves_at_night(
    admin_conn: Connection, runtime_conn: Connection, database_urls: DatabaseUrls, ready: None
) -> None:
    set_tenant(admin_conn)
    campaign = decided_campaign(admin_conn, [customer(1)], is_advertising=False)
    campaign.enqueue(runtime_conn, "email", now=NIGHT)
    assert len(claim(database_urls, campaign, NIGHT).claims) == 1


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    at=st.datetimes(datetime(2026, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC)),
    hours=st.none()
    | st.tuples(st.integers(0, 23), st.integers(1, 24)).filter(lambda h: h[0] < h[1]),
)
def test_the_next_permitted_moment_is_the_first_one_inside_the_hours(
    admin_conn: Connection, at: datetime, hours: tuple[int, int] | None
) -> None:
    opens, closes = hours or (7, 22)
    document = {} if hours is None else {
        "send_hours": {"email": [f"{opens:02}:00", f"{closes:02}:00"]}
    }  # fmt: skip
    row = admin_conn.execute(
        "select quiet_until(%s, 'email', true, %s) as later", (Jsonb(document), at)
    ).fetchone()
    assert row is not None
    here = at.astimezone(HANOI)
    if opens <= here.hour < closes:
        assert row["later"] is None
        return
    later = row["later"].astimezone(HANOI)
    assert (later.hour, later.minute, later.second) == (opens, 0, 0)
    assert timedelta(0) < later - here <= timedelta(days=1)


def _answer_all(urls: DatabaseUrls, campaign: Campaign, batch: ClaimedBatch, now: datetime) -> None:
    async def record() -> None:
        ledger = Ledger(
            await connect_async(urls.runtime), urls.runtime, tenant_id="tenant_a",
            scope=campaign.snapshot_id, channel="email",
            worker_id=f"w{threading.get_ident()}",
        )  # fmt: skip
        answers = []
        for each in batch.claims:
            outcome = Outcome(Reaction.ACCEPTED)
            settled = settle(outcome, 0, now, None, RetryPolicy(), lambda: 0.0)
            answers.append(Answer(each, outcome, settled, now))
        await ledger.record(answers)
        await ledger.connection.close()

    asyncio.run(record())


def test_an_address_gets_three_advertisements_in_24_hours_over_all_campaigns(
    admin_conn: Connection, runtime_conn: Connection, database_urls: DatabaseUrls, ready: None
) -> None:
    sent = []
    for hour in range(6):
        # The window rolls: what left 24 hours ago makes room.
        now = NOON + timedelta(hours=6 * hour)
        code = f"c-{hour}"
        campaign = decided_campaign(admin_conn, [customer(1)], code=code, run_id=code)
        campaign.enqueue(runtime_conn, "email", now=now)
        batch = claim(database_urls, campaign, now)
        _answer_all(database_urls, campaign, batch, now)
        sent.append(len(batch.claims))
    assert sent == [1, 1, 1, 0, 1, 1]
    assert claim(database_urls, campaign, now).claims == ()


def test_what_may_have_left_counts_and_what_surely_did_not_does_not(
    admin_conn: Connection, runtime_conn: Connection, database_urls: DatabaseUrls, ready: None
) -> None:
    set_tenant(admin_conn, frequency_cap={"email": 1})
    campaign = decided_campaign(admin_conn, [customer(1)], code="one", run_id="one")
    campaign.enqueue(runtime_conn, "email", now=NOON)
    assert len(claim(database_urls, campaign).claims) == 1
    other = decided_campaign(admin_conn, [customer(1)], code="two", run_id="two")
    assert other.enqueue(runtime_conn, "email", now=NOON).skipped == {"frequency_cap": 1}
    third = decided_campaign(admin_conn, [customer(1)], code="three", run_id="three")
    admin_conn.execute(
        "update delivery_log set delivery_status = 'retry', claimed_by = null, lease_until = null"
        " where campaign_id = %s",
        (campaign.campaign_id,),
    )
    assert third.enqueue(runtime_conn, "email", now=NOON).queued == 1


def test_transactional_messages_are_not_capped_and_do_not_count(
    admin_conn: Connection, runtime_conn: Connection, database_urls: DatabaseUrls, ready: None
) -> None:
    for number in range(5):
        code = f"don-{number}"
        campaign = decided_campaign(
            admin_conn, [customer(1)], code=code, run_id=code, is_advertising=False
        )
        campaign.enqueue(runtime_conn, "email", now=NOON)
        assert len(claim(database_urls, campaign).claims) == 1
    advert = decided_campaign(admin_conn, [customer(1)], code="qc", run_id="qc")
    assert advert.enqueue(runtime_conn, "email", now=NOON).queued == 1


def test_two_customers_with_one_address_share_its_cap_within_a_batch(
    admin_conn: Connection, runtime_conn: Connection, database_urls: DatabaseUrls, ready: None
) -> None:
    facts = [customer(n, email="gia-dinh@example.com") for n in range(5)]
    campaign = decided_campaign(admin_conn, facts)
    assert campaign.enqueue(runtime_conn, "email", now=NOON).queued == 5
    batch = claim(database_urls, campaign)
    assert (len(batch.claims), batch.skipped) == (3, {"frequency_cap": 2})


@pytest.mark.invariant(3)
def test_dispatchers_side_by_side_never_exceed_the_cap_together(
    admin_conn: Connection, runtime_conn: Connection, database_urls: DatabaseUrls, ready: None
) -> None:
    campaigns = []
    for number in range(8):
        code = f"song-song-{number}"
        facts = [customer(n) for n in range(10)]
        campaigns.append(decided_campaign(admin_conn, facts, code=code, run_id=code))
        campaigns[-1].enqueue(runtime_conn, "email", now=NOON)
    barrier = threading.Barrier(len(campaigns))

    def work(campaign: Campaign) -> None:
        barrier.wait()
        while campaign.statuses_of(database_urls).keys() & {"queued"}:
            claim(database_urls, campaign, size=4)

    threads = [threading.Thread(target=work, args=(campaign,)) for campaign in campaigns]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with tenant_transaction(runtime_conn, "tenant_a") as cursor:
        rows = cursor.execute(
            "select address, delivery_status::text as status, count(*) as n from delivery_log"
            " group by address, delivery_status"
        ).fetchall()
    found = Counter({(row["address"], row["status"]): row["n"] for row in rows})
    addresses = {row["address"] for row in rows}
    assert len(addresses) == 10
    for address in addresses:
        assert (found[address, "sending"], found[address, "skipped"]) == (3, 5)


@pytest.mark.parametrize(("tag", "reason"), [("PROMOTION", "suppressed"), ("TRANSACTION", None)])
def test_a_refusal_of_one_kind_of_message_stops_that_kind_only(
    admin_conn: Connection, runtime_conn: Connection, tag: str, reason: str | None, ready: None
) -> None:
    admin_conn.execute(
        "insert into suppression (tenant_id, channel, address, scope, reason)"
        " values ('tenant_a', 'email', 'k1@example.com', 'tag:PROMOTION', 'refused_kind')"
    )
    admin_conn.execute(
        "update message_template set provider_template = %s where tenant_id = 'tenant_a'",
        (Jsonb({"tag": tag}),),
    )
    campaign = decided_campaign(admin_conn, [customer(1)])
    campaign.enqueue(runtime_conn, "email", now=NOON)
    assert [row["skip_reason"] for row in campaign.rows(runtime_conn)] == [reason]


def test_a_message_that_could_not_leave_in_time_is_stale_and_says_so(
    admin_conn: Connection, runtime_conn: Connection, database_urls: DatabaseUrls, ready: None
) -> None:
    campaign = decided_campaign(admin_conn, [customer(1)], valid_hours=2)
    campaign.enqueue(runtime_conn, "email", now=NOON)
    batch = claim(database_urls, campaign, NOON + timedelta(hours=2))
    assert (batch.claims, batch.skipped) == ([], {"expired": 1})


def test_a_paused_template_holds_its_messages_and_no_others(
    admin_conn: Connection, runtime_conn: Connection, database_urls: DatabaseUrls, mail: Sandbox
) -> None:
    open_channels(runtime_conn, mail=mail)
    campaign = decided_campaign(admin_conn, [customer(1)])
    campaign.enqueue(runtime_conn, "email", now=NOON)
    other = decided_campaign(admin_conn, [customer(3)], code="b", run_id="b")
    other.enqueue(runtime_conn, "email", now=NOON, template_id="mung_sinh_nhat")
    admin_conn.execute(
        "update message_template set paused_reason = 'nhà cung cấp khóa'"
        " where tenant_id = 'tenant_a' and template_id = 'tri_an_vip'"
    )
    report = send(database_urls, campaign, "email", NOON)
    assert report.stopped == "template tri_an_vip is paused: nhà cung cấp khóa"
    assert (report.outcomes, report.next_due, report.is_settled) == ({}, None, False)
    assert send(database_urls, other, "email", NOON).outcomes == {"sent": 1}
    admin_conn.execute("update message_template set paused_reason = null")
    assert send(database_urls, campaign, "email", NOON).outcomes == {"sent": 1}


def test_dispatchers_of_one_account_share_its_rate(
    admin_conn: Connection, runtime_conn: Connection, database_urls: DatabaseUrls, ready: None
) -> None:
    campaigns = []
    for number in range(2):
        facts = [customer(100 * number + n) for n in range(60)]
        code = f"nhip-{number}"
        campaigns.append(decided_campaign(admin_conn, facts, code=code, run_id=code))
        campaigns[-1].enqueue(runtime_conn, "email", now=NOON)
    first = claim(database_urls, campaigns[0], NOON, rate=30)
    second = claim(database_urls, campaigns[1], NOON, rate=30)
    assert (len(first.claims), len(second.claims)) == (30, 0)
    assert 0 < second.wait_seconds <= 1 / 30 + 1e-6
    later = NOON + timedelta(seconds=0.5)
    assert len(claim(database_urls, campaigns[1], later, rate=30).claims) == 15


@pytest.mark.parametrize("rate", [0.2, 1.0])
def test_a_slow_rate_still_lets_one_message_leave(
    admin_conn: Connection,
    runtime_conn: Connection,
    database_urls: DatabaseUrls,
    rate: float,
    ready: None,
) -> None:
    campaign = decided_campaign(admin_conn, [customer(1), customer(2)])
    campaign.enqueue(runtime_conn, "email", now=NOON)
    assert len(claim(database_urls, campaign, NOON, rate=rate).claims) == 1
    assert claim(database_urls, campaign, NOON, rate=rate).claims == ()
    due = NOON + timedelta(seconds=1 / rate)
    assert len(claim(database_urls, campaign, due, rate=rate).claims) == 1


def test_dead_devices_are_left_out_and_leave_the_profile(
    admin_conn: Connection, runtime_conn: Connection, database_urls: DatabaseUrls, ready: None
) -> None:
    admin_conn.execute(
        "insert into channel_credential (tenant_id, channel, provider)"
        " values ('tenant_a', 'push', 'fcm')"
    )
    campaign = decided_campaign(admin_conn, [customer(1, fcm_tokens=["old", "new"])])
    admin_conn.execute("update cdp_profiles set fcm_tokens = array['old', 'new', 'old']")
    campaign.enqueue(runtime_conn, "push", now=NOON)
    batch = claim(database_urls, campaign, NOON, channel="push")
    assert [each.targets for each in batch.claims] == [("old", "new")]

    async def record() -> None:
        ledger = Ledger(
            await connect_async(database_urls.runtime), database_urls.runtime,
            tenant_id="tenant_a", scope=campaign.snapshot_id, channel="push",
            worker_id=f"w{threading.get_ident()}",
        )  # fmt: skip
        outcome = Outcome(Reaction.ACCEPTED, dead_targets={"old": "unregistered"})
        settled = settle(outcome, 0, NOON, None, RetryPolicy(), lambda: 0.0)
        await ledger.record([Answer(batch.claims[0], outcome, settled, NOON)])
        await ledger.connection.close()

    asyncio.run(record())
    row = admin_conn.execute("select fcm_tokens from cdp_profiles").fetchone()
    assert row == {"fcm_tokens": ["new"]}
    # A later campaign froze its facts before the device was found dead.
    later = decided_campaign(
        admin_conn, [customer(1, fcm_tokens=["old", "new"])], code="b", run_id="b"
    )
    later.enqueue(runtime_conn, "push", now=NOON)
    batch = claim(database_urls, later, NOON, channel="push")
    assert [each.targets for each in batch.claims] == [("new",)]
