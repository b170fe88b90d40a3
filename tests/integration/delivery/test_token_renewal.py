"""Single-use tokens: renewed once however many ask, stored before use, never guessed at."""

from __future__ import annotations

import asyncio
import json
import logging
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

from leo_activation.channels.base import Credential, GrantLostError, Renewal
from leo_activation.channels.zalo_oauth import renew_tokens
from leo_activation.database import AsyncConnection, Connection, connect_async, tenant_transaction
from leo_activation.delivery import token_renewal
from leo_activation.delivery.controls import resume_channel
from leo_activation.delivery.credentials import store_credential
from leo_activation.delivery.dispatcher import DispatchOptions, DispatchReport, dispatch_channel
from leo_activation.delivery.token_renewal import (
    GRANT_LOST,
    make_renewer,
    refresh_tokens,
    renew_credential,
)
from leo_activation.errors import ConfigurationError, RenewalError
from leo_activation.paths import PROJECT_ROOT
from tests.conftest import DatabaseUrls
from tests.support.campaigns import SECRET_KEY, Campaign, customer, decided_campaign
from tests.support.renewal_worker import stored_credential
from tests.support.sandboxes import Sandbox, wait_until, zalo_server

GRANTS = {
    "tenant_a": {"oa_id": "2001", "refresh_token": "refresh-a", "access_token": "access-a"},
    "tenant_b": {"oa_id": "2002", "refresh_token": "refresh-b", "access_token": "access-b"},
}
TEMPLATE = {
    "id": "312345",
    "tag": "TRANSACTION",
    "data": {"customer_name": "{{ full_name }}", "order_code": "{{ order_count }}"},
}


@pytest.fixture(scope="module")
def zalo_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with zalo_server(tmp_path_factory.mktemp("zalo")) as sandbox:
        yield sandbox


@pytest.fixture
def zalo(zalo_process: Sandbox) -> Sandbox:
    """Give the test a Zalo of two accounts whose access tokens have just expired."""
    zalo_process.faults()
    zalo_process.call("/messages", "DELETE")
    zalo_process.call("/oauth", "PUT", list(GRANTS.values()))
    zalo_process.call("/oauth/expire", "POST", {})
    return zalo_process


@pytest.fixture
def opened(zalo: Sandbox, runtime_conn: Connection) -> None:
    """Give tenant_a its credential."""
    grant(runtime_conn, zalo)


def grant(
    runtime: Connection,
    zalo: Sandbox,
    tenant_id: str = "tenant_a",
    expires_at: datetime | None = None,
    **secret: str,
) -> None:
    url = f"http://127.0.0.1:{zalo.port}"
    store_credential(
        runtime,
        tenant_id=tenant_id,
        channel="zalo",
        provider="zbs",
        settings={"base_url": url, "oauth_url": url, "app_id": "1001", "rate_per_second": 0},
        secret={
            "access_token": GRANTS[tenant_id]["access_token"],
            "refresh_token": GRANTS[tenant_id]["refresh_token"],
            "app_secret": "app-secret",
            **secret,
        },
        secret_key=SECRET_KEY,
        expires_at=expires_at,
    )


def campaign_of(
    admin: Connection, runtime: Connection, count: int, tenant_id: str = "tenant_a"
) -> Campaign:
    """Queue Zalo messages for so many customers."""
    with tenant_transaction(runtime, tenant_id) as cursor:
        cursor.execute(
            "insert into message_template (tenant_id, template_id, channel, description,"
            " body_text, provider_template) values (%s, 'zalo_cam_on', 'zalo', 'Cảm ơn',"
            " 'Cảm ơn', %s)",
            (tenant_id, Jsonb(TEMPLATE)),
        )
    people = [customer(n, mobile=f"8498{n:07d}") for n in range(count)]
    campaign = decided_campaign(admin, people, tenant_id=tenant_id, is_advertising=False)
    campaign.enqueue(runtime, "zalo", template_id="zalo_cam_on")
    return campaign


def dispatch(urls: DatabaseUrls, campaign: Campaign, concurrency: int = 200) -> DispatchReport:
    return dispatch_channel(
        urls.runtime,
        campaign.tenant_id,
        campaign.snapshot_id,
        "zalo",
        "worker",
        SECRET_KEY,
        options=DispatchOptions(concurrency=concurrency, patience_seconds=0),
    )


