"""Who watches asks for a worker when something is due and nobody is at work, and only then."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from leo_activation.database import Connection, connect, tenant_transaction
from leo_activation.events.processing import process_arrived
from leo_activation.events.watch import find_work, watch
from leo_activation.queries import load_queries
from tests.conftest import DatabaseUrls
from tests.support.arrivals import arrive, rule
from tests.support.catalogues import wait
from tests.support.decisions import CUSTOMERS, THANKS, PreparedGateway

BOTH = ("tenant_a", "tenant_b")


def asked(urls: DatabaseUrls, seconds: float, meanwhile: Any = None, **settings: Any) -> list[Any]:
    """Watch for a while; return whom a worker was asked for, and after how many seconds."""

    async def look() -> list[Any]:
        found, began = [], time.monotonic()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                async for tenants in watch(urls.runtime, BOTH, **settings):
                    found.append((tenants, time.monotonic() - began))
        return found

    async def both() -> list[Any]:
        if meanwhile is None:
            return await look()
        watching = asyncio.create_task(look())
        await asyncio.sleep(0.5)
        await asyncio.to_thread(meanwhile)
        return await watching

    return asyncio.run(both())


@contextlib.contextmanager
def attended(urls: DatabaseUrls, tenant: str = "tenant_a") -> Iterator[None]:
    """Be at work for a tenant."""
    with contextlib.closing(connect(urls.runtime)) as connection:
        connection.execute(load_queries("events").hold_tenant, {"tenant_id": tenant})
        yield


def test_a_notice_is_answered_at_once(shop: Connection, database_urls: DatabaseUrls) -> None:
    rule(shop, PreparedGateway(THANKS))
    found = asked(database_urls, 3.0, lambda: arrive(shop, CUSTOMERS[:3], is_announced=True))
    assert [tenants for tenants, _ in found] == [["tenant_a"]]
    assert found[0][1] < 2.0


def test_what_was_there_before_is_seen_at_the_start(
    shop: Connection, database_urls: DatabaseUrls
) -> None:
    rule(shop, PreparedGateway(THANKS))
    arrive(shop, CUSTOMERS[:1])
    assert [tenants for tenants, _ in asked(database_urls, 0.8)] == [["tenant_a"]]


def test_nothing_is_asked_while_somebody_is_at_work(
    shop: Connection, database_urls: DatabaseUrls
) -> None:
    rule(shop, PreparedGateway(THANKS))
    arrive(shop, CUSTOMERS[:1])
    with attended(database_urls):
        assert asked(database_urls, 0.8, poll_seconds=0.2) == []
    assert len(asked(database_urls, 0.8)) == 1


def test_a_worker_that_does_not_come_is_asked_for_again(
    shop: Connection, database_urls: DatabaseUrls
) -> None:
    rule(shop, PreparedGateway(THANKS))
    arrive(shop, CUSTOMERS[:1])
    found = asked(database_urls, 1.7, poll_seconds=0.1, start_seconds=1.0)
    assert len(found) == 2


def test_a_watcher_that_lost_its_connection_looks_again(
    shop: Connection, admin_conn: Connection, database_urls: DatabaseUrls
) -> None:
    rule(shop, PreparedGateway(THANKS))

    def hurt() -> None:
        admin_conn.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where datname = current_database() and application_name = 'leo_events_watch'"
        )
        arrive(shop, CUSTOMERS[:1])

    assert len(asked(database_urls, 7.0, hurt)) == 1


@pytest.mark.parametrize(
    ("held_back_by", "is_due"),
    [
        ("select", True),
        ("update campaign set status = 'paused'", False),
        ("update campaign set status = 'cancelled'", True),
        ("update channel_credential set status = 'paused', status_reason = 'x'", False),
        ("update message_template set paused_reason = 'x'", False),
        ("update tenant set settings = '{}'", False),
    ],
)
def test_nobody_is_started_for_what_is_held_back(
    shop: Connection,
    admin_conn: Connection,
    database_urls: DatabaseUrls,
    held_back_by: str,
    is_due: bool,
) -> None:
    rule(shop, PreparedGateway(THANKS))
    arrive(shop, CUSTOMERS[:1])
    process_arrived(shop, tenant_id="tenant_a")
    admin_conn.execute(held_back_by)  # type: ignore[arg-type]
    # Night in Vietnam, where advertising may not leave.
    night = datetime.now(UTC).replace(hour=17) + timedelta(days=1)
    assert asyncio.run(find_work(database_urls.runtime, BOTH, clock=lambda: night)) is is_due


def test_a_message_that_waits_is_seen_when_it_is_due(
    shop: Connection, database_urls: DatabaseUrls
) -> None:
    rule(shop, PreparedGateway(wait(30), THANKS))
    arrive(shop, CUSTOMERS[:1])
    assert asyncio.run(find_work(database_urls.runtime, BOTH))
    process_arrived(shop, tenant_id="tenant_a")
    assert not asyncio.run(find_work(database_urls.runtime, BOTH))
    with tenant_transaction(shop, "tenant_a") as cursor:
        row = cursor.execute("select min(not_before) as due_at from delivery_log").fetchone()
    assert row is not None
    almost = row["due_at"] - timedelta(seconds=1)
    began = time.time()
    found = asked(
        database_urls, 2.5,
        clock=lambda: almost + timedelta(seconds=time.time() - began),
    )  # fmt: skip
    assert len(found) == 1
    assert 0.5 < found[0][1] < 2.4