def state(runtime: Connection, tenant_id: str = "tenant_a") -> dict[str, Any]:
    with tenant_transaction(runtime, tenant_id) as cursor:
        row = cursor.execute(
            "select status, status_reason, expires_at from channel_credential"
            " where channel = 'zalo'"
        ).fetchone()
    assert row is not None
    return row


def stored(urls: DatabaseUrls, tenant_id: str = "tenant_a") -> Credential:
    return asyncio.run(stored_credential(urls.runtime, tenant_id))


def renew(
    urls: DatabaseUrls,
    exchange: Callable[[Credential], Awaitable[Renewal]] = renew_tokens,
    stale: Credential | None = None,
    **options: Any,
) -> Credential:
    return asyncio.run(
        renew_credential(
            database_url=urls.runtime,
            stale=stale or stored(urls),
            secret_key=SECRET_KEY,
            renew=exchange,
            **options,
        )
    )


def worker(urls: DatabaseUrls, mode: str, count: int = 0) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "tests.support.renewal_worker", urls.runtime),
            *("tenant_a", mode, str(count)),
        ],
        cwd=PROJECT_ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


async def forbidden(credential: Credential) -> Renewal:
    raise AssertionError("the provider must not be asked")


def test_two_hundred_sends_on_an_expired_token_cause_one_refresh_and_no_failure(
    admin_conn: Connection,
    runtime_conn: Connection,
    database_urls: DatabaseUrls,
    zalo: Sandbox,
    opened: None,
) -> None:
    campaign = campaign_of(admin_conn, runtime_conn, 200)
    report = dispatch(database_urls, campaign)
    assert report.outcomes == {"sent": 200}
    assert campaign.statuses(runtime_conn) == {"sent": 200}
    assert {row["attempt_count"] for row in campaign.rows(runtime_conn)} == {1}
    oauth = zalo.call("/oauth")
    assert (oauth["refreshes"], oauth["refused"]) == (1, 0)
    copies = {message["label"] for message in zalo.received()}
    assert copies == {row["delivery_id"].hex for row in campaign.rows(runtime_conn)}
    assert len(zalo.received()) == 200
    fresh = stored(database_urls)
    assert fresh.secret["access_token"] == oauth["grants"][0]["access_token"]
    assert fresh.secret["refresh_token"] == oauth["grants"][0]["refresh_token"]
    assert fresh.secret["app_secret"] == "app-secret"
    assert fresh.expires_at is not None
    assert abs(fresh.expires_at - datetime.now(UTC) - timedelta(hours=25)) < timedelta(minutes=5)


def test_four_processes_on_an_expired_token_cause_one_refresh_and_no_failure(
    database_urls: DatabaseUrls, zalo: Sandbox, opened: None
) -> None:
    processes = [worker(database_urls, "send", 50) for _ in range(4)]
    assert [first_line(process) for process in processes] == ["ready"] * 4
    outputs = []
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        outputs.append(json.loads(process.communicate(timeout=120)[0]))
    assert outputs == [{"accepted": 50}] * 4
    oauth = zalo.call("/oauth")
    assert (oauth["refreshes"], oauth["refused"]) == (1, 0)
    assert len(zalo.received()) == 200


@pytest.mark.invariant(2)
@pytest.mark.parametrize(
    "rule",
    [
        {"action": "cut_after"},
        {"action": "cut_before"},
        {"action": "reply", "code": 200, "text": "<html>"},
        {"action": "reply", "code": -14014},
    ],
)
def test_a_refresh_whose_answer_is_lost_pauses_the_channel_and_nothing_is_sent_blindly(
    admin_conn: Connection,
    runtime_conn: Connection,
    database_urls: DatabaseUrls,
    zalo: Sandbox,
    opened: None,
    caplog: pytest.LogCaptureFixture,
    rule: dict[str, Any],
) -> None:
    campaign = campaign_of(admin_conn, runtime_conn, 50)
    # More rules than one would show a second question.
    zalo.faults({"stage": "oauth", "times": 1, **rule}, {"stage": "oauth", "action": "cut_before"})
    with caplog.at_level(logging.ERROR):
        report = dispatch(database_urls, campaign, 50)
    assert report.stopped is not None
    assert "access was lost" in report.stopped
    assert "zalo of tenant tenant_a is paused" in caplog.text
    paused = state(runtime_conn)
    assert paused["status"] == "paused"
    assert paused["status_reason"].startswith(GRANT_LOST)
    assert "administrator has to check and grant access again" in paused["status_reason"]
    assert set(campaign.statuses(runtime_conn)) <= {"retry", "queued"}
    # Running again asks nobody, as long as nobody has resumed the channel.
    dispatch(database_urls, campaign, 50)
    assert zalo.call("/faults")[1]["fired"] == 0
    assert zalo.received() == []
    for secret in ("refresh-a", "access-a", "app-secret"):
        assert secret not in caplog.text + str(report.stopped) + paused["status_reason"]


def test_a_new_grant_and_a_resumed_channel_end_the_pause(
    admin_conn: Connection,
    runtime_conn: Connection,
    database_urls: DatabaseUrls,
    zalo: Sandbox,
    opened: None,
) -> None:
    due_now = "update delivery_log set not_before = now() where delivery_status = 'retry'"
    campaign = campaign_of(admin_conn, runtime_conn, 5)
    zalo.faults({"stage": "oauth", "action": "cut_after"})
    dispatch(database_urls, campaign)
    zalo.faults()
    # The refresh token was used up: resuming alone ends in the same pause, without a message.
    resume_channel(runtime_conn, tenant_id="tenant_a", channel="zalo")
    admin_conn.execute(due_now)
    report = dispatch(database_urls, campaign)
    assert "-14014" in str(report.stopped)
    assert zalo.received() == []
    zalo.call("/oauth", "PUT", list(GRANTS.values()))
    grant(runtime_conn, zalo)
    resume_channel(runtime_conn, tenant_id="tenant_a", channel="zalo")
    admin_conn.execute(due_now)
    dispatch(database_urls, campaign)
    assert campaign.statuses(runtime_conn) == {"sent": 5}


def test_a_renewer_killed_after_the_answer_leaves_a_clear_pause_to_the_next(
    runtime_conn: Connection, database_urls: DatabaseUrls, zalo: Sandbox, opened: None
) -> None:
    before = stored(database_urls)
    process = worker(database_urls, "stall")
    assert first_line(process) == "answered"
    process.kill()
    process.communicate(timeout=60)
    assert zalo.call("/oauth")["refreshes"] == 1
    assert state(runtime_conn)["status"] == "active"
    assert stored(database_urls) == before
    with pytest.raises(GrantLostError, match="-14014"):
        renew(database_urls)
    paused = state(runtime_conn)
    assert paused["status"] == "paused"
    assert "refresh_token is used or expired" in paused["status_reason"]


@pytest.mark.invariant(6)
def test_two_tenants_never_share_tokens(
    admin_conn: Connection, runtime_conn: Connection, database_urls: DatabaseUrls, zalo: Sandbox
) -> None:
    accounts = {}
    for tenant_id in GRANTS:
        grant(runtime_conn, zalo, tenant_id)
        campaign = campaign_of(admin_conn, runtime_conn, 10, tenant_id)
        assert dispatch(database_urls, campaign).outcomes == {"sent": 10}
        accounts |= dict.fromkeys(
            (row["delivery_id"].hex for row in campaign.rows(runtime_conn)),
            GRANTS[tenant_id]["oa_id"],
        )
    for received in zalo.received():
        assert zalo.message(received["number"])["oa_id"] == accounts[received["label"]]
    assert zalo.call("/oauth")["refreshes"] == 2
    a, b = stored(database_urls), stored(database_urls, "tenant_b")
    assert not set(a.secret.values()) & set(b.secret.values()) - {"app-secret"}


def test_one_renewer_serves_two_tenants_apart(
    runtime_conn: Connection, database_urls: DatabaseUrls, zalo: Sandbox
) -> None:
    for tenant_id in GRANTS:
        grant(runtime_conn, zalo, tenant_id)
    stale = [stored(database_urls, tenant_id) for tenant_id in GRANTS]

    async def renew_both() -> list[Credential]:
        renewer = make_renewer(database_url=database_urls.runtime, secret_key=SECRET_KEY)
        return list(await asyncio.gather(*(renewer(one) for one in stale * 20)))

    fresh = asyncio.run(renew_both())
    assert [one.tenant_id for one in fresh] == list(GRANTS) * 20
    assert len({one.secret["access_token"] for one in fresh}) == 2
    assert zalo.call("/oauth")["refreshes"] == 2


def test_who_comes_late_takes_what_another_process_stored(
    database_urls: DatabaseUrls, zalo: Sandbox, opened: None
) -> None:
    stale = stored(database_urls)
    fresh = renew(database_urls)
    assert renew(database_urls, forbidden, stale) == fresh == stored(database_urls)


def test_the_new_pair_is_committed_before_anybody_gets_it(
    database_urls: DatabaseUrls, zalo: Sandbox, opened: None
) -> None:
    seen = []

    async def look() -> None:
        renewer = make_renewer(database_url=database_urls.runtime, secret_key=SECRET_KEY)
        stale = await stored_credential(database_urls.runtime, "tenant_a")

        async def ask() -> None:
            fresh = await renewer(stale)
            seen.append(fresh == await stored_credential(database_urls.runtime, "tenant_a"))

        await asyncio.gather(*(ask() for _ in range(5)))

    asyncio.run(look())
    assert seen == [True] * 5


def cut_the_database(admin: Connection) -> None:
    admin.execute(
        "select pg_terminate_backend(pid) from pg_stat_activity"
        " where application_name = 'leo_renewal' and datname = current_database()"
    )


def test_a_database_lost_after_the_answer_does_not_lose_the_pair(
    admin_conn: Connection, database_urls: DatabaseUrls, zalo: Sandbox, opened: None
) -> None:
    connections = 0

    async def exchange(credential: Credential) -> Renewal:
        renewal = await renew_tokens(credential)
        cut_the_database(admin_conn)
        return renewal

    async def connect(url: str, **options: Any) -> AsyncConnection:
        nonlocal connections
        connections += 1
        if connections in (2, 3):
            raise psycopg.OperationalError("the database restarts")
        return await connect_async(url, **options)

    fresh = renew(database_urls, exchange, connect=connect)
    assert connections == 4
    assert fresh == stored(database_urls)
    assert fresh.secret["refresh_token"] == zalo.call("/oauth")["grants"][0]["refresh_token"]


def test_a_pair_that_cannot_be_stored_is_given_up_loudly_and_not_used(
    admin_conn: Connection,
    database_urls: DatabaseUrls,
    zalo: Sandbox,
    opened: None,
    caplog: pytest.LogCaptureFixture,
) -> None:
    opened_once = False

    async def exchange(credential: Credential) -> Renewal:
        renewal = await renew_tokens(credential)
        cut_the_database(admin_conn)
        return renewal

    async def connect(url: str, **options: Any) -> AsyncConnection:
        nonlocal opened_once
        if opened_once:
            raise psycopg.OperationalError("away")
        opened_once = True
        return await connect_async(url, **options)

    with pytest.raises(GrantLostError, match="away too long to store"):
        renew(database_urls, exchange, connect=connect, store_patience=timedelta(0))
    assert "CRITICAL" in caplog.text
    assert stored(database_urls).secret["refresh_token"] == "refresh-a"


def test_a_pair_that_was_granted_meanwhile_wins(
    admin_conn: Connection,
    runtime_conn: Connection,
    database_urls: DatabaseUrls,
    zalo: Sandbox,
    opened: None,
) -> None:
    async def exchange(credential: Credential) -> Renewal:
        renewal = await renew_tokens(credential)
        cut_the_database(admin_conn)
        grant(runtime_conn, zalo, access_token="granted-anew")
        return renewal

    assert renew(database_urls, exchange).secret["access_token"] == "granted-anew"
    assert stored(database_urls).secret["access_token"] == "granted-anew"


def test_an_unreachable_database_loses_nothing(
    database_urls: DatabaseUrls, zalo: Sandbox, opened: None
) -> None:
    async def connect(url: str, **options: Any) -> AsyncConnection:
        raise psycopg.OperationalError("away")

    with pytest.raises(RenewalError, match="database cannot be reached"):
        renew(database_urls, forbidden, connect=connect)


def test_a_database_lost_before_the_answer_asks_nobody(
    admin_conn: Connection, database_urls: DatabaseUrls, zalo: Sandbox, opened: None
) -> None:
    async def connect(url: str, **options: Any) -> AsyncConnection:
        connection = await connect_async(url, **options)
        cut_the_database(admin_conn)
        return connection

    with pytest.raises(RenewalError, match="database was lost"):
        renew(database_urls, forbidden, connect=connect)


def test_a_send_that_is_given_up_does_not_take_the_renewal_with_it(
    database_urls: DatabaseUrls, zalo: Sandbox, opened: None
) -> None:
    stale = stored(database_urls)

    async def run() -> Credential:
        renewer = make_renewer(database_url=database_urls.runtime, secret_key=SECRET_KEY)
        first = asyncio.ensure_future(renewer(stale))
        second = asyncio.ensure_future(renewer(stale))
        while zalo.call("/faults")[0]["seen"] == 0:
            await asyncio.sleep(0.01)
        first.cancel()
        return await second

    zalo.faults({"stage": "oauth", "action": "slow", "seconds": 0.5})
    assert asyncio.run(run()) == stored(database_urls)
    assert zalo.call("/oauth")["refreshes"] == 1


def test_a_process_that_ends_during_the_exchange_pauses_the_channel(
    runtime_conn: Connection, database_urls: DatabaseUrls, zalo: Sandbox, opened: None
) -> None:
    async def run() -> None:
        renewer = make_renewer(database_url=database_urls.runtime, secret_key=SECRET_KEY)
        stale = await stored_credential(database_urls.runtime, "tenant_a")
        asked = asyncio.ensure_future(renewer(stale))
        while zalo.call("/faults")[0]["seen"] == 0:
            await asyncio.sleep(0.01)
        asked.cancel()

    zalo.faults({"stage": "oauth", "action": "slow", "seconds": 3})
    # The loop ends, and cancels what still runs in it.
    asyncio.run(run())
    # Rightly so: the token is used up a little later.
    wait_until(lambda: zalo.call("/oauth")["refreshes"] == 1)
    assert state(runtime_conn)["status"] == "paused"
    assert "interrupted" in state(runtime_conn)["status_reason"]


def test_a_pair_in_hand_is_stored_even_while_the_process_ends(
    admin_conn: Connection, database_urls: DatabaseUrls, zalo: Sandbox, opened: None
) -> None:
    async def run() -> None:
        stale = await stored_credential(database_urls.runtime, "tenant_a")
        answered = asyncio.Event()

        async def exchange(credential: Credential) -> Renewal:
            renewal = await renew_tokens(credential)
            cut_the_database(admin_conn)
            answered.set()
            return renewal

        calls = 0

        async def connect(url: str, **options: Any) -> AsyncConnection:
            nonlocal calls
            calls += 1
            if calls == 2:
                raise psycopg.OperationalError("away")
            return await connect_async(url, **options)

        task = asyncio.ensure_future(
            renew_credential(
                database_url=database_urls.runtime,
                stale=stale,
                secret_key=SECRET_KEY,
                renew=exchange,
                connect=connect,
            )
        )
        await answered.wait()
        while calls < 2:
            await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.wait([task])

    asyncio.run(run())
    fresh = stored(database_urls)
    assert fresh.secret["refresh_token"] == zalo.call("/oauth")["grants"][0]["refresh_token"]


def test_an_unforeseen_failure_of_the_exchange_counts_as_a_lost_answer(
    runtime_conn: Connection, database_urls: DatabaseUrls, zalo: Sandbox, opened: None
) -> None:
    async def exchange(credential: Credential) -> Renewal:
        raise KeyError("what nobody thought of")

    with pytest.raises(GrantLostError):
        renew(database_urls, exchange)
    assert "KeyError" in state(runtime_conn)["status_reason"]


def test_a_busy_provider_pauses_nothing(
    runtime_conn: Connection, database_urls: DatabaseUrls, zalo: Sandbox, opened: None
) -> None:
    zalo.faults({"stage": "oauth", "action": "reply", "code": 503, "times": 1})
    with pytest.raises(RenewalError):
        renew(database_urls)
    assert state(runtime_conn)["status"] == "active"
    assert renew(database_urls) == stored(database_urls)


def test_waiting_for_another_process_has_an_end(
    runtime_conn: Connection,
    database_urls: DatabaseUrls,
    zalo: Sandbox,
    opened: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(token_renewal, "_LOCK_TIMEOUT", timedelta(milliseconds=100))
    stale = stored(database_urls)
    with tenant_transaction(runtime_conn, "tenant_a") as cursor:
        cursor.execute("select from channel_credential for update")
        with pytest.raises(RenewalError, match="another process is renewing it for too long"):
            renew(database_urls, forbidden, stale)


def test_the_wrong_key_is_named_and_nobody_asked(
    database_urls: DatabaseUrls, zalo: Sandbox, opened: None
) -> None:
    for key, words in (("another key", "is not the key"), ("", "LEO_SECRET_KEY is empty")):
        with pytest.raises(ConfigurationError, match=words) as raised:
            asyncio.run(
                renew_credential(
                    database_url=database_urls.runtime,
                    stale=stored(database_urls),
                    secret_key=key,
                    renew=forbidden,
                )
            )
        assert "another key" not in str(raised.value)


def test_a_provider_whose_secrets_do_not_age_cannot_be_renewed(
    database_urls: DatabaseUrls,
) -> None:
    stale = Credential("tenant_a", "telegram", "bot_api", {}, {"bot_token": "1:x"})
    renewer = make_renewer(database_url=database_urls.runtime, secret_key=SECRET_KEY)

    async def ask() -> Credential:
        return await renewer(stale)

    with pytest.raises(GrantLostError, match="cannot be renewed"):
        asyncio.run(ask())


NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


def look(urls: DatabaseUrls, tenant_id: str = "tenant_a") -> token_renewal.RefreshReport:
    return refresh_tokens(
        urls.runtime, tenant_id, secret_key=SECRET_KEY, within=timedelta(hours=17), now=NOW
    )


@pytest.mark.parametrize(
    ("left", "is_renewed"),
    [
        (timedelta(hours=18), False),
        (timedelta(hours=17), True),
        (timedelta(hours=-1), True),
        (None, True),
    ],
)
def test_the_schedule_renews_what_dies_before_it_comes_again(
    runtime_conn: Connection,
    database_urls: DatabaseUrls,
    zalo: Sandbox,
    left: timedelta | None,
    is_renewed: bool,
) -> None:
    grant(runtime_conn, zalo, expires_at=None if left is None else NOW + left)
    report = look(database_urls)
    assert (list(report.renewed), report.kept) == (
        (["zalo"], ()) if is_renewed else ([], ("zalo",))
    )
    assert zalo.call("/oauth")["refreshes"] == is_renewed
    report.raise_for_problems()


def test_the_schedule_fails_as_long_as_a_grant_is_lost(
    runtime_conn: Connection, database_urls: DatabaseUrls, zalo: Sandbox, opened: None
) -> None:
    zalo.faults({"stage": "oauth", "action": "cut_after", "times": 1})
    for _ in range(2):
        with pytest.raises(RenewalError, match="tenant 'tenant_a', channel zalo: access was lost"):
            look(database_urls).raise_for_problems()
    assert zalo.call("/oauth")["refreshes"] == 1
    assert zalo.call("/oauth")["refused"] == 0


def test_a_channel_that_a_person_paused_keeps_its_grant_alive(
    admin_conn: Connection,
    runtime_conn: Connection,
    database_urls: DatabaseUrls,
    zalo: Sandbox,
    opened: None,
) -> None:
    admin_conn.execute("update channel_credential set status = 'paused', status_reason = 'holiday'")
    assert list(look(database_urls).renewed) == ["zalo"]
    assert state(runtime_conn)["status_reason"] == "holiday"
    zalo.faults({"stage": "oauth", "action": "reply", "code": -14014})
    with pytest.raises(GrantLostError):
        renew(database_urls)
    reason = state(runtime_conn)["status_reason"]
    assert reason.startswith(GRANT_LOST)
    assert reason.endswith("(paused before: holiday)")


def test_the_schedule_leaves_alone_what_does_not_age(
    runtime_conn: Connection, database_urls: DatabaseUrls
) -> None:
    store_credential(
        runtime_conn, tenant_id="tenant_a", channel="telegram", provider="bot_api", settings={},
        secret={"bot_token": "1:x"}, secret_key=SECRET_KEY,
    )  # fmt: skip
    report = look(database_urls)
    assert (report.renewed, report.kept, report.problems) == ({}, (), {})


@pytest.mark.invariant(2)
@pytest.mark.parametrize("stage", ["info", "oauth", "send"])
def test_what_the_clock_interrupts_is_unknown_only_if_it_may_have_left(
    admin_conn: Connection,
    runtime_conn: Connection,
    database_urls: DatabaseUrls,
    zalo: Sandbox,
    opened: None,
    stage: str,
) -> None:
    campaign = campaign_of(admin_conn, runtime_conn, 4)
    if stage != "oauth":
        zalo.call("/oauth", "PUT", list(GRANTS.values()))
    zalo.faults({"action": "slow", "stage": stage, "seconds": 3.0})
    options = DispatchOptions(
        concurrency=4, patience_seconds=0, lease_seconds=10, send_timeout_seconds=1.0
    )
    report = dispatch_channel(
        database_urls.runtime, "tenant_a", campaign.snapshot_id, "zalo", "worker", SECRET_KEY,
        options=options,
    )  # fmt: skip
    assert report.outcomes == {"unknown" if stage == "send" else "retry": 4}
    assert stage == "send" or zalo.received() == []
